"""What an upstream delivers is read by its profile: receipts, and messages from phones for whoever gets them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM, encode_ucs2, national
from protocols.gsm.septets import pack
from protocols.gsm.transcode import DefaultAlphabet, Dialect
from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.longform import Carried
from protocols.smpp.pdu import DataSm, DeliverSm
from protocols.smpp.receipt import Receipt, format_receipt, parse_receipt, receipt_tlvs
from smscd.core.callbacks import inbound_callback, webhook_event
from smscd.core.directory import Account
from smscd.core.profiles import PLAIN, dialect_of
from smscd.core.reading import Reader, rewritten
from smscd.core.records import InboundRecord
from smscd.core.upstream import Upstream, VendorTlv
from tests.unit.smscd.core.profile_fixture import NOW, understood, written

import msgspec  # isort: skip

RECEIPT = format_receipt(b"ab_1@c", submit_ms=NOW, done_ms=NOW, stat=b"UNDELIV", err=b"042", text=b"Hello you")
LATIN, ASCII = DefaultAlphabet.LATIN_1, DefaultAlphabet.ASCII
PART = udh.build([udh.concatenation_8(7, 2, 1)])
SAR = tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, 7) + tlv.encode([(TlvTag.SAR_TOTAL_SEGMENTS, b"\2")])


def reader(**profile: Any) -> Reader:
    return Reader(Upstream(id="up", host="h", port=1, system_id="s", password="p", **profile))


def account(**profile: Any) -> Dialect:
    return dialect_of(Account(id="acme", **profile))


def receipt_of(short_message: bytes, *, profile: dict[str, Any], **fields: Any) -> Receipt | None:
    return reader(**profile).receipt(DeliverSm(short_message=short_message, **({"esm_class": 4} | fields)))


def shown(carried: Carried) -> Any:
    """What a webhook shows of a message in our own form."""
    record = InboundRecord(
        1, "acme", "up", 1, 1, b"447700900123", 3, 0, b"12345", carried.esm_class, 0, carried.data_coding,
        carried.short_message, NOW, carried.tlvs,
    )  # fmt: skip
    event = webhook_event(inbound_callback(record))
    return msgspec.json.decode(event.body)["data"]["text"]


# --- what costs nothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [{}, {"default_alphabet": "latin1"}, {"default_alphabet": "ascii"}])
def test_a_profile_that_says_nothing_of_receipts_leaves_them_to_the_protocol(profile: dict[str, Any]) -> None:
    assert reader(**profile).receipt is parse_receipt


@pytest.mark.parametrize("alphabet", ["unknown", "gsm"])
def test_a_profile_that_writes_as_we_do_leaves_messages_as_they_came(alphabet: str) -> None:
    ours = reader(default_alphabet=alphabet)
    for esm_class, data_coding, octets in ((0, 0, b"a\0\xff"), (0, 8, b"\0a\0"), (0x40, 0, b"\x30x"), (0, 4, b"\0")):
        came = ours.message(DeliverSm(short_message=octets, data_coding=data_coding, esm_class=esm_class))
        assert came == Carried(octets, data_coding, esm_class)
        assert ours.plain(came) is came and ours.told(came, account()) is came


def test_a_text_in_message_payload_is_the_messages_and_other_tlvs_stay() -> None:
    other = tlv.encode([(0x1400, b"vendor")])
    came = reader().message(DataSm(data_coding=3, tlvs=tlv.encode([(TlvTag.MESSAGE_PAYLOAD, b"x" * 300)]) + other))
    assert came == Carried(b"x" * 300, 3, 0, other)


# --- quirk 5 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alphabet", ["unknown", "gsm", "gsm_packed", "latin1", "ascii"])
def test_quirk_5_a_text_alone_makes_a_receipt_where_the_profile_says_so(alphabet: str) -> None:
    octets, data_coding = written(RECEIPT.decode(), alphabet)
    for is_believed in (True, False):
        profile = {"default_alphabet": alphabet, "receipt_by_text_alone": is_believed}
        found = receipt_of(octets, profile=profile, esm_class=0, data_coding=data_coding)
        assert (found is not None) is is_believed
        assert found is None or (found.message_id[:2], found.stat) == (b"ab", b"UNDELIV")
        assert receipt_of(b"who is id:7?", profile=profile, esm_class=0) is None
        assert receipt_of(b"", profile=profile, esm_class=0) is None


# --- quirk 27 ---------------------------------------------------------------------------------------------------------


def test_quirk_27_an_id_in_a_gsm_receipt_is_found_whether_it_is_written_in_gsm_or_in_ascii() -> None:
    text = "id:ab_1 stat:DELIVRD err:000 text:$"
    for octets in (text.encode(), GSM.encode(text)):
        for header in (b"", b"\2\x70\0"):
            esm_class = 0x44 if header else 4
            found = receipt_of(header + octets, profile={"default_alphabet": "gsm"}, esm_class=esm_class)
            assert found is not None and (found.message_id, found.text) == (b"ab_1", b"$")
    unknown = receipt_of(GSM.encode(text), profile={})
    assert unknown is not None and unknown.message_id == b"ab\x111"


@pytest.mark.parametrize("theirs", ["gsm", "gsm_packed", "latin1", "ascii"])
@pytest.mark.parametrize("ours", ["gsm", "gsm_packed", "latin1", "ascii"])
def test_quirk_27_a_message_is_what_the_phone_wrote_in_the_record_and_for_the_esme(theirs: str, ours: str) -> None:
    text = "a@b_$ {x}"
    octets, data_coding = written(text, theirs)
    way = reader(default_alphabet=theirs)
    came = way.message(DeliverSm(short_message=octets, data_coding=data_coding))
    assert way.plain(came) == Carried(GSM.encode(text))
    assert shown(way.plain(came)) == text
    assert way.told(came, account(default_alphabet=ours)) == Carried(*written(text, ours))


def test_quirk_27_nothing_is_rewritten_while_one_side_is_not_known() -> None:
    came = Carried(b"\x00\xe9")
    for theirs, ours in (("unknown", "latin1"), ("latin1", "unknown"), ("gsm_packed", "unknown")):
        assert reader(default_alphabet=theirs).told(came, account(default_alphabet=ours)) is came
    assert reader().plain(came) is came


def test_quirk_27_what_gsm_does_not_have_is_kept_as_ucs2() -> None:
    way = reader(default_alphabet="latin1")
    assert way.plain(Carried(b"\xea")) == Carried("ê".encode("utf-16-be"), 8)


@pytest.mark.parametrize(("header", "tlvs"), [(PART, b""), (b"", SAR)])
def test_quirk_27_a_part_that_gsm_does_not_have_keeps_its_octets_and_says_what_they_are(
    header: bytes, tlvs: bytes
) -> None:
    came = Carried(header + b"\xea", 0, 0x40 if header else 0, tlvs)
    way = reader(default_alphabet="latin1")
    for got in (way.plain(came), way.told(came, account(default_alphabet="gsm"))):
        assert got == Carried(came.short_message, 3, came.esm_class, tlvs)
        assert shown(got) == "ê"


@pytest.mark.parametrize(
    ("came", "theirs", "ours"),
    [
        (Carried(b"\x80\xe9"), Dialect(default=DefaultAlphabet.GSM), Dialect(default=LATIN)),
        (Carried(PART + b"\x1b\x65", 0, 0x40), Dialect(default=DefaultAlphabet.GSM), Dialect(default=LATIN)),
        (Carried(b"\x30\0a", 8, 0x40), Dialect(is_little_endian=True), PLAIN),
        (Carried(b"\xe9"), PLAIN, Dialect(default=DefaultAlphabet.GSM_PACKED)),
        (Carried(b"", 0, 0x40), PLAIN, Dialect(default=DefaultAlphabet.GSM_PACKED)),
    ],
)
def test_what_cannot_be_rewritten_passes_as_it_came(came: Carried, theirs: Dialect, ours: Dialect) -> None:
    assert rewritten(came, theirs, ours) is came


@pytest.mark.parametrize(("header", "esm_class"), [(b"", 0), (b"\x30", 0x40)])
def test_octets_that_are_not_what_the_upstream_says_keep_the_name_that_it_gives_them(
    header: bytes, esm_class: int
) -> None:
    came = Carried(header + b"caf\xe9", 0, esm_class)
    assert rewritten(came, Dialect(default=ASCII), PLAIN) == Carried(came.short_message, 1, esm_class)


def test_a_short_message_does_not_become_a_payload_that_an_esme_may_not_read() -> None:
    way, theirs = reader(default_alphabet="gsm"), account(default_alphabet="latin1")
    for size, told in ((126, 8), (127, 0)):
        came = Carried(GSM.encode("€" + "x" * size))
        assert way.told(came, theirs).data_coding == told
    long = Carried(GSM.encode("€" + "x" * 300))
    assert way.told(long, theirs) == Carried(encode_ucs2("€" + "x" * 300), 8)


# --- quirk 28 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_coding", [0x02, 0x04, 0x14, 0xF5, 0x20, 0x0F])
def test_quirk_28_binary_passes_untouched(data_coding: int) -> None:
    way = reader(default_alphabet="gsm_packed", is_little_endian=True, strips_trailing_nul=True)
    came = way.message(DeliverSm(short_message=b"\1\2\0", data_coding=data_coding))
    assert came.short_message == b"\1\2\0"
    assert way.plain(came) is came and way.told(came, account(default_alphabet="latin1")) is came


def test_quirk_28_a_class_is_kept() -> None:
    way = reader(default_alphabet="gsm_packed", is_little_endian=True)
    assert way.plain(Carried(pack(b"flash"), 0xF0)) == Carried(b"flash", 0xF0)
    assert way.plain(Carried("ж".encode("utf-16-le"), 0x18)) == Carried("ж".encode("utf-16-be"), 0x18)


# --- quirk 29 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_little_endian", [True, False])
@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_quirk_29_a_receipt_in_ucs2_is_read_in_the_order_that_it_shows(is_little_endian: bool, order: str) -> None:
    profile = {"is_little_endian": is_little_endian}
    found = receipt_of((RECEIPT.decode() + "ж").encode(order), profile=profile, data_coding=8)
    assert found is not None and (found.message_id, found.stat) == (b"ab_1@c", b"UNDELIV")


def test_quirk_29_where_a_receipt_does_not_show_its_order_the_profile_says_it() -> None:
    octets = "Квитанция id:7 stat:DELIVRD".encode("utf-16-le")
    found = receipt_of(octets, profile={"is_little_endian": True}, data_coding=8)
    assert found is not None and (found.message_id, found.stat) == (b"7", b"DELIVRD")
    other = receipt_of(octets, profile={}, data_coding=8)
    assert other is not None and other.message_id == b""


@pytest.mark.parametrize("theirs", [True, False])
@pytest.mark.parametrize("ours", [True, False])
def test_quirk_29_the_order_of_a_messages_octets_is_the_readers(theirs: bool, ours: bool) -> None:
    way, text = reader(is_little_endian=theirs), "дом 😀"
    came = Carried(PART + encode_ucs2(text, is_little_endian=theirs), 8, 0x40)
    assert way.plain(came) == Carried(PART + encode_ucs2(text), 8, 0x40)
    told = way.told(came, account(is_little_endian=ours))
    assert told == Carried(PART + encode_ucs2(text, is_little_endian=ours), 8, 0x40)


# --- quirk 30 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_in_payload", [True, False])
@pytest.mark.parametrize("header", [b"", PART])
def test_quirk_30_a_packed_receipt_is_unpacked(header: bytes, is_in_payload: bool) -> None:
    octets = header + pack(GSM.encode(RECEIPT.decode()), len(header))
    pdu = DeliverSm(esm_class=0x44 if header else 4, short_message=b"" if is_in_payload else octets)
    if is_in_payload:
        pdu.tlvs = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, octets)])
    found = reader(default_alphabet="gsm_packed").receipt(pdu)
    assert found == parse_receipt(DeliverSm(esm_class=4, short_message=RECEIPT))


@pytest.mark.parametrize("header", [b"", PART])
def test_quirk_30_a_receipt_in_ascii_is_read_of_an_upstream_that_packs(header: bytes) -> None:
    pdu = DeliverSm(esm_class=0x44 if header else 4, short_message=header + RECEIPT)
    assert reader(default_alphabet="gsm_packed").receipt(pdu) == parse_receipt(pdu)


@pytest.mark.parametrize("octets", [b"", b"your message has arrived", b"\xff\x00", b"\x06"])
def test_quirk_30_what_reads_like_a_receipt_neither_way_is_one_all_the_same(octets: bytes) -> None:
    tlvs = receipt_tlvs(b"A1", 2)
    found = receipt_of(octets, profile={"default_alphabet": "gsm_packed"}, tlvs=tlvs)
    assert found is not None and (found.message_id, found.stat, found.raw) == (b"A1", b"DELIVRD", octets)


@pytest.mark.parametrize("is_zero_padded", [True, False])
def test_quirk_30_the_profile_says_what_a_packed_text_is_filled_with(is_zero_padded: bool) -> None:
    way = reader(default_alphabet="gsm_packed", is_zero_padded=is_zero_padded)
    filled = Carried(pack(b"1234567\0"))
    assert way.plain(filled).short_message == (b"1234567" if is_zero_padded else b"1234567\0")
    assert way.plain(Carried(pack(b"1234567"))).short_message == b"1234567"
    told = way.told(filled, account(default_alphabet="gsm_packed"))
    assert told.short_message == (pack(b"1234567") if is_zero_padded else filled.short_message)


def test_quirk_30_fill_bits_follow_the_header_that_stays() -> None:
    port = (0x05, b"\x0b\x84\x23\xf0")
    header = udh.build([port, udh.concatenation_16(300, 3, 2)])
    way = reader(default_alphabet="gsm_packed")
    came = Carried(header + pack(b"hello", len(header)), 0, 0x43, b"\x14\0\0\0")
    assert way.plain(came) == Carried(header + b"hello", 0, 0x43, b"\x14\0\0\0")


# --- quirk 36 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", ["gsm", "gsm_packed"])
def test_quirk_36_national_tables_stay_or_become_text(theirs: str) -> None:
    text = "şehir İ"
    shift = udh.national_shifts(single_shift=1)
    octets = national(0, 1).encode(text)
    way = reader(default_alphabet=theirs)
    for elements in (shift, (*shift, udh.concatenation_8(7, 2, 1))):
        header = udh.build(elements)
        body = pack(octets, len(header)) if theirs == "gsm_packed" else octets
        came = Carried(header + body, 0, 0x40)
        assert way.plain(came) == Carried(header + octets, 0, 0x40)
        assert shown(way.plain(came)) == text
    alone = way.told(Carried(udh.build(shift) + (octets if theirs == "gsm" else pack(octets, 4)), 0, 0x40),
                     account(default_alphabet="latin1"))  # fmt: skip
    assert alone == Carried(encode_ucs2(text), 8)


# --- quirk 42 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "data_coding", "stripped"),
    [
        (b"hi\0", 0, b"hi"),
        (b"hi\0\0", 3, b"hi\0"),
        (b"hi", 0, b"hi"),
        (b"", 0, b""),
        (b"\0", 1, b""),
        (b"\0h\0", 8, b"\0h"),
        (b"\0h\0\0", 8, b"\0h"),
        (b"\4\0", 8, b"\4\0"),
        (b"\4\0\0", 8, b"\4\0"),
        (b"\1\0", 4, b"\1\0"),
    ],
)
def test_quirk_42_a_trailing_nul_is_stripped_where_the_profile_says_so(
    octets: bytes, data_coding: int, stripped: bytes
) -> None:
    for header in (b"", PART):
        pdu = DeliverSm(short_message=header + octets, data_coding=data_coding, esm_class=0x40 if header else 0)
        assert reader(strips_trailing_nul=True).message(pdu).short_message == header + stripped
        assert reader().message(pdu).short_message == header + octets


@pytest.mark.parametrize("header", [b"\3\x24\1\0", b"\5\0", b"\0"])
def test_quirk_42_a_header_is_no_text(header: bytes) -> None:
    pdu = DeliverSm(short_message=header, esm_class=0x40)
    assert reader(strips_trailing_nul=True).message(pdu).short_message == header


@pytest.mark.parametrize("alphabet", ["unknown", "gsm", "gsm_packed"])
@pytest.mark.parametrize("strips", [True, False])
def test_quirk_42_a_receipt_too_is_without_it_or_as_it_came(alphabet: str, strips: bool) -> None:
    profile = {"default_alphabet": alphabet, "strips_trailing_nul": strips}
    found = receipt_of(b"id:7 stat:DELIVRD text:hi\0", profile=profile)
    assert found is not None
    assert (found.message_id, found.stat, found.text) == (b"7", b"DELIVRD", b"hi" if strips else b"hi\0")


# --- quirk 44 ---------------------------------------------------------------------------------------------------------


def test_quirk_44_tlvs_that_the_profile_names_are_read_by_name() -> None:
    rows = (
        VendorTlv(tag=0x1401, name="mccmnc", kind="integer", size_min=1, size_max=4),
        VendorTlv(tag=0x1402, name="raw", kind="octets", size_min=1, size_max=3),
    )
    raw = tlv.encode([(0x1401, b"\x66\x59"), (0x1402, b"\0\xff"), (0x1403, b"other")])
    way = reader(vendor_tlvs=rows)
    assert way.named_tlvs(raw) == {"mccmnc": 26201, "raw": "00ff"}
    assert way.named_tlvs(b"") is None and way.named_tlvs(tlv.encode([(0x1403, b"other")])) is None
    assert way.names_tlvs and not reader().names_tlvs and reader().named_tlvs(raw) is None


# --- all together -----------------------------------------------------------------------------------------------------

ALPHABETS = st.sampled_from(("unknown", "gsm", "gsm_packed", "latin1", "ascii"))


TEXTS = st.text(st.sampled_from("abcXYZ 019@_$[]{}€^éèàñÑßΩЖ中😀"), max_size=100)


@given(text=TEXTS, theirs=ALPHABETS, ours=ALPHABETS, orders=st.tuples(st.booleans(), st.booleans()))
@settings(max_examples=400, deadline=None)
def test_a_text_is_the_same_for_phone_record_and_esme(
    text: str, theirs: str, ours: str, orders: tuple[bool, bool]
) -> None:
    way = reader(default_alphabet=theirs, is_little_endian=orders[0])
    octets, data_coding = written(text, theirs, is_little_endian=orders[0])
    came = way.message(DeliverSm(short_message=octets, data_coding=data_coding))
    assert shown(way.plain(came)) == text
    told = way.told(came, account(default_alphabet=ours, is_little_endian=orders[1]))
    if "unknown" in (theirs, ours):
        ours = theirs
    assert understood([told], ours, is_little_endian=orders[1]) == text  # type: ignore[list-item]  # has the same fields


@given(
    octets=st.binary(max_size=300),
    data_coding=st.integers(0, 255),
    esm_class=st.integers(0, 255),
    tlvs=st.one_of(st.binary(max_size=20), st.just(SAR), st.just(receipt_tlvs(b"1", 2))),
    theirs=st.tuples(ALPHABETS, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    ours=st.tuples(ALPHABETS, st.booleans()),
)
@settings(max_examples=400, deadline=None)
def test_anything_that_an_upstream_sends_is_read(
    octets: bytes, data_coding: int, esm_class: int, tlvs: bytes, theirs: tuple[Any, ...], ours: tuple[Any, ...]
) -> None:
    alphabet, is_little_endian, is_zero_padded, strips, by_text = theirs
    way = reader(
        default_alphabet=alphabet, is_little_endian=is_little_endian, is_zero_padded=is_zero_padded,
        strips_trailing_nul=strips, receipt_by_text_alone=by_text,
    )  # fmt: skip
    pdu = DeliverSm(short_message=octets, data_coding=data_coding, esm_class=esm_class, tlvs=tlvs)
    found = way.receipt(pdu)
    assert found is not None or esm_class & 0x3C not in (0x04, 0x20)
    came = way.message(pdu)
    for got in (way.plain(came), way.told(came, account(default_alphabet=ours[0], is_little_endian=ours[1]))):
        assert got.tlvs == came.tlvs and bool(got.short_message) is bool(came.short_message)
        shown(got)
