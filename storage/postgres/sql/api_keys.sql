-- The HTTP keys of an account as they are listed and changed, and when they were last used.

-- An account's keys are counted and changed by one after another.
-- name: hold
SELECT id FROM accounts WHERE id = $1 FOR NO KEY UPDATE;

-- name: keys
SELECT key_hash, prefix, account, label, scopes, created_at, expires_at, last_used_at, is_revoked
  FROM api_keys WHERE account = $1 ORDER BY created_at, key_hash;

-- name: expire
UPDATE api_keys SET expires_at = least(expires_at, $2) WHERE key_hash = $1;

-- name: revoke
UPDATE api_keys SET is_revoked = true WHERE key_hash = $1;

-- name: forget
DELETE FROM api_keys
 WHERE key_hash IN (
       SELECT key_hash FROM api_keys
        WHERE account = $1 AND (is_revoked OR expires_at <= now())
        ORDER BY created_at DESC OFFSET $2);

-- In one order, so that two processes that tell of the same keys do not wait for each other for ever.
-- name: used
WITH told AS (SELECT * FROM unnest($1::bytea[], $2::timestamptz[]) AS t (key_hash, at)),
     held AS (SELECT key_hash FROM api_keys WHERE key_hash = ANY ($1) ORDER BY key_hash FOR NO KEY UPDATE)
UPDATE api_keys k SET last_used_at = t.at
  FROM told t JOIN held USING (key_hash)
 WHERE k.key_hash = t.key_hash AND (k.last_used_at IS NULL OR k.last_used_at < t.at);

-- name: networks
SELECT allowed_networks, http_networks FROM accounts WHERE id = $1;

-- name: networks_for_change
SELECT allowed_networks, http_networks FROM accounts WHERE id = $1 FOR UPDATE;

-- name: set_networks
UPDATE accounts SET allowed_networks = $2, http_networks = $3 WHERE id = $1;
