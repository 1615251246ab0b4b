"""Addresses as people and ESMEs write them."""

from __future__ import annotations

import pytest

from smscd.core.addresses import Destination, find_destination, find_source, remember_source
from smscd.core.directory import Account
from smscd.core.directory_index import SOURCES_MAX, AccountEntry, PlannedSource
from smscd.core.reasons import Reason, Rejected
from smscd.core.submission import DETECT

OPEN = AccountEntry(Account(id="open", any_sender=True))
BOUND = AccountEntry(Account(id="bound", senders=frozenset({"ACME", "+447700900123", "12345"})))


@pytest.mark.parametrize("ton", [DETECT, 0, 1, 2, 4, 99])
@pytest.mark.parametrize("address", [b"447700900123", b"+447700900123"])
def test_a_destination_that_looks_like_e164_is_e164(ton: int, address: bytes) -> None:
    """Quirk 39: with or without a plus sign, whatever its type says."""
    assert find_destination(ton, 0, address) == Destination(1, 1, b"447700900123")


@pytest.mark.parametrize(
    "address",
    [
        b"",
        b"+",
        b"123456",
        b"0447700900123",
        b"1234567890123456",
        b"44 7700 900123",
        b"44-7700",
        b"ACME",
        b"++447700900123",
        b"447700900123\n",
        "٤٤٧٧٠٠٩٠٠١٢٣".encode(),
        b"\xb2\xb3447700900",
    ],
)
def test_a_destination_that_is_no_number_is_refused(address: bytes) -> None:
    for ton in (DETECT, 0, 1, 5):
        assert find_destination(ton, 1, address) == Rejected(Reason.INVALID_DESTINATION, pointer="/to")


@pytest.mark.parametrize("ton", [3, 6])
def test_a_short_code_is_taken_where_the_esme_says_that_it_is_one(ton: int) -> None:
    assert find_destination(ton, 9, b"12345") == Destination(ton, 9, b"12345")
    assert find_destination(ton, 9, b"447700900123") == Destination(1, 1, b"447700900123")
    assert isinstance(find_destination(ton, 9, b"12"), Rejected)


@pytest.mark.parametrize(
    ("asked", "planned"),
    [
        ((DETECT, DETECT, b"ACME"), (5, 0, b"ACME")),
        ((0, 0, b"ACME"), (5, 0, b"ACME")),
        ((1, 1, b"My Shop 24"), (5, 0, b"My Shop 24")),
        ((DETECT, DETECT, b"+447700900123"), (1, 1, b"447700900123")),
        ((DETECT, DETECT, b"447700900123"), (1, 1, b"447700900123")),
        ((0, 0, b"+447700900123"), (1, 1, b"447700900123")),
        ((DETECT, DETECT, b"12345"), (3, 0, b"12345")),
        ((0, 1, b"12345"), (0, 1, b"12345")),
        ((1, 1, b"12345"), (1, 1, b"12345")),
        ((0, 1, b"07700900123"), (0, 1, b"07700900123")),
        ((2, 8, b"07700900123"), (2, 8, b"07700900123")),
        ((3, 0, b"12345"), (3, 0, b"12345")),
        ((5, 0, b"12345"), (5, 0, b"12345")),
        ((6, 9, b"999"), (6, 9, b"999")),
        ((99, 7, b"odd one"), (99, 7, b"odd one")),
        ((0, 0, b""), (0, 0, b"")),
        ((DETECT, DETECT, b""), (0, 0, b"")),
    ],
)
def test_a_sender_gets_its_type_from_its_looks_or_keeps_the_one_it_came_with(
    asked: tuple[int, int, bytes], planned: tuple[int, int, bytes]
) -> None:
    """Quirk 39: detected, or, as the odd ones of quirk 43, passed through."""
    assert find_source(OPEN, *asked) == PlannedSource(*planned)


@pytest.mark.parametrize(
    "asked",
    [
        (DETECT, DETECT, b"twelve chars"),
        (5, 0, b"twelve chars"),
        (DETECT, DETECT, b"a@b"),
        (5, 0, b"a\x00b"),
        (5, 0, b"\x00"),
        (DETECT, DETECT, b"0770"[:3] + b"0900123"),
        (DETECT, DETECT, b"!!!"),
        (0, 0, "Größe".encode()),
        (99, 0, b"\x7f"),
        (2, 0, b"1" * 21),
    ],
)
def test_a_sender_that_cannot_be_carried_is_refused(asked: tuple[int, int, bytes]) -> None:
    """Quirk 40: GSM's `@` is a NUL, and addresses are ASCII."""
    assert find_source(OPEN, *asked) == Rejected(Reason.INVALID_SOURCE, pointer="/from")


def test_an_account_sends_only_from_its_own_senders() -> None:
    allowed = [(DETECT, DETECT, b"ACME"), (1, 1, b"447700900123"), (0, 0, b"+447700900123"), (DETECT, DETECT, b"12345")]
    assert all(isinstance(find_source(BOUND, *asked), PlannedSource) for asked in allowed)
    refused = [(DETECT, DETECT, b"acme"), (1, 1, b"447700900124"), (5, 0, b"ACME2"), (0, 0, b"")]
    assert all(find_source(BOUND, *asked) == Rejected(Reason.SENDER_NOT_ALLOWED, pointer="/from") for asked in refused)


def test_senders_are_remembered_but_not_without_end() -> None:
    entry = AccountEntry(Account(id="a", any_sender=True))
    asked = (0, 0, b"ACME")
    assert remember_source(entry, asked) is entry.sources[asked]
    for number in range(SOURCES_MAX + 10):
        remember_source(entry, (0, 0, b"S%d" % number))
    assert len(entry.sources) <= SOURCES_MAX
