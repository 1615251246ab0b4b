-- The priority_flag of the ESME goes on to the upstream, or what the upstream's profile has in its place (quirk 43).
ALTER TABLE upstreams
    ADD COLUMN priority_flag smallint NOT NULL DEFAULT -1 CHECK (priority_flag BETWEEN -1 AND 3);

-- null for 0, which nearly every message has.
ALTER TABLE messages ADD COLUMN priority_flag smallint;
