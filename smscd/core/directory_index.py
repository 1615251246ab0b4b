"""Look-up tables over one snapshot of the directory: accounts, keys, routes and prices by longest prefix.

Built once for each snapshot and then replaced as a whole. What planning needs for one account and one prefix (its
`Offer`) is worked out at the first message and remembered, up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from smscd.core.conversion import Converter, converter_for
from smscd.core.directory import Account, ApiKey, Credential, MoNumber, Route, Snapshot, Upstream
from smscd.core.networks import Networks
from smscd.core.profiles import PLAIN, dialect_of
from smscd.core.reasons import Reason, Rejected

OFFERS_MAX: Final = 65_536
SOURCES_MAX: Final = 1_024
VALIDITY_DEFAULT_MS: Final = 24 * 3_600_000

T = TypeVar("T")

_NOTHING: Final = object()


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What an account is offered for a destination prefix. price_micros is of one segment.

    converter: of what its ESMEs send. text_converter: of texts over HTTP, which we encode. None: nothing to do.
    """

    upstream: Upstream
    price_micros: int
    converter: Converter | None = None
    text_converter: Converter | None = None


class PlannedSource(msgspec.Struct, frozen=True, gc=False):
    """A sender as it goes to the upstream, found allowed for the account."""

    ton: int
    npi: int
    address: bytes


class AccountEntry:
    """One account with what is remembered for it; planning fills `offers` and `sources`, both bounded.

    converters: of its ESMEs and of its texts, by upstream.
    """

    __slots__ = (
        "account", "converters", "dialect", "floor_micros", "languages", "networks", "offers", "senders", "sources",
    )  # fmt: skip

    def __init__(self, account: Account) -> None:
        self.account = account
        self.floor_micros = -account.credit_limit_micros
        self.senders = frozenset(sender.removeprefix("+").encode() for sender in account.senders)
        self.networks = Networks(account.allowed_networks)
        self.dialect = dialect_of(account)
        self.languages = tuple(sorted(account.languages))
        self.converters: dict[str, tuple[Converter | None, Converter | None]] = {}
        self.offers: dict[bytes, Offer | Rejected] = {}
        self.sources: dict[tuple[int, int, bytes], PlannedSource | Rejected] = {}


_Probe: TypeAlias = "tuple[int, _Probe | None, _Probe | None]"
"""One step of a search over prefix lengths: which length to try, and how to go on after a hit or a miss."""


class PrefixTable(Generic[T]):
    """Longest-prefix look-up by binary search over the lengths that occur.

    Beside the prefixes the dict holds marks: the start of a longer prefix at each length where the search for that
    prefix has to turn to the longer ones, with the value of the mark's own longest prefix.
    """

    __slots__ = ("_root", "_values", "length_max")

    def __init__(self, items: Iterable[tuple[str, T]]) -> None:
        values: dict[bytes, T | object] = {prefix.removeprefix("+").encode(): value for prefix, value in items}
        lengths = sorted({len(prefix) for prefix in values})
        self._root = _balanced(lengths)
        self.length_max = lengths[-1] if lengths else 0
        marks: dict[bytes, T | object] = {}
        for prefix in values:
            for length in _turns(self._root, len(prefix)):
                mark = prefix[:length]
                if mark not in values and mark not in marks:
                    shorter = (mark[:n] for n in range(length, -1, -1) if mark[:n] in values)
                    marks[mark] = next((values[start] for start in shorter), _NOTHING)
        values.update(marks)
        self._values = values

    def find(self, digits: bytes) -> T | None:
        """The value of the longest prefix of `digits`; None when no prefix is one."""
        find = self._values.get
        best = None
        probe = self._root
        while probe is not None:
            length, after_hit, probe = probe
            found = find(digits[:length])
            if found is not None:
                best = found
                probe = after_hit
        return None if best is _NOTHING else best  # type: ignore[return-value]  # all but _NOTHING are values


class DirectoryIndex:
    """Immutable but for what it remembers; shared by everything in a process that decides.

    validity_default_ms: how long a message is tried when the customer says nothing.
    """

    def __init__(self, snapshot: Snapshot, validity_default_ms: int = VALIDITY_DEFAULT_MS) -> None:
        self.snapshot = snapshot
        self.validity_default_ms = validity_default_ms
        self._entries = {account.id: AccountEntry(account) for account in snapshot.accounts}
        self._credentials = {credential.system_id.encode(): credential for credential in snapshot.credentials}
        self._api_keys = {key.key_hash: key for key in snapshot.api_keys if not key.is_revoked}
        self._upstreams = {upstream.id: upstream for upstream in snapshot.upstreams}
        self._mo_numbers = {number.number.removeprefix("+").encode(): number for number in snapshot.mo_numbers}
        self._routes = _by_owner((route.account, route.prefix, route) for route in snapshot.routes)
        self._prices = _by_owner((price.plan, price.prefix, price.price_micros) for price in snapshot.prices)
        self._digits_max = max(
            [table.length_max for table in self._routes.values()]
            + [table.length_max for table in self._prices.values()],
            default=0,
        )

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

    def mo_number(self, address: bytes) -> MoNumber | None:
        """The number of ours that this destination address is, with or without a plus sign."""
        return self._mo_numbers.get(address.removeprefix(b"+"))

    def route(self, account: str, digits: bytes) -> Route | None:
        """The route with the longest prefix: of the account's own if any fits, else of those for all."""
        own = self._routes.get(account)
        found = own.find(digits) if own is not None else None
        if found is None and (general := self._routes.get("")) is not None:
            found = general.find(digits)
        return found

    def price(self, plan: str, digits: bytes) -> int | None:
        """Micro-units for one segment to this destination; None when the plan does not cover it."""
        table = self._prices.get(plan)
        return table.find(digits) if table is not None else None

    def offer(self, entry: AccountEntry, digits: bytes) -> Offer | Rejected:
        """Upstream and price for a destination; remembered by prefix, so that most calls are one look-up."""
        key = digits[: self._digits_max]
        offer = entry.offers.get(key)
        if offer is None:
            if len(entry.offers) >= OFFERS_MAX:
                entry.offers.clear()
            offer = entry.offers[key] = self._find_offer(entry, digits)
        return offer

    def _find_offer(self, entry: AccountEntry, digits: bytes) -> Offer | Rejected:
        account = entry.account
        route = self.route(account.id, digits)
        if route is None:
            return Rejected(Reason.NO_ROUTE)
        price = self.price(account.plan, digits)
        if price is None:
            return Rejected(Reason.NO_ROUTE, "The price plan of the account does not cover this destination.")
        known = [self._upstreams[name] for name in route.upstreams if name in self._upstreams]
        for upstream in known:
            if upstream.is_enabled:
                return Offer(upstream, price, *self._converters(entry, upstream))
        return Rejected(Reason.NO_ROUTE_AVAILABLE if known else Reason.NO_ROUTE)

    def _converters(self, entry: AccountEntry, upstream: Upstream) -> tuple[Converter | None, Converter | None]:
        found = entry.converters.get(upstream.id)
        if found is None:
            found = converter_for(entry.dialect, upstream), converter_for(PLAIN, upstream)
            entry.converters[upstream.id] = found
        return found


def _by_owner(items: Iterable[tuple[str, str, T]]) -> dict[str, PrefixTable[T]]:
    """Prefix tables by account or plan, from (owner, prefix, value)."""
    owned: dict[str, list[tuple[str, T]]] = {}
    for owner, prefix, value in items:
        owned.setdefault(owner, []).append((prefix, value))
    return {owner: PrefixTable(pairs) for owner, pairs in owned.items()}


def _balanced(lengths: list[int]) -> _Probe | None:
    """The binary search over rising lengths."""
    if not lengths:
        return None
    middle = len(lengths) // 2
    return lengths[middle], _balanced(lengths[middle + 1 :]), _balanced(lengths[:middle])


def _turns(probe: _Probe | None, length: int) -> Iterator[int]:
    """The lengths at which the search for a prefix of this length must find something in order to get to it."""
    while probe is not None and probe[0] != length:
        tried, after_hit, after_miss = probe
        if tried < length:
            yield tried
        probe = after_hit if tried < length else after_miss
