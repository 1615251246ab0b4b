-- What operators have paused or drained, as they change and list it.

-- name: has_subject
SELECT CASE $1
           WHEN 'upstream' THEN EXISTS (SELECT FROM upstreams WHERE id = $2)
           WHEN 'account' THEN EXISTS (SELECT FROM accounts WHERE id = $2)
           ELSE EXISTS (SELECT FROM routes WHERE prefix = $2 AND account = $3)
       END;

-- name: lock_halts
LOCK TABLE halts IN SHARE ROW EXCLUSIVE MODE;

-- name: halt
INSERT INTO halts (kind, name, account, state, operator) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kind, name, account) DO UPDATE SET state = excluded.state, operator = excluded.operator, since = now();

-- name: state
SELECT state FROM halts WHERE kind = $1 AND name = $2 AND account = $3;

-- name: resume
DELETE FROM halts WHERE kind = $1 AND name = $2 AND account = $3;

-- name: halts
SELECT kind, name, account, state, since, operator FROM halts ORDER BY kind, name, account;

-- name: upstream_ids
SELECT id FROM upstreams ORDER BY id;
