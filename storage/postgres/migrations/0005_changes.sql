-- group_id: of a submit_multi, the id that the customer was given for all its messages (the id of the first).
ALTER TABLE messages ADD COLUMN group_id bigint;

-- An event for messages of which the customer exchanged what is to be sent.
CREATE OR REPLACE FUNCTION event_name(kind smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE kind
        WHEN 1 THEN 'accepted' WHEN 2 THEN 'failed' WHEN 3 THEN 'retried' WHEN 4 THEN 'expired' WHEN 5 THEN 'in doubt'
        WHEN 6 THEN 'doubt unresolved' WHEN 7 THEN 'canceled' WHEN 8 THEN 'admitted though refused' WHEN 9 THEN 'replaced'
        WHEN 10 THEN 'receipt' WHEN 11 THEN 'receipt repeated' WHEN 20 THEN 'callback delivered'
        WHEN 21 THEN 'callback dead' END;
