-- Prices with validity dates, what upstreams ask, and a number that says that either may have changed, so that a hundred
-- thousand rows are read again only then. The release of before reads the prices that have no dates as it did.
ALTER TABLE prices
    ADD COLUMN valid_from timestamptz,
    ADD COLUMN valid_until timestamptz,
    DROP CONSTRAINT prices_pkey,
    ADD CHECK (valid_from < valid_until AND isfinite(valid_from) AND isfinite(valid_until)),
    ADD UNIQUE NULLS NOT DISTINCT (plan, prefix, valid_from);

CREATE TABLE upstream_costs (
    upstream text NOT NULL REFERENCES upstreams (id),
    currency text NOT NULL,
    prefix text NOT NULL,
    cost_micros bigint NOT NULL CHECK (cost_micros >= 0),
    valid_from timestamptz,
    valid_until timestamptz,
    CHECK (valid_from < valid_until AND isfinite(valid_from) AND isfinite(valid_until)),
    UNIQUE NULLS NOT DISTINCT (upstream, currency, prefix, valid_from)
);

CREATE TABLE prices_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL DEFAULT 1
);
INSERT INTO prices_version DEFAULT VALUES;

CREATE FUNCTION prices_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE prices_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER prices_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON prices
    FOR EACH STATEMENT EXECUTE FUNCTION prices_changed();
CREATE TRIGGER prices_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON upstream_costs
    FOR EACH STATEMENT EXECUTE FUNCTION prices_changed();

GRANT SELECT, INSERT, UPDATE, DELETE ON upstream_costs TO smscd;
GRANT SELECT, UPDATE ON prices_version TO smscd;

-- null: not known.
ALTER TABLE messages ADD COLUMN cost_micros bigint;
