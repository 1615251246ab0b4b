-- A number that 64 bits do not hold has no place in JSON. What is longer are octets, in hexadecimal digits.
UPDATE upstreams SET vendor_tlvs = (
       SELECT jsonb_agg(CASE WHEN row ->> 'type' = 'integer' AND (row ->> 'max')::integer > 8
                             THEN row || '{"type": "octets"}' ELSE row END ORDER BY place)
         FROM jsonb_array_elements(vendor_tlvs) WITH ORDINALITY AS rows (row, place))
 WHERE jsonb_path_exists(vendor_tlvs, '$[*] ? (@.type == "integer" && @.max > 8)');

-- True for the rows that an upstream's profile may name TLVs by: tag, name, type, octets, and whether it is required. An
-- integer has 64 bits at most, as in JSON.
CREATE OR REPLACE FUNCTION vendor_tlvs_are_valid(tlvs jsonb) RETURNS boolean
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
                   AND (row ->> 'max')::integer
                       BETWEEN (row ->> 'min')::integer AND CASE row ->> 'type' WHEN 'integer' THEN 8 ELSE 65535 END
                   AND jsonb_typeof(coalesce(row -> 'required', 'false')) = 'boolean', false)), true)
          FROM jsonb_array_elements(tlvs) AS rows (row)) END;
