-- An account's entries in the ledger, by its seq, which counts them without a gap: nothing here looks at more than it
-- is asked for, however long the chain is.

-- name: last_seq
SELECT coalesce((SELECT seq FROM ledger_entries WHERE account = $1 ORDER BY seq DESC LIMIT 1), 0);

-- How many entries have ids below one: a binary search, because ids rise with seq and no index has account and id.
-- name: seq_before
WITH RECURSIVE search (low, high) AS (
    SELECT coalesce((SELECT seq - 1 FROM ledger_entries WHERE account = $1 ORDER BY seq LIMIT 1), 0),
           coalesce((SELECT seq FROM ledger_entries WHERE account = $1 ORDER BY seq DESC LIMIT 1), 0)
    UNION ALL
    SELECT CASE WHEN found.id IS NULL THEN s.middle WHEN found.id < $2 THEN found.seq ELSE s.low END,
           CASE WHEN found.id >= $2 THEN found.seq - 1 ELSE s.high END
      FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM search WHERE low < high) AS s
      LEFT JOIN LATERAL (SELECT id, seq FROM ledger_entries
                          WHERE account = $1 AND seq > s.low AND seq <= s.middle
                          ORDER BY seq DESC LIMIT 1) AS found ON true
)
SELECT low FROM search WHERE low >= high;

-- name: page
SELECT id, seq, kind, amount_micros, balance_micros, messages, reference, note
  FROM ledger_entries
 WHERE account = $1 AND seq > $2 AND seq <= $3 AND kind = ANY ($4::text[])
 ORDER BY seq DESC LIMIT $5;

-- The same of kinds that are rare, which have an index of their own.
-- name: page_of_orders
SELECT id, seq, kind, amount_micros, balance_micros, messages, reference, note
  FROM ledger_entries
 WHERE account = $1 AND seq > $2 AND seq <= $3 AND kind NOT IN ('charge', 'refund') AND kind = ANY ($4::text[])
 ORDER BY seq DESC LIMIT $5;

-- name: balance_at
SELECT balance_micros FROM ledger_entries WHERE account = $1 AND seq = $2;

-- name: between
SELECT id, seq, kind, amount_micros, balance_micros, messages, reference, note
  FROM ledger_entries WHERE account = $1 AND seq > $2 AND seq <= $3 ORDER BY seq, id LIMIT $4;
