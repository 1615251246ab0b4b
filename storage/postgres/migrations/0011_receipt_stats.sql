-- True for what an upstream's profile may say of the words in its receipts: each, of no case, as one of the
-- specification's, which themselves mean what they mean.
CREATE FUNCTION receipt_stats_are_valid(stats jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(stats) IS DISTINCT FROM 'object' THEN false ELSE (
        SELECT count(*) <= 100 AND count(DISTINCT upper(word)) = count(*)
               AND coalesce(bool_and(
                   word ~ '^[!-~]([ -~]{0,30}[!-~])?$'
                   AND upper(word) <> ALL ('{DELIVRD,UNDELIV,EXPIRED,REJECTD,DELETED,ACCEPTD,ENROUTE,UNKNOWN}')
                   AND coalesce(meaning IN ('DELIVRD', 'UNDELIV', 'EXPIRED', 'REJECTD', 'DELETED', 'ACCEPTD', 'ENROUTE',
                                            'UNKNOWN'), false)), true)
          FROM jsonb_each_text(stats) AS rows (word, meaning)) END;

ALTER TABLE upstreams
    ADD COLUMN receipt_stats jsonb NOT NULL DEFAULT '{}' CHECK (receipt_stats_are_valid(receipt_stats));

-- What needs TLVs needs a bind of 3.4: one of before sent empty messages. An upstream that answers with an older version
-- is held and says why.
UPDATE upstreams SET interface_version = 52
 WHERE interface_version < 52 AND (long_message IN ('sar', 'payload') OR vendor_tlvs @> '[{"required": true}]');
ALTER TABLE upstreams ADD CHECK (
    interface_version >= 52
        OR (long_message NOT IN ('sar', 'payload') AND NOT vendor_tlvs @> '[{"required": true}]'));
