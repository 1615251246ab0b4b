"""The configuration file: TOML and environment in, one frozen value out, or every mistake at once, a sentence each.

The structs below are the reference: `conf/smscd.toml` shows each key with its default, and a test compares the two.
A key is overruled by the environment variable of its path: redis_url by SMSCD_REDIS_URL, [smpp] port by
SMSCD_SMPP_PORT. What changes while the daemon runs (accounts, upstreams, routes, prices) is not here but in PostgreSQL.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from smscd.core.limits import VELOCITY_MAX, Limits, countries_of
from smscd.core.networks import parse_network

ENVIRONMENT_PREFIX = "SMSCD_"

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


class ConfigError(Exception):
    """The configuration cannot be used; str() has one line for each mistake."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read the file (if any), overrule it by the environment, and check everything. Raises ConfigError."""
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError([f"{path} cannot be read: {error.strerror}."]) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([f"{path} is not valid TOML: {error}."]) from error
    return parse(table, environment)


def parse(table: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Check a decoded table. Raises ConfigError with all mistakes of types, ranges, names and combinations."""
    mistakes: list[str] = []
    values = _section(Config, table, environment, "", mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    config = Config(**values)
    mistakes = _contradictions(config)
    if mistakes:
        raise ConfigError(mistakes)
    return config


def _section(
    struct: type[msgspec.Struct],
    table: Mapping[str, Any],
    environment: Mapping[str, str],
    path: str,
    mistakes: list[str],
) -> dict[str, Any]:
    """The checked values of one section, its sub-sections built; mistakes are added to the list."""
    hints = get_type_hints(struct, include_extras=True)
    for key in table:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            mistakes.append(f"{_shown(path, key)} is not a setting of smscd{hint}")
    values: dict[str, Any] = {}
    for name, wanted in hints.items():
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            inner = table.get(name, {})
            if not isinstance(inner, Mapping):
                mistakes.append(f"{_shown(path, name)} must be a section [{name}].")
                continue
            values[name] = wanted(**_section(wanted, inner, environment, name, mistakes))
            continue
        variable = ENVIRONMENT_PREFIX + (f"{path}_{name}" if path else name).upper()
        given: Any
        if variable in environment:
            shown, given, strict = variable, environment[variable], False
        elif name in table:
            shown, given, strict = _shown(path, name), table[name], True
        else:
            continue
        try:
            values[name] = msgspec.convert(given, wanted, strict=strict)
        except msgspec.ValidationError as error:
            # msgspec's words quote the value of a wrong choice only, never a string, which may be secret.
            choices = f"; choose one of {', '.join(get_args(wanted))}" if get_origin(wanted) is Literal else ""
            mistakes.append(f"{shown} is wrong: {str(error)[:1].lower()}{str(error)[1:]}{choices}.")
    return values


def _shown(path: str, key: str) -> str:
    return f"[{path}] {key}" if path else key


def _contradictions(config: Config) -> list[str]:
    """What no single value shows."""
    found = []
    if config.redis_url and urlsplit(config.redis_url).scheme not in ("redis", "rediss", "unix"):
        found.append("redis_url must begin with redis://, rediss:// or unix://.")
    for name in ("postgres_dsn", "postgres_owner_dsn"):
        value = getattr(config, name)
        if value and urlsplit(value).scheme not in ("postgresql", "postgres"):
            found.append(f"{name} must begin with postgresql://.")
    if config.postgres_owner_dsn and not config.postgres_dsn:
        found.append("postgres_owner_dsn is given without postgres_dsn: give both, or neither for the embedded server.")
    if not is_loopback(config.admin.host) and not config.admin.token:
        found.append(
            f"[admin] host {config.admin.host} can be reached from other machines: set [admin] token, or use 127.0.0.1."
        )
    found += _tls_contradictions(config)
    if config.admission.strict_seconds >= config.http.request_seconds:
        found.append(
            "[admission] strict_seconds is not less than [http] request_seconds, which would end the wait: change one."
        )
    try:
        _ = config.limits.new_account
    except ValueError as error:
        found.append(f"[limits] countries is wrong: {error}.")
    try:
        networks = config.outbind.networks
        if config.outbind.host and not networks:
            found.append("[outbind] host is set: say in [outbind] allowed_addresses who may call.")
    except ValueError as error:
        found.append(f"[outbind] allowed_addresses is wrong: {error}.")
    for listener_name, behind in (("http", config.http), ("admin", config.admin)):
        try:
            _ = behind.proxies
        except ValueError as error:
            found.append(f"[{listener_name}] trusted_proxies is wrong: {error}.")
    taken: dict[tuple[str, int], str] = {}
    for name in ("smpp", "http", "kannel", "jasmin", "admin"):
        listener = getattr(config, name)
        if not listener.host or (name == "smpp" and not config.smpp.is_plain_open):
            continue
        place = (listener.host, listener.port)
        if listener.port and place in taken:
            found.append(
                f"[{name}] and [{taken[place]}] both want {listener.host}:{listener.port}: change one of them."
            )
        taken[place] = name
    return found


def _tls_contradictions(config: Config) -> list[str]:
    """Of the SMPP listener's certificate. Whether the files can be read is seen when they are."""
    smpp = config.smpp
    found = []
    if bool(smpp.tls_certificate) != bool(smpp.tls_key):
        found.append("[smpp] tls_certificate and tls_key belong together: give both, or neither for no TLS.")
    if smpp.tls_client_ca and not smpp.tls_certificate:
        found.append("[smpp] tls_client_ca asks for certificates of ESMEs: it needs tls_certificate and tls_key.")
    if not smpp.is_plain_open and not smpp.tls_certificate:
        found.append("[smpp] is_plain_open = false leaves no door: give tls_certificate and tls_key.")
    if smpp.tls_certificate and smpp.is_plain_open and smpp.tls_port and smpp.tls_port == smpp.port:
        found.append(f"[smpp] port and tls_port are both {smpp.port}: change one of them.")
    return found


def is_loopback(host: str) -> bool:
    """True when a listener on this address is not reachable from other machines."""
    return host in ("localhost", "::1") or host.startswith("127.")
