-- What operators did, newest first.

-- $2 an operator, $3 an action or what it begins with (then the rest begins with a dot), $4 a subject; null: any.
-- name: page
SELECT id, at, operator, address, action, subject, old, new
  FROM audit_log
 WHERE id < $1
   AND ($2::text IS NULL OR operator = $2)
   AND ($3::text IS NULL OR action = $3 OR starts_with(action, $3 || '.'))
   AND ($4::text IS NULL OR subject = $4)
   AND ($5::timestamptz IS NULL OR at >= $5)
   AND ($6::timestamptz IS NULL OR at < $6)
 ORDER BY id DESC
 LIMIT $7;
