-- Events of accounts that ask for them: written by the writer in the transaction of its rows, read by customers.

-- name: readers
SELECT account FROM account_event_readers;

-- Messages that ended in this batch: the row, written before, says whose they are, and whether this is how they ended.
-- `m.id = ANY` and the bounds: see update_messages.
-- name: insert_ended
INSERT INTO account_events (account, kind, id, state, told_ms, stat, err)
SELECT m.account, 1, m.id, m.state, e.told_ms, e.stat, e.err
  FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
       AS e (id, state, done_ms, told_ms, stat, err)
  JOIN messages m ON m.id = e.id
 WHERE m.id = ANY ((SELECT $1)::bigint[]) AND m.id >= $8 AND m.id <= $9 AND m.account = ANY ($7::text[])
   AND m.state = e.state AND m.done_at = timestamptz 'epoch' + e.done_ms * interval '1 millisecond';

-- Messages from phones, whose rows were written before.
-- name: insert_received
INSERT INTO account_events (account, kind, id, state, told_ms, stat, err)
SELECT m.account, 2, m.id, 4, e.told_ms, '', ''
  FROM unnest($1::bigint[], $2::bigint[]) AS e (id, told_ms)
  JOIN messages m ON m.id = e.id
 WHERE m.id = ANY ((SELECT $1)::bigint[]) AND m.id >= $3 AND m.id <= $4;

-- Warnings of a low balance for ledger entries of this batch.
-- name: insert_warned
INSERT INTO account_events (account, kind, id, state, told_ms, stat, err)
SELECT account, 3, id, 0, (extract(epoch FROM at) * 1000)::bigint, '', ''
  FROM account_warnings WHERE id = ANY ($1::bigint[]);

-- name: reader
SELECT floor, (SELECT last_value FROM account_event_position) AS last, asked_at < now() - interval '1 hour' AS is_old
  FROM account_event_readers WHERE account = $1;

-- name: add_reader
INSERT INTO account_event_readers (account) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: touch_reader
UPDATE account_event_readers SET asked_at = now() WHERE account = $1;

-- name: page
SELECT position, kind, id, state, told_ms, stat, err FROM account_events
 WHERE account = $1 AND position > $2 ORDER BY position LIMIT $3;

-- name: warnings
SELECT id, account, currency, balance_micros, low_balance_micros, (extract(epoch FROM at) * 1000)::bigint AS at_ms
  FROM account_warnings WHERE id = ANY ($1::bigint[]);

-- name: forget_readers
DELETE FROM account_event_readers WHERE asked_at < $1;

-- Some of what is old; whose it was can no longer ask for it.
-- name: forget
WITH gone AS (DELETE FROM account_events
               WHERE ctid = ANY (ARRAY(SELECT ctid FROM account_events WHERE at < $1 LIMIT $2))
              RETURNING account, position),
     tops AS (SELECT account, max(position) AS top FROM gone GROUP BY account),
     raised AS (UPDATE account_event_readers r SET floor = greatest(r.floor, t.top) FROM tops t
                 WHERE r.account = t.account)
SELECT count(*) FROM gone;
