-- Where customers have their events sent. secret signs; so does each of old_secrets until its moment in old_until_ms
-- (since the epoch). revision rises with every change. disabled_reason: gone (it answered 410) or requested.
CREATE TABLE webhook_endpoints (
    id bigint PRIMARY KEY,
    account text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    url text NOT NULL CHECK (url <> ''),
    events text[] NOT NULL CHECK (events <> '{}'),
    description text,
    is_enabled boolean NOT NULL DEFAULT true,
    disabled_reason text CHECK (disabled_reason IN ('gone', 'requested')),
    secret text NOT NULL CHECK (secret <> ''),
    old_secrets text[] NOT NULL DEFAULT '{}',
    old_until_ms bigint[] NOT NULL DEFAULT '{}' CHECK (cardinality(old_until_ms) = cardinality(old_secrets)),
    revision integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK (is_enabled = (disabled_reason IS NULL))
);
CREATE INDEX webhook_endpoints_account ON webhook_endpoints (account, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints TO smscd;

-- What becomes of an event at an endpoint, one row for both, written from the journal; kept for a month. status: 1
-- pending, 2 delivered, 3 a dead letter. code: how the receiver answered last, 0 for no answer. is_owed: it is one of
-- the message's callbacks_open. record: msgpack of records.CallbackRecord, for a replay and for what rebuilds Redis.
CREATE TABLE webhook_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint bigint NOT NULL,
    event text NOT NULL,
    event_type text NOT NULL,
    account text NOT NULL,
    message_id bigint NOT NULL,
    status smallint NOT NULL,
    attempts smallint NOT NULL,
    code smallint NOT NULL,
    detail text NOT NULL,
    created_at timestamptz NOT NULL,
    at timestamptz NOT NULL,
    next_at timestamptz,
    is_owed boolean,
    record bytea NOT NULL,
    UNIQUE (endpoint, event)
);
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO smscd;
