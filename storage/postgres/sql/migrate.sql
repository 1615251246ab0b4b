-- The migration runner and the check at start.

-- name: lock
SELECT pg_try_advisory_lock($1);

-- name: unlock
SELECT pg_advisory_unlock($1);

-- name: who_am_i
SELECT rolname, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user;

-- name: role_exists
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1);

-- name: set_password_statement
SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text);

-- name: set_role_statement
SELECT format('SET ROLE %I', $1::text);

-- name: owner
SELECT tableowner FROM pg_tables WHERE schemaname = 'public' AND tablename = 'schema_migrations';

-- name: may_create_in_public
SELECT has_schema_privilege($1, 'public', 'CREATE');

-- name: create_table
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: table_exists
SELECT to_regclass('public.schema_migrations') IS NOT NULL;

-- name: applied
SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version;

-- name: record
INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3);

-- name: settings
SELECT current_setting('server_version_num')::integer AS version, current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('data_sync_retry') AS data_sync_retry,
       current_setting('server_encoding') AS server_encoding, pg_is_in_recovery() AS is_replica,
       current_setting('default_transaction_read_only') AS read_only,
       (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relpersistence <> 'p') AS unlogged;

-- name: powers
WITH append_only (name) AS (
    SELECT relid FROM pg_partition_tree('public.ledger_entries')
    UNION ALL VALUES ('public.ledger_references'::regclass), ('public.audit_log'::regclass))
SELECT r.rolsuper AS is_superuser,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
                AND pg_has_role(r.oid, c.relowner, 'MEMBER')) AS owns_tables,
       EXISTS (SELECT FROM append_only
                WHERE has_table_privilege(name, 'UPDATE, DELETE, TRUNCATE')
                   OR has_any_column_privilege(name, 'UPDATE')) AS may_change_ledger
  FROM pg_roles r WHERE r.rolname = current_user;
