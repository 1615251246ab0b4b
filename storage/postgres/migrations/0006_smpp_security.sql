-- Who may bind from where, with which certificate and how often by type; TLS towards upstreams.
ALTER TABLE accounts
    ADD COLUMN allowed_networks text[] NOT NULL DEFAULT '{}' CHECK (allowed_networks::cidr[] IS NOT NULL),
    ADD COLUMN binds_tx_max integer CHECK (binds_tx_max >= 0),
    ADD COLUMN binds_rx_max integer CHECK (binds_rx_max >= 0),
    ADD COLUMN binds_trx_max integer CHECK (binds_trx_max >= 0);

-- A certificate's SHA-256 in hexadecimal digits, or CN=its subject's common name; empty: none is asked for.
ALTER TABLE smpp_credentials
    ADD COLUMN client_certificate text NOT NULL DEFAULT '' CHECK (client_certificate ~ '^([0-9a-f]{64}|CN=.+)?$');

ALTER TABLE upstreams
    ADD COLUMN uses_tls boolean NOT NULL DEFAULT false,
    ADD COLUMN tls_ca_file text NOT NULL DEFAULT '',
    ADD COLUMN tls_certificate_file text NOT NULL DEFAULT '',
    ADD COLUMN tls_key_file text NOT NULL DEFAULT '',
    ADD COLUMN tls_server_name text NOT NULL DEFAULT '',
    ADD COLUMN tls_is_verified boolean NOT NULL DEFAULT true;
