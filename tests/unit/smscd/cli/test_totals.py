"""`smscd totals`: rows are added up by what is asked for, and never two currencies."""

from __future__ import annotations

from datetime import date

import pytest

from smscd.cli.totals import DIMENSIONS, _print_csv, _print_table, fold
from smscd.core.totals import Counts, Key
from storage.postgres.totals import DayRow

MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)
ONE = Counts(1, 2, 30_000, 10_000, 8_000, 1)
ROWS = (
    DayRow(TUESDAY, Key("acme", "GB", "north"), "EUR", ONE),
    DayRow(MONDAY, Key("acme", "GB", "north"), "EUR", ONE),
    DayRow(MONDAY, Key("acme", "", "south"), "EUR", ONE),
    DayRow(MONDAY, Key("other", "GB", "north"), "USD", ONE),
)


@pytest.mark.parametrize(
    ("dimensions", "expected"),
    [
        (("account",), [(("acme",), "EUR", 3), (("other",), "USD", 1)]),
        (("country",), [(("",), "EUR", 1), (("GB",), "EUR", 2), (("GB",), "USD", 1)]),
        (("day", "upstream"), [
            (("2026-11-16", "north"), "EUR", 1), (("2026-11-16", "north"), "USD", 1),
            (("2026-11-16", "south"), "EUR", 1), (("2026-11-17", "north"), "EUR", 1),
        ]),
    ],
)  # fmt: skip
def test_rows_of_the_same_names_and_currency_are_one(
    dimensions: tuple[str, ...], expected: list[tuple[tuple[str, ...], str, int]]
) -> None:
    lines = fold(ROWS, dimensions)
    assert [(tuple(line.names.values()), line.currency, line.counts.messages) for line in lines] == expected
    for name in Counts._fields:
        assert sum(getattr(line.counts, name) for line in lines) == len(ROWS) * getattr(ONE, name)


def test_all_dimensions_leave_every_row_as_it_is() -> None:
    assert [line.counts for line in fold(ROWS, DIMENSIONS)] == [ONE] * len(ROWS)


def test_a_table_ends_with_a_line_for_each_currency(capsys: pytest.CaptureFixture[str]) -> None:
    _print_table(("country",), fold(ROWS, ("country",)))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line[0] for line in lines[2:]] == ["unknown", "GB", "GB", "all", "all"]
    assert lines[-2] == ["all", "3", "6", "0.09", "EUR", "0.03", "EUR", "0.024", "EUR", "0.036", "EUR", "of", "3"]
    assert lines[-1] == ["all", "1", "2", "0.03", "USD", "0.01", "USD", "0.008", "USD", "0.012", "USD", "of", "1"]


def test_csv_has_the_currency_in_every_row_and_no_sums(capsys: pytest.CaptureFixture[str]) -> None:
    _print_csv(("account",), fold(ROWS, ("account",)))
    assert capsys.readouterr().out.splitlines() == [
        "account,messages,segments,charged,refunded,cost,margin,messages_without_cost,currency",
        "acme,3,6,0.09,0.03,0.024,0.036,3,EUR",
        "other,1,2,0.03,0.01,0.008,0.012,1,USD",
    ]
