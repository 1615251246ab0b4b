-- Events for accounts that ask for them (GET /v1/events). Of others nothing is kept.

CREATE SEQUENCE account_event_position;

-- Who asks. floor: what is at or below it is not kept, or never was.
CREATE TABLE account_event_readers (
    account text PRIMARY KEY,
    floor bigint NOT NULL DEFAULT nextval('account_event_position'),
    asked_at timestamptz NOT NULL DEFAULT now()
);

-- Append-only, in the order of the writer's commits: of one account, a higher position is never committed before a
-- lower one, because one writer at a time has its shard. kind: records.CallbackKind, and id whose: a message's or a
-- ledger entry's. state, stat, err, told_ms: what a callback would say.
CREATE TABLE account_events (
    account text NOT NULL,
    position bigint NOT NULL DEFAULT nextval('account_event_position'),
    kind smallint NOT NULL,
    id bigint NOT NULL,
    state smallint NOT NULL,
    told_ms bigint NOT NULL,
    stat text NOT NULL,
    err text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, position)
);
CREATE INDEX account_events_at ON account_events USING brin (at);

GRANT USAGE, SELECT ON SEQUENCE account_event_position TO smscd;
GRANT SELECT, INSERT, UPDATE, DELETE ON account_event_readers TO smscd;
GRANT SELECT, INSERT, DELETE ON account_events TO smscd;
