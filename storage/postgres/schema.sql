-- The schema of this release in one piece, to read: what the migrations produce. An integration test makes one database
-- from this file and one from migrations/ and compares their catalogs. Change it together with a new migration.
--
-- The role smscd exists; the role that runs this owns everything.

-- Written by the migration runner; checksum is the SHA-256 of the file.
CREATE TABLE schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON schema_migrations TO smscd;

-- ============================================================ the record

-- The record: messages and what became of them, the ledger, and where the writer stands.
--
-- A 64-bit message id carries its time (id >> 22 = milliseconds since 2020-01-01T00:00Z), and everything that grows
-- is partitioned by it. smallint codes are the enums of smscd/core/records.py and storage/postgres/rows.py.

CREATE FUNCTION id_time(message_id bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_timestamp(((message_id >> 22) + 1577836800000)::numeric / 1000);

CREATE FUNCTION state_name(state smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('{scheduled,queued,sending,sent,delivered,undelivered,expired,rejected,failed,canceled,unknown}'::text[])[state + 1];

CREATE FUNCTION event_name(kind smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE kind
        WHEN 1 THEN 'accepted' WHEN 2 THEN 'failed' WHEN 3 THEN 'retried' WHEN 4 THEN 'expired' WHEN 5 THEN 'in doubt'
        WHEN 6 THEN 'doubt unresolved' WHEN 7 THEN 'canceled' WHEN 8 THEN 'admitted though refused' WHEN 9 THEN 'replaced'
        WHEN 10 THEN 'receipt' WHEN 11 THEN 'receipt repeated' WHEN 12 THEN 'moved' WHEN 20 THEN 'callback delivered'
        WHEN 21 THEN 'callback dead' END;

-- One row: which installation this database belongs to, and what was fixed when it was made.
CREATE TABLE installation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    shards integer NOT NULL CHECK (shards BETWEEN 1 AND 1024),
    granularity text NOT NULL CHECK (granularity IN ('year', 'month', 'day')),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- How far the journal of each shard is recorded. Moved in the transaction of the rows, and only from the old value:
-- that is the fence against a second writer. ledger_id is the last ledger entry that this shard's writer wrote.
CREATE TABLE journal_offsets (
    shard integer PRIMARY KEY,
    last_id text NOT NULL DEFAULT '0-0',
    ledger_id bigint NOT NULL DEFAULT 0,
    committed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- What PostgreSQL refused to store, as the journal had it. What it charged is in the ledger all the same. closed_at: an
-- operator has seen to it.
CREATE TABLE journal_dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard integer NOT NULL,
    journal_from text NOT NULL,
    journal_to text NOT NULL,
    kind text NOT NULL,
    message_id bigint,
    account text,
    price_micros bigint NOT NULL DEFAULT 0,
    refunded_micros bigint NOT NULL DEFAULT 0,
    charge_entry bigint,
    record bytea NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    closed_by text
);
CREATE INDEX journal_dead_letters_message ON journal_dead_letters (message_id);

-- One row a message: what was admitted or came in (direction 1 outbound, 2 inbound), and its state now.
-- body is the short_message of all segments, UDH included; segment_sizes cuts it, and is null for one segment.
-- attempts: the highest attempt so far, from 0. error_code: command_status (0x...) or a receipt's err; it explains the
-- state. callbacks_open: callbacks due and not ended. group_id: of a submit_multi, the id that the customer was given
-- for all its messages (the id of the first); of a part of a message from a phone, the id of the whole, whose row comes
-- when the parts are joined. conversion: msgpack of records.Conversion, for a message that was rewritten for its
-- upstream. priority_flag: of the ESME, null for 0. cost_micros: what its upstream asks, as it was known at admission;
-- null when it was not. stored_answer: what Redis has under request_key; null without a key, and in all messages of a
-- submit_multi but the first. in_doubt: records.InDoubt, null for 0. The columns that change are in no index, so that
-- updates stay in their page (HOT).
CREATE TABLE messages (
    id bigint NOT NULL,
    price_micros bigint NOT NULL,
    refunded_micros bigint NOT NULL,
    charge_entry bigint,
    refund_entry bigint,
    valid_until timestamptz,
    done_at timestamptz,
    callback_at timestamptz,
    direction smallint NOT NULL,
    door smallint NOT NULL,
    state smallint NOT NULL,
    priority smallint NOT NULL,
    via smallint NOT NULL,
    tariff smallint NOT NULL,
    segments smallint NOT NULL,
    source_ton smallint NOT NULL,
    source_npi smallint NOT NULL,
    dest_ton smallint NOT NULL,
    dest_npi smallint NOT NULL,
    esm_class smallint NOT NULL,
    protocol_id smallint NOT NULL,
    data_coding smallint NOT NULL,
    registered_delivery smallint NOT NULL,
    attempts smallint NOT NULL,
    callbacks_open smallint NOT NULL,
    callback_state smallint NOT NULL,
    callback_attempts smallint NOT NULL,
    maybe_duplicate boolean NOT NULL,
    account text NOT NULL,
    upstream text NOT NULL,
    source text NOT NULL,
    dest text NOT NULL,
    body bytea NOT NULL,
    segment_sizes integer[],
    error_code text,
    service_type text,
    tlvs bytea,
    client_ref text,
    request_key text,
    callback_url text,
    metadata json,
    group_id bigint,
    conversion bytea,
    priority_flag smallint,
    cost_micros bigint,
    stored_answer bytea,
    send_at timestamptz,
    in_doubt smallint,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX messages_account ON messages (account, id);
CREATE TABLE messages_default PARTITION OF messages DEFAULT;

-- One row for each submit_sm that an upstream accepted. The cold half of receipt correlation.
CREATE TABLE segments (
    message_id bigint NOT NULL,
    sent_at timestamptz NOT NULL,
    segment smallint NOT NULL,
    attempt smallint NOT NULL,
    upstream text NOT NULL,
    upstream_message_id text NOT NULL
) PARTITION BY RANGE (message_id);
CREATE INDEX segments_message ON segments (message_id);
CREATE INDEX segments_upstream_message_id ON segments (upstream_message_id);
CREATE TABLE segments_default PARTITION OF segments DEFAULT;

-- Append-only: what messages and segments do not already say. raw is what the upstream sent.
CREATE TABLE message_events (
    message_id bigint NOT NULL,
    at timestamptz NOT NULL,
    kind smallint NOT NULL,
    segment smallint NOT NULL,
    attempt smallint NOT NULL,
    state smallint NOT NULL,
    command_status bigint,
    upstream text,
    stat text,
    err text,
    detail text,
    raw bytea
) PARTITION BY RANGE (message_id);
CREATE INDEX message_events_message ON message_events (message_id);
CREATE TABLE message_events_default PARTITION OF message_events DEFAULT;

-- Append-only and hash-chained per account (storage/postgres/ledger.py defines the hash). Charges and refunds: one
-- row for each account and batch of the writer, with the journal range that it covers; messages.charge_entry and
-- messages.refund_entry point here, so each sum can be made again from its parts. corrects: of a correction, the
-- reference of the entry that it corrects.
CREATE TABLE ledger_entries (
    id bigint NOT NULL,
    account text NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('charge', 'refund', 'topup', 'adjust', 'correction')),
    amount_micros bigint NOT NULL,
    balance_micros bigint NOT NULL,
    messages integer NOT NULL,
    journal_from text NOT NULL,
    journal_to text NOT NULL,
    reference text,
    operator text,
    note text,
    at timestamptz NOT NULL,
    prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    corrects text,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX ledger_entries_account ON ledger_entries (account, seq);
CREATE INDEX ledger_entries_orders ON ledger_entries (account, seq) WHERE kind NOT IN ('charge', 'refund');
CREATE TABLE ledger_entries_default PARTITION OF ledger_entries DEFAULT;

-- An operator's reference happens once: unique over all partitions of the ledger and all accounts.
CREATE TABLE ledger_references (
    account text NOT NULL,
    reference text NOT NULL,
    entry bigint NOT NULL,
    PRIMARY KEY (reference)
);

-- What the messages of a day that is over came to, made again from `messages` while anything of it may still change; a
-- day is one of UTC by the id of the message, and so is what was refunded or asked for it later. country: ISO 3166, ''
-- when unknown. cost_micros: of what the upstream accepted; messages_without_cost: accepted, and the cost not known.
CREATE TABLE daily_totals (
    day date NOT NULL,
    account text NOT NULL,
    country text NOT NULL,
    upstream text NOT NULL,
    currency text NOT NULL,
    messages bigint NOT NULL,
    segments bigint NOT NULL,
    charged_micros bigint NOT NULL,
    refunded_micros bigint NOT NULL,
    cost_micros bigint NOT NULL,
    messages_without_cost bigint NOT NULL,
    PRIMARY KEY (day, account, country, upstream)
);

-- The days that are in daily_totals, those without a message as well, and when each was made.
CREATE TABLE daily_totals_days (
    day date PRIMARY KEY,
    computed_at timestamptz NOT NULL
);
-- Once for each ledger entry that takes a balance below its account's low_balance_micros, written in the entry's
-- transaction; id is the entry's. is_queued: its webhook is in Redis, or the account has no URL.
CREATE TABLE account_warnings (
    id bigint PRIMARY KEY,
    account text NOT NULL,
    currency text NOT NULL,
    balance_micros bigint NOT NULL,
    low_balance_micros bigint NOT NULL,
    at timestamptz NOT NULL,
    is_queued boolean NOT NULL,
    callback_state smallint NOT NULL,
    callback_at timestamptz,
    callback_attempts smallint NOT NULL DEFAULT 0
);
CREATE INDEX account_warnings_unqueued ON account_warnings (id) WHERE NOT is_queued;

-- Messages that wait here alone and not in Redis: the tails of long queues, and what waits for its time. A row goes when
-- its message is in Redis again. record: as the queue has it, msgpack. due_ms: since the epoch, 0 for a tail. is_taken: it
-- may be in Redis already.
CREATE TABLE overflow (
    message_id bigint PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    due_ms bigint NOT NULL,
    priority smallint NOT NULL,
    is_taken boolean NOT NULL DEFAULT false,
    upstream text NOT NULL,
    account text NOT NULL,
    record bytea NOT NULL
);
CREATE INDEX overflow_place ON overflow (upstream, priority, account, due_ms, position);

-- What a support desk reads of one message, from everything that is stored about it. Ask by message_id.
CREATE VIEW message_timeline AS
    SELECT id AS message_id, id_time(id) AS at, CASE direction WHEN 2 THEN 'received' ELSE 'admitted' END AS what,
           NULL::smallint AS segment, NULL::smallint AS attempt, upstream, NULL::text AS detail
      FROM messages
    UNION ALL
    SELECT message_id, sent_at, 'sent', segment, attempt, upstream, upstream_message_id
      FROM segments
    UNION ALL
    SELECT message_id, at, event_name(kind), segment, attempt, upstream,
           concat_ws(' ', '0x' || lpad(to_hex(command_status), 8, '0'), stat, err, detail, encode(raw, 'escape'))
      FROM message_events
    UNION ALL
    SELECT id, done_at, 'callback due', NULL, NULL, NULL, state_name(state)
      FROM messages WHERE callback_state > 0 AND done_at IS NOT NULL
    UNION ALL
    SELECT id, callback_at, CASE callback_state WHEN 3 THEN 'callback dead' ELSE 'callback delivered' END,
           NULL, callback_attempts, NULL, NULL
      FROM messages WHERE callback_at IS NOT NULL;

GRANT SELECT, INSERT ON installation, journal_dead_letters, segments, message_events, ledger_entries, ledger_references
    TO smscd;
GRANT UPDATE (closed_at, closed_by) ON journal_dead_letters TO smscd;
GRANT SELECT, INSERT, UPDATE ON messages, journal_offsets TO smscd;
GRANT SELECT, INSERT, UPDATE, DELETE ON daily_totals, daily_totals_days TO smscd;
GRANT SELECT, INSERT, UPDATE (is_queued, callback_state, callback_at, callback_attempts) ON account_warnings TO smscd;
GRANT SELECT, INSERT, UPDATE (is_taken), DELETE ON overflow TO smscd;
GRANT SELECT ON message_timeline TO smscd;

-- ============================================================ configuration

-- The configuration that changes while the daemon runs; the columns are those of smscd/core/directory.py.

CREATE TABLE price_plans (
    id text PRIMARY KEY,
    currency text NOT NULL DEFAULT 'EUR'
);
INSERT INTO price_plans (id) VALUES ('default');

CREATE TABLE accounts (
    id text PRIMARY KEY CHECK (id <> ''),
    currency text NOT NULL DEFAULT 'EUR',
    plan text NOT NULL DEFAULT 'default' REFERENCES price_plans (id),
    is_suspended boolean NOT NULL DEFAULT false,
    credit_limit_micros bigint NOT NULL DEFAULT 0,
    rate_per_second double precision NOT NULL DEFAULT 100,
    burst integer NOT NULL DEFAULT 200,
    segments_max integer NOT NULL DEFAULT 10,
    tariff smallint NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 1,
    any_sender boolean NOT NULL DEFAULT false,
    senders text[] NOT NULL DEFAULT '{}',
    webhook_url text,
    webhook_secret text NOT NULL DEFAULT '',
    binds_max integer NOT NULL DEFAULT 4,
    window_size integer NOT NULL DEFAULT 100,
    allows_private_callbacks boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    allowed_networks text[] NOT NULL DEFAULT '{}' CHECK (allowed_networks::cidr[] IS NOT NULL),
    binds_tx_max integer CHECK (binds_tx_max >= 0),
    binds_rx_max integer CHECK (binds_rx_max >= 0),
    binds_trx_max integer CHECK (binds_trx_max >= 0),
    outbind_host text NOT NULL DEFAULT '',
    outbind_port integer NOT NULL DEFAULT 0,
    outbind_system_id text NOT NULL DEFAULT '',
    outbind_password text NOT NULL DEFAULT '',
    default_alphabet text NOT NULL DEFAULT 'unknown'
        CHECK (default_alphabet IN ('unknown', 'gsm', 'gsm_packed', 'latin1', 'ascii')),
    languages smallint[] NOT NULL DEFAULT '{}' CHECK (languages <@ '{1,2,3,4,5,6,7,8,9,10,11,12,13}'),
    is_little_endian boolean NOT NULL DEFAULT false,
    outbind_uses_tls boolean NOT NULL DEFAULT false,
    outbind_tls_ca_file text NOT NULL DEFAULT '',
    low_balance_micros bigint,
    mo_delivery text NOT NULL DEFAULT 'parts' CHECK (mo_delivery IN ('parts', 'whole')),
    spend_per_day_micros bigint CHECK (spend_per_day_micros >= 0),
    velocity_per_minute integer NOT NULL DEFAULT 0 CHECK (velocity_per_minute BETWEEN 0 AND 65535),
    velocity_per_day integer NOT NULL DEFAULT 0 CHECK (velocity_per_day >= 0),
    allowed_countries text[] NOT NULL DEFAULT '{}',
    durability text NOT NULL DEFAULT 'normal' CHECK (durability IN ('normal', 'strict')),
    tags text[] NOT NULL DEFAULT '{}',
    http_networks text[] NOT NULL DEFAULT '{}' CHECK (http_networks::cidr[] IS NOT NULL),
    urgent_from smallint NOT NULL DEFAULT 0 CHECK (urgent_from BETWEEN 0 AND 3)
);

CREATE TABLE api_keys (
    key_hash bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    account text NOT NULL REFERENCES accounts (id),
    prefix text NOT NULL DEFAULT '',
    is_revoked boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    scopes text[] NOT NULL DEFAULT '{send,read}'
        CHECK (scopes <@ '{send,read,admin}' AND cardinality(scopes) > 0),
    label text NOT NULL DEFAULT '' CHECK (length(label) <= 100),
    expires_at timestamptz,
    last_used_at timestamptz
);
CREATE INDEX api_keys_account ON api_keys (account);

CREATE TABLE smpp_credentials (
    system_id text PRIMARY KEY,
    account text NOT NULL REFERENCES accounts (id),
    password_hmac bytea NOT NULL,
    -- A certificate's SHA-256 in hexadecimal digits, or CN=its subject's common name; empty: none is asked for.
    client_certificate text NOT NULL DEFAULT '' CHECK (client_certificate ~ '^([0-9a-f]{64}|CN=.+)?$')
);
CREATE INDEX smpp_credentials_account ON smpp_credentials (account);

-- True for the rows that an upstream's profile may name TLVs by: tag, name, type, octets, and whether it is required. An
-- integer has 64 bits at most, as in JSON.
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
                   AND (row ->> 'max')::integer
                       BETWEEN (row ->> 'min')::integer AND CASE row ->> 'type' WHEN 'integer' THEN 8 ELSE 65535 END
                   AND jsonb_typeof(coalesce(row -> 'required', 'false')) = 'boolean', false)), true)
          FROM jsonb_array_elements(tlvs) AS rows (row)) END;

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

-- True for what an upstream's profile may say of how long a status is waited for: seconds, by the status in decimal.
CREATE FUNCTION status_delays_are_valid(delays jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(delays) IS DISTINCT FROM 'object' THEN false ELSE (
        SELECT count(*) <= 100
               AND coalesce(bool_and(CASE WHEN status ~ '^[1-9][0-9]{0,9}$' AND jsonb_typeof(seconds) = 'number'
                   THEN status::bigint <= 4294967295 AND seconds::numeric > 0 AND seconds::numeric <= 86400
                   ELSE false END), true)
          FROM jsonb_each(delays) AS rows (status, seconds)) END;

CREATE TABLE upstreams (
    id text PRIMARY KEY CHECK (id <> ''),
    host text NOT NULL,
    port integer NOT NULL,
    system_id text NOT NULL,
    password text NOT NULL,
    system_type text NOT NULL DEFAULT '',
    bind_mode text NOT NULL DEFAULT 'transceiver',
    binds integer NOT NULL DEFAULT 1,
    window_size integer NOT NULL DEFAULT 100,
    rate_per_second double precision NOT NULL DEFAULT 0,
    is_enabled boolean NOT NULL DEFAULT true,
    interface_version smallint NOT NULL DEFAULT 52,
    response_timeout_seconds double precision NOT NULL DEFAULT 30,
    enquire_link_seconds double precision NOT NULL DEFAULT 30,
    registered_delivery smallint NOT NULL DEFAULT 1,
    receipt_id text NOT NULL DEFAULT 'same'
        CHECK (receipt_id IN ('same', 'case', 'zeros', 'decimal', 'hex')),
    in_doubt text NOT NULL DEFAULT 'resend',
    queue_messages_max integer NOT NULL DEFAULT 5000000,
    temporary_statuses bigint[] NOT NULL DEFAULT '{}',
    permanent_statuses bigint[] NOT NULL DEFAULT '{}',
    uses_tls boolean NOT NULL DEFAULT false,
    tls_ca_file text NOT NULL DEFAULT '',
    tls_certificate_file text NOT NULL DEFAULT '',
    tls_key_file text NOT NULL DEFAULT '',
    tls_server_name text NOT NULL DEFAULT '',
    tls_is_verified boolean NOT NULL DEFAULT true,
    receiver_binds integer NOT NULL DEFAULT 0,
    receipt_segments text NOT NULL DEFAULT 'all' CHECK (receipt_segments IN ('all', 'any', 'last')),
    mo_repeat_seconds integer NOT NULL DEFAULT 30 CHECK (mo_repeat_seconds >= 0),
    outbind_port integer NOT NULL DEFAULT 0,
    outbind_system_id text NOT NULL DEFAULT '',
    outbind_password text NOT NULL DEFAULT '',
    default_alphabet text NOT NULL DEFAULT 'unknown'
        CHECK (default_alphabet IN ('unknown', 'gsm', 'gsm_packed', 'latin1', 'ascii')),
    is_little_endian boolean NOT NULL DEFAULT false,
    is_zero_padded boolean NOT NULL DEFAULT false,
    long_message text NOT NULL DEFAULT 'as_is' CHECK (long_message IN ('as_is', 'udh8', 'udh16', 'sar', 'payload')),
    esm_mode smallint NOT NULL DEFAULT -1 CHECK (esm_mode BETWEEN -1 AND 3),
    validity_form text NOT NULL DEFAULT 'relative' CHECK (validity_form IN ('relative', 'absolute', 'none')),
    validity_offset_quarters smallint NOT NULL DEFAULT 0 CHECK (validity_offset_quarters BETWEEN -48 AND 48),
    source_ton smallint NOT NULL DEFAULT -1 CHECK (source_ton BETWEEN -1 AND 255),
    source_npi smallint NOT NULL DEFAULT -1 CHECK (source_npi BETWEEN -1 AND 255),
    dest_ton smallint NOT NULL DEFAULT -1 CHECK (dest_ton BETWEEN -1 AND 255),
    dest_npi smallint NOT NULL DEFAULT -1 CHECK (dest_npi BETWEEN -1 AND 255),
    service_type text NOT NULL DEFAULT '*' CHECK (service_type ~ '^[ -~]{0,5}$'),
    receipt_by_text_alone boolean NOT NULL DEFAULT false,
    strips_trailing_nul boolean NOT NULL DEFAULT false,
    vendor_tlvs jsonb NOT NULL DEFAULT '[]' CHECK (vendor_tlvs_are_valid(vendor_tlvs)),
    priority_flag smallint NOT NULL DEFAULT -1 CHECK (priority_flag BETWEEN -1 AND 3),
    receipt_stats jsonb NOT NULL DEFAULT '{}' CHECK (receipt_stats_are_valid(receipt_stats)),
    mo_join_seconds integer NOT NULL DEFAULT 600 CHECK (mo_join_seconds BETWEEN 0 AND 86400),
    throttling_statuses bigint[] NOT NULL DEFAULT '{}',
    status_delays jsonb NOT NULL DEFAULT '{}' CHECK (status_delays_are_valid(status_delays)),
    retry_base_seconds double precision NOT NULL DEFAULT 2
        CHECK (retry_base_seconds > 0 AND retry_base_seconds <= 86400),
    retry_max_seconds double precision NOT NULL DEFAULT 900
        CHECK (retry_max_seconds > 0 AND retry_max_seconds <= 86400),
    breaker_failures_max integer NOT NULL DEFAULT 5 CHECK (breaker_failures_max BETWEEN 1 AND 1000000),
    breaker_error_rate double precision NOT NULL DEFAULT 0.5
        CHECK (breaker_error_rate > 0 AND breaker_error_rate <= 1),
    breaker_slow_seconds double precision NOT NULL DEFAULT 0
        CHECK (breaker_slow_seconds >= 0 AND breaker_slow_seconds <= 86400),
    breaker_open_seconds double precision NOT NULL DEFAULT 5
        CHECK (breaker_open_seconds > 0 AND breaker_open_seconds <= 86400),
    CHECK (
        interface_version >= 52
            OR (long_message NOT IN ('sar', 'payload') AND NOT vendor_tlvs @> '[{"required": true}]'))
);

-- account '' is a route for all, or for those that have the tags.
CREATE TABLE routes (
    account text NOT NULL DEFAULT '',
    prefix text NOT NULL,
    upstreams text[] NOT NULL CHECK (cardinality(upstreams) > 0),
    name text NOT NULL DEFAULT '' CHECK (name ~ '^([a-z0-9][a-z0-9_.-]{0,62})?$'),
    source text NOT NULL DEFAULT '' CHECK (source ~ '^[ -~]{0,64}$'),
    tags text[] NOT NULL DEFAULT '{}',
    zone text NOT NULL DEFAULT '',
    days smallint[] NOT NULL DEFAULT '{}' CHECK (days <@ '{1,2,3,4,5,6,7}'),
    from_minute smallint NOT NULL DEFAULT 0 CHECK (from_minute BETWEEN 0 AND 1439),
    until_minute smallint NOT NULL DEFAULT 0 CHECK (until_minute BETWEEN 0 AND 1439),
    choice text NOT NULL DEFAULT 'priority' CHECK (choice IN ('priority', 'weighted', 'least_cost')),
    weights integer[] NOT NULL DEFAULT '{}',
    in_doubt text NOT NULL DEFAULT '' CHECK (in_doubt IN ('', 'resend', 'hold', 'fail')),
    CHECK (account = '' OR tags = '{}'),
    CHECK (cardinality(weights) = CASE choice WHEN 'weighted' THEN cardinality(upstreams) ELSE 0 END),
    PRIMARY KEY (account, prefix, name)
);

-- One row: another version says that routes may have changed. It is the transaction that changed them last, which writes
-- it once, however many statements it has.
CREATE TABLE routes_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO routes_version DEFAULT VALUES;

CREATE FUNCTION routes_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE routes_version SET version = pg_current_xact_id()::text::bigint
     WHERE version <> pg_current_xact_id()::text::bigint;
    RETURN NULL;
END
$$;
CREATE TRIGGER routes_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON routes
    FOR EACH STATEMENT EXECUTE FUNCTION routes_changed();

-- Valid from valid_from up to, not including, valid_until; null is always. Those of one plan and prefix do not overlap:
-- who imports holds the row of prices_version and looks.
CREATE TABLE prices (
    plan text NOT NULL REFERENCES price_plans (id),
    prefix text NOT NULL,
    price_micros bigint NOT NULL CHECK (price_micros >= 0),
    valid_from timestamptz,
    valid_until timestamptz,
    CHECK (valid_from < valid_until AND isfinite(valid_from) AND isfinite(valid_until)),
    UNIQUE NULLS NOT DISTINCT (plan, prefix, valid_from)
);

-- What an upstream asks for one segment of an account with this currency, dated like prices.
CREATE TABLE upstream_costs (
    upstream text NOT NULL REFERENCES upstreams (id),
    currency text NOT NULL,
    prefix text NOT NULL,
    cost_micros bigint NOT NULL CHECK (cost_micros >= 0),
    valid_from timestamptz,
    valid_until timestamptz,
    CHECK (valid_from < valid_until AND isfinite(valid_from) AND isfinite(valid_until)),
    UNIQUE NULLS NOT DISTINCT (upstream, currency, prefix, valid_from)
);

-- One row: another version says that prices or costs may have changed. Whatever changes them moves it, and so waits for
-- who is changing them.
CREATE TABLE prices_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL DEFAULT 1
);
INSERT INTO prices_version DEFAULT VALUES;

CREATE FUNCTION prices_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE prices_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER prices_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON prices
    FOR EACH STATEMENT EXECUTE FUNCTION prices_changed();
CREATE TRIGGER prices_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON upstream_costs
    FOR EACH STATEMENT EXECUTE FUNCTION prices_changed();

-- keyword: the first word of the text, in small letters; empty: every text. is_prefix: of all numbers that begin so.
CREATE TABLE mo_numbers (
    number text NOT NULL,
    account text NOT NULL REFERENCES accounts (id),
    via text NOT NULL DEFAULT 'smpp' CHECK (via IN ('smpp', 'webhook')),
    keyword text NOT NULL DEFAULT '' CHECK (keyword ~ '^\S{0,40}$'),
    is_prefix boolean NOT NULL DEFAULT false,
    PRIMARY KEY (number, is_prefix, keyword)
);

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

GRANT SELECT, INSERT, UPDATE, DELETE
    ON price_plans, accounts, api_keys, smpp_credentials, upstreams, routes, prices, upstream_costs, mo_numbers,
       halts TO smscd;
GRANT SELECT, UPDATE ON prices_version TO smscd;
GRANT SELECT ON routes_version TO smscd;

-- ============================================================ operators

CREATE TABLE operators (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    role text NOT NULL CHECK (role IN ('admin', 'support', 'read')),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
GRANT SELECT, INSERT, UPDATE (revoked_at) ON operators TO smscd;

-- Append-only: who did what to whom, and what it was before. address: whence it was asked; local for a command.
CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    operator text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    old jsonb,
    new jsonb,
    address text NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_subject ON audit_log (subject, id);
CREATE INDEX audit_log_operator ON audit_log (operator, id);
GRANT SELECT, INSERT ON audit_log TO smscd;

-- ============================================================ orphans

-- Receipts whose message nobody found: open until they are matched. mark tells one that is told twice. reason: unknown,
-- ambiguous (several messages have its id) or unreadable (it has none). receipt: msgpack of records.ParkedReceipt.
CREATE TABLE orphans (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mark bytea NOT NULL UNIQUE,
    came_at timestamptz NOT NULL,
    upstream text NOT NULL,
    upstream_message_id text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('unknown', 'ambiguous', 'unreadable')),
    stat text NOT NULL,
    err text NOT NULL,
    source text NOT NULL,
    dest text NOT NULL,
    receipt bytea NOT NULL,
    message_id bigint,
    segment smallint,
    matched_at timestamptz
);
CREATE INDEX orphans_open ON orphans (upstream, id) WHERE matched_at IS NULL;

-- Receipts that wait for their message and were looked up in vain once: for a recovery of Redis, which alone has them
-- otherwise. Some have matched since, or are orphans. receipt: msgpack of records.ParkedReceipt.
CREATE TABLE parked_receipts (
    mark bytea PRIMARY KEY,
    came_at timestamptz NOT NULL,
    upstream text NOT NULL,
    receipt bytea NOT NULL
);
CREATE INDEX parked_receipts_came ON parked_receipts (came_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON orphans TO smscd;
GRANT SELECT, INSERT, DELETE ON parked_receipts TO smscd;

-- Events for accounts that ask for them (GET /v1/events). Of others nothing is kept.

CREATE SEQUENCE account_event_position;

-- Who asks. floor: what is at or below it is not kept, or never was.
CREATE TABLE account_event_readers (
    account text PRIMARY KEY,
    floor bigint NOT NULL DEFAULT nextval('account_event_position'),
    asked_at timestamptz NOT NULL DEFAULT now()
);

-- Append-only, in the order of the writer's commits: of one account, a higher position is never committed before a
-- lower one, because one writer at a time has its shard. kind: records.CallbackKind, and id whose: a message's or a
-- ledger entry's. state, stat, err, told_ms: what a callback would say.
CREATE TABLE account_events (
    account text NOT NULL,
    position bigint NOT NULL DEFAULT nextval('account_event_position'),
    kind smallint NOT NULL,
    id bigint NOT NULL,
    state smallint NOT NULL,
    told_ms bigint NOT NULL,
    stat text NOT NULL,
    err text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, position)
);
CREATE INDEX account_events_at ON account_events USING brin (at);

GRANT USAGE, SELECT ON SEQUENCE account_event_position TO smscd;
GRANT SELECT, INSERT, UPDATE, DELETE ON account_event_readers TO smscd;
GRANT SELECT, INSERT, DELETE ON account_events TO smscd;

-- ============================================================ webhooks

-- Where customers have their events sent. secret signs; so does each of old_secrets until its moment in old_until_ms
-- (since the epoch). revision rises with every change. disabled_reason: gone (it answered 410) or requested.
CREATE TABLE webhook_endpoints (
    id bigint PRIMARY KEY,
    account text NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    url text NOT NULL CHECK (url <> ''),
    events text[] NOT NULL CHECK (events <> '{}'),
    description text,
    is_enabled boolean NOT NULL DEFAULT true,
    disabled_reason text CHECK (disabled_reason IN ('gone', 'requested')),
    secret text NOT NULL CHECK (secret <> ''),
    old_secrets text[] NOT NULL DEFAULT '{}',
    old_until_ms bigint[] NOT NULL DEFAULT '{}' CHECK (cardinality(old_until_ms) = cardinality(old_secrets)),
    revision integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK (is_enabled = (disabled_reason IS NULL))
);
CREATE INDEX webhook_endpoints_account ON webhook_endpoints (account, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints TO smscd;

-- What becomes of an event at an endpoint, one row for both, written from the journal; kept for a month. status: 1
-- pending, 2 delivered, 3 a dead letter. code: how the receiver answered last, 0 for no answer. is_owed: it is one of
-- the message's callbacks_open. record: msgpack of records.CallbackRecord, for a replay and for what rebuilds Redis.
CREATE TABLE webhook_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint bigint NOT NULL,
    event text NOT NULL,
    event_type text NOT NULL,
    account text NOT NULL,
    message_id bigint NOT NULL,
    status smallint NOT NULL,
    attempts smallint NOT NULL,
    code smallint NOT NULL,
    detail text NOT NULL,
    created_at timestamptz NOT NULL,
    at timestamptz NOT NULL,
    next_at timestamptz,
    is_owed boolean,
    record bytea NOT NULL,
    UNIQUE (endpoint, event)
);
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO smscd;

-- ============================================================ partitions

-- Partitions are made by the daemon, which owns nothing: through this function it may do that and nothing else.

CREATE FUNCTION make_partition(parent text, suffix text, lower_id bigint, upper_id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
-- Make the partition `parent`_`suffix` for ids from lower_id up to, not including, upper_id.
-- Returns how many rows were moved out of the DEFAULT partition; null when there was such a partition already.
-- It is made apart and then attached, so that writers to the parent wait only while the DEFAULT partition, normally
-- empty, is looked through. fillfactor 50 leaves room for a second version of every row of a page, because one batch
-- of the writer updates them all at once: at 75 two of three updates left their page and touched both indexes.
DECLARE
    name text := parent || '_' || suffix;
    key text := CASE parent WHEN 'messages' THEN 'id' WHEN 'ledger_entries' THEN 'id' ELSE 'message_id' END;
    storage text := CASE parent WHEN 'messages' THEN 'WITH (fillfactor = 50)' ELSE '' END;
    moved bigint;
BEGIN
    IF parent NOT IN ('messages', 'segments', 'message_events', 'ledger_entries') THEN
        RAISE EXCEPTION 'make_partition: % is not a table of the record', parent USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF suffix !~ '^[ymd][0-9_]{4,21}$' OR lower_id >= upper_id THEN
        RAISE EXCEPTION 'make_partition: bad name or bounds' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    IF to_regclass(format('public.%I', name)) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) %s', name, parent, storage);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    EXECUTE format('WITH moved AS (DELETE FROM %1$I WHERE %2$I >= $1 AND %2$I < $2 RETURNING *) '
                   'INSERT INTO %3$I SELECT * FROM moved', parent || '_default', key, name)
        USING lower_id, upper_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, lower_id, upper_id);
    RETURN moved;
END
$$;

REVOKE ALL ON FUNCTION make_partition(text, text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partition(text, text, bigint, bigint) TO smscd;

-- The partitions there are: DEFAULT has null bounds.
CREATE VIEW record_partitions AS
    SELECT p.relname::text AS parent, c.relname::text AS name,
           (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''?(-?\d+)''?\)'))[1]::bigint AS lower_id,
           (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(-?\d+)''?\)'))[1]::bigint AS upper_id,
           c.reltuples::bigint AS rows_estimate, pg_total_relation_size(c.oid) AS size_bytes
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid
      JOIN pg_class p ON p.oid = i.inhparent
     WHERE p.relname IN ('messages', 'segments', 'message_events', 'ledger_entries')
       AND p.relnamespace = 'public'::regnamespace AND p.relkind = 'p';
GRANT SELECT ON record_partitions TO smscd;
-- Rows here mean that a partition was missing: they are counted for an alert.
GRANT SELECT ON messages_default, segments_default, message_events_default, ledger_entries_default TO smscd;
