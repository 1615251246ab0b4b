-- What messages came to, by the day of their ids, and the days that were added up already.

-- A part of a day. `country` is that of the longest prefix in $4, an object of countries by prefix: looked up here, where
-- a day has few countries and millions of numbers. `accepted` is how many of a message's submit_sm its upstream accepted:
-- all of one that was sent, none of one that waits; of any other the segments say. `parts`, the short messages in its
-- price, stand in the third byte of a Conversion, after 0xcc from 128 on. dest_ton 3 and 6 are short codes.
-- name: slice
SELECT account, coalesce(country, '') AS country, upstream,
       count(*) AS messages, sum(parts)::bigint AS segments, sum(price_micros)::bigint AS charged_micros,
       sum(refunded_micros)::bigint AS refunded_micros,
       coalesce(sum(cost_micros * accepted / segments), 0)::bigint AS cost_micros,
       count(*) FILTER (WHERE accepted > 0 AND cost_micros IS NULL) AS without_cost
  FROM (SELECT m.account, m.upstream, m.price_micros, m.refunded_micros, m.cost_micros, m.segments,
               CASE WHEN m.dest_ton NOT IN (3, 6)
                    THEN coalesce($4::jsonb ->> left(m.dest, 7), $4::jsonb ->> left(m.dest, 6),
                                  $4::jsonb ->> left(m.dest, 5), $4::jsonb ->> left(m.dest, 4),
                                  $4::jsonb ->> left(m.dest, 3), $4::jsonb ->> left(m.dest, 2),
                                  $4::jsonb ->> left(m.dest, 1)) END AS country,
               CASE WHEN m.conversion IS NULL THEN m.segments
                    WHEN get_byte(m.conversion, 2) = 204 THEN get_byte(m.conversion, 3)
                    ELSE get_byte(m.conversion, 2) END AS parts,
               CASE WHEN m.state IN (3, 4, 5) THEN m.segments
                    WHEN m.state < 2 THEN 0
                    ELSE (SELECT count(DISTINCT s.segment) FROM segments s WHERE s.message_id = m.id) END AS accepted
          FROM messages m
         WHERE m.id >= $1 AND m.id < $2 AND m.direction = 1 AND ($3::text IS NULL OR m.account = $3)
        OFFSET 0) AS each
 GROUP BY 1, 2, 3;

-- Messages, and refunds of messages, that PostgreSQL refused to store: they are in the ledger all the same.
-- name: dead_letters
SELECT d.kind, coalesce(d.account, m.account) AS account, m.upstream, m.dest_ton, m.dest, d.price_micros,
       d.refunded_micros, d.record
  FROM journal_dead_letters d
  LEFT JOIN messages m ON m.id = d.message_id AND m.id >= $1 AND m.id < $2 AND d.kind = 'U'
 WHERE d.message_id >= $1 AND d.message_id < $2 AND d.kind IN ('A', 'U')
   AND (d.kind = 'A' OR m.id IS NOT NULL) AND ($3::text IS NULL OR coalesce(d.account, m.account) = $3);

-- name: currencies
SELECT id, currency FROM accounts;

-- name: first_message
SELECT min(id) FROM messages;

-- name: computed_days
SELECT day, computed_at FROM daily_totals_days WHERE day >= $1 AND day < $2 ORDER BY day;

-- name: stored
SELECT day, account, country, upstream, currency, messages, segments, charged_micros, refunded_micros, cost_micros,
       messages_without_cost
  FROM daily_totals WHERE day >= $1 AND day < $2 AND ($3::text IS NULL OR account = $3)
 ORDER BY day, account, country, upstream;

-- name: mark_day
INSERT INTO daily_totals_days (day, computed_at) VALUES ($1, $2)
    ON CONFLICT (day) DO UPDATE SET computed_at = excluded.computed_at;

-- name: forget_day
DELETE FROM daily_totals WHERE day = $1;

-- name: store
INSERT INTO daily_totals
       (day, account, country, upstream, currency, messages, segments, charged_micros, refunded_micros, cost_micros,
        messages_without_cost)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);
