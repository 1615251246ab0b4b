-- An event for messages that went to another upstream before anybody sent them.
CREATE OR REPLACE FUNCTION event_name(kind smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE kind
        WHEN 1 THEN 'accepted' WHEN 2 THEN 'failed' WHEN 3 THEN 'retried' WHEN 4 THEN 'expired' WHEN 5 THEN 'in doubt'
        WHEN 6 THEN 'doubt unresolved' WHEN 7 THEN 'canceled' WHEN 8 THEN 'admitted though refused' WHEN 9 THEN 'replaced'
        WHEN 10 THEN 'receipt' WHEN 11 THEN 'receipt repeated' WHEN 12 THEN 'moved' WHEN 20 THEN 'callback delivered'
        WHEN 21 THEN 'callback dead' END;
