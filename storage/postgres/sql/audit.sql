-- Recomputing the ledger from the record. All of it runs in one snapshot.

-- name: message_bounds
SELECT min(id) AS least, max(id) AS greatest FROM messages;

-- The least id that a partition of the record is there for; older messages were dropped with theirs.
-- name: record_begins
SELECT min((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(-?\d+)''\)'))[1]::bigint)
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'messages'::regclass AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT';

-- name: rows_estimate
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'messages'::regclass;

-- What the messages of a range of ids say of the entries that they are part of; entry 0: they name none.
-- name: message_sums
SELECT coalesce(charge_entry, 0) AS entry, 'charge' AS kind, account, sum(price_micros)::bigint AS micros
  FROM messages WHERE id >= $1 AND id < $2 AND (charge_entry IS NOT NULL OR price_micros <> 0) AND direction = 1
 GROUP BY 1, account
UNION ALL
SELECT coalesce(refund_entry, 0), 'refund', account, sum(refunded_micros)::bigint
  FROM messages WHERE id >= $1 AND id < $2 AND (refund_entry IS NOT NULL OR refunded_micros <> 0) AND direction = 1
 GROUP BY 1, account;

-- What was booked of messages that PostgreSQL refused to store, by the entry of their account and batch.
-- name: dead_letter_sums
SELECT e.id AS entry, e.kind, e.account,
       sum(CASE e.kind WHEN 'charge' THEN d.price_micros ELSE d.refunded_micros END)::bigint AS micros
  FROM journal_dead_letters d
  LEFT JOIN messages m ON m.id = d.message_id AND d.account IS NULL
  JOIN ledger_entries e ON e.account = coalesce(d.account, m.account) AND e.kind IN ('charge', 'refund')
       AND e.journal_from = d.journal_from AND e.journal_to = d.journal_to
 WHERE d.price_micros <> 0 OR d.refunded_micros <> 0
 GROUP BY e.id, e.kind, e.account;

-- name: entries_between
SELECT id, kind, account, seq, amount_micros, journal_from
  FROM ledger_entries WHERE id >= $1 AND id < $2 AND kind IN ('charge', 'refund') ORDER BY id;

-- name: entry_bounds
SELECT min(id) AS least, max(id) AS greatest, count(*) AS entries FROM ledger_entries;

-- name: accounts
SELECT id FROM accounts ORDER BY id;
