"""The ledger's chain: what an entry's hash covers, and what breaks it."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest

from storage.postgres.ledger import Head, LedgerEntry, chain_fault, entry_hash, head_of, next_entry


def entry(head: Head, amount_micros: int = 5, **changed: str | None) -> LedgerEntry:
    return next_entry(
        head, id=77, account="demo", kind="topup", amount_micros=amount_micros, messages=0, journal_from="1-0",
        journal_to="2-0", at_ms=1_795_000_000_000, **changed,
    )  # fmt: skip


def test_the_hash_is_what_the_documentation_says() -> None:
    sealed = entry(Head(), reference="r", operator=None, note="\u00e9")
    texts = ["demo", "1", "topup", "5", "5", "0", "1-0", "2-0", "r", None, "\u00e9", "1795000000000", "77"]
    data = bytes(32)
    for text in texts:
        data += b"\xff\xff\xff\xff" if text is None else len(text.encode()).to_bytes(4, "big") + text.encode()
    assert sealed.hash == hashlib.sha256(data).digest()


def test_the_hash_never_changes_between_releases() -> None:
    assert entry(Head(), reference="r").hash.hex() == (
        "a1157561c88281b9e159718ef0559813a0bdf4265cfa8a106d8365cc9ce9ff5f"
    )


def test_a_correction_is_sealed_with_what_it_corrects() -> None:
    data = entry(Head(), reference="r").hash
    sealed = entry(Head(), reference="r", corrects="invoice")
    assert sealed.hash != data
    assert chain_fault(Head(), sealed) is None
    assert chain_fault(Head(), replace(sealed, corrects=None)) is not None
    assert chain_fault(Head(), replace(sealed, corrects="voice")) is not None


def test_entries_follow_each_other() -> None:
    first = entry(Head(), 100)
    second = entry(head_of(first), -30)
    assert (second.seq, second.balance_micros, second.prev_hash) == (2, 70, first.hash)
    assert chain_fault(Head(), first) is None
    assert chain_fault(head_of(first), second) is None


@pytest.mark.parametrize("name", [field.name for field in fields(LedgerEntry)])
def test_any_changed_column_is_found(name: str) -> None:
    first = entry(Head(), 100)
    second = entry(head_of(first), -30)
    value = getattr(second, name)
    other: Any = value + 1 if isinstance(value, int) else b"x" * 32 if isinstance(value, bytes) else "changed"
    assert chain_fault(head_of(first), replace(second, **{name: other})) is not None


def test_fields_cannot_be_shifted_into_each_other() -> None:
    one, other = entry(Head(), reference="ab", operator="c"), entry(Head(), reference="a", operator="bc")
    assert entry_hash(one) != entry_hash(other)
    assert entry(Head(), note=None).hash != entry(Head(), note="").hash
