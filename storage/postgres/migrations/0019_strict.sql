-- Accounts whose messages are accepted when they are in PostgreSQL too.
ALTER TABLE accounts
    ADD COLUMN durability text NOT NULL DEFAULT 'normal' CHECK (durability IN ('normal', 'strict'));
