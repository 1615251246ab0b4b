"""Ledger entries of a batch: ids, order, chain."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from smscd.archive.accounting import ID_EPOCH_MS, accounts_of, assign_ids, book, clean, entry_ids, references_of
from smscd.archive.merge import Batch
from smscd.core.records import LedgerRecord
from storage.postgres.learned import Learned
from storage.postgres.ledger import Head, chain_fault, head_of

AT = 1_795_000_000_000


def batch_with(**sums: object) -> Batch:
    batch = Batch()
    batch.first_id, batch.last_id, batch.entry_ms = f"{AT}-0", f"{AT}-9", [AT]
    for name, value in sums.items():
        setattr(batch, name, value)
    return batch


@given(st.integers(0, 2**62), st.integers(ID_EPOCH_MS, 3_000_000_000_000), st.integers(0, 1023), st.integers(1, 20))
def test_ids_grow_differ_between_shards_and_carry_the_time(last: int, at_ms: int, shard: int, count: int) -> None:
    found = list(islice(entry_ids(last, at_ms, shard), count))
    assert found == sorted(set(found))
    assert found[0] > last
    assert all(entry_id >> 12 & 0x3FF == shard for entry_id in found)
    assert all((entry_id >> 22) + ID_EPOCH_MS >= at_ms for entry_id in found)


def test_ids_go_on_in_the_next_millisecond_when_one_is_full() -> None:
    found = list(islice(entry_ids(0, AT, 3), 5_000))
    assert len(set(found)) == 5_000
    assert {entry_id >> 12 & 0x3FF for entry_id in found} == {3}
    assert (found[-1] >> 22) + ID_EPOCH_MS == AT + 1


def test_money_that_comes_in_stands_before_money_that_goes_out() -> None:
    order = LedgerRecord("demo", "topup", 500, "invoice", AT, "root", "thanks")
    batch = batch_with(charges={"demo": [300, 3]}, refunds={"demo": [100, 1]}, orders=[(f"{AT}-4", order)])
    ids = assign_ids(batch, 0, 0)
    head = Head(seq=7, balance_micros=0, hash=b"h" * 32)
    booked = book(batch, ids, {"demo": head}, set())
    assert [(entry.kind, entry.amount_micros, entry.balance_micros) for entry in booked.entries] == [
        ("topup", 500, 500),
        ("refund", 100, 600),
        ("charge", -300, 300),
    ]
    assert [entry.messages for entry in booked.entries] == [0, 1, 3]
    assert (booked.entries[0].journal_from, booked.entries[1].journal_from) == (f"{AT}-4", f"{AT}-0")
    assert [entry.id for entry in booked.entries] == sorted(entry.id for entry in booked.entries)
    for entry in booked.entries:
        assert chain_fault(head, entry) is None
        head = head_of(entry)
    assert booked.heads == {"demo": head}


def test_a_batch_tried_again_gives_the_same_entries() -> None:
    batch = batch_with(charges={"a": [3, 1], "b": [4, 1]}, refunds={"b": [1, 1]})
    heads = {"a": Head(), "b": Head()}
    first = book(batch, assign_ids(batch, 5, 0), heads, set())
    assert book(batch, assign_ids(batch, 5, 0), heads, set()).entries == first.entries


def test_nothing_is_booked_for_nothing() -> None:
    batch = batch_with(charges={"free": [0, 9]})
    ids = assign_ids(batch, 77, 0)
    assert (ids.charges, ids.last_id) == ({}, 77)
    assert book(batch, ids, {"free": Head()}, set()).entries == []
    assert accounts_of(batch) == {"free"}


def test_refunded_messages_learn_which_entry_they_are_part_of() -> None:
    found = Learned(refunded_micros=5)
    batch = batch_with(refunds={"demo": [5, 1]}, refunded=[(found, "demo")])
    ids = assign_ids(batch, 0, 0)
    assert found.refund_entry == ids.refunds["demo"] == ids.last_id


def test_a_taken_reference_is_booked_without_it_and_set_aside() -> None:
    orders = [
        (f"{AT}-{number}", LedgerRecord("demo", "topup", 10, reference, AT))
        for number, reference in enumerate(["old", "new", "new", ""])
    ]
    batch = batch_with(orders=orders)
    booked = book(batch, assign_ids(batch, 0, 0), {"demo": Head()}, {"old", "other"})
    assert [entry.reference for entry in booked.entries] == [None, "new", None, None]
    assert booked.entries[-1].balance_micros == 40
    assert len(booked.dead) == 2
    assert references_of(batch) == ["old", "new", "new"]


def test_an_unknown_kind_of_order_is_an_adjustment_and_texts_are_cleaned() -> None:
    batch = batch_with(orders=[(f"{AT}-0", LedgerRecord("demo", "gift", -10, "", AT, "", "nul \0"))])
    (entry,) = book(batch, assign_ids(batch, 0, 0), {"demo": Head()}, set()).entries
    assert (entry.kind, entry.amount_micros, entry.operator, entry.note) == ("adjust", -10, None, "nul \\x00")
    assert clean("") is None
