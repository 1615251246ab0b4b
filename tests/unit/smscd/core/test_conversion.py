"""What the customer means is what the upstream reads, or the message is refused; quirks 27 to 36."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM
from protocols.gsm.segmentation import cuts
from protocols.gsm.transcode import Alphabet
from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from smscd.core.conversion import canonical, reference_of, wide_reference_of
from smscd.core.planning import Planned
from smscd.core.profiles import PLAIN
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Conversion, Form
from tests.unit.smscd.core.profile_fixture import ID, PRICE, SEGMENTS_MAX, Way, understood, written

ALPHABETS = ("gsm", "gsm_packed", "latin1", "ascii")
FORMS = ("as_is", "udh8", "udh16", "sar", "payload")
LONG = "Grüße, " * 40


def planned(result: Planned | Rejected) -> Planned:
    assert isinstance(result, Planned), result
    return result


def refused(result: Planned | Rejected) -> Reason:
    assert isinstance(result, Rejected), result
    return result.reason


def sar(reference: int, total: int, sequence: int) -> bytes:
    return (
        tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, reference)
        + tlv.encode_value(TlvTag.SAR_TOTAL_SEGMENTS, total)
        + tlv.encode_value(TlvTag.SAR_SEGMENT_SEQNUM, sequence)
    )


# --- quirk 27: what data_coding 0 is --------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", ALPHABETS)
@pytest.mark.parametrize("ours", ALPHABETS)
def test_quirk_27_a_text_is_read_as_it_was_meant_whatever_data_coding_0_is(ours: str, theirs: str) -> None:
    way = Way({"default_alphabet": ours}, {"default_alphabet": theirs})
    text = "plain @ text" if "ascii" in (ours, theirs) else "Ä ö ñ @ £"
    content, data_coding = written(text, ours)
    pdus = way.sent(way.smpp(content, data_coding))
    assert [pdu.data_coding for pdu in pdus] == [0]
    assert understood(pdus, theirs) == text


@pytest.mark.parametrize(("ours", "theirs"), [("unknown", "latin1"), ("unknown", "gsm_packed"), ("latin1", "unknown")])
def test_quirk_27_nothing_is_rewritten_while_one_side_is_not_known(ours: str, theirs: str) -> None:
    way = Way({"default_alphabet": ours}, {"default_alphabet": theirs})
    [pdu] = way.sent(way.smpp(b"\x00\xe9\x1be"))
    assert (pdu.short_message, pdu.data_coding) == (b"\x00\xe9\x1be", 0)


def test_quirk_27_a_text_over_http_is_ours_and_goes_in_the_upstreams_alphabet() -> None:
    way = Way({}, {"default_alphabet": "latin1"})
    assert way.sent(way.http("Ä@"))[0].short_message == b"\xc4@"
    packed = Way({}, {"default_alphabet": "gsm_packed"})
    assert packed.sent(packed.http("hellohello"))[0].short_message == bytes.fromhex("e8329bfd4697d9ec37")


def test_what_the_upstreams_alphabet_does_not_have_goes_as_ucs2_and_costs_what_it_takes() -> None:
    way = Way({}, {"default_alphabet": "latin1"})
    result = planned(way.http("€" + "a" * 100))
    record = result.record
    assert (record.data_coding, len(record.segments), record.parts, record.price_micros) == (8, 2, 2, 2 * PRICE)
    assert understood(way.sent(result), "latin1") == "€" + "a" * 100


def test_a_part_that_the_upstream_has_no_characters_for_is_refused() -> None:
    way = Way({"default_alphabet": "gsm"}, {"default_alphabet": "latin1"})
    part = udh.build([udh.concatenation_8(1, 2, 1)]) + GSM.encode("€")
    rejected = way.smpp(part, esm_class=0x40)
    assert refused(rejected) is Reason.NOT_CONVERTIBLE
    assert isinstance(rejected, Rejected)
    assert (rejected.answer.command_status, rejected.answer.http_status) == (0x45, 422)


def test_octets_that_are_not_what_the_account_says_are_refused() -> None:
    way = Way({"default_alphabet": "ascii"}, {"default_alphabet": "gsm"})
    assert refused(way.smpp(b"caf\xe9")) is Reason.NOT_CONVERTIBLE


@pytest.mark.parametrize("data_coding", [0x02, 0x04, 0xF5])
def test_quirk_28_binary_passes_untouched(data_coding: int) -> None:
    way = Way({"default_alphabet": "latin1", "is_little_endian": True}, {"default_alphabet": "gsm_packed"})
    [pdu] = way.sent(way.smpp(bytes(range(140)), data_coding))
    assert (pdu.short_message, pdu.data_coding) == (bytes(range(140)), data_coding)


def test_quirk_28_a_message_class_is_kept_in_ucs2() -> None:
    way = Way({"default_alphabet": "gsm"}, {"default_alphabet": "gsm_packed"})
    [pdu] = way.sent(way.smpp(b"hellohello", 0x10))
    assert (pdu.data_coding, pdu.short_message) == (0x10, bytes.fromhex("e8329bfd4697d9ec37"))


@pytest.mark.parametrize(("ours", "theirs"), [(False, True), (True, False), (True, True)])
def test_quirk_29_the_order_of_octets_is_the_upstreams(ours: bool, theirs: bool) -> None:
    way = Way({"is_little_endian": ours}, {"is_little_endian": theirs})
    content = "дом".encode("utf-16-le" if ours else "utf-16-be")
    [pdu] = way.sent(way.smpp(content, 8))
    assert pdu.short_message == "дом".encode("utf-16-le" if theirs else "utf-16-be")


def test_quirk_30_packed_septets_are_counted_as_septets() -> None:
    way = Way({"default_alphabet": "gsm_packed"}, {"default_alphabet": "gsm"})
    result = planned(way.smpp(written("a" * 160, "gsm_packed")[0]))
    assert result.record.segments == [b"a" * 160]
    assert understood(way.sent(planned(way.smpp(written("a" * 161, "gsm_packed")[0]))), "gsm") == "a" * 161


def test_quirk_31_a_latin_text_is_counted_by_what_it_is_on_the_air() -> None:
    way = Way({"default_alphabet": "latin1"}, {"default_alphabet": "gsm"})
    assert len(planned(way.smpp(b"a" * 160)).record.segments) == 1
    assert len(planned(way.smpp(b"[" * 81)).record.segments) == 2


def test_quirk_31_too_many_segments_are_an_error_in_every_form() -> None:
    for form in FORMS[1:]:
        way = Way({}, {"long_message": form})
        assert refused(way.smpp(b"a" * (153 * SEGMENTS_MAX + 1))) is Reason.TOO_MANY_SEGMENTS


# --- quirk 32: long messages ----------------------------------------------------------------------------------------


def test_quirk_32_our_parts_have_the_header_that_the_upstream_wants() -> None:
    for form, header in (
        ("as_is", b"\x05\x00\x03" + bytes((reference_of(ID), 2, 1))),
        ("udh8", b"\x05\x00\x03" + bytes((reference_of(ID), 2, 1))),
        ("udh16", b"\x06\x08\x04" + wide_reference_of(ID).to_bytes(2, "big") + b"\x02\x01"),
    ):
        way = Way({}, {"long_message": form})
        pdus = way.sent(way.smpp(b"a" * 200))
        assert [pdu.esm_class for pdu in pdus] == [0x40, 0x40]
        assert pdus[0].short_message.startswith(header), form
        assert understood(pdus, "gsm") == "a" * 200


def test_quirk_32_sar_is_beside_the_text_and_keeps_other_tlvs() -> None:
    way = Way({}, {"long_message": "sar"})
    vendor = tlv.encode([(0x1400, b"dlt")])
    result = planned(way.smpp(b"a" * 400, tlvs=vendor))
    assert (result.record.conversion or pytest.fail()).form == Form.SAR
    pdus = way.sent(result)
    assert [len(pdu.short_message) for pdu in pdus] == [153, 153, 94]
    reference = wide_reference_of(ID)
    assert [pdu.tlvs for pdu in pdus] == [vendor + sar(reference, 3, sequence) for sequence in (1, 2, 3)]
    assert [pdu.esm_class for pdu in pdus] == [0, 0, 0]


def test_quirk_32_a_payload_is_one_submit_sm_and_costs_its_parts() -> None:
    way = Way({}, {"long_message": "payload"})
    vendor = tlv.encode([(0x1400, b"dlt")])
    for size, parts in ((161, 2), (306, 2), (307, 3)):
        result = planned(way.smpp(b"a" * size, tlvs=vendor, request_key=b"k"))
        assert (result.record.parts, result.record.price_micros, len(result.record.segments)) == (
            parts, parts * PRICE, 1,
        )  # fmt: skip
        [pdu] = way.sent(result)
        assert pdu.short_message == b""
        assert pdu.tlvs == tlv.encode([(TlvTag.MESSAGE_PAYLOAD, b"a" * size)]) + vendor
    [pdu] = way.sent(way.smpp(b"a" * 160))
    assert (len(pdu.short_message), pdu.tlvs) == (160, b"")


@pytest.mark.parametrize(
    ("form", "header", "tlvs"),
    [
        ("as_is", b"\x06\x08\x04\x12\x34\x02\x01", b""),
        ("udh8", b"\x05\x00\x03\x26\x02\x01", b""),
        ("udh16", b"\x06\x08\x04\x12\x34\x02\x01", b""),
        ("sar", b"", sar(0x1234, 2, 1)),
        ("payload", b"\x05\x00\x03\x26\x02\x01", b""),
    ],
)
def test_quirk_32_a_customers_part_keeps_its_reference_in_the_upstreams_form(
    form: str, header: bytes, tlvs: bytes
) -> None:
    way = Way({"default_alphabet": "gsm"}, {"default_alphabet": "latin1", "long_message": form})
    part = udh.build([udh.concatenation_16(0x1234, 2, 1)]) + GSM.encode("für")
    [pdu] = way.sent(way.smpp(part, esm_class=0x40))
    assert (pdu.short_message, pdu.tlvs, pdu.esm_class) == (header + b"f\xfcr", tlvs, 0x40 if header else 0)


@pytest.mark.parametrize(("form", "header"), [("as_is", b""), ("sar", b""), ("udh8", b"\x05\x00\x03\x26\x02\x02")])
def test_quirk_32_a_customers_sar_becomes_the_upstreams_form(form: str, header: bytes) -> None:
    way = Way({"is_little_endian": True}, {"long_message": form})
    [pdu] = way.sent(way.smpp("ж".encode("utf-16-le"), 8, tlvs=sar(0x1234, 2, 2)))
    assert pdu.short_message == header + "ж".encode("utf-16-be")
    assert pdu.tlvs == (b"" if header else sar(0x1234, 2, 2))


def test_quirk_32_other_information_elements_are_kept() -> None:
    ports = (udh.PORTS_16, b"\x0b\x84\x23\xf0")
    way = Way({}, {"long_message": "udh16"})
    pdus = way.sent(way.smpp(udh.build([ports]) + bytes(200), 4, esm_class=0x40))
    for sequence, pdu in enumerate(pdus, 1):
        header = udh.parse(pdu.short_message)
        assert header.elements == (ports, udh.concatenation_16(wide_reference_of(ID), 2, sequence))
    assert sum(len(pdu.short_message) - 13 for pdu in pdus) == 200


@pytest.mark.parametrize("form", FORMS)
def test_a_part_that_does_not_fit_is_refused(form: str) -> None:
    way = Way({"default_alphabet": "latin1"}, {"default_alphabet": "gsm", "long_message": form})
    assert refused(way.smpp(b"a" * 161, tlvs=sar(1, 2, 1))) is Reason.INVALID_LENGTH
    full = way.smpp(b"a" * 160, tlvs=sar(1, 2, 1))
    assert isinstance(full, Rejected) == (form not in ("as_is", "sar")), "a header leaves no room for 160"


def test_contradictions_and_broken_headers_are_refused() -> None:
    way = Way({}, {"long_message": "udh8"})
    assert refused(way.smpp(b"\x09abc", esm_class=0x40)) is Reason.INVALID_UDH
    assert refused(way.smpp(b"a", tlvs=sar(1, 2, 3))) is Reason.INVALID_LENGTH


@pytest.mark.parametrize(("mode", "esm_class", "sent"), [(0, 0x03, 0x00), (3, 0x80, 0x83), (1, 0x00, 0x01)])
def test_quirk_35_the_mode_is_rewritten_and_the_rest_kept(mode: int, esm_class: int, sent: int) -> None:
    way = Way({}, {"esm_mode": mode})
    [pdu] = way.sent(way.smpp(b"hello", esm_class=esm_class))
    assert pdu.esm_class == sent
    assert [one.esm_class for one in way.sent(way.smpp(b"a" * 200))] == [0x40 | mode] * 2


def test_quirk_36_national_tables_pass_and_become_text_where_the_upstream_has_none() -> None:
    turkish = udh.build(udh.national_shifts(1, 1))
    content = turkish + b"\x0b\x1bs"
    same = Way({"default_alphabet": "gsm"}, {"default_alphabet": "gsm"})
    assert same.sent(same.smpp(content, esm_class=0x40))[0].short_message == content
    latin = Way({"default_alphabet": "gsm"}, {"default_alphabet": "latin1"})
    [pdu] = latin.sent(latin.smpp(content, esm_class=0x40))
    assert (pdu.data_coding, pdu.short_message.decode("utf-16-be")) == (8, "Ğş")


# --- what is kept, and what the customer sees -------------------------------------------------------------------------


def test_the_original_is_kept_with_what_was_made_of_it() -> None:
    way = Way({"default_alphabet": "latin1"}, {"default_alphabet": "gsm", "long_message": "sar"})
    vendor = tlv.encode([(0x1400, b"dlt")])
    record = planned(way.smpp(b"\xc4pfel " * 40, esm_class=0x80, tlvs=vendor)).record
    assert record.conversion == Conversion(
        int(Form.SAR), 2, b"\xc4pfel " * 40, 0, 0x80, vendor, b"?pfel ?pfel ?pfel ?p"
    )
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=type(record))
    assert decoded == record


def test_a_record_of_the_previous_release_has_no_conversion() -> None:
    record = planned(Way().smpp(b"hello")).record
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields[:-1]), type=type(record)) == record


def test_default_profiles_leave_a_message_as_it_is() -> None:
    way = Way({"default_alphabet": "gsm"}, {"default_alphabet": "gsm"})
    offer = way.directory.offer(way.directory.entry("acme") or pytest.fail(), b"44", 0)
    assert not isinstance(offer, Rejected)
    assert (offer.converter, offer.text_converter) == (None, None)
    assert planned(way.smpp(b"hello")).record.conversion is None
    only_long = Way({}, {"long_message": "udh16"})
    assert planned(only_long.smpp(b"hello")).record.conversion is None


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_the_hash_of_a_request_is_that_of_every_door_and_upstream(alphabet: str) -> None:
    text = "a request @ two doors"
    hashes = set()
    for upstream in ({}, {"default_alphabet": "latin1"}, {"long_message": "payload", "esm_mode": 2}):
        way = Way({"default_alphabet": alphabet}, upstream)
        content, data_coding = written(text, alphabet)
        hashes.add(planned(way.smpp(content, data_coding, request_key=b"k")).body_hash)
        hashes.add(planned(way.http(text, request_key=b"k")).body_hash)
    plain = Way()
    hashes.add(planned(plain.smpp(GSM.encode(text), request_key=b"k")).body_hash)
    assert len(hashes) == 1
    assert planned(plain.smpp(b"another", request_key=b"k")).body_hash not in hashes


def test_what_cannot_be_read_has_a_hash_all_the_same() -> None:
    dialect = Way({"default_alphabet": "ascii"}).directory.entry("acme")
    assert dialect is not None
    assert canonical(b"\xff", 0, 0, dialect.dialect) == (b"\xff", 0, 0)
    assert canonical(b"\x01", 0, 0x40, PLAIN) == (b"\x01", 0, 0x40)


# --- any text, any two profiles ---------------------------------------------------------------------------------------

TEXTS = st.text(
    st.one_of(
        st.sampled_from("@£$ aé\rÅΔ_[]{}€|~^\\1\n"),
        st.characters(min_codepoint=0x20, max_codepoint=0x7E),
        st.characters(min_codepoint=0xA0, max_codepoint=0xFF),
        st.characters(exclude_categories=("Cs", "Cc")),
    ),
    min_size=1,
    max_size=350,
)
PROFILES = st.tuples(
    st.fixed_dictionaries({"default_alphabet": st.sampled_from(ALPHABETS), "is_little_endian": st.booleans()}),
    st.fixed_dictionaries(
        {
            "default_alphabet": st.sampled_from(ALPHABETS),
            "is_little_endian": st.booleans(),
            "long_message": st.sampled_from(FORMS),
            "esm_mode": st.sampled_from((-1, 0, 3)),
        }
    ),
)


PACKED: dict[str, object] = {"default_alphabet": "gsm_packed", "is_little_endian": False}


def once(text: str, *alphabets: object) -> str:
    """Packed, a CR that ends on the boundary of an octet is sent twice, or it would be padding (quirk 30)."""
    return re.sub("\r+", "\r", text) if "gsm_packed" in alphabets else text


@given(text=TEXTS, profiles=PROFILES)
@settings(max_examples=400, deadline=None)
def test_an_upstream_reads_what_the_customer_meant_or_nothing(
    text: str, profiles: tuple[dict[str, object], dict[str, object]]
) -> None:
    account, upstream = profiles
    way = Way(account, upstream)
    content, data_coding = written(
        text, str(account["default_alphabet"]), is_little_endian=bool(account["is_little_endian"])
    )
    result = way.smpp(content, data_coding)
    if isinstance(result, Rejected):
        assert result.reason is Reason.TOO_MANY_SEGMENTS
        return
    pdus = way.sent(result)
    read = understood(pdus, str(upstream["default_alphabet"]), is_little_endian=bool(upstream["is_little_endian"]))
    both = account["default_alphabet"], upstream["default_alphabet"]
    assert once(read, *both) == once(text, *both)
    assert result.record.price_micros == PRICE * result.record.parts
    assert result.record.parts == len(pdus) or upstream["long_message"] == "payload"


@example(text="\r", profiles=({"default_alphabet": "gsm", "is_little_endian": False}, PACKED), form="udh8")
@given(text=TEXTS, profiles=PROFILES, form=st.sampled_from(("udh8", "udh16", "sar")))
@settings(max_examples=400, deadline=None)
def test_an_upstream_reads_a_customers_own_parts_as_they_were_meant_or_one_is_refused(
    text: str, profiles: tuple[dict[str, object], dict[str, object]], form: str
) -> None:
    account, upstream = profiles
    way = Way(account, upstream)
    alphabet, is_little_endian = str(account["default_alphabet"]), bool(account["is_little_endian"])
    _, data_coding = written(text, alphabet, is_little_endian=is_little_endian)
    texts = [text[at : at + 60] for at in range(0, len(text), 60)]
    if data_coding == 8:
        # As a phone does: no pair of surrogates is cut.
        octets = text.encode("utf-16-be")
        ends = cuts(octets, Alphabet.UCS2, 132)
        texts = [octets[a:b].decode("utf-16-be") for a, b in zip([0, *ends], ends, strict=False)]
    pdus = []
    for sequence, one in enumerate(texts, 1):
        header, tlvs = b"", b""
        if form == "sar":
            tlvs = sar(0x1234, len(texts), sequence)
        else:
            element = udh.concatenation_8 if form == "udh8" else udh.concatenation_16
            header = udh.build([element(0x1234, len(texts), sequence)])
        if data_coding == 8:
            content = one.encode("utf-16-le" if is_little_endian else "utf-16-be")
        else:
            content, _ = written(one, alphabet, header_octets=len(header))
        result = way.smpp(header + content, data_coding, esm_class=0x40 if header else 0, tlvs=tlvs)
        if isinstance(result, Rejected):
            assert result.reason in (Reason.NOT_CONVERTIBLE, Reason.INVALID_LENGTH)
            return
        assert result.record.parts == 1
        pdus += way.sent(result)
    theirs, order = str(upstream["default_alphabet"]), bool(upstream["is_little_endian"])
    assert once(understood(pdus, theirs, is_little_endian=order), alphabet, theirs) == once(text, alphabet, theirs)
