"""Routing, pure: which rule a message goes by, and its upstreams in order.

The order of the rules, best first: an account's own, those for its tags, those for all; among them the longest prefix;
then one with a pattern of the sender, the longer the better; one with a window of time; more tags; the name. The first
that fits decides, also when none of its upstreams can be used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from enum import Enum
from fnmatch import translate
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from smscd.core.directory import Account, Route, zone_of
from smscd.core.prefix_table import STEP_PREFIXES, PrefixTable

NONE_CLOSED: Final[frozenset[str]] = frozenset()
_MINUTE_MS: Final = 60_000
_WORD: Final = (1 << 64) - 1
_PATTERNS_MAX: Final = 4_096
_MINUTES_MAX: Final = 4_096


class Why(Enum):
    """Why a rule, or an upstream of the rule that is taken, is not taken."""

    TAGS = "the account does not have its tags"
    SOURCE = "the sender does not match its pattern"
    TIME = "it is not its time"
    ZONE = "this machine does not know its time zone"
    LOWER = "a rule that comes before it fits"
    UNKNOWN = "there is no such upstream"
    DISABLED = "the upstream is not enabled"
    DRAINED = "an operator drains it, or the route"
    CLOSED = "it is out: `smscd upstream list` says why"
    LATER = "an upstream before it can be used"


class Judged(NamedTuple):
    """A rule whose prefix fits; why: None for the one that is taken."""

    route: Route
    why: Why | None


class Rules:
    """All routes, to be asked for those that may concern an account and a destination. Immutable once it is filled.

    unusable: those whose time zone was not known here when they were filled in: they fit nothing.
    """

    __slots__ = ("_by_account", "_has_tagged", "_tagged", "length_max", "unusable")

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        for _ in self.fill(routes):
            pass

    def fill(self, routes: Iterable[Route]) -> Iterator[None]:
        """Build them from these in steps of some milliseconds at most, for who has something else to do."""
        owned: dict[str, dict[str, list[Route]]] = {}
        tagged: dict[str, list[Route]] = {}
        zoned: list[Route] = []
        for count, route in enumerate(routes, 1):
            group = tagged if route.tags else owned.setdefault(route.account, {})
            group.setdefault(route.digits, []).append(route)
            if route.zone:
                zoned.append(route)
            if not count % STEP_PREFIXES:
                yield
        self._by_account: dict[str, PrefixTable[tuple[Route, ...]]] = {account: PrefixTable() for account in owned}
        self._tagged: PrefixTable[tuple[Route, ...]] = PrefixTable()
        for account, table in self._by_account.items():
            yield from table.fill(_rows(owned[account]))
            yield
        yield from self._tagged.fill(_rows(tagged))
        self._has_tagged = bool(tagged)
        self.length_max = max(table.length_max for table in (*self._by_account.values(), self._tagged))
        unknown = {zone for zone in {route.zone for route in zoned} if not is_zone(zone)}
        self.unusable = tuple(route for route in zoned if route.zone in unknown)

    def of_prefix(self, account: Account, digits: bytes) -> Iterator[Route]:
        """The account's own rules, those for tags and those for all whose prefix fits, best first."""
        if (own := self._by_account.get(account.id)) is not None:
            yield from _descend(own, digits)
        yield from _descend(self._tagged, digits)
        if (general := self._by_account.get("")) is not None:
            yield from _descend(general, digits)

    def plain(self, account: Account, digits: bytes) -> Route | None:
        """The first of them where it says no more than account, prefix and order, and tags have no part in it."""
        own = self._by_account.get(account.id)
        found = own.find(digits) if own is not None else None
        if found is None and (general := self._by_account.get("")) is not None:
            if account.tags and self._has_tagged:
                return None
            found = general.find(digits)
        if found is None:
            return None
        route = found[0]
        return None if is_varying(route) or route.choice == "least_cost" else route


def judge(rules: Iterable[Route], account: Account, source: bytes, now_ms: int) -> Iterator[Judged]:
    """What becomes of each of these rules, given best first: the first that fits is taken."""
    is_taken = False
    for route in rules:
        why = why_not(route, account, source, now_ms)
        if why is None and is_taken:
            why = Why.LOWER
        is_taken = is_taken or why is None
        yield Judged(route, why)


def why_not(route: Route, account: Account, source: bytes, now_ms: int) -> Why | None:
    """Why a rule does not fit, its account and its prefix aside; None when it does. source: as it is sent."""
    if route.tags and not route.tags <= account.tags:
        return Why.TAGS
    if route.source and not _pattern(route.source).match(source.decode("latin-1")):
        return Why.SOURCE
    if route.zone:
        return _why_closed(route.zone, route.days, route.from_minute, route.until_minute, now_ms // _MINUTE_MS)
    return None


def in_order(route: Route, cost: Callable[[str], int | None], id: int) -> tuple[str, ...]:
    """The upstreams of a rule, in the order in which a message tries them. cost: what an upstream asks for it."""
    if route.choice == "least_cost":
        costs = {name: cost(name) for name in route.upstreams}
        return tuple(sorted(costs, key=lambda name: (costs[name] is None, costs[name] or 0)))
    return drawn(route, id) if route.choice == "weighted" else route.upstreams


def drawn(route: Route, id: int) -> tuple[str, ...]:
    """The upstreams of a weighted rule as the id of a message draws them, one after the other by weight.

    So one that cannot be used leaves its messages to the others by their weights. Weight 0 comes last.
    """
    left = {name: weight for name, weight in zip(route.upstreams, route.weights, strict=True) if weight}
    total, state, order = sum(left.values()), id & _WORD, []
    while len(left) > 1:
        state = state + 0x9E3779B97F4A7C15 & _WORD
        at = _mixed(state) % total
        ends = accumulate(left.values())
        name = next(name for name, end in zip(left, ends, strict=True) if at < end)
        order.append(name)
        total -= left.pop(name)
    order += left
    order += [name for name, weight in zip(route.upstreams, route.weights, strict=True) if not weight]
    return tuple(order)


def is_varying(route: Route) -> bool:
    """True when account, prefix and prices do not say alone which upstream a message goes to by this rule."""
    return bool(route.source or route.zone) or route.choice == "weighted"


def _mixed(word: int) -> int:
    """Every bit of a word spread over all (the end of SplitMix64): ids of one moment differ in a few bits only."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
    return word ^ word >> 31


@lru_cache(maxsize=_PATTERNS_MAX)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


@lru_cache(maxsize=_MINUTES_MAX)
def _why_closed(zone: str, days: frozenset[int], from_minute: int, until_minute: int, minute: int) -> Why | None:
    """Why a window is not open in a minute since the epoch. One over midnight belongs to the day that it begins on."""
    if not is_zone(zone):
        return Why.ZONE
    local = datetime.fromtimestamp(minute * 60, UTC).astimezone(zone_of(zone))
    day, at = local.isoweekday(), local.hour * 60 + local.minute
    if from_minute < until_minute:
        is_in = from_minute <= at < until_minute
    else:
        is_in = at >= from_minute or at < until_minute
        if at < from_minute:
            day = (day - 2) % 7 + 1
    return None if is_in and (not days or day in days) else Why.TIME


def is_zone(name: str) -> bool:
    """Whether this machine knows a time zone of this name."""
    try:
        zone_of(name)
    except ValueError:
        return False
    return True


def _rows(group: dict[str, list[Route]]) -> Iterator[tuple[str, tuple[Route, ...]]]:
    return ((digits, tuple(sorted(rules, key=_specific_first))) for digits, rules in group.items())


def _specific_first(route: Route) -> tuple[int, bool, int, str]:
    return -len(route.source), not route.zone, -len(route.tags), route.name


def _descend(table: PrefixTable[tuple[Route, ...]], digits: bytes) -> Iterator[Route]:
    """The rules of every prefix of the digits, from the longest prefix on."""
    found = table.find(digits)
    while found is not None:
        yield from found
        length = len(found[0].digits)
        found = table.find(digits[: length - 1]) if length else None
