-- Parts of a message from a phone wait for each other (quirk 33): how long is the upstream's, and whether ESMEs get the
-- parts or the whole is the account's. A part's row names the whole in messages.group_id.
ALTER TABLE accounts
    ADD COLUMN mo_delivery text NOT NULL DEFAULT 'parts' CHECK (mo_delivery IN ('parts', 'whole'));

ALTER TABLE upstreams
    ADD COLUMN mo_join_seconds integer NOT NULL DEFAULT 600 CHECK (mo_join_seconds BETWEEN 0 AND 86400);
