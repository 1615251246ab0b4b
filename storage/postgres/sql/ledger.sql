-- Reading the ledger.

-- name: entries
SELECT id, account, seq, kind, amount_micros, balance_micros, messages, journal_from, journal_to, reference, operator,
       note, at, prev_hash, hash, corrects
  FROM ledger_entries WHERE account = $1 ORDER BY seq, id;

-- name: newest_entries
SELECT id, account, seq, kind, amount_micros, balance_micros, messages, journal_from, journal_to, reference, operator,
       note, at, prev_hash, hash, corrects
  FROM ledger_entries WHERE account = $1 ORDER BY seq DESC LIMIT $2;

-- name: entry_of
SELECT e.id, e.account, e.seq, e.kind, e.amount_micros, e.balance_micros, e.messages, e.journal_from, e.journal_to,
       e.reference, e.operator, e.note, e.at, e.prev_hash, e.hash, e.corrects
  FROM ledger_references r JOIN ledger_entries e ON e.id = r.entry WHERE r.reference = $1;

-- name: balance
SELECT balance_micros FROM ledger_entries WHERE account = $1 ORDER BY seq DESC LIMIT 1;

-- The last entry of each account, found by skipping from account to account in the index.
-- name: balances
WITH RECURSIVE a AS (
    (SELECT account FROM ledger_entries ORDER BY account LIMIT 1)
    UNION ALL
    SELECT (SELECT l.account FROM ledger_entries l WHERE l.account > a.account ORDER BY l.account LIMIT 1)
      FROM a WHERE a.account IS NOT NULL
)
SELECT a.account, (SELECT l.balance_micros FROM ledger_entries l WHERE l.account = a.account ORDER BY l.seq DESC LIMIT 1)
       AS balance_micros
  FROM a WHERE a.account IS NOT NULL;
