-- Records of the journal that PostgreSQL refused, for operators.

-- name: page
SELECT id, at, shard, journal_from, journal_to, kind, message_id, account, price_micros, refunded_micros, charge_entry,
       error, closed_at, closed_by
  FROM journal_dead_letters
 WHERE id < $1 AND ($2 OR closed_at IS NULL) AND ($3::text IS NULL OR account = $3)
 ORDER BY id DESC LIMIT $4;

-- name: find
SELECT id, at, shard, journal_from, journal_to, kind, message_id, account, price_micros, refunded_micros, charge_entry,
       error, closed_at, closed_by
  FROM journal_dead_letters WHERE id = $1 FOR UPDATE;

-- name: close
UPDATE journal_dead_letters SET closed_at = now(), closed_by = $2 WHERE id = $1;
