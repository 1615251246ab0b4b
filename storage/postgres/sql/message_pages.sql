-- An account's messages by page: the columns are those of get_messages.

-- Where a page that looks at so many messages ends; nothing when there are not that many.
-- name: page_end
SELECT id FROM messages WHERE account = $1 AND id >= $2 AND id < $3 ORDER BY id DESC OFFSET $4 LIMIT 1;

-- name: page
SELECT id, account, upstream, direction, door, state, source, source_ton, source_npi, dest, dest_ton, dest_npi,
       data_coding, esm_class, protocol_id, registered_delivery, service_type, segments, segment_sizes, body, via, tariff,
       priority, price_micros, refunded_micros, attempts, maybe_duplicate, error_code, client_ref, request_key,
       callback_url, metadata, tlvs, callbacks_open, callback_state, callback_attempts, valid_until, done_at,
       callback_at, group_id, conversion, coalesce(priority_flag, 0) AS priority_flag,
       coalesce(cost_micros, 0) AS cost_micros, stored_answer, send_at, coalesce(in_doubt, 0) AS in_doubt
  FROM messages
 WHERE account = $1 AND id >= $2 AND id < $3 AND ($4::smallint[] IS NULL OR state = ANY ($4))
   AND ($5::smallint IS NULL OR direction = $5) AND ($6::text IS NULL OR source = $6) AND ($7::text IS NULL OR dest = $7)
   AND (NOT $9 OR group_id IS NULL)
 ORDER BY id DESC LIMIT $8;
