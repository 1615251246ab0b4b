-- Operators and what they do: corrections, references that name one order in the whole installation, tokens for the
-- admin API, the log of changes; and the warning of a low balance.

ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_kind_check;
ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_kind_check
    CHECK (kind IN ('charge', 'refund', 'topup', 'adjust', 'correction'));
ALTER TABLE ledger_entries ADD COLUMN corrects text;

-- Redis has refused a reference of another account all along; should two be here nonetheless, the first one stands.
DELETE FROM ledger_references r USING ledger_references earlier
 WHERE r.reference = earlier.reference AND r.entry > earlier.entry;
ALTER TABLE ledger_references DROP CONSTRAINT ledger_references_pkey;
ALTER TABLE ledger_references ADD PRIMARY KEY (reference);

CREATE TABLE operators (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    role text NOT NULL CHECK (role IN ('admin', 'read')),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
GRANT SELECT, INSERT, UPDATE (revoked_at) ON operators TO smscd;

-- Append-only: who did what to whom, and what it was before.
CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    operator text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    old jsonb,
    new jsonb
);
GRANT SELECT, INSERT ON audit_log TO smscd;

ALTER TABLE accounts ADD COLUMN low_balance_micros bigint;

-- Once for each ledger entry that takes a balance below its account's low_balance_micros, written in the entry's
-- transaction; id is the entry's. is_queued: its webhook is in Redis, or the account has no URL.
CREATE TABLE account_warnings (
    id bigint PRIMARY KEY,
    account text NOT NULL,
    currency text NOT NULL,
    balance_micros bigint NOT NULL,
    low_balance_micros bigint NOT NULL,
    at timestamptz NOT NULL,
    is_queued boolean NOT NULL,
    callback_state smallint NOT NULL,
    callback_at timestamptz,
    callback_attempts smallint NOT NULL DEFAULT 0
);
CREATE INDEX account_warnings_unqueued ON account_warnings (id) WHERE NOT is_queued;
GRANT SELECT, INSERT, UPDATE (is_queued, callback_state, callback_at, callback_attempts) ON account_warnings TO smscd;
