-- Operators, what they look at and change of an account, and the log of it.

-- name: find_account
SELECT id, currency, plan, is_suspended, credit_limit_micros, low_balance_micros, rate_per_second, burst, binds_max,
       spend_per_day_micros
  FROM accounts WHERE id = $1;

-- name: suspend
WITH old AS (SELECT is_suspended FROM accounts WHERE id = $1 FOR UPDATE)
UPDATE accounts a SET is_suspended = $2 FROM old WHERE a.id = $1 RETURNING old.is_suspended;

-- name: log
INSERT INTO audit_log (operator, action, subject, old, new, address)
VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6);

-- name: add_operator
INSERT INTO operators (name, token_hash, role) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING;

-- name: operators
SELECT name, role, created_at, revoked_at FROM operators ORDER BY name;

-- name: tokens
SELECT name, token_hash, role FROM operators WHERE revoked_at IS NULL ORDER BY name LIMIT $1;

-- name: revoke_operator
UPDATE operators SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL;
