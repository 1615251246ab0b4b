-- The configuration that changes while the daemon runs; the columns are those of smscd/core/directory.py.

CREATE TABLE price_plans (
    id text PRIMARY KEY,
    currency text NOT NULL DEFAULT 'EUR'
);
INSERT INTO price_plans (id) VALUES ('default');

CREATE TABLE accounts (
    id text PRIMARY KEY CHECK (id <> ''),
    currency text NOT NULL DEFAULT 'EUR',
    plan text NOT NULL DEFAULT 'default' REFERENCES price_plans (id),
    is_suspended boolean NOT NULL DEFAULT false,
    credit_limit_micros bigint NOT NULL DEFAULT 0,
    rate_per_second double precision NOT NULL DEFAULT 100,
    burst integer NOT NULL DEFAULT 200,
    segments_max integer NOT NULL DEFAULT 10,
    tariff smallint NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 1,
    any_sender boolean NOT NULL DEFAULT false,
    senders text[] NOT NULL DEFAULT '{}',
    webhook_url text,
    webhook_secret text NOT NULL DEFAULT '',
    binds_max integer NOT NULL DEFAULT 4,
    window_size integer NOT NULL DEFAULT 100,
    allows_private_callbacks boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    key_hash bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    account text NOT NULL REFERENCES accounts (id),
    prefix text NOT NULL DEFAULT '',
    is_revoked boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_account ON api_keys (account);

CREATE TABLE smpp_credentials (
    system_id text PRIMARY KEY,
    account text NOT NULL REFERENCES accounts (id),
    password_hmac bytea NOT NULL
);
CREATE INDEX smpp_credentials_account ON smpp_credentials (account);

CREATE TABLE upstreams (
    id text PRIMARY KEY CHECK (id <> ''),
    host text NOT NULL,
    port integer NOT NULL,
    system_id text NOT NULL,
    password text NOT NULL,
    system_type text NOT NULL DEFAULT '',
    bind_mode text NOT NULL DEFAULT 'transceiver',
    binds integer NOT NULL DEFAULT 1,
    window_size integer NOT NULL DEFAULT 100,
    rate_per_second double precision NOT NULL DEFAULT 0,
    is_enabled boolean NOT NULL DEFAULT true,
    interface_version smallint NOT NULL DEFAULT 52,
    response_timeout_seconds double precision NOT NULL DEFAULT 30,
    enquire_link_seconds double precision NOT NULL DEFAULT 30,
    registered_delivery smallint NOT NULL DEFAULT 1,
    receipt_id text NOT NULL DEFAULT 'same',
    in_doubt text NOT NULL DEFAULT 'resend',
    queue_messages_max integer NOT NULL DEFAULT 5000000,
    temporary_statuses bigint[] NOT NULL DEFAULT '{}',
    permanent_statuses bigint[] NOT NULL DEFAULT '{}'
);

-- account '' is a route for all.
CREATE TABLE routes (
    account text NOT NULL DEFAULT '',
    prefix text NOT NULL,
    upstreams text[] NOT NULL CHECK (cardinality(upstreams) > 0),
    PRIMARY KEY (account, prefix)
);

CREATE TABLE prices (
    plan text NOT NULL REFERENCES price_plans (id),
    prefix text NOT NULL,
    price_micros bigint NOT NULL CHECK (price_micros >= 0),
    PRIMARY KEY (plan, prefix)
);

CREATE TABLE mo_numbers (
    number text PRIMARY KEY,
    account text NOT NULL REFERENCES accounts (id),
    via text NOT NULL DEFAULT 'smpp' CHECK (via IN ('smpp', 'webhook'))
);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON price_plans, accounts, api_keys, smpp_credentials, upstreams, routes, prices, mo_numbers TO smscd;
