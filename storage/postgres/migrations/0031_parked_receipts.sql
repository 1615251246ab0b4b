-- Receipts that wait for their message and were looked up in vain once: for a recovery of Redis, which alone has them
-- otherwise. Some have matched since, or are orphans. receipt: msgpack of records.ParkedReceipt.
CREATE TABLE parked_receipts (
    mark bytea PRIMARY KEY,
    came_at timestamptz NOT NULL,
    upstream text NOT NULL,
    receipt bytea NOT NULL
);
CREATE INDEX parked_receipts_came ON parked_receipts (came_at);

GRANT SELECT, INSERT, DELETE ON parked_receipts TO smscd;
