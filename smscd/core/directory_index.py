"""Look-up tables over one snapshot of the directory: accounts, keys, routes and prices by longest prefix.

Built once for each snapshot and then replaced as a whole. What planning needs for one account and one prefix (its
`Offer`) is worked out at the first message and remembered, up to a limit and no longer than its price is valid.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from smscd.core.conversion import Converter, converter_for
from smscd.core.directory import Account, ApiKey, Credential, Route, Snapshot, Upstream
from smscd.core.halts import NO_HALTS, Halts
from smscd.core.mo_rules import MoRules
from smscd.core.networks import Networks
from smscd.core.prefix_table import PrefixTable
from smscd.core.price_tables import PriceTables
from smscd.core.profiles import PLAIN, dialect_of
from smscd.core.reasons import Reason, Rejected

OFFERS_MAX: Final = 65_536
SOURCES_MAX: Final = 1_024
VALIDITY_DEFAULT_MS: Final = 24 * 3_600_000


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What an account is offered for a destination prefix. price_micros and cost_micros are of one segment.

    cost_micros: what the upstream asks for it, 0 when that is not known. converter: of what its ESMEs send.
    text_converter: of texts over HTTP, which we encode. None: nothing to do.
    """

    upstream: Upstream
    price_micros: int
    cost_micros: int = 0
    converter: Converter | None = None
    text_converter: Converter | None = None


class _Way(NamedTuple):
    """A route and the first of its upstreams that takes messages; without one, reason says why."""

    route: Route
    upstream: Upstream | None
    reason: Reason


class PlannedSource(msgspec.Struct, frozen=True, gc=False):
    """A sender as it goes to the upstream, found allowed for the account."""

    ton: int
    npi: int
    address: bytes


class AccountEntry:
    """One account with what is remembered for it; planning fills `offers` and `sources`, both bounded.

    offers: by destination prefix. made: the different ones among them, by upstream, price and cost. converters: of its
    ESMEs and of its texts, by upstream.
    """

    __slots__ = (
        "account", "converters", "countries", "dialect", "floor_micros", "is_strict", "languages", "limits", "made",
        "networks", "offers", "senders", "sources",
    )  # fmt: skip

    def __init__(self, account: Account) -> None:
        self.account = account
        self.floor_micros = -account.credit_limit_micros
        self.limits = account.limits
        self.is_strict = account.durability == "strict"
        self.countries = account.allowed_countries
        self.senders = frozenset(sender.removeprefix("+").encode() for sender in account.senders)
        self.networks = Networks(account.allowed_networks)
        self.dialect = dialect_of(account)
        self.languages = tuple(sorted(account.languages))
        self.converters: dict[str, tuple[Converter | None, Converter | None]] = {}
        self.offers: dict[bytes, Offer | Rejected] = {}
        self.made: dict[tuple[str, int, int], Offer] = {}
        self.sources: dict[tuple[int, int, bytes], PlannedSource | Rejected] = {}


class DirectoryIndex:
    """Immutable but for what it remembers; shared by everything in a process that decides.

    validity_default_ms: how long a message is tried when the customer says nothing. prices: those of the snapshot,
    where they are built already.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        validity_default_ms: int = VALIDITY_DEFAULT_MS,
        prices: PriceTables | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.validity_default_ms = validity_default_ms
        self.prices = PriceTables(snapshot.prices, snapshot.costs) if prices is None else prices
        self._entries = {account.id: AccountEntry(account) for account in snapshot.accounts}
        self.has_strict = any(entry.is_strict for entry in self._entries.values())
        self._credentials = {credential.system_id.encode(): credential for credential in snapshot.credentials}
        self._api_keys = {key.key_hash: key for key in snapshot.api_keys if not key.is_revoked}
        self._upstreams = {upstream.id: upstream for upstream in snapshot.upstreams}
        self.mo_rules = MoRules(snapshot.mo_numbers)
        self.halts = Halts(snapshot.halts) if snapshot.halts else NO_HALTS
        self._ways = _by_account(_way(route, self._upstreams, self.halts) for route in snapshot.routes)
        self._digits_max = max([self.prices.length_max] + [table.length_max for table in self._ways.values()])
        self._from_ms = self._until_ms = 0
        self._offers = 0

    def account(self, account: str) -> Account | None:
        """The account with this id."""
        entry = self._entries.get(account)
        return entry.account if entry is not None else None

    def entry(self, account: str) -> AccountEntry | None:
        """The account with what is remembered for it; for planning."""
        return self._entries.get(account)

    def credential(self, system_id: bytes) -> Credential | None:
        """What an ESME with this system_id binds with."""
        return self._credentials.get(system_id)

    def api_key(self, key_hash: bytes) -> ApiKey | None:
        """The key with this SHA-256, unless it was revoked."""
        return self._api_keys.get(key_hash)

    def upstream(self, upstream: str) -> Upstream | None:
        """The upstream with this id, enabled or not."""
        return self._upstreams.get(upstream)

    def route(self, account: str, digits: bytes) -> Route | None:
        """The route with the longest prefix: of the account's own if any fits, else of those for all."""
        way = self._way(account, digits)
        return way.route if way is not None else None

    def is_paused(self, account: str, digits: bytes) -> bool:
        """Whether a message of this account to this destination is to wait: its account, or its route, is paused."""
        halts = self.halts
        if account in halts.paused_accounts:
            return True
        if not halts.paused_routes or (route := self.route(account, digits)) is None:
            return False
        return (route.account, route.prefix) in halts.paused_routes

    def _way(self, account: str, digits: bytes) -> _Way | None:
        own = self._ways.get(account)
        found = own.find(digits) if own is not None else None
        if found is None and (general := self._ways.get("")) is not None:
            found = general.find(digits)
        return found

    def offer(self, entry: AccountEntry, digits: bytes, now_ms: int) -> Offer | Rejected:
        """Upstream, price and cost for a destination at a moment.

        Remembered by prefix for as long as no price changes, so that most calls are one look-up.
        """
        if not self._from_ms <= now_ms < self._until_ms:
            self._from_ms, self._until_ms = self.prices.span(now_ms)
            self._forget()
        key = digits[: self._digits_max]
        offer = entry.offers.get(key)
        if offer is None:
            if self._offers >= OFFERS_MAX:
                self._forget()
            self._offers += 1
            offer = entry.offers[key] = self._find_offer(entry, digits, now_ms)
        return offer

    def _forget(self) -> None:
        for entry in self._entries.values():
            entry.offers.clear()
            entry.made.clear()
        self._offers = 0

    def _find_offer(self, entry: AccountEntry, digits: bytes, now_ms: int) -> Offer | Rejected:
        account = entry.account
        way = self._way(account.id, digits)
        if way is None:
            return Rejected(Reason.NO_ROUTE)
        price = self.prices.price(account.plan, digits, now_ms)
        if price is None:
            return Rejected(Reason.NO_ROUTE, "The price plan of the account does not cover this destination.")
        upstream = way.upstream
        if upstream is None:
            return Rejected(way.reason)
        cost = self.prices.cost(upstream.id, account.currency, digits, now_ms) or 0
        asked = upstream.id, price, cost
        made = entry.made.get(asked)
        if made is None:
            made = entry.made[asked] = Offer(upstream, price, cost, *self._converters(entry, upstream))
        return made

    def _converters(self, entry: AccountEntry, upstream: Upstream) -> tuple[Converter | None, Converter | None]:
        found = entry.converters.get(upstream.id)
        if found is None:
            found = converter_for(entry.dialect, upstream), converter_for(PLAIN, upstream)
            entry.converters[upstream.id] = found
        return found


def _way(route: Route, upstreams: dict[str, Upstream], halts: Halts) -> _Way:
    known = [upstreams[name] for name in route.upstreams if name in upstreams]
    reason = Reason.NO_ROUTE_AVAILABLE if known else Reason.NO_ROUTE
    if (route.account, route.prefix) in halts.drained_routes:
        return _Way(route, None, reason)
    drained = halts.drained_upstreams
    taking = next((upstream for upstream in known if upstream.is_enabled and upstream.id not in drained), None)
    return _Way(route, taking, reason)


def _by_account(ways: Iterable[_Way]) -> dict[str, PrefixTable[_Way]]:
    owned: dict[str, list[tuple[str, _Way]]] = {}
    for way in ways:
        owned.setdefault(way.route.account, []).append((way.route.prefix, way))
    return {account: PrefixTable(pairs) for account, pairs in owned.items()}
