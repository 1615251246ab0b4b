"""Ids that responses and receipts spell differently. Quirk 2: candidates, and no guess where several fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.message_ids import IdForm, Match, bare, candidates, match, relations, suggest

NUMBERS = st.integers(0, 10**18)


@pytest.mark.parametrize(
    ("response", "receipt", "forms"),
    [
        (b"abc-1", b"abc-1", {IdForm.SAME, IdForm.CASE, IdForm.ZEROS}),
        (b"abc-1", b"ABC-1", {IdForm.CASE, IdForm.ZEROS}),
        (b"000123", b"123", {IdForm.ZEROS}),
        (b"00Af", b"aF", {IdForm.ZEROS}),
        (b"1F", b"31", {IdForm.DECIMAL}),
        (b"0x1F", b"0031", {IdForm.DECIMAL}),
        (b"31", b"1f", {IdForm.HEX}),
        (b"7", b"7", {IdForm.SAME, IdForm.CASE, IdForm.ZEROS, IdForm.DECIMAL, IdForm.HEX}),
        (b"10", b"10", {IdForm.SAME, IdForm.CASE, IdForm.ZEROS}),
        (b"10", b"16", {IdForm.DECIMAL}),
        (b"123\0", b" 123\r\n", {IdForm.SAME, IdForm.CASE, IdForm.ZEROS}),
        (b"abc", b"xyz", set()),
        (b"", b"", set()),
        (b"\0", b" ", set()),
        (b"550e8400-e29b-41d4-a716-446655440000", b"550E8400-E29B-41D4-A716-446655440000", {IdForm.CASE, IdForm.ZEROS}),
        (b"1_0", b"10", set()),
    ],
)
def test_quirk_2_every_form_by_which_a_receipt_can_mean_a_response(
    response: bytes, receipt: bytes, forms: set[IdForm]
) -> None:
    assert set(relations(response, receipt)) == forms


def test_quirk_2_the_candidates_are_raw_capitals_small_stripped_and_both_number_systems() -> None:
    assert candidates(b"0a1\0") == (b"0a1", b"0A1", b"a1", b"161")
    assert candidates(b"31") == (b"31", b"1F", b"1f", b"49")
    assert candidates(b"000") == (b"000", b"0")
    assert candidates(b"x-Y") == (b"x-Y", b"X-Y", b"x-y")
    assert candidates(b" \0") == ()


@given(NUMBERS)
def test_a_response_is_among_the_candidates_of_its_receipt(number: int) -> None:
    decimal, hexadecimal = b"%d" % number, b"%X" % number
    assert hexadecimal in candidates(decimal)
    assert decimal in candidates(hexadecimal)
    assert IdForm.DECIMAL in relations(hexadecimal, decimal)
    assert IdForm.HEX in relations(decimal, hexadecimal.lower())


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_any_octets_have_relations_and_each_candidate_is_one(response: bytes, receipt: bytes) -> None:
    assert (IdForm.SAME in relations(response, receipt)) == (bare(response) == bare(receipt) != b"")
    assert all(relations(candidate, receipt) for candidate in candidates(receipt) if bare(candidate) == candidate)


def test_quirk_2_several_responses_that_fit_are_reported_and_none_is_taken() -> None:
    found = match(b"10", [b"10", b"A", b"B"])
    assert found == Match(None, (b"10", b"A"))
    assert found.is_ambiguous
    assert not match(b"99", [b"10", b"A"]).is_ambiguous
    assert match(b"99", [b"10", b"A"]) == Match(None)
    assert match(b"10", [b"A", b"A", b"B"]) == Match(b"A", (b"A",))


def test_quirk_2_a_form_that_the_operator_pinned_decides() -> None:
    assert match(b"10", [b"10", b"A"], IdForm.DECIMAL) == Match(b"A", (b"A",))
    assert match(b"10", [b"10", b"A"], IdForm.SAME) == Match(b"10", (b"10",))
    assert match(b"10", [b"10", b"010"], IdForm.ZEROS) == Match(None, (b"10", b"010"))


@pytest.mark.parametrize(
    ("pairs", "form"),
    [
        ([(b"1F", b"31"), (b"20", b"32")], IdForm.DECIMAL),
        ([(b"31", b"1F"), (b"7", b"7")], IdForm.HEX),
        ([(b"7", b"7")], IdForm.SAME),
        ([(b"abc", b"ABC"), (b"x", b"x")], IdForm.CASE),
        ([(b"007", b"7")], IdForm.ZEROS),
        ([(b"1F", b"31"), (b"abc", b"xyz")], None),
        ([], None),
    ],
)
def test_quirk_2_the_pattern_that_was_seen_is_suggested(pairs: list[tuple[bytes, bytes]], form: IdForm | None) -> None:
    assert suggest(pairs) is form
