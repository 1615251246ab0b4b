-- What operators have paused or drained: an upstream, an account, or a route, which is a prefix and its account.
CREATE TABLE halts (
    kind text NOT NULL CHECK (kind IN ('upstream', 'route', 'account')),
    name text NOT NULL,
    account text NOT NULL DEFAULT '' CHECK (account = '' OR kind = 'route'),
    state text NOT NULL CHECK (state IN ('paused', 'drained') AND (state = 'paused' OR kind <> 'account')),
    since timestamptz NOT NULL DEFAULT now(),
    operator text NOT NULL,
    PRIMARY KEY (kind, name, account)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON halts TO smscd;

-- Messages from phones by keyword, the first word of their text in small letters, and by the beginning of the number.
ALTER TABLE mo_numbers
    ADD COLUMN keyword text NOT NULL DEFAULT '' CHECK (keyword ~ '^\S{0,40}$'),
    ADD COLUMN is_prefix boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT mo_numbers_pkey,
    ADD PRIMARY KEY (number, is_prefix, keyword);
