-- From which priority_flag on an account's messages go before all others; 0: none do.
ALTER TABLE accounts ADD COLUMN urgent_from smallint NOT NULL DEFAULT 0 CHECK (urgent_from BETWEEN 0 AND 3);
