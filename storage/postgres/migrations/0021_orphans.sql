-- What becomes of a message in doubt by its route: records.InDoubt; null for 0, as its upstream says.
ALTER TABLE messages ADD COLUMN in_doubt smallint;

-- Receipts whose message nobody found: open until they are matched. mark tells one that is told twice. reason: unknown,
-- ambiguous (several messages have its id) or unreadable (it has none). receipt: msgpack of records.ParkedReceipt.
CREATE TABLE orphans (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mark bytea NOT NULL UNIQUE,
    came_at timestamptz NOT NULL,
    upstream text NOT NULL,
    upstream_message_id text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('unknown', 'ambiguous', 'unreadable')),
    stat text NOT NULL,
    err text NOT NULL,
    source text NOT NULL,
    dest text NOT NULL,
    receipt bytea NOT NULL,
    message_id bigint,
    segment smallint,
    matched_at timestamptz
);
CREATE INDEX orphans_open ON orphans (upstream, id) WHERE matched_at IS NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON orphans TO smscd;
