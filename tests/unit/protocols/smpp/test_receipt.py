"""Receipts as they are met in the field, and as we write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp import codec, tlv
from protocols.smpp.constants import EsmClass, MessageState, TlvTag
from protocols.smpp.errors import EncodeError
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import STAT_OF_STATE, Receipt, _tlvs_of, format_receipt, parse_receipt, receipt_tlvs
from protocols.smpp.times import to_ms

MakeDeliver = Callable[..., DeliverSm]
DONE = to_ms(datetime(2025, 11, 22, 17, 30, tzinfo=UTC))
USUAL = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2511221729 done date:2511221730 stat:DELIVRD err:000 text:Hello there"
)


def read(deliver: MakeDeliver, text: bytes, **fields: object) -> Receipt:
    receipt = parse_receipt(deliver(short_message=text, **({"esm_class": 0x04} | fields)))
    assert receipt is not None
    return receipt


def test_the_usual_text_is_read_whole(deliver: MakeDeliver) -> None:
    assert read(deliver, USUAL) == Receipt(
        message_id=b"0123456789",
        stat=b"DELIVRD",
        err=b"000",
        submit_date=DONE - 60_000,
        done_date=DONE,
        sub=1,
        dlvrd=1,
        text=b"Hello there",
        raw=USUAL,
    )


@pytest.mark.parametrize(
    "text",
    [
        b"id:0123456789 stat:DELIVRD err:000 done date:2511221730",
        b"stat:DELIVRD id:0123456789 done date:2511221730 err:000 text:",
        b"ID:0123456789 SUB:001 DLVRD:001 SUBMIT DATE:2511221729 DONE DATE:2511221730 STAT:delivrd ERR:000 TEXT:x",
        b"id:0123456789 sub:1 dlvrd:1 submitdate:2511221729 donedate:2511221730 stat:DELIVRD err:000 Text:x",
        b"id:0123456789 submit_date:251122172900 done_date:251122173000 stat:DELIVRD err:000",
        b"id: 0123456789, stat: DELIVRD, err: 000, done date: 20251122173000",
        b"id:0123456789 done date:202511221730 stat:DELIVRD err:000 text:id:999 stat:UNDELIV",
        b"id:0123456789\r\nstat:DELIVRD\r\nerr:000\r\ndone date:2511221730\r\n\0",
        b"message id=0123456789 status=DELIVRD error=000 done-date=2511221730",
        b"text:hello id:0123456789 stat:DELIVRD err:000 done date:2511221730",
        USUAL + b"\0",
    ],
)
def test_every_order_case_and_spelling_of_the_fields_is_read(deliver: MakeDeliver, text: bytes) -> None:
    receipt = read(deliver, text)
    assert receipt.message_id == b"0123456789"
    assert receipt.stat == b"DELIVRD"
    assert receipt.err == b"000"
    assert receipt.done_date == DONE
    assert receipt.raw == text


@pytest.mark.parametrize(
    ("stat", "err"), [(b"FAILED", b"0A1"), (b"ACKED", b"12345"), (b"BUFFRED", b"EC_1"), (b"5", b"0")]
)
def test_words_that_no_standard_knows_are_kept(deliver: MakeDeliver, stat: bytes, err: bytes) -> None:
    receipt = read(deliver, b"id:1 stat:" + stat + b" err:" + err)
    assert (receipt.stat, receipt.err) == (stat, err)


@pytest.mark.parametrize(
    "date", [b"0000000000", b"000000000000", b"2513221730", b"today", b"", b"251122", b"20251322173000"]
)
def test_a_date_that_is_none_is_none(deliver: MakeDeliver, date: bytes) -> None:
    assert read(deliver, b"id:1 stat:DELIVRD done date:" + date + b" err:000").done_date is None


@pytest.mark.parametrize("text", [b"", b"\0", b"delivered", b"id", b"id:", b"\xff\xfe", b"stat:"])
def test_a_receipt_that_cannot_be_read_is_still_a_receipt(deliver: MakeDeliver, text: bytes) -> None:
    receipt = read(deliver, text)
    assert receipt.message_id == b""
    assert receipt.raw == text


def test_the_fields_of_the_receipt_are_not_taken_from_the_excerpt(deliver: MakeDeliver) -> None:
    receipt = read(deliver, b"id:1 stat:UNDELIV text:id:2 stat:DELIVRD")
    assert (receipt.message_id, receipt.stat, receipt.text) == (b"1", b"UNDELIV", b"id:2 stat:DELIVRD")


def test_the_tlvs_go_before_the_text(deliver: MakeDeliver) -> None:
    tlvs = receipt_tlvs(b"abc", MessageState.UNDELIVERABLE, network_error=b"\3\0\x22", user_message_reference=7)
    receipt = read(deliver, USUAL, tlvs=tlvs)
    assert receipt.message_id == b"abc"
    assert receipt.message_state == MessageState.UNDELIVERABLE
    assert receipt.stat == b"DELIVRD"
    assert receipt.err == b"000"
    assert receipt.network_error == b"\3\0\x22"
    assert receipt.user_message_reference == 7


def test_the_tlvs_alone_are_enough(deliver: MakeDeliver) -> None:
    tlvs = receipt_tlvs(b"abc", MessageState.DELIVERED, network_error=b"\3\0\x22")
    receipt = read(deliver, b"", tlvs=tlvs)
    assert (receipt.message_id, receipt.stat, receipt.err) == (b"abc", b"DELIVRD", b"034")


def test_a_network_error_in_characters_is_taken_as_it_is(deliver: MakeDeliver) -> None:
    receipt = read(deliver, b"id:1 stat:UNDELIV", tlvs=tlv.encode([(TlvTag.NETWORK_ERROR_CODE, b"01B")]))
    assert receipt.err == b"01B"


def test_a_state_that_is_not_known_is_kept_as_a_number(deliver: MakeDeliver) -> None:
    receipt = read(deliver, b"", tlvs=receipt_tlvs(b"1", 77))
    assert (receipt.message_state, receipt.stat) == (77, b"")


def test_the_text_may_lie_in_the_payload(deliver: MakeDeliver) -> None:
    receipt = read(deliver, b"", tlvs=tlv.encode([(TlvTag.MESSAGE_PAYLOAD, USUAL)]))
    assert receipt.message_id == b"0123456789"


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_a_receipt_in_ucs_2_is_read_in_either_byte_order(deliver: MakeDeliver, encoding: str) -> None:
    receipt = read(deliver, (USUAL.decode() + " \u0416").encode(encoding), data_coding=0x08)
    assert receipt.message_id == b"0123456789"
    assert receipt.text == "Hello there \u0416".encode()


def test_a_receipt_in_ascii_that_says_ucs_2_is_read(deliver: MakeDeliver) -> None:
    """Quirk 29: some carriers give a receipt the data_coding of its message."""
    assert read(deliver, USUAL, data_coding=0x08).message_id == b"0123456789"


def test_octets_that_are_no_ucs_2_do_no_harm(deliver: MakeDeliver) -> None:
    assert read(deliver, b"\xd8\x00x", data_coding=0x08).message_id == b""


def test_a_user_data_header_is_not_read_as_text(deliver: MakeDeliver) -> None:
    receipt = read(deliver, b"\5\0\3\1\2\1" + USUAL, esm_class=0x44)
    assert receipt.message_id == b"0123456789"


@pytest.mark.parametrize("esm_class", [0x00, 0x01, 0x18, 0x80])
def test_a_message_that_looks_like_a_receipt_is_a_message(deliver: MakeDeliver, esm_class: int) -> None:
    pdu = deliver(short_message=USUAL, esm_class=esm_class)
    assert parse_receipt(pdu) is None
    recognised = parse_receipt(pdu, by_text_alone=True)
    assert recognised is not None
    assert recognised.message_id == b"0123456789"


def test_by_its_text_alone_only_an_id_with_a_state_is_a_receipt(deliver: MakeDeliver) -> None:
    assert parse_receipt(deliver(short_message=b"my id: 5"), by_text_alone=True) is None


def test_an_id_tlv_on_a_message_does_not_make_it_a_receipt(deliver: MakeDeliver) -> None:
    only_id = tlv.encode_value(TlvTag.RECEIPTED_MESSAGE_ID, b"1")
    assert parse_receipt(deliver(tlvs=only_id)) is None
    both = parse_receipt(deliver(tlvs=receipt_tlvs(b"1", MessageState.DELIVERED)))
    assert both is not None
    assert both.message_id == b"1"


@pytest.mark.parametrize("esm_class", [EsmClass.DELIVERY_ACK, EsmClass.USER_ACK])
def test_an_acknowledgement_is_a_receipt_when_it_reads_like_one(deliver: MakeDeliver, esm_class: int) -> None:
    assert parse_receipt(deliver(short_message=USUAL, esm_class=esm_class)) is not None
    assert parse_receipt(deliver(short_message=b"ok", esm_class=esm_class)) is None


def test_an_intermediate_notification_says_so(deliver: MakeDeliver) -> None:
    assert read(deliver, USUAL, esm_class=0x20).is_intermediate
    assert not read(deliver, USUAL).is_intermediate


def test_a_receipt_is_written_to_the_letter_of_appendix_b() -> None:
    assert (
        format_receipt(
            b"0123456789",
            submit_ms=DONE - 59_000,
            done_ms=DONE + 999,
            stat=b"DELIVRD",
            text=b"a text of more than twenty octets",
        )
        == b"id:0123456789 sub:001 dlvrd:001 submit date:2511221729 done date:2511221730 stat:DELIVRD err:000 "
        b"text:a text of more than "
    )


@pytest.mark.parametrize("state", STAT_OF_STATE)
def test_what_is_written_is_read_again(deliver: MakeDeliver, state: MessageState) -> None:
    stat = STAT_OF_STATE[state]
    text = format_receipt(b"77", submit_ms=DONE, done_ms=DONE, stat=stat, err=b"8", text=b"x")
    pdu = deliver(esm_class=4, short_message=text, tlvs=receipt_tlvs(b"77", state))
    receipt = parse_receipt(codec.decode(codec.encode(pdu)))  # type: ignore[arg-type]  # a DeliverSm
    assert receipt is not None
    assert (receipt.message_id, receipt.stat, receipt.err, receipt.message_state) == (b"77", stat, b"008", state)
    assert receipt.dlvrd == (1 if stat == b"DELIVRD" else 0)


def test_an_id_that_does_not_fit_is_not_written() -> None:
    with pytest.raises(EncodeError):
        receipt_tlvs(b"x" * 65, 2)
    with pytest.raises(EncodeError):
        receipt_tlvs(b"a\0", 2)


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_the_usual_tlvs_are_read_as_any_others(message_id: bytes, tail: bytes) -> None:
    for raw in (
        tlv.encode(((0x001E, message_id + b"\0"), (0x0427, b"\x02"))),
        tlv.encode(((0x001E, message_id + b"\0"), (0x0427, b"\x05"), (0x0423, tail[:3]))),
        tlv.encode(((0x001E, message_id), (0x0427, b"\x02"))) + tail,
        b"\x00\x1e\x00" + tail,
    ):
        assert _tlvs_of(raw) == tlv.read(raw)
