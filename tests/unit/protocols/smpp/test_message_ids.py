"""Ids that responses and receipts spell differently (quirk 2): the forms, and the ids to look for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.message_ids import IdForm, bare, candidates, canonical_id, relations, responses

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


@pytest.mark.parametrize("receipt", [b"F" * 64, b"9" * 64, b"0x" + b"F" * 64, b"9" * 70, b"F" * 70])
def test_quirk_2_each_candidate_of_the_longest_ids_is_one_too(receipt: bytes) -> None:
    """In decimal digits an id of 64 hexadecimal ones is longer than a message_id can be."""
    assert all(relations(candidate, receipt) for candidate in candidates(receipt))


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_any_octets_have_relations_and_each_candidate_is_one(response: bytes, receipt: bytes) -> None:
    assert (IdForm.SAME in relations(response, receipt)) == (bare(response) == bare(receipt) != b"")
    assert all(relations(candidate, receipt) for candidate in candidates(receipt) if bare(candidate) == candidate)


@pytest.mark.parametrize(
    ("form", "response", "receipt"),
    [
        ("same", b"abc-1", b"abc-1"),
        ("same", b"0012", b"0012\x00"),
        ("case", b"ab12", b"AB12\x00"),
        ("zeros", b"0012", b"12"),
        ("zeros", b"1A", b"001a"),
        ("zeros", b"000", b"0"),
        ("decimal", b"1A2b", b"6699"),
        ("decimal", b"0x1A2b", b"0000006699"),
        ("hex", b"6699", b"1A2B"),
        ("hex", b"0006699", b"1a2b\x00"),
        ("hex", b"no-number", b"no-number"),
        ("decimal", b"1_0", b"1_0"),
        ("decimal", b"", b""),
    ],
)
def test_response_and_receipt_meet_in_one_form(form: str, response: bytes, receipt: bytes) -> None:
    assert canonical_id(response, form) == canonical_id(receipt, form, is_receipt=True)


def test_ids_that_differ_stay_different() -> None:
    assert canonical_id(b"10", "hex") != canonical_id(b"10", "hex", is_receipt=True)
    assert canonical_id(b"A", "same") != canonical_id(b"a", "same")
    assert canonical_id(b"012", "case") != canonical_id(b"12", "case")
    assert canonical_id(b"12", "zeros") != canonical_id(b"120", "zeros")


@given(NUMBERS, st.sampled_from(IdForm))
def test_quirk_2_what_one_form_relates_meets_in_it(number: int, form: IdForm) -> None:
    spelled = {
        IdForm.SAME: (b"%d" % number, b"%d" % number),
        IdForm.CASE: (b"%X" % number, b"%x" % number),
        IdForm.ZEROS: (b"%020d" % number, b"%d" % number),
        IdForm.DECIMAL: (b"%X" % number, b"%010d" % number),
        IdForm.HEX: (b"%010d" % number, b"%x" % number),
    }
    response, receipt = spelled[form]
    assert canonical_id(response, form) == canonical_id(receipt, form, is_receipt=True)
    assert form in relations(response, receipt)


@pytest.mark.parametrize(
    ("form", "response", "receipt"),
    [
        ("same", b"abc-1", b" abc-1\0"),
        ("case", b"ABC-1", b"abc-1"),
        ("zeros", b"0000123", b"123"),
        ("zeros", b"123", b"0000123"),
        ("zeros", b"00ab", b"AB"),
        ("decimal", b"0000001F", b"31"),
        ("decimal", b"0x1f", b"31"),
        ("hex", b"0031", b"1F"),
        ("decimal", b"a-uuid", b"a-uuid"),
    ],
)
def test_quirk_2_the_response_of_a_receipt_is_among_the_spellings_to_look_for(
    form: str, response: bytes, receipt: bytes
) -> None:
    spelled = responses(receipt, form)
    assert response in spelled and len(set(spelled)) == len(spelled) <= 64
    assert canonical_id(response, form) == canonical_id(receipt, form, is_receipt=True)


@given(st.binary(max_size=64), st.sampled_from(list(IdForm)))
def test_quirk_2_every_receipt_has_few_spellings_to_look_for(receipt: bytes, form: IdForm) -> None:
    assert len(responses(receipt, form)) <= 64
    assert bool(responses(receipt, form)) == bool(bare(receipt))
