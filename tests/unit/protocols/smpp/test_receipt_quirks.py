"""Receipts as carriers really send them: one test or more for each quirk that the protocol layer has a part in.

Quirks 4, 6, 7 and 8 (receipts before their response, out of order, repeated, for some segments only) need memory of
other receipts; here is tested what the daemon needs from a receipt for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp import tlv
from protocols.smpp.constants import MessageState, TlvTag
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import Receipt, format_receipt, is_receipt_wanted, parse_receipt, receipt_tlvs

MakeDeliver = Callable[..., DeliverSm]
FIELDS = [b"id:A1", b"sub:001", b"dlvrd:001", b"submit date:2511221729", b"done date:2511221730", b"stat:DELIVRD"]


@dataclass
class DataSm:
    """What of a data_sm a receipt is read from: its text can lie in message_payload only."""

    esm_class: int = 0x04
    data_coding: int = 0
    short_message: bytes = b""
    tlvs: bytes = b""


def receipt_of(text: bytes, tlvs: bytes = b"", esm_class: int = 0x04, data_coding: int = 0) -> Receipt:
    receipt = parse_receipt(DataSm(esm_class, data_coding, text, tlvs))
    assert receipt is not None
    return receipt


@given(st.permutations(FIELDS), st.booleans(), st.sets(st.integers(1, 4), max_size=4))
def test_quirk_1_in_any_order_and_case_and_with_any_of_them_missing(
    fields: list[bytes], is_upper: bool, missing: set[int]
) -> None:
    kept = [field for field in fields if FIELDS.index(field) not in missing]
    text = b" ".join(kept) + b" err:000"
    receipt = receipt_of(text.upper() if is_upper else text)
    assert (receipt.message_id, receipt.stat, receipt.err) == (b"A1", b"DELIVRD", b"000")
    assert (receipt.sub is None) == (1 in missing) and (receipt.done_date is None) == (4 in missing)


@pytest.mark.parametrize("stat", [b"FAILED", b"ACKED", b"BUFFRED", b"2", b"SOMETHING_NEW"])
@pytest.mark.parametrize("err", [b"000", b"0A1", b"12345", b"EC-17"])
def test_quirk_1_a_stat_and_err_that_nobody_knows_are_kept_with_the_raw_text(stat: bytes, err: bytes) -> None:
    text = b"id:A1 stat:" + stat + b" err:" + err
    receipt = receipt_of(text)
    assert (receipt.stat, receipt.err, receipt.raw) == (stat, err, text)


@pytest.mark.parametrize("text", [b"", b"your message has arrived", b"\xff\x00"])
def test_quirk_1_what_cannot_be_read_is_a_receipt_and_never_a_message(text: bytes) -> None:
    receipt = receipt_of(text)
    assert (receipt.message_id, receipt.stat, receipt.raw) == (b"", b"", text)


@pytest.mark.parametrize(
    "message_id", [b"0000000123", b"1F", b"0x1f", b"550e8400-e29b-41d4-a716-446655440000", b"a.b_c/d", b"x" * 64]
)
def test_quirk_2_an_id_of_any_form_is_kept_as_it_came(message_id: bytes) -> None:
    text = (
        b"id:%b sub:001 dlvrd:001 submit date:2511221729 done date:2511221730 stat:DELIVRD err:000 text:" % message_id
    )
    assert receipt_of(text).message_id == message_id
    assert receipt_of(b"stat:DELIVRD id:" + message_id + b" ").message_id == message_id


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\0\0"])
def test_quirk_3_the_tlvs_go_first_without_their_nuls(tail: bytes) -> None:
    tlvs = tlv.encode([(TlvTag.RECEIPTED_MESSAGE_ID, b"tlv-id" + tail), (TlvTag.MESSAGE_STATE, b"\5")])
    receipt = receipt_of(b"id:text-id stat:DELIVRD", tlvs)
    assert (receipt.message_id, receipt.message_state) == (b"tlv-id", MessageState.UNDELIVERABLE)


def test_quirk_3_an_id_on_an_ordinary_message_does_not_make_it_a_receipt() -> None:
    only_id = tlv.encode_value(TlvTag.RECEIPTED_MESSAGE_ID, b"1")
    assert parse_receipt(DataSm(0x00, 0, b"hello", only_id)) is None
    assert parse_receipt(DataSm(0x00, 0, b"hello", receipt_tlvs(b"1", 2))) is not None
    assert parse_receipt(DataSm(0x04, 0, b"hello", only_id)) is not None


def test_quirk_4_a_receipt_tells_its_id_without_the_response_that_is_still_to_come() -> None:
    assert receipt_of(FIELDS[0] + b" " + FIELDS[5]).message_id == b"A1"


def test_quirk_5_a_data_sm_is_read_as_a_deliver_sm_is(deliver: MakeDeliver) -> None:
    text = b"id:A1 stat:DELIVRD err:000"
    in_payload = DataSm(tlvs=tlv.encode([(TlvTag.MESSAGE_PAYLOAD, text)]))
    assert parse_receipt(in_payload) == parse_receipt(deliver(esm_class=0x04, short_message=text))
    by_tlvs = parse_receipt(DataSm(tlvs=receipt_tlvs(b"A1", MessageState.DELIVERED)))
    assert by_tlvs is not None and (by_tlvs.message_id, by_tlvs.stat) == (b"A1", b"DELIVRD")


@pytest.mark.parametrize(
    ("esm_class", "is_receipt", "is_intermediate"),
    [(0x04, True, False), (0x20, True, True), (0x08, True, False), (0x10, True, False), (0x00, False, False)],
)
def test_quirk_5_esm_class_says_what_it_is(esm_class: int, is_receipt: bool, is_intermediate: bool) -> None:
    receipt = parse_receipt(DataSm(esm_class, 0, b"id:A1 stat:ENROUTE"))
    assert (receipt is not None) is is_receipt
    assert receipt is None or receipt.is_intermediate is is_intermediate


def test_quirk_5_a_text_alone_is_believed_only_of_a_profile_that_says_so() -> None:
    pdu = DataSm(0x00, 0, b"id:A1 stat:DELIVRD")
    assert parse_receipt(pdu) is None
    assert parse_receipt(pdu, by_text_alone=True) is not None
    assert parse_receipt(DataSm(0x00, 0, b"who is id:A1?"), by_text_alone=True) is None


def test_quirks_6_and_7_a_receipt_has_what_tells_repeated_and_late_ones_apart() -> None:
    first, again = receipt_of(b" ".join(FIELDS)), receipt_of(b" ".join(FIELDS))
    assert (first.message_id, first.stat, first.done_date) == (again.message_id, again.stat, again.done_date)
    late = receipt_of(b"id:A1 stat:ENROUTE done date:2511221729")
    assert late.done_date is not None and first.done_date is not None and late.done_date < first.done_date


def test_quirk_8_sub_and_dlvrd_say_how_many_segments_a_receipt_is_for() -> None:
    receipt = receipt_of(b"id:A1 sub:003 dlvrd:002 stat:UNDELIV err:001")
    assert (receipt.sub, receipt.dlvrd) == (3, 2)
    written = format_receipt(b"A1", submit_ms=0, done_ms=0, stat=b"DELIVRD", sub=3, dlvrd=3)
    assert b" sub:003 dlvrd:003 " in written


@pytest.mark.parametrize(
    ("octets", "err"),
    [(b"\3\0\x22", b"034"), (b"\3\1\x2c", b"300"), (b"01B", b"01B"), (b"034", b"034"), (b"\x80\xff\xff", b"65535")],
)
def test_quirk_9_a_network_error_is_read_in_both_of_its_forms_and_kept_raw(octets: bytes, err: bytes) -> None:
    receipt = receipt_of(b"id:A1 stat:UNDELIV", tlv.encode([(TlvTag.NETWORK_ERROR_CODE, octets)]))
    assert (receipt.err, receipt.network_error) == (err, octets)


def test_quirk_10_the_addresses_have_no_say_in_what_is_read(deliver: MakeDeliver) -> None:
    text = b"id:A1 stat:DELIVRD err:000"
    straight = deliver(esm_class=0x04, short_message=text, source_addr=b"447700900123", destination_addr=b"ACME")
    swapped = deliver(esm_class=0x04, short_message=text, source_addr=b"ACME", destination_addr=b"00447700900123")
    assert parse_receipt(straight) == parse_receipt(swapped)


@pytest.mark.parametrize("data_coding", [0x08, 0x18, 0xE0])
@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_quirk_29_a_receipt_in_ucs_2_is_decoded_by_its_data_coding(data_coding: int, order: str) -> None:
    receipt = receipt_of("id:A1 stat:DELIVRD err:000 text:Ж".encode(order), data_coding=data_coding)
    assert (receipt.message_id, receipt.stat, receipt.text) == (b"A1", b"DELIVRD", "Ж".encode())


@pytest.mark.parametrize("is_little_endian", [True, False])
def test_quirk_29_the_caller_says_the_order_where_the_text_does_not_show_it(is_little_endian: bool) -> None:
    for order, is_read in (("utf-16-le", is_little_endian), ("utf-16-be", not is_little_endian)):
        text = DataSm(0x04, 8, "Ж id:A1".encode(order))
        receipt = parse_receipt(text, is_little_endian=is_little_endian)
        assert receipt is not None and receipt.message_id == (b"A1" if is_read else b"")
        shown = parse_receipt(DataSm(0x04, 8, "id:A1".encode(order)), is_little_endian=is_little_endian)
        assert shown is not None and shown.message_id == b"A1"


# --- quirk 37 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "delivered", "failed"),
    [(0x00, False, False), (0x01, True, True), (0x02, False, True), (0x03, True, False)],
)
@pytest.mark.parametrize("others", [0x00, 0x04, 0x0C, 0x10, 0xE0])
def test_quirk_37_an_esme_gets_the_results_that_it_asked_for(
    bits: int, delivered: bool, failed: bool, others: int
) -> None:
    assert is_receipt_wanted(bits | others, is_delivered=True) is delivered
    assert is_receipt_wanted(bits | others, is_delivered=False) is failed


@pytest.mark.parametrize("registered_delivery", range(256))
def test_quirk_37_intermediate_states_are_told_by_bit_4_alone(registered_delivery: int) -> None:
    wanted = is_receipt_wanted(registered_delivery, is_delivered=False, is_intermediate=True)
    assert wanted is bool(registered_delivery & 0x10)
