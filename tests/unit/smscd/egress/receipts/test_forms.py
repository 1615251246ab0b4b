"""Receipts whose id is of another form than the profile says (quirk 2), and whose address differs (quirk 10)."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocols.smpp.message_ids import IdForm, canonical_id
from smscd.core.records import ParkedReceipt, SentContext, State
from smscd.egress.dispatch.turn import sent_context
from smscd.egress.receipts.forms import SUGGESTED_AFTER, FormWatch, former_keys, meant, other_keys
from tests.unit.smscd.egress.doubles import NOW_MS, message

NUMBER = b"447700900123"
NUMBERS = st.integers(1, 10**12)
FORMS = st.sampled_from([form.value for form in IdForm])


def parked(receipt_id: bytes, source: bytes = NUMBER, dest: bytes = b"ACME") -> ParkedReceipt:
    return ParkedReceipt(
        receipt_id, b"DELIVRD", b"000", State.DELIVERED, NOW_MS, b"raw", NOW_MS, source=source, dest=dest
    )


def context(number: int = 1, dest: bytes = NUMBER) -> SentContext:
    return sent_context(message(number, dest=dest), 0)


def found(receipt: ParkedReceipt, known: dict[bytes, SentContext | None], pinned: str = "same") -> object:
    keys = other_keys(receipt.upstream_message_id, pinned)
    result = meant([receipt], keys, {key: known[key] for key in keys if key in known})
    return result if isinstance(result, bool) or result is None else (result[0], result[1].id)


@pytest.mark.parametrize(
    ("pinned", "response", "receipt"),
    [
        ("same", b"1F", b"31"),
        ("same", b"1f", b"31"),
        ("same", b"31", b"1F"),
        ("same", b"abc", b"ABC"),
        ("same", b"123", b"000123"),
        ("decimal", b"31", b"1F"),
        ("decimal", b"no-number", b"NO-NUMBER"),
        ("hex", b"1F", b"31"),
    ],
)
def test_quirk_2_a_receipt_of_another_form_finds_its_message(pinned: str, response: bytes, receipt: bytes) -> None:
    key = canonical_id(response, pinned)
    result = found(parked(receipt), {key: context(7)}, pinned)
    assert result == (canonical_id(response, "case"), context(7).id) or result == (response, context(7).id)


def test_quirk_2_an_id_that_may_be_that_of_two_messages_to_the_number_is_no_ones() -> None:
    assert found(parked(b"10"), {b"A": context(1), b"16": context(2)}) is False
    assert found(parked(b"10"), {b"A": None, b"16": context(2)}) is False
    assert found(parked(b"10"), {b"A": context(1), b"a": context(1)}) == (b"a", context(1).id)


def test_quirk_10_the_address_breaks_the_tie_and_an_id_alone_is_not_enough() -> None:
    other = b"447700900999"
    assert found(parked(b"10"), {b"A": context(1, other), b"16": context(2)}) == (b"16", context(2).id)
    assert found(parked(b"10"), {b"A": context(1, other)}) is None
    assert found(parked(b"10", source=b"", dest=b""), {b"A": context(1)}) is None


@pytest.mark.parametrize(
    ("source", "dest"),
    [
        (b"+447700900123", b""),
        (b"00447700900123", b""),
        (b"07700900123", b""),
        (b"ACME", NUMBER),
        (b"1447700900123", b""),
    ],
)
def test_quirk_10_a_swapped_address_or_one_with_a_prefix_more_or_less_agrees(source: bytes, dest: bytes) -> None:
    assert found(parked(b"10", source, dest), {b"A": context(1)}) == (b"A", context(1).id)


@pytest.mark.parametrize("source", [b"447700900124", b"123", b"0123", b"ACME"])
def test_another_number_or_too_little_of_it_does_not_agree(source: bytes) -> None:
    assert found(parked(b"10", source), {b"A": context(1)}) is None


@given(
    NUMBERS, NUMBERS, FORMS, st.sampled_from([b"%d", b"%X", b"%x", b"%016d"]), st.sampled_from([b"%d", b"%X", b"%x"])
)
def test_quirk_2_no_receipt_is_ever_given_to_the_message_of_another_number(
    sent: int, told: int, pinned: str, response_form: bytes, receipt_form: bytes
) -> None:
    """Whatever the forms: a message to somebody else is not meant, though its id fits."""
    response, receipt = response_form % sent, receipt_form % told
    known: dict[bytes, SentContext | None] = {canonical_id(response, pinned): context(1, b"33600000001")}
    assert found(parked(receipt), known, pinned) is None


@given(NUMBERS, NUMBERS)
def test_quirk_2_a_number_that_is_another_in_every_system_matches_nothing(sent: int, told: int) -> None:
    response, receipt = b"%d" % sent, b"%d" % told
    assume(receipt not in (response, b"%x" % sent) and b"%x" % told != response)
    assert found(parked(receipt), {response: context(1)}) is None


@pytest.mark.parametrize(
    ("pinned", "response", "receipt"),
    [("decimal", b"1F", b"31"), ("decimal", b"1f", b"31"), ("case", b"aBc", b"aBc"), ("case", b"abc", b"ABC")],
)
def test_quirk_2_what_was_kept_before_a_form_was_pinned_is_found(pinned: str, response: bytes, receipt: bytes) -> None:
    assert former_keys(receipt, pinned)[response] == response


@given(NUMBERS, NUMBERS, FORMS, st.sampled_from([b"%d", b"%X", b"%x"]))
def test_quirk_2_a_response_of_now_is_not_taken_for_one_from_before(
    sent: int, told: int, pinned: str, response_form: bytes
) -> None:
    key = canonical_id(response_form % sent, pinned)
    assert key not in former_keys(b"%d" % told, pinned) and key not in former_keys(b"%X" % told, pinned)


def test_the_form_that_explains_all_pairs_is_suggested_once() -> None:
    watch = FormWatch("same")
    for number in range(10, 10 + SUGGESTED_AFTER):
        assert watch.suggestion(0) is None
        assert watch.matched(b"%X" % (number * 7919), b"%d" % (number * 7919)) is IdForm.DECIMAL
    assert watch.suggestion(in_profiles_form=SUGGESTED_AFTER + 1) is None, "most are understood as it is"
    assert watch.suggestion(0) is IdForm.DECIMAL
    assert watch.suggestion(0) is None


def test_nothing_is_suggested_where_no_form_explains_all() -> None:
    watch = FormWatch("same")
    for number in range(100, 100 + SUGGESTED_AFTER):
        watch.matched(b"%X" % (number * 7919), b"%d" % (number * 7919))
    watch.matched(b"abc", b"ABC")
    assert watch.suggestion(0) is None


def test_once_receipts_are_understood_in_the_profiles_form_no_other_is_looked_for() -> None:
    watch = FormWatch("same")
    assert watch.is_open(SUGGESTED_AFTER - 1)
    assert not watch.is_open(SUGGESTED_AFTER)
    for number in range(100, 100 + 2 * SUGGESTED_AFTER):
        watch.matched(b"%X" % (number * 7919), b"%d" % (number * 7919))
    assert watch.is_open(2 * SUGGESTED_AFTER)
