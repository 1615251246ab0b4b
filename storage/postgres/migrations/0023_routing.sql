-- Rules for routes, and what they ask for of accounts. Several rules may have one account and prefix: the key gets a
-- name. A release before this one still reads them; its `seed` no longer writes one.
ALTER TABLE accounts ADD COLUMN tags text[] NOT NULL DEFAULT '{}';

ALTER TABLE routes
    ADD COLUMN name text NOT NULL DEFAULT '' CHECK (name ~ '^([a-z0-9][a-z0-9_.-]{0,62})?$'),
    ADD COLUMN source text NOT NULL DEFAULT '' CHECK (source ~ '^[ -~]{0,64}$'),
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN zone text NOT NULL DEFAULT '',
    ADD COLUMN days smallint[] NOT NULL DEFAULT '{}' CHECK (days <@ '{1,2,3,4,5,6,7}'),
    ADD COLUMN from_minute smallint NOT NULL DEFAULT 0 CHECK (from_minute BETWEEN 0 AND 1439),
    ADD COLUMN until_minute smallint NOT NULL DEFAULT 0 CHECK (until_minute BETWEEN 0 AND 1439),
    ADD COLUMN choice text NOT NULL DEFAULT 'priority' CHECK (choice IN ('priority', 'weighted', 'least_cost')),
    ADD COLUMN weights integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN in_doubt text NOT NULL DEFAULT '' CHECK (in_doubt IN ('', 'resend', 'hold', 'fail')),
    ADD CHECK (account = '' OR tags = '{}'),
    ADD CHECK (cardinality(weights) = CASE choice WHEN 'weighted' THEN cardinality(upstreams) ELSE 0 END),
    DROP CONSTRAINT routes_pkey,
    ADD PRIMARY KEY (account, prefix, name);
