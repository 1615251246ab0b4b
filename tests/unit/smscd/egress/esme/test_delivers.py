"""The deliver_sm of a callback, read back by the receipt parser."""

from __future__ import annotations

import pytest

from protocols.gsm.alphabets import GSM
from protocols.gsm.transcode import DefaultAlphabet
from protocols.smpp import tlv
from protocols.smpp.codec import DECODERS
from protocols.smpp.constants import CommandId, MessageState, TlvTag
from protocols.smpp.errors import EncodeError
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import parse_receipt
from smscd.core.callback_records import CallbackKind, CallbackRecord
from smscd.core.records import State
from smscd.egress.esme.delivers import PARTS_TAG, DeliverEncoder, printable
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS
from tests.unit.smscd.egress.esme.test_delivering import callback


def pdu_of(
    record: CallbackRecord, encoder: DeliverEncoder | None = None, alphabet: DefaultAlphabet | None = None
) -> DeliverSm:
    body = (encoder or DeliverEncoder()).body(record, alphabet)
    pdu: DeliverSm = DECODERS[CommandId.DELIVER_SM](body, 0, len(body), 0, 0)
    return pdu


def test_a_receipt_has_the_addresses_swapped_and_says_the_same_in_text_and_tlvs() -> None:
    pdu = pdu_of(callback(FIRST_ID, done_ms=NOW_MS + 61_000, is_from_network=True))
    assert (pdu.source_addr, pdu.source_addr_ton, pdu.source_addr_npi) == (b"491701", 1, 1)
    assert (pdu.destination_addr, pdu.dest_addr_ton, pdu.dest_addr_npi) == (b"Sender", 5, 0)
    assert (pdu.esm_class, pdu.data_coding, pdu.registered_delivery) == (0x04, 0, 0)
    assert pdu.short_message == (
        b"id:%d sub:001 dlvrd:001 submit date:2701150800 done date:2701150801 stat:DELIVRD err:000 text:text" % FIRST_ID
    )
    values = tlv.read(pdu.tlvs)
    assert values[TlvTag.RECEIPTED_MESSAGE_ID] == b"%d" % FIRST_ID
    assert values[TlvTag.MESSAGE_STATE] == MessageState.DELIVERED
    assert values[TlvTag.NETWORK_ERROR_CODE] == b"\x03\x00\x00"
    assert parse_receipt(pdu) is not None


def test_templates_do_not_leak_from_one_receipt_into_another() -> None:
    encoder = DeliverEncoder()
    records = [
        callback(1, body=b"one"),
        callback(22, state=int(State.UNDELIVERED), stat=b"UNDELIV", err=b"042", body=b"two"),
        callback(333, segments=3),
        callback(1, body=b"again", submit_ms=NOW_MS - 86_400_000),
    ]
    for record in [*records, *records]:
        assert encoder.body(record) == DeliverEncoder().body(record)
    parsed = parse_receipt(pdu_of(records[1], encoder))
    assert parsed is not None
    assert (parsed.message_id, parsed.stat, parsed.err, parsed.dlvrd) == (b"22", b"UNDELIV", b"042", 0)
    assert parsed.message_state == MessageState.UNDELIVERABLE


def test_a_command_status_is_no_network_error() -> None:
    pdu = pdu_of(callback(1, err=b"011"))
    assert TlvTag.NETWORK_ERROR_CODE not in tlv.read(pdu.tlvs)
    assert b"err:011 " in pdu.short_message


def test_an_err_that_is_no_number_is_left_out_of_the_tlvs() -> None:
    pdu = pdu_of(callback(1, err=b"0A1", is_from_network=True))
    assert TlvTag.NETWORK_ERROR_CODE not in tlv.read(pdu.tlvs)
    assert b"err:0A1 " in pdu.short_message


@pytest.mark.parametrize(
    ("excerpt", "data_coding", "shown"),
    [
        (b"plain", 0, b"plain"),
        (b"\x00\x02\x11\x1b\x65", 0, b"@$_?"),
        (b"a \x1b\x3cx\x1b\x3e\x1b", 0, b"a [x]"),
        ("Grüße".encode("utf-16-be"), 8, b"Gr??e"),
        ("odd".encode("utf-16-be") + b"\xd8", 8, b"odd"),
        (b"caf\xe9\n", 3, b"caf.."),
        (b"\x00\x01\xff", 4, b"..."),
    ],
)
def test_the_excerpt_is_printable_ascii(excerpt: bytes, data_coding: int, shown: bytes) -> None:
    assert printable(excerpt, data_coding) == shown


@pytest.mark.parametrize("alphabet", [None, DefaultAlphabet.LATIN_1, DefaultAlphabet.ASCII])
def test_quirk_27_a_receipt_is_ascii_under_data_coding_0_where_that_is_ascii(alphabet: DefaultAlphabet | None) -> None:
    pdu = pdu_of(callback(1, body=b"a@b_$ [x]", data_coding=1), alphabet=alphabet)
    assert pdu.data_coding == 0 and pdu.short_message.endswith(b" text:a@b_$ [x]")


def test_quirk_27_a_receipt_says_the_same_in_gsm_and_in_ascii_to_an_esme_whose_alphabet_is_gsm() -> None:
    pdu = pdu_of(callback(1, body=b"a@b_$ [x] 5'", data_coding=1, err=b"_1"), alphabet=DefaultAlphabet.GSM)
    assert pdu.data_coding == 0
    assert pdu.short_message.endswith(b" stat:DELIVRD err:0.1 text:a.b.. .x. 5'")
    assert GSM.decode(pdu.short_message) == pdu.short_message.decode("ascii")


def test_quirk_30_a_receipt_is_no_packed_text_and_says_so_to_an_esme_that_packs() -> None:
    """Not one octet is different for an ESME that takes a receipt for ASCII without looking."""
    encoder, record = DeliverEncoder(), callback(1, body=b"a@b_$", data_coding=1)
    packing = pdu_of(record, encoder, DefaultAlphabet.GSM_PACKED)
    other = pdu_of(record, encoder)
    assert (packing.data_coding, other.data_coding) == (1, 0)
    assert packing.short_message == other.short_message and packing.tlvs == other.tlvs


@pytest.mark.parametrize("alphabet", list(DefaultAlphabet))
def test_an_inbound_message_is_in_the_accounts_alphabet_already(alphabet: DefaultAlphabet) -> None:
    record = callback(7, kind=int(CallbackKind.INBOUND), body=b"@_$", named_tlvs={"mccmnc": 1})
    assert pdu_of(record, alphabet=alphabet) == pdu_of(record)


def test_an_inbound_message_is_passed_on_as_it_came() -> None:
    record = callback(
        7, kind=int(CallbackKind.INBOUND), esm_class=0x40, data_coding=8, body=b"\x05\x00\x03\x01\x02\x01\x00h",
        source=b"491709", source_ton=1, source_npi=1, dest=b"12345", dest_ton=3, dest_npi=0,
        tlvs=tlv.encode([(0x1400, b"vendor")]),
    )  # fmt: skip
    pdu = pdu_of(record)
    assert (pdu.source_addr, pdu.destination_addr, pdu.dest_addr_ton) == (b"491709", b"12345", 3)
    assert (pdu.esm_class, pdu.data_coding, pdu.short_message) == (0x40, 8, record.body)
    assert tlv.parse(pdu.tlvs) == [(0x1400, b"vendor")]


def test_a_long_inbound_message_goes_into_message_payload() -> None:
    pdu = pdu_of(callback(7, kind=int(CallbackKind.INBOUND), body=b"x" * 300))
    assert pdu.short_message == b"" and tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD) == b"x" * 300


@pytest.mark.parametrize(("parts", "wanted"), [(2, b"\x02\x03"), (3, None), (0, None)])
def test_quirk_33_a_message_that_lacks_parts_says_how_many_are_there(parts: int, wanted: bytes | None) -> None:
    record = callback(
        7, kind=int(CallbackKind.INBOUND), body=b"text so far", parts=parts, parts_total=3 if parts else 0
    )
    pdu = pdu_of(record)
    assert pdu.short_message == b"text so far" and tlv.find(pdu.tlvs, PARTS_TAG) == wanted
    long = pdu_of(callback(7, kind=int(CallbackKind.INBOUND), body=b"x" * 300, parts=254, parts_total=255))
    assert tlv.find(long.tlvs, TlvTag.MESSAGE_PAYLOAD) == b"x" * 300 and tlv.find(long.tlvs, 0x1501) == b"\xfe\xff"


def test_an_address_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(EncodeError):
        DeliverEncoder().body(callback(1, source=b"x" * 30))
