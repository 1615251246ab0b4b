-- Keys of several kinds: with scopes, for a time, with a name for people. Those that are there may go on doing what they
-- did; none of them gets more. A release before this one makes keys that send and read.
ALTER TABLE api_keys
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{send,read}'
        CHECK (scopes <@ '{send,read,admin}' AND cardinality(scopes) > 0),
    ADD COLUMN label text NOT NULL DEFAULT '' CHECK (length(label) <= 100),
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_used_at timestamptz;

-- Where an account's requests over HTTP may come from; allowed_networks are those of its ESMEs.
ALTER TABLE accounts
    ADD COLUMN http_networks text[] NOT NULL DEFAULT '{}' CHECK (http_networks::cidr[] IS NOT NULL);
