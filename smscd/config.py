"""The configuration of an instance: every setting with its default, as one frozen value.

The structs below are the reference: `conf/smscd.toml` shows each key with its default, and a test compares the two.
What changes while the daemon runs (accounts, upstreams, routes, prices) is not here but in PostgreSQL.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from smscd.core.limits import VELOCITY_MAX, Limits, countries_of
from smscd.core.networks import parse_network

Port: TypeAlias = Annotated[int, Meta(ge=0, le=65_535)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
CountOrNone: TypeAlias = Annotated[int, Meta(ge=0)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
SecondsOrOff: TypeAlias = Annotated[float, Meta(ge=0)]
RateOrOff: TypeAlias = Annotated[float, Meta(ge=0)]
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]


class SmppConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The SMPP listener for ESMEs. is_plain_open: without TLS. With tls_certificate and tls_key it listens with TLS."""

    host: str = "127.0.0.1"
    port: Port = 2775
    is_plain_open: bool = True
    tls_port: Port = 3550
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    tls_look_seconds: Seconds = 10.0
    pdu_size_max: Annotated[int, Meta(ge=1_024, le=16_777_216)] = 70_000
    pre_bind_size_max: Annotated[int, Meta(ge=64, le=1_024)] = 256
    session_init_seconds: Seconds = 5.0
    response_seconds: Seconds = 29.0
    enquire_link_seconds: Seconds = 30.0
    inactivity_seconds: SecondsOrOff = 0.0
    connections_max: Count = 10_000
    half_open_max: Count = 4_000
    half_open_per_address_max: Count = 1_500
    connections_per_second_per_address: RateOrOff = 100.0
    connections_burst_per_address: Count = 1_000
    binds_per_second_per_address: RateOrOff = 50.0
    binds_burst_per_address: Count = 500
    addresses_max: Count = 10_000
    bind_failures_max: Count = 10
    bind_failures_window_seconds: Seconds = 900.0
    bind_refusal_seconds: Annotated[float, Meta(ge=0, le=2)] = 0.2
    request_key_tag: Annotated[int, Meta(ge=0x1400, le=0x3FFF)] = 0x1500


class OutbindConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where upstreams may call with outbind, each on the outbind_port of its profile. host empty: nowhere.

    allowed_addresses: addresses and networks with commas between them. connections_max: of one upstream.
    """

    host: str = ""
    allowed_addresses: str = ""
    open_seconds: Seconds = 5.0
    connections_max: Count = 16

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """allowed_addresses, read. Raises ValueError."""
        return tuple(ip_network(part.strip()) for part in self.allowed_addresses.split(",") if part.strip())


def _networks_of(text: str) -> tuple[str, ...]:
    return tuple(str(parse_network(part)) for part in text.split(",") if part.strip())


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP listener for customers.

    trusted_proxies: addresses and networks, with commas, whose X-Forwarded-For is believed, here and by Kannel's and
    Jasmin's listeners.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    header_seconds: Seconds = 8.0
    request_seconds: Seconds = 10.0
    keepalive_seconds: Seconds = 75.0
    connections_max: Count = 10_000
    trusted_proxies: str = ""

    @property
    def proxies(self) -> tuple[str, ...]:
        """trusted_proxies, read. Raises ValueError."""
        return _networks_of(self.trusted_proxies)


class KannelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The listener for customers who come from Kannel. host empty: nowhere."""

    host: str = ""
    port: Port = 13_013


class JasminConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The listener for customers who come from Jasmin. host empty: nowhere."""

    host: str = ""
    port: Port = 1_401


class AdminConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's listener: /health/, /metrics and the admin API.

    token: of the first two, needed by everybody who is not on loopback. ledger_seconds: how long an order of money
    waits for the ledger; then it is pending. trusted_proxies: as of [http], for the addresses in the audit log.
    """

    host: str = "127.0.0.1"
    port: Port = 8081
    token: str = ""
    ledger_seconds: Annotated[float, Meta(ge=0, le=60)] = 10.0
    trusted_proxies: str = ""

    @property
    def proxies(self) -> tuple[str, ...]:
        """trusted_proxies, read. Raises ValueError."""
        return _networks_of(self.trusted_proxies)


class AdmissionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What may wait for its verdict, and when admission stops."""

    pending_messages_max: Count = 20_000
    queue_in_redis_max: Count = 200_000
    schedule_seconds_max: Annotated[int, Meta(ge=0, le=1_209_600)] = 1_209_600
    memory_share_max: Share = 0.75
    disk_free_bytes_min: CountOrNone = 268_435_456
    validity_seconds: Annotated[int, Meta(ge=60, le=604_800)] = 86_400
    strict_lag_seconds: Seconds = 2.0
    strict_seconds: Seconds = 5.0


class FailoverConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When an upstream without a bind is out, and one that only throttles, and how long one is out before what waits
    for it goes elsewhere."""

    move_after_seconds: Seconds = 5.0
    no_bind_seconds: Seconds = 5.0
    throttled_seconds: Seconds = 60.0


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `smscd account add` holds a new account to, unless it is told otherwise. countries: codes with commas."""

    spend_per_day_micros: CountOrNone = 0
    velocity_per_minute: Annotated[int, Meta(ge=0, le=VELOCITY_MAX)] = 50
    velocity_per_day: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 500
    countries: str = ""

    @property
    def new_account(self) -> Limits:
        """The limits of a new account. Raises ValueError when a country is none."""
        given = [part.strip().upper() for part in self.countries.split(",") if part.strip()]
        return Limits(
            self.spend_per_day_micros or None, self.velocity_per_minute, self.velocity_per_day, countries_of(given)
        )


class WriterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The writer of the record in PostgreSQL."""

    linger_seconds: Annotated[float, Meta(ge=0, le=5)] = 0.1
    answer_seconds: Annotated[float, Meta(ge=0.5, le=120)] = 5.0
    rows_max: Annotated[int, Meta(ge=100, le=100_000)] = 5_000
    trim_after_seconds: Seconds = 600.0
    trim_after_bytes: Count = 268_435_456
    partition: Literal["year", "month", "day"] = "year"


class AuditConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The audit of a sample of the ledger. every_seconds 0: never."""

    every_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 600.0


class TotalsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Adding up the days that are over. every_seconds: between two looks for a day that is due; 0: never."""

    every_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 600.0


class WebhookConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries to customers' URLs."""

    request_seconds: Seconds = 15.0
    concurrency_max: Count = 200
    concurrency_per_host_max: Count = 32
    allows_private_addresses: bool = False


class EmbeddedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Valkey and PostgreSQL as child processes, used where no URL is given. valkey_memory_bytes 0: half the machine."""

    valkey_port: Port = 0
    postgres_port: Port = 0
    valkey_memory_bytes: CountOrNone = 0
    valkey_rewrite_bytes: Count = 268_435_456


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Logs go to standard error. format auto: colours on a terminal, JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. workers 0: one for each core."""

    redis_url: str = ""
    postgres_dsn: str = ""
    postgres_owner_dsn: str = ""
    state_dir: str = "/var/lib/smscd"
    node: str = ""
    pepper: str = ""
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    shards: Annotated[int, Meta(ge=1, le=1)] = 1
    drain_seconds: Annotated[float, Meta(gt=0, le=300)] = 30.0
    smpp: SmppConfig = SmppConfig()
    outbind: OutbindConfig = OutbindConfig()
    http: HttpConfig = HttpConfig()
    kannel: KannelConfig = KannelConfig()
    jasmin: JasminConfig = JasminConfig()
    admin: AdminConfig = AdminConfig()
    admission: AdmissionConfig = AdmissionConfig()
    failover: FailoverConfig = FailoverConfig()
    limits: LimitsConfig = LimitsConfig()
    writer: WriterConfig = WriterConfig()
    audit: AuditConfig = AuditConfig()
    totals: TotalsConfig = TotalsConfig()
    webhooks: WebhookConfig = WebhookConfig()
    embedded: EmbeddedConfig = EmbeddedConfig()
    log: LogConfig = LogConfig()

    @property
    def smpp_has_tls(self) -> bool:
        """True when ESMEs may connect with TLS."""
        return bool(self.smpp.tls_certificate)

    @property
    def workers_wanted(self) -> int:
        """How many worker processes to run."""
        return self.workers or max(1, len(os.sched_getaffinity(0)))
