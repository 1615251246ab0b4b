-- The configuration tables: one load, and an upsert for each. Columns stand in the order of the struct's fields in
-- smscd/core/directory.py and upstream.py, because the parameters are the struct's values in that order.

-- name: load_accounts
SELECT id, currency, plan, is_suspended, credit_limit_micros, rate_per_second, burst, segments_max, tariff, priority,
       any_sender, senders, webhook_url, webhook_secret, binds_max, window_size, allows_private_callbacks,
       allowed_networks, binds_tx_max, binds_rx_max, binds_trx_max,
       outbind_host, outbind_port, outbind_system_id, outbind_password,
       default_alphabet, languages, is_little_endian, outbind_uses_tls, outbind_tls_ca_file, low_balance_micros,
       mo_delivery, spend_per_day_micros, velocity_per_minute, velocity_per_day, allowed_countries, durability,
       tags, http_networks, urgent_from
  FROM accounts ORDER BY id;

-- Every column, as who changes one term writes all of them again; the struct takes those that it knows.
-- name: account_page
SELECT *
  FROM accounts WHERE id > $1 OR ($3 AND id = $1) ORDER BY id LIMIT $2;

-- name: credentials_of_account
SELECT system_id, account, password_hmac, client_certificate FROM smpp_credentials WHERE account = $1 ORDER BY system_id;

-- name: find_credential
SELECT system_id, account, password_hmac, client_certificate FROM smpp_credentials WHERE system_id = $1;

-- name: delete_credential
DELETE FROM smpp_credentials WHERE system_id = $1;

-- name: load_credentials
SELECT system_id, account, password_hmac, client_certificate FROM smpp_credentials ORDER BY system_id;

-- One that has expired is told apart from one that nobody knows, for a month.
-- name: load_api_keys
SELECT key_hash, account, prefix, is_revoked, scopes, label, expires_at
  FROM api_keys
 WHERE NOT is_revoked AND (expires_at IS NULL OR expires_at > now() - interval '30 days')
 ORDER BY created_at, key_hash;

-- name: upstream_ids
SELECT id FROM upstreams ORDER BY id;

-- name: load_upstreams
SELECT id, host, port, system_id, password, system_type, bind_mode, binds, window_size, rate_per_second, is_enabled,
       interface_version, response_timeout_seconds, enquire_link_seconds, registered_delivery, receipt_id, in_doubt,
       queue_messages_max, temporary_statuses, permanent_statuses, uses_tls, tls_ca_file, tls_certificate_file,
       tls_key_file, tls_server_name, tls_is_verified,
       receiver_binds, receipt_segments,
       mo_repeat_seconds, outbind_port, outbind_system_id, outbind_password,
       default_alphabet, is_little_endian, is_zero_padded,
       long_message, esm_mode, validity_form, validity_offset_quarters, source_ton, source_npi, dest_ton, dest_npi,
       service_type, receipt_by_text_alone, strips_trailing_nul, vendor_tlvs, priority_flag,
       receipt_stats, mo_join_seconds,
       throttling_statuses, status_delays, retry_base_seconds, retry_max_seconds,
       breaker_failures_max, breaker_error_rate, breaker_slow_seconds, breaker_open_seconds
  FROM upstreams ORDER BY id;

-- name: lock
SELECT pg_advisory_xact_lock(hashtext('smscd configuration'));

-- name: load_routes
SELECT prefix, upstreams, account, name, source, tags, zone, days, from_minute, until_minute, choice, weights, in_doubt
  FROM routes ORDER BY account, prefix, name;

-- name: account_names
SELECT id FROM accounts;

-- name: upstream_names
SELECT id FROM upstreams;

-- name: hold_routes
LOCK TABLE routes IN SHARE ROW EXCLUSIVE MODE;

-- name: prices_version
SELECT version FROM prices_version;

-- name: routes_version
SELECT version FROM routes_version;

-- name: load_prices
SELECT plan, prefix, price_micros, (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms,
       (extract(epoch FROM valid_until) * 1000)::bigint AS valid_until_ms
  FROM prices ORDER BY plan, prefix, valid_from NULLS FIRST;

-- name: load_costs
SELECT upstream, currency, prefix, cost_micros, (extract(epoch FROM valid_from) * 1000)::bigint AS valid_from_ms,
       (extract(epoch FROM valid_until) * 1000)::bigint AS valid_until_ms
  FROM upstream_costs ORDER BY upstream, currency, prefix, valid_from NULLS FIRST;

-- name: load_mo_numbers
SELECT number, account, via, keyword, is_prefix FROM mo_numbers ORDER BY number, is_prefix, keyword;

-- name: load_halts
SELECT kind, name, state, account, (extract(epoch FROM since) * 1000)::bigint AS since_ms
  FROM halts ORDER BY kind, name, account;

-- name: load_webhook_endpoints
SELECT id, account, url, events, is_enabled, secret, old_secrets, old_until_ms, revision
  FROM webhook_endpoints ORDER BY id;

-- name: add_account
INSERT INTO accounts
       (id, currency, plan, is_suspended, credit_limit_micros, rate_per_second, burst, segments_max, tariff, priority,
        any_sender, senders, webhook_url, webhook_secret, binds_max, window_size, allows_private_callbacks,
        allowed_networks, binds_tx_max, binds_rx_max, binds_trx_max,
        outbind_host, outbind_port, outbind_system_id, outbind_password,
        default_alphabet, languages, is_little_endian, outbind_uses_tls, outbind_tls_ca_file,
        low_balance_micros, mo_delivery, spend_per_day_micros, velocity_per_minute, velocity_per_day,
        allowed_countries, durability, tags, http_networks, urgent_from)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
        $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40)
ON CONFLICT (id) DO UPDATE SET
       currency = excluded.currency, plan = excluded.plan, is_suspended = excluded.is_suspended,
       credit_limit_micros = excluded.credit_limit_micros, rate_per_second = excluded.rate_per_second,
       burst = excluded.burst, segments_max = excluded.segments_max, tariff = excluded.tariff,
       priority = excluded.priority, any_sender = excluded.any_sender, senders = excluded.senders,
       webhook_url = excluded.webhook_url, webhook_secret = excluded.webhook_secret, binds_max = excluded.binds_max,
       window_size = excluded.window_size, allows_private_callbacks = excluded.allows_private_callbacks,
       allowed_networks = excluded.allowed_networks, binds_tx_max = excluded.binds_tx_max,
       binds_rx_max = excluded.binds_rx_max, binds_trx_max = excluded.binds_trx_max,
       outbind_host = excluded.outbind_host, outbind_port = excluded.outbind_port,
       outbind_system_id = excluded.outbind_system_id, outbind_password = excluded.outbind_password,
       default_alphabet = excluded.default_alphabet, languages = excluded.languages,
       is_little_endian = excluded.is_little_endian, outbind_uses_tls = excluded.outbind_uses_tls,
       outbind_tls_ca_file = excluded.outbind_tls_ca_file, low_balance_micros = excluded.low_balance_micros,
       mo_delivery = excluded.mo_delivery,
       spend_per_day_micros = excluded.spend_per_day_micros, velocity_per_minute = excluded.velocity_per_minute,
       velocity_per_day = excluded.velocity_per_day, allowed_countries = excluded.allowed_countries,
       durability = excluded.durability, http_networks = excluded.http_networks, urgent_from = excluded.urgent_from;

-- name: limits_for_change
SELECT spend_per_day_micros, velocity_per_minute, velocity_per_day, allowed_countries
  FROM accounts WHERE id = $1 FOR UPDATE;

-- name: set_limits
UPDATE accounts SET spend_per_day_micros = $2, velocity_per_minute = $3, velocity_per_day = $4, allowed_countries = $5
 WHERE id = $1;

-- name: set_tags
UPDATE accounts SET tags = $2 WHERE id = $1;

-- name: tags_for_change
SELECT tags FROM accounts WHERE id = $1 FOR UPDATE;

-- name: set_durability
UPDATE accounts SET durability = $2 WHERE id = $1;

-- name: add_credential
INSERT INTO smpp_credentials (system_id, account, password_hmac, client_certificate) VALUES ($1, $2, $3, $4)
ON CONFLICT (system_id) DO UPDATE SET
       account = excluded.account, password_hmac = excluded.password_hmac,
       client_certificate = excluded.client_certificate;

-- Nothing makes a key valid again that was revoked or is to expire.
-- name: add_api_key
INSERT INTO api_keys (key_hash, account, prefix, is_revoked, scopes, label, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (key_hash) DO UPDATE SET
       account = excluded.account, prefix = excluded.prefix, is_revoked = api_keys.is_revoked OR excluded.is_revoked,
       scopes = excluded.scopes, label = excluded.label,
       expires_at = least(api_keys.expires_at, excluded.expires_at);

-- name: add_upstream
INSERT INTO upstreams
       (id, host, port, system_id, password, system_type, bind_mode, binds, window_size, rate_per_second, is_enabled,
        interface_version, response_timeout_seconds, enquire_link_seconds, registered_delivery, receipt_id, in_doubt,
        queue_messages_max, temporary_statuses, permanent_statuses, uses_tls, tls_ca_file, tls_certificate_file,
        tls_key_file, tls_server_name, tls_is_verified,
        receiver_binds, receipt_segments, mo_repeat_seconds, outbind_port, outbind_system_id, outbind_password,
        default_alphabet, is_little_endian, is_zero_padded,
        long_message, esm_mode, validity_form, validity_offset_quarters, source_ton, source_npi, dest_ton, dest_npi,
        service_type, receipt_by_text_alone, strips_trailing_nul, vendor_tlvs, priority_flag,
        receipt_stats, mo_join_seconds,
        throttling_statuses, status_delays, retry_base_seconds, retry_max_seconds,
        breaker_failures_max, breaker_error_rate, breaker_slow_seconds, breaker_open_seconds)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
        $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46,
        $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, $58)
ON CONFLICT (id) DO UPDATE SET
       host = excluded.host, port = excluded.port, system_id = excluded.system_id, password = excluded.password,
       system_type = excluded.system_type, bind_mode = excluded.bind_mode, binds = excluded.binds,
       window_size = excluded.window_size, rate_per_second = excluded.rate_per_second,
       is_enabled = excluded.is_enabled, interface_version = excluded.interface_version,
       response_timeout_seconds = excluded.response_timeout_seconds,
       enquire_link_seconds = excluded.enquire_link_seconds, registered_delivery = excluded.registered_delivery,
       receipt_id = excluded.receipt_id, in_doubt = excluded.in_doubt,
       queue_messages_max = excluded.queue_messages_max, temporary_statuses = excluded.temporary_statuses,
       permanent_statuses = excluded.permanent_statuses, uses_tls = excluded.uses_tls,
       tls_ca_file = excluded.tls_ca_file, tls_certificate_file = excluded.tls_certificate_file,
       tls_key_file = excluded.tls_key_file, tls_server_name = excluded.tls_server_name,
       tls_is_verified = excluded.tls_is_verified,
       receiver_binds = excluded.receiver_binds,
       receipt_segments = excluded.receipt_segments, mo_repeat_seconds = excluded.mo_repeat_seconds,
       outbind_port = excluded.outbind_port, outbind_system_id = excluded.outbind_system_id,
       outbind_password = excluded.outbind_password,
       default_alphabet = excluded.default_alphabet, is_little_endian = excluded.is_little_endian,
       is_zero_padded = excluded.is_zero_padded, long_message = excluded.long_message, esm_mode = excluded.esm_mode,
       validity_form = excluded.validity_form, validity_offset_quarters = excluded.validity_offset_quarters,
       source_ton = excluded.source_ton, source_npi = excluded.source_npi, dest_ton = excluded.dest_ton,
       dest_npi = excluded.dest_npi, service_type = excluded.service_type,
       receipt_by_text_alone = excluded.receipt_by_text_alone, strips_trailing_nul = excluded.strips_trailing_nul,
       vendor_tlvs = excluded.vendor_tlvs, priority_flag = excluded.priority_flag,
       receipt_stats = excluded.receipt_stats, mo_join_seconds = excluded.mo_join_seconds,
       throttling_statuses = excluded.throttling_statuses, status_delays = excluded.status_delays,
       retry_base_seconds = excluded.retry_base_seconds, retry_max_seconds = excluded.retry_max_seconds,
       breaker_failures_max = excluded.breaker_failures_max, breaker_error_rate = excluded.breaker_error_rate,
       breaker_slow_seconds = excluded.breaker_slow_seconds, breaker_open_seconds = excluded.breaker_open_seconds;

-- name: add_routes
INSERT INTO routes
       (prefix, upstreams, account, name, source, tags, zone, days, from_minute, until_minute, choice, weights,
        in_doubt)
SELECT prefix, upstreams, account, name, source, tags, zone, days, from_minute, until_minute, choice, weights, in_doubt
  FROM jsonb_to_recordset($1::jsonb) AS given (
       prefix text, upstreams text[], account text, name text, source text, tags text[], zone text, days smallint[],
       from_minute smallint, until_minute smallint, choice text, weights integer[], in_doubt text)
ON CONFLICT (account, prefix, name) DO UPDATE SET
       upstreams = excluded.upstreams, source = excluded.source, tags = excluded.tags, zone = excluded.zone,
       days = excluded.days, from_minute = excluded.from_minute, until_minute = excluded.until_minute,
       choice = excluded.choice, weights = excluded.weights, in_doubt = excluded.in_doubt;

-- name: add_price_plan
INSERT INTO price_plans (id, currency) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET currency = excluded.currency;

-- name: add_prices
INSERT INTO prices (plan, prefix, price_micros)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
ON CONFLICT (plan, prefix, valid_from) DO UPDATE SET price_micros = excluded.price_micros, valid_until = NULL;

-- name: add_mo_number
INSERT INTO mo_numbers (number, account, via, keyword, is_prefix) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (number, is_prefix, keyword) DO UPDATE SET account = excluded.account, via = excluded.via;

-- name: delete_route
DELETE FROM routes WHERE account = $1 AND prefix = $2 AND name = $3;

-- name: routes_of_upstream
SELECT account, prefix, name FROM routes WHERE $1 = ANY (upstreams) ORDER BY account, prefix, name LIMIT 5;

-- What it asks for is of no use without it.
-- name: delete_costs
DELETE FROM upstream_costs WHERE upstream = $1;

-- name: delete_upstream
DELETE FROM upstreams WHERE id = $1;

-- Of messages since $2, by their id, that have not come to an end.
-- name: has_open_messages
SELECT EXISTS (SELECT FROM messages WHERE upstream = $1 AND id >= $2 AND state = ANY ($3::smallint[]));

-- name: price_plans
SELECT id, currency FROM price_plans ORDER BY id;

