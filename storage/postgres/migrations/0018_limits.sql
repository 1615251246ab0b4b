-- Limits against fraud. Accounts that are there already keep none; NULL and 0 are no limit.
ALTER TABLE accounts
    ADD COLUMN spend_per_day_micros bigint CHECK (spend_per_day_micros >= 0),
    ADD COLUMN velocity_per_minute integer NOT NULL DEFAULT 0 CHECK (velocity_per_minute BETWEEN 0 AND 65535),
    ADD COLUMN velocity_per_day integer NOT NULL DEFAULT 0 CHECK (velocity_per_day >= 0),
    ADD COLUMN allowed_countries text[] NOT NULL DEFAULT '{}';
