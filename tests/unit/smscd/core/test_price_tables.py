"""Prices at a moment: the longest prefix that has one then, and when they change."""

from __future__ import annotations

import random

import pytest

from smscd.core.directory import Cost, Price
from smscd.core.prefix_table import STEP_PREFIXES
from smscd.core.price_tables import EVER_MS, PriceTables

DAY = 86_400_000


def price(prefix: str, micros: int, from_ms: int | None = None, until_ms: int | None = None) -> Price:
    return Price(plan="p", prefix=prefix, price_micros=micros, valid_from_ms=from_ms, valid_until_ms=until_ms)


@pytest.mark.parametrize(
    ("now_ms", "expected"),
    [(-DAY, 5), (9, 5), (10, 1), (19, 1), (20, 2), (29, 2), (30, 5), (EVER_MS - 1, 5)],
)
def test_a_price_is_valid_from_its_first_moment_up_to_its_last(now_ms: int, expected: int) -> None:
    tables = PriceTables([price("44", 2, 20, 30), price("+44", 1, 10, 20), price("4", 5)])
    assert tables.price("p", b"4477", now_ms) == expected


def test_a_destination_has_no_price_before_its_first_and_after_its_last() -> None:
    tables = PriceTables([price("44", 1, 10, 20), price("", 9, None, 15)])
    assert [tables.price("p", b"44", now_ms) for now_ms in (9, 10, 20)] == [9, 1, None]
    assert [tables.price("p", b"33", now_ms) for now_ms in (14, 15)] == [9, None]
    assert tables.price("other", b"44", 10) is None


def test_the_span_is_the_time_in_which_nothing_changes() -> None:
    cost = Cost(upstream="u", currency="EUR", prefix="", cost_micros=1, valid_until_ms=15)
    tables = PriceTables([price("44", 1, 10, 20), price("44", 2, 20), price("4", 3)], [cost])
    spans = [tables.span(now_ms) for now_ms in (9, 10, 14, 15, 19, 20)]
    assert spans == [(-EVER_MS, 10), (10, 15), (10, 15), (15, 20), (15, 20), (20, EVER_MS)]
    assert PriceTables().span(0) == (-EVER_MS, EVER_MS)


def test_a_cost_is_that_of_the_upstream_in_the_currency() -> None:
    costs = [
        Cost(upstream="u", currency="EUR", prefix="44", cost_micros=1),
        Cost(upstream="u", currency="USD", prefix="44", cost_micros=2),
    ]
    tables = PriceTables([], costs)
    assert [tables.cost("u", currency, b"44", 0) for currency in ("EUR", "USD", "GBP")] == [1, 2, None]
    assert tables.cost("v", "EUR", b"44", 0) is None and tables.cost("u", "EUR", b"33", 0) is None


def test_random_prices_are_those_that_trying_every_length_finds() -> None:
    chance = random.Random(7)
    for _ in range(200):
        rows: list[Price] = []
        for prefix in {"".join(chance.choices("123", k=chance.randrange(5))) for _ in range(chance.randrange(30))}:
            edges = sorted(chance.sample(range(20), k=chance.choice((0, 2, 4))))
            if not edges:
                rows.append(price(prefix, chance.randrange(99)))
            for from_ms, until_ms in zip(edges[::2], edges[1::2], strict=True):
                rows.append(price(prefix, chance.randrange(99), from_ms or None, until_ms))
        tables = PriceTables(rows)
        for _ in range(50):
            number, now_ms = "".join(chance.choices("123", k=chance.randrange(7))), chance.randrange(-1, 21)
            valid = [
                row
                for row in rows
                if number.startswith(row.prefix)
                and (row.valid_from_ms is None or row.valid_from_ms <= now_ms)
                and (row.valid_until_ms is None or now_ms < row.valid_until_ms)
            ]
            longest = max(valid, key=lambda row: len(row.prefix), default=None)
            expected = longest.price_micros if longest is not None else None
            assert tables.price("p", number.encode(), now_ms) == expected
            assert (tables.span(now_ms)[0] <= now_ms < tables.span(now_ms)[1]) is True


def test_many_prices_are_built_in_many_steps() -> None:
    rows = [price(str(number), number, *((1, 2) if number % 3 else ())) for number in range(20 * STEP_PREFIXES)]
    tables = PriceTables()
    assert sum(1 for _ in tables.fill(rows, ())) >= 3 * 20
    assert tables.price("p", b"777", 1) == 777
