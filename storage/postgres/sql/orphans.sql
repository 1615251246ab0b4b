-- Receipts whose message nobody found.

-- One that is told twice is one: Redis forgets it only after it was told.
-- name: insert
INSERT INTO orphans (mark, came_at, upstream, upstream_message_id, reason, stat, err, source, dest, receipt)
SELECT mark, timestamptz 'epoch' + came_ms * interval '1 millisecond', upstream, upstream_message_id, reason, stat, err,
       source, dest, receipt
  FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
              $9::text[], $10::bytea[])
       AS o (mark, came_ms, upstream, upstream_message_id, reason, stat, err, source, dest, receipt)
ON CONFLICT (mark) DO NOTHING;

-- name: keep
INSERT INTO parked_receipts (mark, came_at, upstream, receipt)
SELECT mark, timestamptz 'epoch' + came_ms * interval '1 millisecond', upstream, receipt
  FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bytea[]) AS p (mark, came_ms, upstream, receipt)
ON CONFLICT (mark) DO NOTHING;

-- name: parked
SELECT upstream, receipt FROM parked_receipts p
 WHERE came_at >= timestamptz 'epoch' + $1 * interval '1 millisecond'
   AND NOT EXISTS (SELECT FROM orphans o WHERE o.mark = p.mark)
 ORDER BY came_at;

-- name: forget_parked
DELETE FROM parked_receipts WHERE came_at < timestamptz 'epoch' + $1 * interval '1 millisecond';

-- name: open
SELECT id, came_at, upstream, upstream_message_id, reason, stat, err, source, dest, receipt, message_id, segment, matched_at
  FROM orphans
 WHERE matched_at IS NULL AND ($1::text IS NULL OR upstream = $1) AND ($2::timestamptz IS NULL OR came_at >= $2)
   AND id > $3
 ORDER BY id LIMIT $4;

-- name: get
SELECT id, came_at, upstream, upstream_message_id, reason, stat, err, source, dest, receipt, message_id, segment, matched_at
  FROM orphans WHERE id = $1;

-- name: forget
DELETE FROM orphans WHERE came_at < timestamptz 'epoch' + $1 * interval '1 millisecond';

-- name: matched
UPDATE orphans SET message_id = m.message_id, segment = m.segment, matched_at = now()
  FROM unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS m (id, message_id, segment)
 WHERE orphans.id = m.id AND orphans.matched_at IS NULL;
