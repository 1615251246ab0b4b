-- Top-ups and corrections among an account's many charges, and the totals of days that are over. While the index is
-- made the writer waits; admission does not.
CREATE INDEX ledger_entries_orders ON ledger_entries (account, seq) WHERE kind NOT IN ('charge', 'refund');

CREATE TABLE daily_totals (
    day date NOT NULL,
    account text NOT NULL,
    country text NOT NULL,
    upstream text NOT NULL,
    currency text NOT NULL,
    messages bigint NOT NULL,
    segments bigint NOT NULL,
    charged_micros bigint NOT NULL,
    refunded_micros bigint NOT NULL,
    cost_micros bigint NOT NULL,
    messages_without_cost bigint NOT NULL,
    PRIMARY KEY (day, account, country, upstream)
);

CREATE TABLE daily_totals_days (
    day date PRIMARY KEY,
    computed_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON daily_totals, daily_totals_days TO smscd;
