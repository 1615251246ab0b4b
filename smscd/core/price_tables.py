"""What a segment is sold and bought for: by longest destination prefix, at a moment.

A row may be valid for a time only: half-open, in milliseconds since the Unix epoch, None for always. Where the longest
prefix has no price at that moment, the next shorter one counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from smscd.core.directory import Cost, Price
from smscd.core.prefix_table import STEP_PREFIXES, PrefixTable

EVER_MS: Final = 1 << 62


class _Period(NamedTuple):
    """One price of a prefix, and when it is valid."""

    from_ms: int
    until_ms: int
    micros: int


class _Dated(NamedTuple):
    """The prices of a prefix that changes, the latest first. length: of the prefix."""

    length: int
    periods: tuple[_Period, ...]

    def at(self, now_ms: int) -> int | None:
        """The price at a moment."""
        return next((micros for from_ms, until_ms, micros in self.periods if from_ms <= now_ms < until_ms), None)


class DatedTable:
    """Micro-units by longest prefix at a moment: rows are added, then it is built.

    changes_ms: the moments at which any of them changes.
    """

    __slots__ = ("_rows", "_table", "changes_ms")

    def __init__(self) -> None:
        self._rows: dict[str, int | _Dated] = {}
        self._table: PrefixTable[int | _Dated] = PrefixTable()
        self.changes_ms: set[int] = set()

    @property
    def length_max(self) -> int:
        """The length of the longest prefix."""
        return self._table.length_max

    def add(self, prefix: str, micros: int, from_ms: int | None, until_ms: int | None) -> None:
        """One row. A row without dates is kept as a number: a hundred thousand tuples are a long turn of the GC."""
        prefix = prefix.removeprefix("+")
        before = self._rows.get(prefix)
        if before is None and from_ms is None and until_ms is None:
            self._rows[prefix] = micros
            return
        period = _Period(-EVER_MS if from_ms is None else from_ms, EVER_MS if until_ms is None else until_ms, micros)
        if isinstance(before, int):
            before = _Dated(len(prefix), (_Period(-EVER_MS, EVER_MS, before),))
        periods = before.periods if before is not None else ()
        self._rows[prefix] = _Dated(len(prefix), tuple(sorted((*periods, period), reverse=True)))
        self.changes_ms |= {period.from_ms, period.until_ms} - {-EVER_MS, EVER_MS}

    def build(self) -> Iterator[None]:
        """Make what was added findable, in steps."""
        rows, self._rows = self._rows, {}
        yield from self._table.fill(rows.items())

    def find(self, digits: bytes, now_ms: int) -> int | None:
        """Micro-units of one segment to this destination; None where nothing is said of it."""
        found = self._table.find(digits)
        while isinstance(found, _Dated):
            micros = found.at(now_ms)
            if micros is not None or not found.length:
                return micros
            found = self._table.find(digits[: found.length - 1])
        return found


class PriceTables:
    """The prices of all plans and the costs of all upstreams. Immutable once it is filled."""

    def __init__(self, prices: Iterable[Price] = (), costs: Iterable[Cost] = ()) -> None:
        self._prices: dict[str, DatedTable] = {}
        self._costs: dict[tuple[str, str], DatedTable] = {}
        self._changes_ms: list[int] = []
        self.length_max = 0
        for _ in self.fill(prices, costs):
            pass

    def fill(self, prices: Iterable[Price], costs: Iterable[Cost]) -> Iterator[None]:
        """Build them from these in steps of some milliseconds at most, for who has something else to do."""
        sold: dict[str, DatedTable] = {}
        bought: dict[tuple[str, str], DatedTable] = {}
        for count, price in enumerate(prices, 1):
            sold_by = sold.get(price.plan) or sold.setdefault(price.plan, DatedTable())
            sold_by.add(price.prefix, price.price_micros, price.valid_from_ms, price.valid_until_ms)
            if not count % STEP_PREFIXES:
                yield
        for count, cost in enumerate(costs, 1):
            owner = cost.upstream, cost.currency
            bought_by = bought.get(owner) or bought.setdefault(owner, DatedTable())
            bought_by.add(cost.prefix, cost.cost_micros, cost.valid_from_ms, cost.valid_until_ms)
            if not count % STEP_PREFIXES:
                yield
        for table in (*sold.values(), *bought.values()):
            yield from table.build()
        self._prices, self._costs = sold, bought
        tables = (*self._prices.values(), *self._costs.values())
        self._changes_ms = sorted(set().union(*(table.changes_ms for table in tables)))
        self.length_max = max((table.length_max for table in tables), default=0)

    def price(self, plan: str, digits: bytes, now_ms: int) -> int | None:
        """What the plan asks for one segment to this destination; None when it does not cover it."""
        table = self._prices.get(plan)
        return table.find(digits, now_ms) if table is not None else None

    def cost(self, upstream: str, currency: str, digits: bytes, now_ms: int) -> int | None:
        """What the upstream asks for it, in this currency; None when that is not known."""
        table = self._costs.get((upstream, currency))
        return table.find(digits, now_ms) if table is not None else None

    def span(self, now_ms: int) -> tuple[int, int]:
        """From when until when all prices are what they are now; half-open."""
        at = bisect_right(self._changes_ms, now_ms)
        changes = self._changes_ms
        return changes[at - 1] if at else -EVER_MS, changes[at] if at < len(changes) else EVER_MS
