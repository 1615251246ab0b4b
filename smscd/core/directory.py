"""The configuration that changes while running: accounts, keys, credentials, upstreams, routes, prices, MO numbers.

These are plain values. storage.postgres loads them, core decides with them, and each process holds one immutable
`Directory`, replaced as a whole when a notification says that something changed.
"""

from __future__ import annotations

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A customer. Rates are messages (not segments) a second; money is micro-units of `currency`.

    allowed_networks: CIDR networks that its ESMEs may bind from; empty: from everywhere.
    binds_max: SMPP sessions at once over all workers; binds_tx_max, binds_rx_max, binds_trx_max: of these by the type
    of their bind. None: no limit of its own; 0: this type may not be bound.
    outbind_host, outbind_port: where its ESME listens for an outbind, which is sent with outbind_system_id and
    outbind_password when something waits for it and none of its receivers is bound. Port 0: it is never asked.
    """

    id: str
    currency: str = "EUR"
    plan: str = "default"
    is_suspended: bool = False
    credit_limit_micros: int = 0
    rate_per_second: float = 100.0
    burst: int = 200
    segments_max: int = 10
    tariff: int = 0
    priority: int = 1
    any_sender: bool = False
    senders: frozenset[str] = frozenset()
    webhook_url: str | None = None
    webhook_secret: str = ""
    binds_max: int = 4
    window_size: int = 100
    allows_private_callbacks: bool = False
    allowed_networks: frozenset[str] = frozenset()
    binds_tx_max: int | None = None
    binds_rx_max: int | None = None
    binds_trx_max: int | None = None
    outbind_host: str = ""
    outbind_port: int = 0
    outbind_system_id: str = ""
    outbind_password: str = ""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What an ESME binds with. password_hmac = HMAC-SHA256(pepper, password).

    client_certificate: what it must show in TLS beside the password: the certificate's SHA-256 in hexadecimal digits,
    or CN= and its subject's common name. Empty: nothing.
    """

    system_id: str
    account: str
    password_hmac: bytes
    client_certificate: str = ""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP key; key_hash = SHA-256 of the whole key as the customer sends it."""

    key_hash: bytes
    account: str
    prefix: str = ""
    is_revoked: bool = False


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """An SMSC that we bind to, and its profile.

    tls_ca_file: who may have signed its certificate; empty: whom the system trusts. tls_certificate_file and
    tls_key_file: what we show in turn. tls_server_name: the name in its certificate; empty: `host`.
    bind_mode: "transceiver", "transmitter", "receiver", or "pair": `binds` transmitters and `receiver_binds` receivers
    (0: as many).
    receipt_segments: of a long message, whose receipts tell that it was delivered: "all" segments', "any" one's, or
    the "last" one's. mo_repeat_seconds: how long the same mobile-originated message again is a repeat; 0 is never.
    outbind_port: where the owner listens for this SMSC's outbind, which has to carry outbind_system_id and
    outbind_password; 0: it does not.
    """

    id: str
    host: str
    port: int
    system_id: str
    password: str
    system_type: str = ""
    bind_mode: str = "transceiver"
    binds: int = 1
    window_size: int = 100
    rate_per_second: float = 0.0
    is_enabled: bool = True
    interface_version: int = 0x34
    response_timeout_seconds: float = 30.0
    enquire_link_seconds: float = 30.0
    registered_delivery: int = 1
    receipt_id: str = "same"
    in_doubt: str = "resend"
    queue_messages_max: int = 5_000_000
    temporary_statuses: frozenset[int] = frozenset()
    permanent_statuses: frozenset[int] = frozenset()
    uses_tls: bool = False
    tls_ca_file: str = ""
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    tls_server_name: str = ""
    tls_is_verified: bool = True
    receiver_binds: int = 0
    receipt_segments: str = "all"
    mo_repeat_seconds: int = 30
    outbind_port: int = 0
    outbind_system_id: str = ""
    outbind_password: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Longest prefix wins; an account's own route wins over one for all (account == "").

    upstreams: first choice first.
    """

    prefix: str
    upstreams: tuple[str, ...]
    account: str = ""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """Price of one segment by plan and longest destination prefix."""

    plan: str
    prefix: str
    price_micros: int


class MoNumber(msgspec.Struct, frozen=True, kw_only=True):
    """A number of ours: mobile-originated messages to it belong to `account`. via: "smpp" or "webhook"."""

    number: str
    account: str
    via: str = "smpp"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything above as one load of the database; core.directory_index builds the look-up tables from it."""

    accounts: tuple[Account, ...] = ()
    credentials: tuple[Credential, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    routes: tuple[Route, ...] = ()
    prices: tuple[Price, ...] = ()
    mo_numbers: tuple[MoNumber, ...] = ()
