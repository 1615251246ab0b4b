-- What Redis is built from again.

-- name: bounds
SELECT coalesce(min(id), 0) AS least, coalesce(max(id), 0) AS greatest FROM messages;

-- The next messages of a window of ids that Redis has to know: unsent ones and callbacks of any age; from $3 on those
-- that wait for a receipt or have ended since $4; from $5 on answered requests; from $6 on parts of messages from phones
-- whose whole is not there.
-- name: find
SELECT id FROM messages m
 WHERE id >= $1 AND id < $2
   AND (callbacks_open > 0
        OR direction = 1 AND (state <= 2
                              OR id >= $3 AND (state = 3 OR done_at >= timestamptz 'epoch' + $4 * interval '1 millisecond')
                              OR id >= $5 AND stored_answer IS NOT NULL)
        OR direction = 2 AND id >= $6 AND group_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM messages w WHERE w.id = m.group_id))
 ORDER BY id LIMIT $7;

-- name: segments
SELECT message_id, segment, upstream, upstream_message_id, (extract(epoch FROM sent_at) * 1000)::bigint AS sent_ms
  FROM segments WHERE message_id = ANY ($1::bigint[]) ORDER BY message_id, sent_at;

-- name: events
SELECT message_id, kind, (extract(epoch FROM at) * 1000)::bigint AS at_ms, segment, attempt, state,
       coalesce(command_status, 0) AS command_status, stat, err, raw
  FROM message_events WHERE message_id = ANY ($1::bigint[]) AND kind <= 10 ORDER BY message_id, at;

-- name: lock
SELECT pg_try_advisory_lock($1);

-- Who else of ours is connected to this database.
-- name: users
SELECT DISTINCT application_name FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'smscd %'
   AND application_name NOT IN ('smscd command', 'smscd recover') ORDER BY 1;
