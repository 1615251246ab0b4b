"""Long messages in each form, and from each form into each other. Quirks 31, 32, 34 and 35."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM
from protocols.gsm.segmentation import TooManySegmentsError
from protocols.gsm.transcode import DefaultAlphabet, Dialect, TranscodeError
from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.longform import (
    Carried,
    LongForm,
    LongFormError,
    Piece,
    Target,
    convert,
    fold,
    join,
    read,
    write,
)

PLAIN = Dialect()
SEPTETS = Dialect(default=DefaultAlphabet.GSM)
PACKED = Dialect(default=DefaultAlphabet.GSM_PACKED)
LATIN = Dialect(default=DefaultAlphabet.LATIN_1)
PORTS = (udh.PORTS_16, b"\x0b\x84\x23\xf0")
OTHER_TLV = tlv.encode_value(TlvTag.USER_MESSAGE_REFERENCE, 77)
FORMS = [LongForm.UDH_8, LongForm.UDH_16, LongForm.SAR]


def sar(reference: int, total: int, sequence: int) -> bytes:
    return (
        tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, reference)
        + tlv.encode_value(TlvTag.SAR_TOTAL_SEGMENTS, total)
        + tlv.encode_value(TlvTag.SAR_SEGMENT_SEQNUM, sequence)
    )


def payload(octets: bytes) -> bytes:
    return tlv.encode([(TlvTag.MESSAGE_PAYLOAD, octets)])


def part(form: LongForm, body: bytes, *, reference: int = 0x2A, data_coding: int = 0, ports: bool = False) -> Carried:
    """Part 2 of 3, as a peer of this form writes it."""
    elements = [PORTS] if ports else []
    if form is LongForm.SAR:
        header = udh.build(elements) if elements else b""
        return Carried(header + body, data_coding, 0x43 if header else 0x03, OTHER_TLV + sar(reference, 3, 2))
    element = udh.concatenation_8 if form is LongForm.UDH_8 else udh.concatenation_16
    return Carried(udh.build([*elements, element(reference, 3, 2)]) + body, data_coding, 0x43, OTHER_TLV)


def one(carried: Carried, form: LongForm, source: Dialect = PLAIN, target: Dialect = PLAIN) -> Carried:
    (written,) = convert(carried, source, Target(dialect=target, long_form=form), reference=9)
    return written


@pytest.mark.parametrize("ports", [False, True], ids=["", "ports"])
@pytest.mark.parametrize(("came", "leaves"), list(itertools.product(FORMS, FORMS)))
def test_quirk_32_a_part_leaves_in_the_upstreams_form(came: LongForm, leaves: LongForm, ports: bool) -> None:
    """But for what did not come with a 16-bit reference, which gets none."""
    expected = LongForm.UDH_8 if leaves is LongForm.UDH_16 and came is not LongForm.UDH_16 else leaves
    written = one(part(came, b"hello", ports=ports), leaves)
    assert written == part(expected, b"hello", ports=ports)


@pytest.mark.parametrize("came", FORMS)
def test_quirk_32_a_part_for_an_upstream_that_wants_payloads_stays_a_part(came: LongForm) -> None:
    assert one(part(came, b"hello"), LongForm.PAYLOAD) == part(LongForm.UDH_8, b"hello")


def test_quirk_32_a_sixteen_bit_reference_is_kept_where_it_fits_and_folded_where_not() -> None:
    wide, sar_part = (part(form, b"x", reference=0x1234) for form in (LongForm.UDH_16, LongForm.SAR))
    for came in (wide, sar_part):
        assert one(came, LongForm.SAR) == sar_part
        assert one(came, LongForm.UDH_8) == part(LongForm.UDH_8, b"x", reference=0x26)
    assert one(wide, LongForm.UDH_16) == wide
    assert fold(0x1234) == 0x26


def test_quirk_32_every_octet_of_a_reference_counts_when_it_is_folded() -> None:
    assert [fold(reference) for reference in range(256)] == list(range(256))
    assert len({fold(reference) for reference in range(0x100, 0x200)}) == 256
    assert len({fold(reference << 8) for reference in range(256)}) == 256


@pytest.mark.parametrize(
    ("came", "sizes", "shared"),
    [
        (LongForm.UDH_8, (153, 152, 20), udh.Concatenation(0x34, 3, 2)),
        (LongForm.UDH_16, (152, 151, 20), udh.Concatenation(0x34, 3, 2, is_wide=True)),
        (LongForm.SAR, (153, 152, 20), udh.Concatenation(0x34, 3, 2)),
    ],
)
def test_quirk_32_all_parts_of_a_message_have_one_kind_of_reference_however_full_each_is(
    came: LongForm, sizes: tuple[int, ...], shared: udh.Concatenation
) -> None:
    written = [one(part(came, b"a" * size, reference=0x34), LongForm.UDH_16) for size in sizes]
    assert {read(carried, PLAIN).concatenation for carried in written} == {shared}


def test_a_part_of_sar_that_leaves_no_room_for_a_header_is_an_error_but_passes_as_it_is() -> None:
    long = part(LongForm.SAR, b"a" * 160)
    with pytest.raises(LongFormError, match="longer"):
        one(long, LongForm.UDH_8)
    assert one(long, LongForm.SAR) == long


@pytest.mark.parametrize("data_coding", [0x03, 0x01])
def test_a_latin_part_is_as_long_as_its_septets(data_coding: int) -> None:
    carried = part(LongForm.SAR, b"a" * 153, data_coding=data_coding)
    assert one(carried, LongForm.UDH_8) == part(LongForm.UDH_8, b"a" * 153, data_coding=data_coding)
    for body in (b"{" * 135, b"\xff" * 135):
        with pytest.raises(LongFormError):
            one(part(LongForm.SAR, body, data_coding=data_coding), LongForm.UDH_8)


# --- long messages in one piece ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "rooms"),
    [(LongForm.UDH_8, (153, 134, 134)), (LongForm.UDH_16, (152, 133, 132)), (LongForm.SAR, (153, 134, 134))],
)
def test_quirk_31_a_payload_is_cut_by_the_form_of_the_upstream(form: LongForm, rooms: tuple[int, ...]) -> None:
    for data_coding, room in zip((0x00, 0x04, 0x08), rooms, strict=True):
        carried = Carried(b"", data_coding, 0x03, payload(b"a" * (room * 2)) + OTHER_TLV)
        written = convert(carried, PLAIN, Target(long_form=form), reference=0x1234)
        pieces = [read(piece, PLAIN) for piece in written]
        assert [len(piece.body) for piece in pieces] == [room, room]
        assert all(piece.tlvs == OTHER_TLV and piece.esm_class == 0x03 for piece in pieces)
        kept = fold(0x1234) if form is LongForm.UDH_8 else 0x1234
        assert [piece.concatenation for piece in pieces] == [
            udh.Concatenation(kept, 2, number, is_wide=form is LongForm.UDH_16) for number in (1, 2)
        ]
        carried = Carried(b"", data_coding, 0x03, payload(b"a" * (room * 2 + 2)))
        assert len(convert(carried, PLAIN, Target(long_form=form), reference=1)) == 3


def test_quirk_32_a_payload_stays_one_for_an_upstream_that_wants_it() -> None:
    carried = Carried(b"", 0, 0x03, payload(b"a" * 500) + OTHER_TLV)
    assert one(carried, LongForm.PAYLOAD) == carried
    ported = Carried(b"", 4, 0x43, payload(udh.build([PORTS]) + b"a" * 500))
    assert one(ported, LongForm.PAYLOAD) == ported


def test_quirk_34_a_short_payload_becomes_a_short_message_and_both_are_refused() -> None:
    assert one(Carried(b"", 0, 0, payload(b"hi")), LongForm.PAYLOAD) == Carried(b"hi")
    assert one(Carried(b"hi", 0, 0, payload(b"")), LongForm.UDH_8) == Carried(b"hi")
    with pytest.raises(LongFormError, match="beside"):
        one(Carried(b"hi", 0, 0, payload(b"ho")), LongForm.UDH_8)


def test_quirk_34_what_is_longer_than_254_octets_goes_as_a_payload() -> None:
    assert one(part(LongForm.SAR, b"a" * 255), LongForm.SAR).short_message == b""
    assert one(part(LongForm.SAR, b"a" * 254), LongForm.SAR).short_message == b"a" * 254


def test_quirk_31_too_many_segments_are_an_error_in_every_form() -> None:
    carried = Carried(b"", 0, 0, payload(b"a" * (153 * 3 + 1)))
    for form in LongForm:
        assert convert(carried, PLAIN, Target(long_form=form), reference=1, segments_max=4)
        with pytest.raises(TooManySegmentsError):
            convert(carried, PLAIN, Target(long_form=form), reference=1, segments_max=3)
    with pytest.raises(TooManySegmentsError):
        convert(Carried(b"", 4, 0, payload(bytes(65_000))), PLAIN, Target(), reference=1, segments_max=1000)


def test_quirk_36_national_elements_stand_on_each_part_and_take_their_room() -> None:
    shifts = udh.national_shifts(locking=1, single_shift=1)
    carried = Carried(b"", 0, 0x40, payload(udh.build(shifts) + b"a" * 200))
    pieces = [read(piece, PLAIN) for piece in convert(carried, PLAIN, Target(), reference=1)]
    assert [(len(piece.body), piece.elements) for piece in pieces] == [(146, shifts), (54, shifts)]


def test_quirk_35_the_mode_is_rewritten_and_the_header_bit_says_the_truth() -> None:
    target = Target(esm_mode=0)
    assert convert(Carried(b"hi", 0, 0x03), PLAIN, target, reference=1) == [Carried(b"hi", 0, 0x00)]
    assert convert(part(LongForm.UDH_8, b"x"), PLAIN, target, reference=1)[0].esm_class == 0x40
    assert one(part(LongForm.UDH_8, b"x"), LongForm.SAR).esm_class == 0x03
    assert convert(Carried(b"x", 0, 0x80), PLAIN, Target(esm_mode=2), reference=1)[0].esm_class == 0x82


@pytest.mark.parametrize("octets", [b"", b"\x05\x00\x03\x01", b"\x05\x00\x03\x01\x02\x03x", b"\xffx"])
def test_quirk_35_udhi_without_a_header_that_fits_is_refused(octets: bytes) -> None:
    with pytest.raises(udh.UdhError):
        one(Carried(octets, 0, 0x40), LongForm.UDH_8)


def test_sar_that_is_not_complete_is_ignored_and_sar_that_counts_wrong_refused() -> None:
    lone = tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, 1)
    assert one(Carried(b"hi", 0, 0, lone), LongForm.UDH_8) == Carried(b"hi", 0, 0, lone)
    for total, sequence in ((2, 3), (2, 0), (0, 0)):
        with pytest.raises(LongFormError, match="part"):
            one(Carried(b"hi", 0, 0, sar(1, total, sequence)), LongForm.UDH_8)


def test_a_header_goes_before_sar_that_says_otherwise() -> None:
    carried = part(LongForm.UDH_8, b"x")
    both = Carried(carried.short_message, 0, 0x43, carried.tlvs + sar(9, 9, 9))
    assert one(both, LongForm.UDH_8) == carried


# --- alphabets --------------------------------------------------------------------------------------------------------


def test_a_text_is_transcoded_before_it_is_cut() -> None:
    text = "é{" * 80
    carried = Carried(b"", 0, 0, payload(text.encode("latin-1")))
    written = convert(carried, LATIN, Target(dialect=SEPTETS), reference=1)
    assert "".join(GSM.decode(read(piece, SEPTETS).body) for piece in written) == text
    assert [len(read(piece, SEPTETS).body) for piece in written] == [153, 87]
    (one_message,) = convert(Carried(GSM.encode("a" * 160)), SEPTETS, Target(dialect=LATIN), reference=1)
    assert one_message == Carried(b"a" * 160)


@pytest.mark.parametrize("data_coding", [0x00, 0x03, 0x04, 0x08, 0x10, 0xF5])
def test_a_short_message_between_peers_of_one_dialect_is_not_touched(data_coding: int) -> None:
    carried = Carried(b"\x00\xe9\xff" * 46 + b"\x00\xe9", data_coding, 0x83)
    for dialect in (PLAIN, SEPTETS, LATIN, PACKED, Dialect(is_little_endian=True)):
        assert convert(carried, dialect, Target(dialect=dialect), reference=1) == [carried]


def test_a_flash_message_stays_one_in_every_form_and_alphabet() -> None:
    carried = Carried(b"", 0x10, 0, payload(b"a" * 200))
    for form in LongForm:
        written = convert(carried, SEPTETS, Target(dialect=PACKED, long_form=form), reference=1)
        assert {piece.data_coding for piece in written} == {0x10}


def test_quirk_30_a_part_is_packed_anew_when_its_header_changes() -> None:
    carried = one(part(LongForm.UDH_8, b"a" * 150), LongForm.UDH_8, SEPTETS, PACKED)
    assert len(carried.short_message) == 6 + 132
    as_sar = one(carried, LongForm.SAR, PACKED, PACKED)
    assert len(as_sar.short_message) == 132
    assert one(as_sar, LongForm.UDH_8, PACKED, SEPTETS) == part(LongForm.UDH_8, b"a" * 150)


def test_a_part_with_a_character_that_the_upstream_does_not_have_is_an_error() -> None:
    with pytest.raises(TranscodeError):
        one(part(LongForm.UDH_8, b"\xea"), LongForm.UDH_8, LATIN, SEPTETS)


# --- joining ----------------------------------------------------------------------------------------------------------


def pieces_of(text: bytes, form: LongForm) -> list[Piece]:
    return [read(piece, PLAIN) for piece in write(Piece(text, 0, 0, (PORTS,)), Target(long_form=form), reference=3)]


@pytest.mark.parametrize("form", FORMS)
def test_all_parts_in_any_order_are_the_whole_message_again(form: LongForm) -> None:
    """Quirk 33: segments unordered."""
    text = bytes(range(97, 123)) * 15
    pieces = pieces_of(text, form)
    whole = join([pieces[2], pieces[0], pieces[1], pieces[0]])
    assert (whole.body, whole.elements, whole.concatenation) == (text, (PORTS,), None)
    (carried,) = write(whole, Target(long_form=LongForm.PAYLOAD), reference=1)
    assert tlv.find(carried.tlvs, TlvTag.MESSAGE_PAYLOAD) == udh.build([PORTS]) + text


def test_what_is_not_all_of_one_message_is_not_joined() -> None:
    """Quirk 33: segments repeated or missing."""
    pieces = pieces_of(b"a" * 400, LongForm.UDH_8)
    stranger = pieces_of(b"a" * 600, LongForm.UDH_8)[2]
    for wrong in ([], pieces[:2], [*pieces[:2], stranger], [Piece(b"x")], [*pieces, Piece(b"x")]):
        with pytest.raises(LongFormError):
            join(wrong)


@given(
    st.text("abc€{é@\r", max_size=500),
    st.sampled_from(LongForm),
    st.sampled_from(LongForm),
    st.sampled_from([SEPTETS, LATIN]),
)
def test_no_character_is_lost_from_form_to_form(text: str, came: LongForm, leaves: LongForm, dialect: Dialect) -> None:
    octets = text.encode("utf-16-be")
    written = write(Piece(octets, 8), Target(long_form=came), reference=0x77)
    target = Target(dialect=dialect, long_form=leaves)
    again = [read(out, dialect) for piece in written for out in convert(piece, SEPTETS, target, reference=1)]
    again.sort(key=lambda piece: piece.concatenation.sequence if piece.concatenation else 0)
    assert b"".join(piece.body for piece in again) == octets


DIALECTS = [
    Dialect(default=default, is_little_endian=is_little)
    for default in (None, *DefaultAlphabet)
    for is_little in (False, True)
]


@given(
    st.binary(max_size=254),
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=30) | st.builds(sar, st.integers(0, 65535), st.integers(0, 5), st.integers(0, 5)),
    st.binary(max_size=600),
    st.sampled_from(DIALECTS),
    st.sampled_from(DIALECTS),
    st.sampled_from(LongForm),
)
def test_any_octets_are_converted_or_refused_with_a_documented_error(
    octets: bytes,
    data_coding: int,
    esm_class: int,
    tlvs: bytes,
    long: bytes,
    source: Dialect,
    dialect: Dialect,
    form: LongForm,
) -> None:
    carried = Carried(octets, data_coding, esm_class, tlvs)
    if not octets:
        carried = Carried(b"", data_coding, esm_class, payload(long) + tlvs)
    try:
        written = convert(carried, source, Target(dialect=dialect, long_form=form), reference=7)
    except (udh.UdhError, LongFormError, TranscodeError, TooManySegmentsError):
        return
    for out in written:
        assert len(out.short_message) <= 254 and out.esm_class & 0x3F == esm_class & 0x3F
        assert read(out, dialect).elements == read(written[0], dialect).elements
