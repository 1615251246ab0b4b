-- How an upstream is bound to and understood, and outbind in either direction; the columns are those of
-- smscd/core/directory.py.

ALTER TABLE accounts
    ADD COLUMN outbind_host text NOT NULL DEFAULT '',
    ADD COLUMN outbind_port integer NOT NULL DEFAULT 0,
    ADD COLUMN outbind_system_id text NOT NULL DEFAULT '',
    ADD COLUMN outbind_password text NOT NULL DEFAULT '';

ALTER TABLE upstreams
    ADD COLUMN receiver_binds integer NOT NULL DEFAULT 0,
    ADD COLUMN receipt_segments text NOT NULL DEFAULT 'all' CHECK (receipt_segments IN ('all', 'any', 'last')),
    ADD COLUMN mo_repeat_seconds integer NOT NULL DEFAULT 30 CHECK (mo_repeat_seconds >= 0),
    ADD COLUMN outbind_port integer NOT NULL DEFAULT 0,
    ADD COLUMN outbind_system_id text NOT NULL DEFAULT '',
    ADD COLUMN outbind_password text NOT NULL DEFAULT '';
