-- Price lists, of plans and of upstreams: read, and changed by an import.

-- name: hold
SELECT version FROM prices_version FOR UPDATE;

-- name: plan_currency
SELECT currency FROM price_plans WHERE id = $1;

-- name: has_upstream
SELECT true FROM upstreams WHERE id = $1;

-- name: read_prices
SELECT prefix, price_micros, (extract(epoch FROM valid_from) * 1000)::bigint,
       (extract(epoch FROM valid_until) * 1000)::bigint
  FROM prices WHERE plan = $1;

-- name: read_costs
SELECT prefix, cost_micros, (extract(epoch FROM valid_from) * 1000)::bigint,
       (extract(epoch FROM valid_until) * 1000)::bigint
  FROM upstream_costs WHERE upstream = $1 AND currency = $2;

-- All rows of the next prefixes, so that none is cut.
-- name: price_page
SELECT prefix, price_micros, (extract(epoch FROM valid_from) * 1000)::bigint,
       (extract(epoch FROM valid_until) * 1000)::bigint
  FROM prices WHERE plan = $1
   AND prefix IN (SELECT DISTINCT prefix FROM prices
                   WHERE plan = $1 AND ($2::text IS NULL OR prefix > $2) ORDER BY prefix LIMIT $3)
 ORDER BY prefix, valid_from NULLS FIRST;

-- name: prices_of
SELECT prefix, price_micros, (extract(epoch FROM valid_from) * 1000)::bigint,
       (extract(epoch FROM valid_until) * 1000)::bigint
  FROM prices WHERE plan = $1 AND prefix = ANY ($2::text[]);

-- All rows of the next prefixes, so that none is cut.
-- name: cost_page
SELECT prefix, cost_micros, (extract(epoch FROM valid_from) * 1000)::bigint,
       (extract(epoch FROM valid_until) * 1000)::bigint
  FROM upstream_costs WHERE upstream = $1 AND currency = $2
   AND prefix IN (SELECT DISTINCT prefix FROM upstream_costs
                   WHERE upstream = $1 AND currency = $2 AND ($3::text IS NULL OR prefix > $3) ORDER BY prefix LIMIT $4)
 ORDER BY prefix, valid_from NULLS FIRST;

-- name: costs_of
SELECT prefix, cost_micros, (extract(epoch FROM valid_from) * 1000)::bigint,
       (extract(epoch FROM valid_until) * 1000)::bigint
  FROM upstream_costs WHERE upstream = $1 AND currency = $2 AND prefix = ANY ($3::text[]);

-- name: remove_prices
DELETE FROM prices p USING unnest($2::text[], $3::timestamptz[]) AS gone (prefix, valid_from)
 WHERE p.plan = $1 AND p.prefix = gone.prefix AND p.valid_from IS NOT DISTINCT FROM gone.valid_from;

-- name: remove_costs
DELETE FROM upstream_costs c USING unnest($3::text[], $4::timestamptz[]) AS gone (prefix, valid_from)
 WHERE c.upstream = $1 AND c.currency = $2 AND c.prefix = gone.prefix
   AND c.valid_from IS NOT DISTINCT FROM gone.valid_from;

-- name: change_prices
UPDATE prices p SET price_micros = new.micros, valid_until = new.valid_until
  FROM unnest($2::text[], $3::timestamptz[], $4::bigint[], $5::timestamptz[])
       AS new (prefix, valid_from, micros, valid_until)
 WHERE p.plan = $1 AND p.prefix = new.prefix AND p.valid_from IS NOT DISTINCT FROM new.valid_from;

-- name: change_costs
UPDATE upstream_costs c SET cost_micros = new.micros, valid_until = new.valid_until
  FROM unnest($3::text[], $4::timestamptz[], $5::bigint[], $6::timestamptz[])
       AS new (prefix, valid_from, micros, valid_until)
 WHERE c.upstream = $1 AND c.currency = $2 AND c.prefix = new.prefix
   AND c.valid_from IS NOT DISTINCT FROM new.valid_from;
