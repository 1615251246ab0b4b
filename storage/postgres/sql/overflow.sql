-- Messages that wait in PostgreSQL alone.

-- In the order of the journal: position counts up in it.
-- name: insert
INSERT INTO overflow (message_id, due_ms, priority, upstream, account, record)
SELECT message_id, due_ms, priority, upstream, account, record
  FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::bytea[])
       WITH ORDINALITY AS o (message_id, due_ms, priority, upstream, account, record, number)
 ORDER BY number
    ON CONFLICT (message_id) DO NOTHING;

-- The next messages of a place that are due after $4 and not after $5, marked: they may be in Redis from now on.
-- name: take
WITH next AS (SELECT message_id FROM overflow
               WHERE upstream = $1 AND priority = $2 AND account = $3 AND due_ms > $4 AND due_ms <= $5
               ORDER BY due_ms, position LIMIT $6)
UPDATE overflow o SET is_taken = true FROM next WHERE o.message_id = next.message_id
RETURNING o.message_id, o.due_ms, o.position, o.record;

-- Those of these messages that wait here, marked.
-- name: take_these
UPDATE overflow SET is_taken = true WHERE message_id = ANY ($1::bigint[])
RETURNING upstream, priority, account, message_id, due_ms, record;

-- When the first scheduled message of each of these places is due; places without one are missing.
-- name: first_due
SELECT (p.number - 1)::integer AS number, first.due_ms
  FROM unnest($1::text[], $2::smallint[], $3::text[]) WITH ORDINALITY AS p (upstream, priority, account, number)
 CROSS JOIN LATERAL (SELECT due_ms FROM overflow o
                      WHERE o.upstream = p.upstream AND o.priority = p.priority AND o.account = p.account AND due_ms > 0
                      ORDER BY due_ms LIMIT 1) AS first;

-- Of each of these places: the id of the first message that waits for room, and when the first scheduled one is due.
-- name: heads
SELECT p.number - 1 AS number, tail.message_id, scheduled.due_ms
  FROM unnest($1::text[], $2::smallint[], $3::text[]) WITH ORDINALITY AS p (upstream, priority, account, number)
  LEFT JOIN LATERAL (SELECT message_id FROM overflow o
                      WHERE o.upstream = p.upstream AND o.priority = p.priority AND o.account = p.account AND due_ms = 0
                      ORDER BY position LIMIT 1) AS tail ON true
  LEFT JOIN LATERAL (SELECT due_ms FROM overflow o
                      WHERE o.upstream = p.upstream AND o.priority = p.priority AND o.account = p.account AND due_ms > 0
                      ORDER BY due_ms LIMIT 1) AS scheduled ON true;

-- name: drop
DELETE FROM overflow WHERE message_id = ANY ($1::bigint[]);

-- Recovery: what may have been in Redis, has ended, or was replaced is not waiting here any more.
-- name: clear
DELETE FROM overflow o
 WHERE is_taken OR EXISTS (SELECT FROM messages m WHERE m.id = o.message_id AND m.state > 2)
    OR EXISTS (SELECT FROM message_events e WHERE e.message_id = o.message_id AND e.kind = 9);

-- name: still_waiting
SELECT message_id FROM overflow o
 WHERE message_id = ANY ($1::bigint[]) AND NOT is_taken
   AND NOT EXISTS (SELECT FROM message_events e WHERE e.message_id = o.message_id AND e.kind = 9);

-- name: count
SELECT upstream, priority, account, count(*) FILTER (WHERE due_ms = 0) AS tail,
       count(*) FILTER (WHERE due_ms > 0) AS scheduled
  FROM overflow GROUP BY upstream, priority, account;
