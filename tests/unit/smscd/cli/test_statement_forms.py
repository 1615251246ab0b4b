"""A statement as a table, as CSV and as JSON, and what is said of one that does not add up."""

from __future__ import annotations

import csv
import json
from io import StringIO

import pytest

from smscd.cli.statement_forms import COLUMNS, Csv, Form, Json, Sum, Table, Tally
from smscd.core.ids import first_id
from storage.postgres.account_entries import BookedEntry

NOON_MS = 1_795_003_200_123
AT = "2026-11-18T12:00:00.123Z"
ENTRIES = (
    BookedEntry(first_id(NOON_MS), 5, "topup", 100_000_000, 100_500_000, 0, "invoice-7", 'said "yes", twice'),
    BookedEntry(first_id(NOON_MS) + 1, 6, "charge", -12_345, 100_487_655, 3, None, None),
    BookedEntry(first_id(NOON_MS) + 2, 7, "charge", -1_000_000, 99_487_655, 1_200, None, None),
)


def tallied(*entries: BookedEntry, opening: int = 500_000, after: int = 4, count: int | None = None) -> Tally:
    tally = Tally(opening, after)
    for entry in entries:
        tally.add(entry)
    tally.finish(len(entries) if count is None else count)
    return tally


def written(form: Form, tally: Tally) -> None:
    form.opening(tally.opening_micros)
    for entry in ENTRIES:
        form.entry(entry)
    form.closing(tally)


def test_what_adds_up_has_sums_by_kind_and_no_fault() -> None:
    tally = tallied(*ENTRIES)
    assert (tally.closing_micros, tally.difference_micros, tally.faults) == (99_487_655, 0, [])
    assert tally.sums == {"topup": Sum(100_000_000, 1, 0), "charge": Sum(-1_012_345, 2, 1_203)}


def test_nothing_at_all_closes_as_it_opened() -> None:
    tally = tallied()
    assert (tally.closing_micros, tally.sums, tally.faults) == (500_000, {}, [])


@pytest.mark.parametrize(
    ("tally", "said"),
    [
        (tallied(ENTRIES[0], ENTRIES[2]), "Entry 6 is missing"),
        (tallied(ENTRIES[0], ENTRIES[1], ENTRIES[1]), "6 stands twice"),
        (tallied(ENTRIES[0]._replace(amount_micros=1)), "The balance of entry 5"),
        (tallied(*ENTRIES, opening=0), "The balance of entry 5"),
        (tallied(*ENTRIES[:2], count=3), "There are 2 entries where there should be 3"),
        (tallied(ENTRIES[0]._replace(amount_micros=100_000_007)), "make 0.000007 more than the closing balance"),
        (tallied(*ENTRIES, opening=0), "make -0.50 more than the closing balance"),
    ],
)
def test_what_does_not_add_up_is_said(tally: Tally, said: str) -> None:
    assert any(said in fault for fault in tally.faults), tally.faults


def test_csv_says_in_each_row_what_it_is() -> None:
    out = StringIO()
    written(Csv(out, "EUR"), tallied(*ENTRIES))
    rows = list(csv.DictReader(StringIO(out.getvalue())))
    assert list(rows[0]) == [*COLUMNS, "currency"] and {row["currency"] for row in rows} == {"EUR"}
    assert [row["row"] for row in rows] == ["opening", "entry", "entry", "entry", "closing", "sum", "sum"]
    assert (rows[0]["balance"], rows[4]["balance"]) == ("0.50", "99.487655")
    assert rows[1] == {
        "row": "entry", "time": AT, "kind": "topup", "amount": "100.00", "balance": "100.50", "messages": "0",
        "reference": "invoice-7", "note": 'said "yes", twice', "entry": str(ENTRIES[0].id), "currency": "EUR",
    }  # fmt: skip
    assert [(row["kind"], row["amount"], row["messages"]) for row in rows[5:]] == [
        ("charge", "-1.012345", "1203"),
        ("topup", "100.00", "0"),
    ]


def test_json_is_one_value_with_integers_for_money() -> None:
    out = StringIO()
    written(Json(out, "acme", "EUR"), tallied(*ENTRIES))
    found = json.loads(out.getvalue())
    assert (found["account"], found["currency"], found["opening_micros"]) == ("acme", "EUR", 500_000)
    assert (found["closing_micros"], found["difference_micros"], found["faults"]) == (99_487_655, 0, [])
    assert [entry["amount_micros"] for entry in found["entries"]] == [100_000_000, -12_345, -1_000_000]
    assert (found["entries"][0]["at"], found["entries"][0]["id"]) == (AT, str(ENTRIES[0].id))
    assert found["sums"]["charge"] == {"micros": -1_012_345, "entries": 2, "messages": 1_203}


def test_json_of_nothing_is_still_one_value() -> None:
    out = StringIO()
    form, tally = Json(out, "acme", "EUR"), tallied()
    form.opening(500_000)
    form.closing(tally)
    assert json.loads(out.getvalue())["entries"] == []


def test_a_table_has_its_columns_one_below_the_other() -> None:
    out = StringIO()
    written(Table(out, "EUR"), tallied(*ENTRIES))
    lines = out.getvalue().splitlines()
    assert "amount EUR" in lines[0] and lines[1].split() == ["opening", "0.50"]
    assert lines[2].startswith("2026-11-18 12:00:00  topup") and lines[2].endswith('  invoice-7, said "yes", twice')
    assert lines[5].split() == ["closing", "99.487655"]
    assert lines[7].split() == ["2", "entries", "charge", "-1.012345", "1,203"]
    ends = [
        line.index(amount) + len(amount)
        for line, amount in zip(lines[2:5], ("100.00", "-0.012345", "-1.00"), strict=True)
    ]
    assert len(set(ends)) == 1
