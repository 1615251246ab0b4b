-- Endpoints of customers, and what becomes of their events there.

-- name: lock_account
SELECT pg_advisory_xact_lock(hashtext('smscd webhooks ' || $1));

-- name: count
SELECT count(*) FROM webhook_endpoints WHERE account = $1;

-- name: add
INSERT INTO webhook_endpoints (id, account, url, events, description, secret) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *;

-- name: all
SELECT * FROM webhook_endpoints WHERE account = $1 ORDER BY id;

-- name: get
SELECT * FROM webhook_endpoints WHERE id = $1 AND account = $2;

-- name: get_for_change
SELECT * FROM webhook_endpoints WHERE id = $1 AND account = $2 FOR UPDATE;

-- name: change
UPDATE webhook_endpoints
   SET url = $2, events = $3, description = $4, is_enabled = $5, disabled_reason = $6, secret = $7, old_secrets = $8,
       old_until_ms = $9, revision = revision + 1, changed_at = now()
 WHERE id = $1 RETURNING *;

-- name: remove
DELETE FROM webhook_endpoints WHERE id = $1 AND account = $2;

-- An endpoint that answered 410, unless it was changed since it was asked.
-- name: disable_gone
UPDATE webhook_endpoints e
   SET is_enabled = false, disabled_reason = 'gone', revision = e.revision + 1, changed_at = now()
  FROM unnest($1::bigint[], $2::integer[]) AS g (id, revision)
 WHERE e.id = g.id AND e.revision = g.revision AND e.is_enabled AND e.id = ANY ((SELECT $1)::bigint[])
RETURNING e.id;

-- What waits for an endpoint that is disabled. is_owed stays: Redis has it until it is due.
-- name: bury
UPDATE webhook_deliveries SET status = 3, detail = 'endpoint disabled', next_at = NULL
 WHERE endpoint = ANY ($1::bigint[]) AND status = 1;

-- name: write_deliveries
INSERT INTO webhook_deliveries
       (endpoint, event, event_type, account, message_id, status, attempts, code, detail, created_at, at, next_at,
        is_owed, record)
SELECT endpoint, event, event_type, account, message_id, status, attempts, code, detail,
       timestamptz 'epoch' + at_ms * interval '1 millisecond', timestamptz 'epoch' + at_ms * interval '1 millisecond',
       timestamptz 'epoch' + nullif(next_ms, 0) * interval '1 millisecond', is_owed, record
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::smallint[], $7::smallint[],
              $8::smallint[], $9::text[], $10::bigint[], $11::bigint[], $12::boolean[], $13::bytea[])
       AS d (endpoint, event, event_type, account, message_id, status, attempts, code, detail, at_ms, next_ms, is_owed,
             record)
ON CONFLICT (endpoint, event) DO UPDATE
   SET status = excluded.status, attempts = excluded.attempts, code = excluded.code, detail = excluded.detail,
       at = excluded.at, next_at = excluded.next_at, record = excluded.record,
       is_owed = coalesce(excluded.is_owed, webhook_deliveries.is_owed);

-- name: deliveries
SELECT id, event, event_type, status, attempts, code, detail, created_at, at, next_at
  FROM webhook_deliveries WHERE endpoint = $1 AND id < $2 ORDER BY id DESC LIMIT $3;

-- name: begin_replay
UPDATE webhook_deliveries SET status = 1, next_at = now() WHERE endpoint = $1 AND event = $2
RETURNING id, event, event_type, status, attempts, code, detail, created_at, at, next_at, record;

-- Dead letters, oldest first.
-- name: dead
SELECT endpoint, account, event, message_id, attempts, detail, at, record
  FROM webhook_deliveries
 WHERE status = 3 AND at >= $1 AND ($2::text IS NULL OR account = $2) AND ($3::bigint IS NULL OR message_id = $3)
 ORDER BY id LIMIT $4;

-- What Redis has to have: what is tried again, and what a message's callbacks_open counts.
-- name: waiting
SELECT id, message_id, (extract(epoch FROM coalesce(next_at, at)) * 1000)::bigint AS next_ms,
       coalesce(is_owed, false) AS is_owed, record
  FROM webhook_deliveries WHERE id > $1 AND (status = 1 OR is_owed) ORDER BY id LIMIT $2;

-- Oldest first, so that little is looked at.
-- name: forget
DELETE FROM webhook_deliveries
 WHERE id = ANY (ARRAY(SELECT id FROM webhook_deliveries ORDER BY id LIMIT $2))
   AND created_at < timestamptz 'epoch' + $1 * interval '1 millisecond';
