-- How the peers write text, long messages, times, ids and TLVs; the defaults keep what was done before.
ALTER TABLE accounts
    ADD COLUMN default_alphabet text NOT NULL DEFAULT 'unknown'
        CHECK (default_alphabet IN ('unknown', 'gsm', 'gsm_packed', 'latin1', 'ascii')),
    ADD COLUMN languages smallint[] NOT NULL DEFAULT '{}' CHECK (languages <@ '{1,2,3,4,5,6,7,8,9,10,11,12,13}'),
    ADD COLUMN is_little_endian boolean NOT NULL DEFAULT false;

-- True for the rows that an upstream's profile may name TLVs by: tag, name, type, octets, and whether it is required.
CREATE FUNCTION vendor_tlvs_are_valid(tlvs jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(tlvs) IS DISTINCT FROM 'array' THEN false ELSE (
        SELECT count(*) <= 100 AND count(DISTINCT row ->> 'tag') = count(*) AND count(DISTINCT row ->> 'name') = count(*)
               AND coalesce(bool_and(coalesce(
                   row - '{tag,name,type,min,max,required}'::text[] = '{}'
                   AND (row ->> 'tag')::integer BETWEEN 1 AND 65535
                   AND (row ->> 'tag')::integer NOT IN (524, 526, 527, 1060)
                   AND row ->> 'name' ~ '^[A-Za-z][A-Za-z0-9_.-]{0,39}$'
                   AND row ->> 'type' IN ('integer', 'c_octets', 'octets')
                   AND (row ->> 'min')::integer >= CASE row ->> 'type' WHEN 'octets' THEN 0 ELSE 1 END
                   AND (row ->> 'max')::integer BETWEEN (row ->> 'min')::integer AND 65535
                   AND jsonb_typeof(coalesce(row -> 'required', 'false')) = 'boolean', false)), true)
          FROM jsonb_array_elements(tlvs) AS rows (row)) END;

ALTER TABLE upstreams
    ADD COLUMN default_alphabet text NOT NULL DEFAULT 'unknown'
        CHECK (default_alphabet IN ('unknown', 'gsm', 'gsm_packed', 'latin1', 'ascii')),
    ADD COLUMN is_little_endian boolean NOT NULL DEFAULT false,
    ADD COLUMN is_zero_padded boolean NOT NULL DEFAULT false,
    ADD COLUMN long_message text NOT NULL DEFAULT 'as_is'
        CHECK (long_message IN ('as_is', 'udh8', 'udh16', 'sar', 'payload')),
    ADD COLUMN esm_mode smallint NOT NULL DEFAULT -1 CHECK (esm_mode BETWEEN -1 AND 3),
    ADD COLUMN validity_form text NOT NULL DEFAULT 'relative'
        CHECK (validity_form IN ('relative', 'absolute', 'none')),
    ADD COLUMN validity_offset_quarters smallint NOT NULL DEFAULT 0
        CHECK (validity_offset_quarters BETWEEN -48 AND 48),
    ADD COLUMN source_ton smallint NOT NULL DEFAULT -1 CHECK (source_ton BETWEEN -1 AND 255),
    ADD COLUMN source_npi smallint NOT NULL DEFAULT -1 CHECK (source_npi BETWEEN -1 AND 255),
    ADD COLUMN dest_ton smallint NOT NULL DEFAULT -1 CHECK (dest_ton BETWEEN -1 AND 255),
    ADD COLUMN dest_npi smallint NOT NULL DEFAULT -1 CHECK (dest_npi BETWEEN -1 AND 255),
    ADD COLUMN service_type text NOT NULL DEFAULT '*' CHECK (service_type ~ '^[ -~]{0,5}$'),
    ADD COLUMN receipt_by_text_alone boolean NOT NULL DEFAULT false,
    ADD COLUMN strips_trailing_nul boolean NOT NULL DEFAULT false,
    ADD COLUMN vendor_tlvs jsonb NOT NULL DEFAULT '[]' CHECK (vendor_tlvs_are_valid(vendor_tlvs));

-- Any other word was read as decimal until now.
UPDATE upstreams SET receipt_id = 'decimal'
 WHERE receipt_id NOT IN ('same', 'case', 'zeros', 'decimal', 'hex');
ALTER TABLE upstreams ADD CHECK (receipt_id IN ('same', 'case', 'zeros', 'decimal', 'hex'));

-- conversion: msgpack of records.Conversion, for a message that was rewritten for its upstream.
ALTER TABLE messages ADD COLUMN conversion bytea;
