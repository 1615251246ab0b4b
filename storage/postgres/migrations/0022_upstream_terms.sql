-- An upstream's error table, its retries and its breaker, with what was fixed before as the default.

-- True for what an upstream's profile may say of how long a status is waited for: seconds, by the status in decimal.
CREATE FUNCTION status_delays_are_valid(delays jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(delays) IS DISTINCT FROM 'object' THEN false ELSE (
        SELECT count(*) <= 100
               AND coalesce(bool_and(CASE WHEN status ~ '^[1-9][0-9]{0,9}$' AND jsonb_typeof(seconds) = 'number'
                   THEN status::bigint <= 4294967295 AND seconds::numeric > 0 AND seconds::numeric <= 86400
                   ELSE false END), true)
          FROM jsonb_each(delays) AS rows (status, seconds)) END;

ALTER TABLE upstreams
    ADD COLUMN throttling_statuses bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN status_delays jsonb NOT NULL DEFAULT '{}' CHECK (status_delays_are_valid(status_delays)),
    ADD COLUMN retry_base_seconds double precision NOT NULL DEFAULT 2
        CHECK (retry_base_seconds > 0 AND retry_base_seconds <= 86400),
    ADD COLUMN retry_max_seconds double precision NOT NULL DEFAULT 900
        CHECK (retry_max_seconds > 0 AND retry_max_seconds <= 86400),
    ADD COLUMN breaker_failures_max integer NOT NULL DEFAULT 5 CHECK (breaker_failures_max BETWEEN 1 AND 1000000),
    ADD COLUMN breaker_error_rate double precision NOT NULL DEFAULT 0.5
        CHECK (breaker_error_rate > 0 AND breaker_error_rate <= 1),
    ADD COLUMN breaker_slow_seconds double precision NOT NULL DEFAULT 0
        CHECK (breaker_slow_seconds >= 0 AND breaker_slow_seconds <= 86400),
    ADD COLUMN breaker_open_seconds double precision NOT NULL DEFAULT 5
        CHECK (breaker_open_seconds > 0 AND breaker_open_seconds <= 86400);
