-- Reading messages.

-- name: get_messages
SELECT id, account, upstream, direction, door, state, source, source_ton, source_npi, dest, dest_ton, dest_npi,
       data_coding, esm_class, protocol_id, registered_delivery, service_type, segments, segment_sizes, body, via, tariff,
       priority, price_micros, refunded_micros, attempts, maybe_duplicate, error_code, client_ref, request_key,
       callback_url, metadata, tlvs, callbacks_open, callback_state, callback_attempts, valid_until, done_at,
       callback_at, group_id, conversion, coalesce(priority_flag, 0) AS priority_flag,
       coalesce(cost_micros, 0) AS cost_micros, stored_answer, send_at, coalesce(in_doubt, 0) AS in_doubt
  FROM messages WHERE id = ANY ($1::bigint[]) AND ($2::text IS NULL OR account = $2);

-- The messages of a submit_multi. Their ids were taken together, so they lie within the millisecond after the first.
-- name: get_group
SELECT id FROM messages
 WHERE id >= $1::bigint AND id < $1::bigint + (2::bigint << 22) AND account = $2 AND group_id = $1 ORDER BY id;

-- Messages of an account between two addresses that may not be sent yet.
-- name: find_pending
SELECT id FROM messages
 WHERE account = $1 AND id >= $5 AND direction = 1 AND state <= 2 AND source = $2 AND dest = $3
   AND ($4 = '' OR service_type = $4)
 ORDER BY id LIMIT $6;

-- What a submit_sm with replace_if_present_flag replaces: the same, but for a service_type that is the same and an end.
-- name: find_replaced
SELECT id FROM (
       SELECT id, direction, state, source, dest, service_type FROM messages
        WHERE account = $1 AND id >= $5 AND id < $6 ORDER BY id DESC LIMIT $7) AS newest
 WHERE direction = 1 AND state <= 2 AND source = $2 AND dest = $3 AND coalesce(service_type, '') = $4
 ORDER BY id DESC LIMIT $8;

-- Oldest first; what happened at the same time, in the order of its cause.
-- name: get_timeline
SELECT at, what, segment, attempt, upstream, detail FROM message_timeline WHERE message_id = $1
 ORDER BY at, array_position('{admitted,received,retried,in doubt,sent,receipt}'::text[], what) NULLS LAST, segment;

-- name: recorded_offset
SELECT last_id FROM journal_offsets WHERE shard = $1;

-- Cold correlation: segments by what the upstream calls them, not older than a message id. An id that an upstream gives
-- again and again does not have all of them read.
-- name: find_segments
SELECT s.upstream_message_id, s.message_id, s.segment
  FROM unnest($2::text[]) AS wanted (id)
 CROSS JOIN LATERAL (SELECT upstream_message_id, message_id, segment FROM segments
                      WHERE upstream_message_id = wanted.id AND upstream = $1 AND message_id >= $3 LIMIT $4) AS s;

-- Which segments of messages have had their final receipt, and what it said: the first stays.
-- name: find_ends
SELECT DISTINCT ON (message_id, segment) message_id, segment, state
  FROM message_events WHERE message_id = ANY ($1::bigint[]) AND kind = 10 AND state >= 4
 ORDER BY message_id, segment, at;

-- Messages whose last callback no ESME took, newest first.
-- name: dead_to_esmes
SELECT id, account, direction, state, callback_attempts AS attempts, callback_at AS at,
       (SELECT detail FROM message_events e WHERE e.message_id = m.id AND kind = 21 ORDER BY e.at DESC LIMIT 1) AS detail
  FROM messages m
 WHERE callback_state = 3 AND via = 1 AND callback_at >= $1 AND id >= $2 AND id < $3
   AND ($4::text IS NULL OR account = $4) AND ($5::bigint IS NULL OR id = $5)
 ORDER BY id DESC LIMIT $6;

-- name: dead_callbacks
SELECT id FROM messages m
 WHERE callback_state = 3 AND via = 2 AND callback_at >= $1 AND id >= $2 AND ($3::text IS NULL OR account = $3)
   AND ($4::bigint IS NULL OR id = $4)
   AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.message_id = m.id)
 ORDER BY id LIMIT $5;
