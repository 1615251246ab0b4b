-- Messages that wait here alone and not in Redis: the tails of long queues, and what waits for its time. A row goes when
-- its message is in Redis again. record: as the queue has it, msgpack. due_ms: since the epoch, 0 for a tail. is_taken: it
-- may be in Redis already.
CREATE TABLE overflow (
    message_id bigint PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    due_ms bigint NOT NULL,
    priority smallint NOT NULL,
    is_taken boolean NOT NULL DEFAULT false,
    upstream text NOT NULL,
    account text NOT NULL,
    record bytea NOT NULL
);
CREATE INDEX overflow_place ON overflow (upstream, priority, account, due_ms, position);
GRANT SELECT, INSERT, UPDATE (is_taken), DELETE ON overflow TO smscd;

-- When a scheduled message is to be sent.
ALTER TABLE messages ADD COLUMN send_at timestamptz;
