"""The configuration that changes while running: accounts, keys, credentials, upstreams, routes, prices, MO numbers.

These are plain values. storage.postgres loads them, core decides with them, and each process holds one immutable
`Directory`, replaced as a whole when a notification says that something changed.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from smscd.core.limits import Limits
from smscd.core.scopes import ALL, ScopeName
from smscd.core.upstream import AlphabetName, Upstream

Durability: TypeAlias = Literal["normal", "strict"]
RouteChoice: TypeAlias = Literal["priority", "weighted", "least_cost"]
RouteDoubt: TypeAlias = Literal["", "resend", "hold", "fail"]
"""What becomes of a message in doubt; empty: what its upstream says. Their order is that of MessageRecord.in_doubt."""
MoDelivery: TypeAlias = Literal["parts", "whole"]
"""How an account's ESMEs get a long message from a phone; a webhook always gets the whole."""
HaltKind: TypeAlias = Literal["upstream", "route", "account"]
HaltState: TypeAlias = Literal["paused", "drained"]

Language: TypeAlias = Annotated[int, Meta(ge=1, le=13)]
"""A national language identifier (3GPP TS 23.038 section 6.2.1.2.4)."""
Tag: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A customer. Rates are messages (not segments) a second; money is micro-units of `currency`.

    allowed_networks: CIDR networks that its ESMEs may bind from; empty: from everywhere.
    binds_max: SMPP sessions at once over all workers; binds_tx_max, binds_rx_max, binds_trx_max: of these by the type
    of their bind. None: no limit of its own; 0: this type may not be bound.
    outbind_host, outbind_port: where its ESME listens for an outbind, which is sent with outbind_system_id and
    outbind_password when something waits for it and none of its receivers is bound. Port 0: it is never asked.
    outbind_uses_tls, outbind_tls_ca_file: whether that is dialed with TLS, and who may have signed its certificate;
    empty: whom the system trusts.
    default_alphabet, is_little_endian: how its ESMEs write text, and get it. languages: whose national tables a text
    of its over HTTP may use.
    low_balance_micros: it is warned each time that its balance falls below this; None: never.
    spend_per_day_micros, velocity_per_minute, velocity_per_day: see core.limits; None and 0: no limit.
    durability: "strict": the customer is told yes when PostgreSQL has the message too, and it is sent after that.
    allowed_countries: ISO 3166-1 alpha-2 codes (core.countries) of where it may send; empty: everywhere.
    tags: words of the operator's that routes may ask for.
    http_networks: CIDR networks that its requests over HTTP may come from; empty: from everywhere.
    priority: 0 goes before 1 goes before 2 at every upstream. urgent_from: messages with this priority_flag or a higher
    one go as 0, whatever the account's own; 0: none do.
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
    default_alphabet: AlphabetName = "unknown"
    languages: frozenset[Language] = frozenset()
    is_little_endian: bool = False
    outbind_uses_tls: bool = False
    outbind_tls_ca_file: str = ""
    low_balance_micros: int | None = None
    mo_delivery: MoDelivery = "parts"
    spend_per_day_micros: int | None = None
    velocity_per_minute: int = 0
    velocity_per_day: int = 0
    allowed_countries: frozenset[str] = frozenset()
    durability: Durability = "normal"
    tags: frozenset[Tag] = frozenset()
    http_networks: frozenset[str] = frozenset()
    urgent_from: Annotated[int, Meta(ge=0, le=3)] = 0

    @property
    def limits(self) -> Limits | None:
        """What the script that admits holds it to; None: nothing."""
        limits = Limits(self.spend_per_day_micros, self.velocity_per_minute, self.velocity_per_day)
        return limits if limits.is_counted else None


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
    """An HTTP key; key_hash = SHA-256 of the whole key as the customer sends it.

    prefix: how it is named, which is how it begins. expires_at: it is not valid from then on; None: it does not expire.
    """

    key_hash: bytes
    account: str
    prefix: str = ""
    is_revoked: bool = False
    scopes: frozenset[ScopeName] = ALL
    label: str = ""
    expires_at: datetime | None = None


class RouteInvalid(ValueError):
    """What no route can be: which fields, and why each."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(rule for _, rule in faults))
        self.faults = faults


class Route(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A rule by which messages go to upstreams; core.routing says which of several wins.

    upstreams: the candidates, first choice first; choice: how they are ordered for a message: "priority" as they stand,
    "weighted" by chance of `weights`, one each, "least_cost" by what they ask. account, tags, prefix and name say which
    route it is and whose: account "" is for all, or for those that have all of the tags.
    source: a glob (* ? [...]) that the sender must match as it is sent; empty: any.
    zone: an IANA time zone in which days (1 Monday to 7 Sunday; empty: all) and the minutes of a day from from_minute
    up to, not including, until_minute are meant; empty: always. The same twice is a whole day; over midnight it belongs
    to the day that it begins on. A route whose zone this machine does not know fits nothing.
    in_doubt: what becomes of a message that may have been sent; empty: what its upstream says.
    """

    prefix: str
    upstreams: tuple[str, ...]
    account: str = ""
    name: Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9_.-]{0,62})?$")] = ""
    source: Annotated[str, Meta(pattern=r"^[ -~]{0,64}$")] = ""
    tags: frozenset[Tag] = frozenset()
    zone: str = ""
    days: frozenset[Annotated[int, Meta(ge=1, le=7)]] = frozenset()
    from_minute: Annotated[int, Meta(ge=0, le=1439)] = 0
    until_minute: Annotated[int, Meta(ge=0, le=1439)] = 0
    choice: RouteChoice = "priority"
    weights: tuple[Annotated[int, Meta(ge=0, le=1_000_000)], ...] = ()
    in_doubt: RouteDoubt = ""

    @property
    def digits(self) -> str:
        """The prefix without a plus sign."""
        return self.prefix.removeprefix("+")

    @property
    def label(self) -> str:
        """How operators name it: account/prefix or account/prefix/name, with * for all."""
        label = f"{self.account or '*'}/{self.prefix or '*'}"
        return f"{label}/{self.name}" if self.name else label

    def __post_init__(self) -> None:
        """Raise RouteInvalid when its parts contradict each other."""
        faults: list[tuple[str, str]] = []
        if not self.upstreams or len(set(self.upstreams)) != len(self.upstreams):
            faults.append(("upstreams", "a route needs upstreams, each once"))
        if self.account and self.tags:
            faults.append(("tags", "a route is for one account or for tags, not both"))
        weights = len(self.upstreams) if self.choice == "weighted" else 0
        if len(self.weights) != weights or (weights and not any(self.weights)):
            rule = "a weighted route, and no other, needs a weight for each upstream, one of them above 0"
            faults.append(("weights", rule))
        if not self.zone and (self.days or self.from_minute or self.until_minute):
            faults.append(("zone", "a window of time needs a time zone, such as Europe/London or UTC"))
        if faults:
            raise RouteInvalid(faults)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"this machine knows no time zone {name}: give an IANA name, such as Europe/London") from error


class Price(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Price of one segment by plan and longest destination prefix.

    Valid from valid_from_ms up to, not including, valid_until_ms; None: always. Those of one prefix do not overlap.
    """

    plan: str
    prefix: str
    price_micros: int
    valid_from_ms: int | None = None
    valid_until_ms: int | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an upstream asks for one segment, like Price. It is known for accounts of this currency."""

    upstream: str
    currency: str
    prefix: str
    cost_micros: int
    valid_from_ms: int | None = None
    valid_until_ms: int | None = None


class PriceRow(NamedTuple):
    """One line of a price list, which is a plan's or an upstream's; dated like Price."""

    prefix: str
    micros: int
    from_ms: int | None = None
    until_ms: int | None = None


class MoNumber(msgspec.Struct, frozen=True, kw_only=True):
    """Whose mobile-originated messages to a number of ours are. via: "smpp" or "webhook".

    keyword: of those alone whose text begins with this word, in small letters; empty: of all.
    is_prefix: it is of all numbers that begin so; an empty number: of all.
    """

    number: str
    account: str
    via: str = "smpp"
    keyword: str = ""
    is_prefix: bool = False


class Halt(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an operator has paused or drained; core.halts says what that means.

    name: of the upstream or account, or the route's prefix. account: of the route, "" for one for all. since_ms: when
    it was ordered, since the Unix epoch.
    """

    kind: HaltKind
    name: str
    state: HaltState
    account: str = ""
    since_ms: int = 0


class WebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a customer has his events sent (core.webhook_events says which they are, and who gets one).

    secret signs; so does each of old_secrets until its moment in old_until_ms (since the Unix epoch). revision: rises
    with every change, so that what was learned of an older one says nothing of this.
    """

    id: int
    account: str
    url: str
    events: frozenset[str] = frozenset({"*"})
    is_enabled: bool = True
    secret: str
    old_secrets: tuple[str, ...] = ()
    old_until_ms: tuple[int, ...] = ()
    revision: int = 0

    def secrets(self, now_ms: int) -> tuple[str, ...]:
        """What signs at a moment, the present one first."""
        old = zip(self.old_secrets, self.old_until_ms, strict=True)
        return (self.secret, *(secret for secret, until_ms in old if now_ms < until_ms))


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything above as one load of the database; core.directory_index builds the look-up tables from it.

    prices_version: another one says that prices or costs may have changed; routes_version: that routes may have.
    """

    prices_version: int = 0
    accounts: tuple[Account, ...] = ()
    credentials: tuple[Credential, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    routes: tuple[Route, ...] = ()
    prices: tuple[Price, ...] = ()
    costs: tuple[Cost, ...] = ()
    mo_numbers: tuple[MoNumber, ...] = ()
    halts: tuple[Halt, ...] = ()
    routes_version: int = 0
    webhook_endpoints: tuple[WebhookEndpoint, ...] = ()
