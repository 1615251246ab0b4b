-- ESMEs that are called with outbind over TLS.
ALTER TABLE accounts
    ADD COLUMN outbind_uses_tls boolean NOT NULL DEFAULT false,
    ADD COLUMN outbind_tls_ca_file text NOT NULL DEFAULT '';
