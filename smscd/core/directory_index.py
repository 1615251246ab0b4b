"""Look-up tables over one snapshot of the directory: accounts, keys, routes and prices by longest prefix.

Built once for each snapshot and then replaced as a whole. What planning needs for one account and one prefix (its
`Offer`) is worked out at the first message and remembered, up to a limit and no longer than its price is valid.
"""

from __future__ import annotations

from typing import Final, get_args

import msgspec

from smscd.core.conversion import Converter, converter_for
from smscd.core.directory import Account, ApiKey, Credential, Route, RouteDoubt, Snapshot
from smscd.core.halts import NO_HALTS, Halts
from smscd.core.mo_rules import MoRules
from smscd.core.networks import Networks
from smscd.core.price_tables import PriceTables
from smscd.core.profiles import PLAIN, dialect_of
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import MessageRecord
from smscd.core.routing import NONE_CLOSED, Judged, Rules, Why, drawn, in_order, is_varying, judge, why_not
from smscd.core.scopes import bits_of
from smscd.core.upstream import Upstream
from smscd.core.webhook_events import Endpoints

OFFERS_MAX: Final = 65_536
SOURCES_MAX: Final = 1_024
VALIDITY_DEFAULT_MS: Final = 24 * 3_600_000
SCHEDULE_MAX_MS: Final = 14 * 24 * 3_600_000
_DOUBTS: Final[tuple[RouteDoubt, ...]] = get_args(RouteDoubt)


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What an account is offered for a destination prefix. price_micros and cost_micros are of one segment.

    cost_micros: what the upstream asks for it, 0 when that is not known. converter: of what its ESMEs send.
    text_converter: of texts over HTTP, which we encode. None: nothing to do. in_doubt: as in MessageRecord.
    """

    upstream: Upstream
    price_micros: int
    cost_micros: int = 0
    converter: Converter | None = None
    text_converter: Converter | None = None
    in_doubt: int = 0


class _Step(msgspec.Struct, frozen=True, gc=False):
    """A rule, and what it offers: by upstream that is enabled, in the rule's order. reason: where there is none."""

    route: Route
    offers: dict[str, Offer]
    reason: Reason

    def take(self, id: int, closed: frozenset[str]) -> Offer | Rejected:
        """The first that is not closed; the first of all when all are, which then wait for their upstream."""
        offers = self.offers
        if not offers:
            return Rejected(self.reason)
        names = drawn(self.route, id) if self.route.choice == "weighted" else tuple(offers)
        usable = [name for name in names if name in offers]
        return offers[next((name for name in usable if name not in closed), usable[0])]


class _Varying(msgspec.Struct, frozen=True, gc=False):
    """The rules of a prefix that say more than account and prefix, best first, up to one that always fits."""

    steps: tuple[_Step, ...]


class Routed(msgspec.Struct, frozen=True):
    """How a message is routed: every rule whose prefix fits, and the upstreams of the one that is taken.

    candidates: those that are enabled, in the order in which they are tried. passed: why each upstream but the one that
    is taken is not.
    """

    rules: tuple[Judged, ...]
    candidates: tuple[str, ...] = ()
    passed: dict[str, Why] = {}

    @property
    def route(self) -> Route | None:
        """The rule that is taken."""
        return next((judged.route for judged in self.rules if judged.why is None), None)


class PlannedSource(msgspec.Struct, frozen=True, gc=False):
    """A sender as it goes to the upstream, found allowed for the account."""

    ton: int
    npi: int
    address: bytes


class AccountEntry:
    """One account with what is remembered for it; planning fills `offers` and `sources`, both bounded.

    offers: by destination prefix. made: the different ones among them, by upstream, price and cost. converters: of its
    ESMEs and of its texts, by upstream. rerouted: offers by prefix in place of those of closed upstreams. varying:
    what many prefixes share. has_webhook: how its messages end is told somewhere, also without a callback_url.
    """

    __slots__ = (
        "account", "converters", "countries", "dialect", "floor_micros", "has_webhook", "http_networks", "is_strict",
        "languages",
        "limits", "made", "networks", "offers", "rerouted", "senders", "sources", "varying",
    )  # fmt: skip

    def __init__(self, account: Account, tells_states: bool | None = None) -> None:
        self.account = account
        self.has_webhook = account.webhook_url is not None if tells_states is None else tells_states
        self.floor_micros = -account.credit_limit_micros
        self.limits = account.limits
        self.is_strict = account.durability == "strict"
        self.countries = account.allowed_countries
        self.senders = frozenset(sender.removeprefix("+").encode() for sender in account.senders)
        self.networks = Networks(account.allowed_networks)
        self.http_networks = Networks(account.http_networks)
        self.dialect = dialect_of(account)
        self.languages = tuple(sorted(account.languages))
        self.converters: dict[str, tuple[Converter | None, Converter | None]] = {}
        self.offers: dict[bytes, Offer | Rejected | _Varying] = {}
        self.rerouted: dict[tuple[bytes, frozenset[str]], Offer | Rejected] = {}
        self.made: dict[tuple[str, int, int, int], Offer] = {}
        self.varying: dict[tuple[object, ...], _Varying] = {}
        self.sources: dict[tuple[int, int, bytes], PlannedSource | Rejected] = {}


class KeyEntry:
    """An HTTP key with its account, as requests ask about them.

    scopes: bits of core.scopes. expires_ms: since the Unix epoch; 0: never.
    """

    __slots__ = ("entry", "expires_ms", "key_hash", "scopes")

    def __init__(self, key: ApiKey, entry: AccountEntry) -> None:
        self.key_hash = key.key_hash
        self.entry = entry
        self.scopes = bits_of(key.scopes)
        self.expires_ms = int(key.expires_at.timestamp() * 1000) if key.expires_at is not None else 0


class DirectoryIndex:
    """Immutable but for what it remembers; shared by everything in a process that decides.

    validity_default_ms: how long a message is tried when the customer says nothing. prices, rules: those of the
    snapshot, where they are built already. schedule_max_ms: how far ahead a message may be scheduled. out: upstreams
    that new messages go around.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        validity_default_ms: int = VALIDITY_DEFAULT_MS,
        prices: PriceTables | None = None,
        schedule_max_ms: int = SCHEDULE_MAX_MS,
        rules: Rules | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.schedule_max_ms = schedule_max_ms
        self.validity_default_ms = validity_default_ms
        self.prices = PriceTables(snapshot.prices, snapshot.costs) if prices is None else prices
        self.endpoints = Endpoints(snapshot.webhook_endpoints)
        tells_states = self.endpoints.tells_states
        self._entries = {account.id: AccountEntry(account, tells_states(account.id)) for account in snapshot.accounts}
        self.has_strict = any(entry.is_strict for entry in self._entries.values())
        self._credentials = {credential.system_id.encode(): credential for credential in snapshot.credentials}
        self._keys = {
            key.key_hash: KeyEntry(key, self._entries[key.account])
            for key in snapshot.api_keys
            if not key.is_revoked and key.account in self._entries
        }
        self._upstreams = {upstream.id: upstream for upstream in snapshot.upstreams}
        self.mo_rules = MoRules(snapshot.mo_numbers)
        self.halts = Halts(snapshot.halts) if snapshot.halts else NO_HALTS
        self.rules = Rules(snapshot.routes) if rules is None else rules
        self._digits_max = max(self.prices.length_max, self.rules.length_max)
        self._from_ms = self._until_ms = 0
        self._offers = 0
        self.out: frozenset[str] = frozenset()

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

    def key(self, key_hash: bytes) -> KeyEntry | None:
        """The key with this SHA-256, unless it was revoked; it may have expired."""
        return self._keys.get(key_hash)

    def upstream(self, upstream: str) -> Upstream | None:
        """The upstream with this id, enabled or not."""
        return self._upstreams.get(upstream)

    def is_paused(self, record: MessageRecord, now_ms: int) -> bool:
        """Whether a message is to wait: its account is paused, or the account and prefix of its route."""
        halts = self.halts
        if record.account in halts.paused_accounts:
            return True
        entry = self.entry(record.account) if halts.paused_routes else None
        if entry is None:
            return False
        rules = self.rules.of_prefix(entry.account, record.dest)
        taken = next(
            (found.route for found in judge(rules, entry.account, record.source, now_ms) if found.why is None), None
        )
        return taken is not None and (taken.account, taken.prefix) in halts.paused_routes

    def routed(
        self, entry: AccountEntry, digits: bytes, now_ms: int, source: bytes, id: int, closed: frozenset[str]
    ) -> Routed:
        """Which rule and upstreams a message has, and why not the others; by what offer() decides with."""
        rules = tuple(judge(self.rules.of_prefix(entry.account, digits), entry.account, source, now_ms))
        routed = Routed(rules)
        if (route := routed.route) is None:
            return routed
        order = in_order(route, lambda name: self.prices.cost(name, entry.account.currency, digits, now_ms), id)
        usable = tuple(name for name in order if self._taking(name) is not None) if self._is_open(route) else ()
        taken = next((name for name in usable if name not in closed), usable[0] if usable else None)
        passed = {name: self._why_passed(name, route, closed) for name in order if name != taken}
        return Routed(rules, usable, passed)

    def _is_open(self, route: Route) -> bool:
        """Whether an operator lets a route take new messages."""
        return (route.account, route.prefix) not in self.halts.drained_routes

    def _taking(self, name: str) -> Upstream | None:
        """The upstream of this name, if it takes new messages."""
        upstream = self._upstreams.get(name)
        if upstream is None or not upstream.is_enabled or name in self.halts.drained_upstreams:
            return None
        return upstream

    def _why_passed(self, name: str, route: Route, closed: frozenset[str]) -> Why:
        upstream = self._upstreams.get(name)
        if upstream is None:
            return Why.UNKNOWN
        if not upstream.is_enabled:
            return Why.DISABLED
        if name in self.halts.drained_upstreams or not self._is_open(route):
            return Why.DRAINED
        return Why.CLOSED if name in closed else Why.LATER

    def offer(
        self,
        entry: AccountEntry,
        digits: bytes,
        now_ms: int,
        source: bytes = b"",
        id: int = 0,
        closed: frozenset[str] = NONE_CLOSED,
    ) -> Offer | Rejected:
        """Upstream, price and cost for a destination at a moment, of a message with this id and this sender.

        closed: upstreams that it goes around; those that are out when there are none.
        Remembered by prefix for as long as no price changes, so that most calls are one look-up.
        """
        if not self._from_ms <= now_ms < self._until_ms:
            self._from_ms, self._until_ms = self.prices.span(now_ms)
            self._forget()
        closed = closed or self.out
        key = digits[: self._digits_max]
        offer = entry.offers.get(key)
        if offer is None:
            self._count()
            offer = entry.offers[key] = self._find_offer(entry, digits, now_ms)
        if type(offer) is _Varying:
            for step in offer.steps:
                if why_not(step.route, entry.account, source, now_ms) is None:
                    return step.take(id, closed)
            return Rejected(Reason.NO_ROUTE)
        if closed and type(offer) is Offer and offer.upstream.id in closed:
            return self._rerouted(entry, key, digits, now_ms, closed)
        return offer  # type: ignore[return-value]  # no _Varying, which a check by type() does not tell

    def _rerouted(
        self, entry: AccountEntry, key: bytes, digits: bytes, now_ms: int, closed: frozenset[str]
    ) -> Offer | Rejected:
        found = entry.rerouted.get((key, closed))
        if found is None:
            self._count()
            steps = self._steps(entry, digits, now_ms)
            found = steps if isinstance(steps, Rejected) else steps[0].take(0, closed)
            entry.rerouted[key, closed] = found
        return found

    def _count(self) -> None:
        if self._offers >= OFFERS_MAX:
            self._forget()
        self._offers += 1

    def go_around(self, out: frozenset[str]) -> None:
        """From now on plan around these upstreams, where a route has another; all others are used again."""
        self.out = out

    def _forget(self) -> None:
        for entry in self._entries.values():
            entry.offers.clear()
            entry.rerouted.clear()
            entry.made.clear()
            entry.varying.clear()
        self._offers = 0

    def _find_offer(self, entry: AccountEntry, digits: bytes, now_ms: int) -> Offer | Rejected | _Varying:
        if (route := self.rules.plain(account := entry.account, digits)) is not None:
            price = self.prices.price(account.plan, digits, now_ms)
            for name in route.upstreams if price is not None and self._is_open(route) else ():
                upstream = self._taking(name)
                if upstream is not None:
                    cost = self.prices.cost(name, account.currency, digits, now_ms) or 0
                    return self._made(entry, upstream, price or 0, cost, _DOUBTS.index(route.in_doubt))
        steps = self._steps(entry, digits, now_ms)
        if isinstance(steps, Rejected):
            return steps
        if not is_varying(steps[0].route):
            return steps[0].take(0, NONE_CLOSED)
        shared = tuple((step.route.label, *map(id, step.offers.values())) for step in steps)
        found = entry.varying.get(shared)
        if found is None:
            found = entry.varying[shared] = _Varying(steps)
        return found

    def _steps(self, entry: AccountEntry, digits: bytes, now_ms: int) -> tuple[_Step, ...] | Rejected:
        """What the rules of account and prefix offer, best first, up to the first that always fits."""
        account = entry.account
        rules: list[Route] = []
        for route in self.rules.of_prefix(account, digits):
            if route.tags <= account.tags:
                rules.append(route)
                if not (route.source or route.zone):
                    break
        if not rules:
            return Rejected(Reason.NO_ROUTE)
        price = self.prices.price(account.plan, digits, now_ms)
        if price is None:
            return Rejected(Reason.NO_ROUTE, "The price plan of the account does not cover this destination.")
        return tuple(self._step(entry, route, digits, now_ms, price) for route in rules)

    def _step(self, entry: AccountEntry, route: Route, digits: bytes, now_ms: int, price: int) -> _Step:
        known = [name for name in route.upstreams if name in self._upstreams]
        costs = {name: self.prices.cost(name, entry.account.currency, digits, now_ms) for name in route.upstreams}
        offers: dict[str, Offer] = {}
        for name in in_order(route, costs.get, 0) if self._is_open(route) else ():
            upstream = self._taking(name)
            if upstream is not None:
                offers[name] = self._made(entry, upstream, price, costs[name] or 0, _DOUBTS.index(route.in_doubt))
        return _Step(route, offers, Reason.NO_ROUTE_AVAILABLE if known else Reason.NO_ROUTE)

    def _made(self, entry: AccountEntry, upstream: Upstream, price: int, cost: int, in_doubt: int) -> Offer:
        asked = upstream.id, price, cost, in_doubt
        made = entry.made.get(asked)
        if made is None:
            made = entry.made[asked] = Offer(upstream, price, cost, *self._converters(entry, upstream), in_doubt)
        return made

    def _converters(self, entry: AccountEntry, upstream: Upstream) -> tuple[Converter | None, Converter | None]:
        found = entry.converters.get(upstream.id)
        if found is None:
            found = converter_for(entry.dialect, upstream), converter_for(PLAIN, upstream)
            entry.converters[upstream.id] = found
        return found
