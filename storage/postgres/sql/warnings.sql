-- Warnings of a low balance: written by the writer in the transaction of its ledger entries.

-- What the entries with these balances before and after them took below what the account's owner wants to be warned at.
-- The account is looked for by its primary key, whatever the writer's settings make of a join: see update_messages.
-- name: insert_warnings
INSERT INTO account_warnings
       (id, account, currency, balance_micros, low_balance_micros, at, is_queued, callback_state)
SELECT e.id, a.id, a.currency, e.balance_micros, a.low_balance_micros,
       timestamptz 'epoch' + e.at_ms * interval '1 millisecond',
       NOT a.has_webhook, CASE WHEN a.has_webhook THEN 1 ELSE 0 END
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
       AS e (id, account, before_micros, balance_micros, at_ms)
  JOIN (SELECT *, coalesce(webhook_url, '') <> ''
                  OR EXISTS (SELECT FROM webhook_endpoints w WHERE w.account = accounts.id AND w.is_enabled)
               AS has_webhook FROM accounts) AS a ON a.id = e.account
 WHERE a.id = ANY ((SELECT $2)::text[])
   AND e.before_micros >= a.low_balance_micros AND e.balance_micros < a.low_balance_micros;

-- name: unqueued
SELECT id, account, currency, balance_micros, low_balance_micros, (extract(epoch FROM at) * 1000)::bigint AS at_ms
  FROM account_warnings WHERE NOT is_queued ORDER BY id LIMIT $1;

-- name: mark_queued
UPDATE account_warnings SET is_queued = true WHERE id = ANY ($1::bigint[]);

-- name: end_warnings
UPDATE account_warnings w
   SET callback_state = e.state, callback_at = timestamptz 'epoch' + e.at_ms * interval '1 millisecond',
       callback_attempts = e.attempts
  FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::smallint[]) AS e (id, state, at_ms, attempts)
 WHERE w.id = e.id AND w.id = ANY ((SELECT $1)::bigint[]);

-- name: unended
SELECT count(*) FROM account_warnings WHERE callback_state = 1;

-- name: queue_anew
UPDATE account_warnings SET is_queued = false WHERE callback_state = 1 AND is_queued;

-- name: thresholds
SELECT id, low_balance_micros FROM accounts WHERE low_balance_micros IS NOT NULL ORDER BY id LIMIT $1;
