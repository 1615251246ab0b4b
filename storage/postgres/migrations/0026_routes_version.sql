-- One row: another version says that routes may have changed. It is the transaction that changed them last, which writes
-- it once, however many statements it has.
CREATE TABLE routes_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO routes_version DEFAULT VALUES;

CREATE FUNCTION routes_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE routes_version SET version = pg_current_xact_id()::text::bigint
     WHERE version <> pg_current_xact_id()::text::bigint;
    RETURN NULL;
END
$$;
CREATE TRIGGER routes_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON routes
    FOR EACH STATEMENT EXECUTE FUNCTION routes_changed();
GRANT SELECT ON routes_version TO smscd;
