-- Partitions are made by the daemon, which owns nothing: through this function it may do that and nothing else.

CREATE FUNCTION make_partition(parent text, suffix text, lower_id bigint, upper_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
-- Make the partition `parent`_`suffix` for ids from lower_id up to, not including, upper_id.
-- Returns how many rows were moved out of the DEFAULT partition; null when there was such a partition already.
-- It is made apart and then attached, so that writers to the parent wait only while the DEFAULT partition, normally
-- empty, is looked through. fillfactor 50 leaves room for a second version of every row of a page, because one batch
-- of the writer updates them all at once: at 75 two of three updates left their page and touched both indexes.
DECLARE
    name text := parent || '_' || suffix;
    key text := CASE parent WHEN 'messages' THEN 'id' WHEN 'ledger_entries' THEN 'id' ELSE 'message_id' END;
    storage text := CASE parent WHEN 'messages' THEN 'WITH (fillfactor = 50)' ELSE '' END;
    moved bigint;
BEGIN
    IF parent NOT IN ('messages', 'segments', 'message_events', 'ledger_entries') THEN
        RAISE EXCEPTION 'make_partition: % is not a table of the record', parent USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF suffix !~ '^[ymd][0-9_]{4,21}$' OR lower_id >= upper_id THEN
        RAISE EXCEPTION 'make_partition: bad name or bounds' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    IF to_regclass(format('public.%I', name)) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) %s', name, parent, storage);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    EXECUTE format('WITH moved AS (DELETE FROM %1$I WHERE %2$I >= $1 AND %2$I < $2 RETURNING *) '
                   'INSERT INTO %3$I SELECT * FROM moved', parent || '_default', key, name)
        USING lower_id, upper_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, lower_id, upper_id);
    RETURN moved;
END
$$;

REVOKE ALL ON FUNCTION make_partition(text, text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partition(text, text, bigint, bigint) TO smscd;

-- The partitions there are: DEFAULT has null bounds.
CREATE VIEW record_partitions AS
    SELECT p.relname::text AS parent, c.relname::text AS name,
           (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''?(-?\d+)''?\)'))[1]::bigint AS lower_id,
           (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(-?\d+)''?\)'))[1]::bigint AS upper_id,
           c.reltuples::bigint AS rows_estimate, pg_total_relation_size(c.oid) AS size_bytes
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
      JOIN pg_class p ON p.oid = i.inhparent
     WHERE p.relname IN ('messages', 'segments', 'message_events', 'ledger_entries')
       AND p.relnamespace = 'public'::regnamespace AND p.relkind = 'p';
GRANT SELECT ON record_partitions TO smscd;
-- Rows here mean that a partition was missing: they are counted for an alert.
GRANT SELECT ON messages_default, segments_default, message_events_default, ledger_entries_default TO smscd;
