"""Price lists as CSV: exact, and every line that is wrong has its number and a sentence."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smscd.core.directory import PriceRow
from smscd.core.price_files import LineError, moment_ms, read_prices

DECEMBER = 1_796_083_200_000
HOUR = 3_600_000
NAMES = "prefix, price, valid_from, valid_until, description"


def rows_of(text: str) -> list[PriceRow]:
    found = read_prices(text.encode())
    assert found.errors == []
    return list(found.rows.values())


def test_a_plain_file_is_read() -> None:
    text = "prefix,price\n44,0.05\n+4477,1\n*,0.000001\n"
    assert read_prices(text.encode()).rows == {
        2: PriceRow("44", 50_000),
        3: PriceRow("4477", 1_000_000),
        4: PriceRow("", 1),
    }


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffprefix,price,valid_from,valid_until,description\r\n44,0.05,2026-12-01,,UK\r\n",
        "Prefix;Price;Valid_From\n44;0,05;2026-12-01T00:00\n",
        "description\tvalid_from\tprice\tprefix\nUK, all\t2026-12-01T01:00:00+01:00\t0.0500000000\t44\n",
        '"prefix","price","valid_from"\n"44","0.05","2026-12-01 00:00:00Z"\n\n',
        "prefix , price , valid_from\n 44 , 0.05 , 2026-12-01",
    ],
)
def test_what_spreadsheets_write_is_read(text: str) -> None:
    assert rows_of(text) == [PriceRow("44", 50_000, DECEMBER)]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (",0.05,,", "prefix '' is not 1 to 15 digits; * is all destinations"),
        ("4.4E+11,0.05,,", "prefix '4.4E+11' is not 1 to 15 digits; * is all destinations"),
        ("\u0664\u0664,0.05,,", "prefix '\u0664\u0664' is not 1 to 15 digits; * is all destinations"),
        ("0044,0.05,,", "prefix '0044' begins with 00: prefixes begin with the country code"),
        ("44,,,", "price '' is not a number such as 0.0125"),
        ("44,-1,,", "price '-1' is not a number such as 0.0125"),
        ("44,1e-3,,", "price '1e-3' is not a number such as 0.0125"),
        ("44,nan,,", "price 'nan' is not a number such as 0.0125"),
        ('44,"0,05",,', "price '0,05' is not a number such as 0.0125"),
        ("44,0.0000001,,", "price '0.0000001' has more than six decimals"),
        ("44,10000000.000001,,", "price '10000000.000001' is more than 10,000,000"),
        ("44,1,01.12.2026,", "valid_from '01.12.2026' is not a date such as 2026-12-01 or 2026-12-01T00:00:00Z"),
        ("44,1,,2026-02-30", "valid_until '2026-02-30' is not a date such as 2026-12-01 or 2026-12-01T00:00:00Z"),
        ("44,1,2026-12-01,2026-12-01", "ends before it begins: valid_until is not after valid_from"),
        ("44,1", "has 2 fields, and the first line has 4"),
        ("44,1,,,,", "has 6 fields, and the first line has 4"),
        ('44,"1"x,,', "is not CSV: ',' expected after '\"'"),
    ],
)
def test_a_line_that_is_wrong_is_told_with_its_number(line: str, sentence: str) -> None:
    text = f"prefix,price,valid_from,valid_until\n33,1,,\n{line}\n"
    assert read_prices(text.encode()).errors == [LineError(3, sentence)]


def test_every_line_that_is_wrong_is_told() -> None:
    text = "prefix,price\n1,x\n2,1\n,1\n2,2\n"
    assert [line for line, _ in read_prices(text.encode()).errors] == [2, 4, 5]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", LineError(1, f"has no column prefix: the first line names the columns, {NAMES}")),
        (b"44,0.05\n", LineError(1, f"has no column prefix: the first line names the columns, {NAMES}")),
        (b"prefix,price,valid_form\n", LineError(1, f"has a column valid_form: there may be {NAMES}")),
        (b"prefix,price,\n", LineError(1, f"has a column without a name: there may be {NAMES}")),
        (b"prefix,price,price\n", LineError(1, "names a column twice")),
        (b"prefix,price\n\n", LineError(0, "has no prices")),
        (b"prefix,price,description\n44,1,caf\xe9\n", LineError(2, "is not UTF-8: save the file as UTF-8")),
    ],
)
def test_a_file_that_is_wrong_is_told(data: bytes, error: LineError) -> None:
    assert read_prices(data) == ({}, [error])


def test_prices_of_a_prefix_follow_one_another_and_do_not_overlap() -> None:
    head = "prefix,price,valid_from,valid_until\n"
    assert len(rows_of(head + "44,1,,2026-12-01\n44,2,2026-12-01,2026-12-02\n+44,3,2026-12-02,\n")) == 3
    for second in ("44,2,,", "44,2,2026-11-30,", "+44,2,2026-11-01,2026-11-02", "44,2,,2026-12-01"):
        found = read_prices(f"{head}44,1,,2026-12-01\n{second}\n".encode())
        assert found.errors == [LineError(3, "is valid at the same time as line 2, with the same prefix")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-01", DECEMBER),
        ("2026-12-01T01:30", DECEMBER + HOUR * 3 // 2),
        ("2026-12-01T01:00:00-01:00", DECEMBER + 2 * HOUR),
        ("2026-W49-2", None),
        ("20261201", None),
        ("2026-12-01T00:00:00.5Z", None),
        ("0000-01-01", None),
        ("now", None),
    ],
)
def test_a_moment_is_in_utc_where_it_says_nothing_else(text: str, expected: int | None) -> None:
    assert moment_ms(text) == expected


@given(micros=st.integers(0, 10**13), zeros=st.integers(0, 3), comma=st.booleans())
def test_a_price_is_exact_to_a_millionth(micros: int, zeros: int, comma: bool) -> None:
    price = f"{Decimal(micros) / 1_000_000:.6f}" + "0" * zeros
    text = f"prefix;price\n44;{price.replace('.', ',')}" if comma else f"prefix,price\n44,{price}"
    assert rows_of(text) == [PriceRow("44", micros)]


@given(st.binary(max_size=200) | st.text(alphabet='prefix,;\n\t"0124.-*', max_size=200).map(str.encode))
def test_whatever_is_read_is_told_and_not_raised(data: bytes) -> None:
    for head in (b"", b"prefix,price,valid_from\n"):
        found = read_prices(head + data)
        assert found.rows or found.errors
