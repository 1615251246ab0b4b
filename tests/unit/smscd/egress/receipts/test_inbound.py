"""Mobile-originated messages: whose they are, and what is kept of them."""

from __future__ import annotations

import pytest

from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.tlv import HOP_TAGS
from smscd.core.callback_records import CallbackKind
from smscd.core.directory import Account, MoNumber, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.joining import Waits
from smscd.core.records import Via
from smscd.core.upstream import VendorTlv
from smscd.egress.receipts.inbound import InboundReader, Taken
from storage.redis.receipts import InboundItem
from tests.unit.smscd.egress.doubles import NOW_MS, profile
from tests.unit.smscd.egress.redis_double import decode_callback

DIRECTORY = DirectoryIndex(
    Snapshot(
        accounts=(Account(id="acme"), Account(id="latin", default_alphabet="latin1", is_little_endian=True)),
        mo_numbers=(
            MoNumber(number="12345", account="acme"),
            MoNumber(number="+447700900000", account="beta", via="webhook"),
            MoNumber(number="777", account="latin"),
            MoNumber(number="888", account="gone"),
        ),
    )
)


def item_of(pdu: DeliverSm, **changes: object) -> InboundItem:
    [item] = InboundReader(profile(**changes)).take([pdu], [7], Waits(), DIRECTORY, NOW_MS).items
    return item


def test_a_number_of_ours_gives_the_message_to_its_account() -> None:
    item = item_of(DeliverSm(source_addr=b"4917", destination_addr=b"12345", short_message=b"hi", data_coding=3))
    assert (item.record.account, item.record.via, item.record.body) == ("acme", Via.SMPP, b"hi")
    callback = decode_callback(item.callback)
    assert (callback.kind, callback.id, callback.body) == (CallbackKind.INBOUND, 7, b"hi")


def test_a_plus_sign_makes_no_difference() -> None:
    for dest in (b"447700900000", b"+447700900000"):
        item = item_of(DeliverSm(destination_addr=dest))
        assert (item.record.account, item.via) == ("beta", Via.WEBHOOK)


def test_only_the_exact_number_matches() -> None:
    for dest in (b"1234", b"123456", b""):
        item = item_of(DeliverSm(destination_addr=dest))
        assert item.record.account == "" and item.callback is None


@pytest.mark.parametrize("text", [b"hi", b""])
def test_what_the_upstream_says_to_us_alone_is_not_told_to_the_account(text: bytes) -> None:
    kept = [(0x1400, b"vendor"), (int(TlvTag.USER_MESSAGE_REFERENCE), b"\0\1")]
    payload = [] if text else [(int(TlvTag.MESSAGE_PAYLOAD), b"hi")]
    tlvs = tlv.encode([kept[0], *payload, *((tag, b"\1") for tag in sorted(HOP_TAGS)), kept[1]])
    item = item_of(DeliverSm(destination_addr=b"12345", short_message=text, tlvs=tlvs))
    assert (item.record.body, tlv.parse(item.record.tlvs)) == (b"hi", kept)


def test_message_payload_is_the_body_and_other_tlvs_stay() -> None:
    tlvs = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, b"x" * 300), (0x1400, b"vendor")])
    item = item_of(DeliverSm(destination_addr=b"12345", tlvs=tlvs))
    assert item.record.body == b"x" * 300
    assert tlv.parse(item.record.tlvs) == [(0x1400, b"vendor")]


def test_quirk_27_the_record_and_a_webhook_have_our_alphabet_and_an_esme_its_own() -> None:
    item = item_of(DeliverSm(destination_addr=b"777", short_message=b"a@\xe9"), default_alphabet="latin1")
    assert (item.record.data_coding, item.record.body) == (0, b"a\x00\x05")
    assert decode_callback(item.callback).body == b"a@\xe9"
    item = item_of(DeliverSm(destination_addr=b"447700900000", short_message=b"a@\xe9"), default_alphabet="latin1")
    assert decode_callback(item.callback).body == item.record.body == b"a\x00\x05"


def test_quirk_27_an_upstream_that_writes_as_we_do_is_read_for_an_esme_that_does_not() -> None:
    for data_coding, body, told in ((0, b"a\x00\x05", b"a@\xe9"), (8, b"\x04\x16", b"\x16\x04")):
        pdu = DeliverSm(destination_addr=b"777", short_message=body, data_coding=data_coding, esm_class=0x80)
        item = item_of(pdu, default_alphabet="gsm")
        assert (item.record.data_coding, item.record.body) == (data_coding, body)
        callback = decode_callback(item.callback)
        assert (callback.data_coding, callback.body, callback.esm_class) == (data_coding, told, 0x80)


def test_an_account_that_is_gone_is_told_what_came() -> None:
    item = item_of(DeliverSm(destination_addr=b"888", short_message=b"a@\xe9"), default_alphabet="latin1")
    assert decode_callback(item.callback).body == b"a@\xe9"


def test_quirk_33_a_part_asks_for_an_id_of_its_whole_which_is_older_than_its_own() -> None:
    reader, waits = InboundReader(profile()), Waits()
    first, second, plain = (
        DeliverSm(destination_addr=b"447700900000", esm_class=esm_class, short_message=body)
        for esm_class, body in ((0x40, b"\5\0\3\7\2\1one "), (0x40, b"\5\0\3\7\2\2two"), (0, b"hi"))
    )
    assert reader.ids_wanted([first, second, plain]) == 5
    taken = reader.take([first, second, plain], [1, 2, 3, 4, 5], waits, DIRECTORY, NOW_MS)
    assert [(item.record.id, item.record.group_id, item.is_whole) for item in taken.items] == [
        (2, 1, False), (4, 1, False), (1, 0, True), (5, 0, False),
    ]  # fmt: skip
    assert [item.callback is None for item in taken.items] == [True, True, False, False]
    assert InboundReader(profile(mo_join_seconds=0)).ids_wanted([first, second]) == 2


def test_quirk_44_named_tlvs_are_told_and_all_are_kept() -> None:
    row = VendorTlv(tag=0x1401, name="mccmnc", kind="integer", size_min=1, size_max=4)
    tlvs = tlv.encode([(0x1400, b"other"), (0x1401, b"\x66\x59")])
    pdu = DeliverSm(destination_addr=b"447700900000", short_message=b"hi", tlvs=tlvs)
    item = item_of(pdu, vendor_tlvs=(row,))
    assert item.record.tlvs == tlvs
    assert decode_callback(item.callback).named_tlvs == {"mccmnc": 26201}
    assert decode_callback(item_of(pdu).callback).named_tlvs is None


KEYWORDS = DirectoryIndex(
    Snapshot(
        accounts=(Account(id="acme"), Account(id="votes"), Account(id="spring")),
        mo_numbers=(
            MoNumber(number="12345", account="acme"),
            MoNumber(number="12345", account="votes", keyword="vote", via="webhook"),
            MoNumber(number="12345", account="spring", keyword="весна"),
            MoNumber(number="99", account="votes", keyword="vote", is_prefix=True),
        ),
    )
)
SPRING = "Весна, 1".encode("utf-16-be")


def owners(*pdus: DeliverSm, **changes: object) -> list[tuple[str, int, bool, bool]]:
    """Account and via of each item, whether it is a part, and whether somebody is called back."""
    reader, waits = InboundReader(profile(**changes)), Waits()
    taken = reader.take(pdus, range(1, 1 + reader.ids_wanted(pdus)), waits, KEYWORDS, NOW_MS)
    return [
        (item.record.account, item.record.via, item.record.group_id > 0, item.callback is not None)
        for item in taken.items
    ]


@pytest.mark.parametrize(
    ("dest", "body", "data_coding", "changes", "owner"),
    [
        (b"12345", b"VOTE 7", 0, {}, ("votes", int(Via.WEBHOOK), False, True)),
        (b"12345", b"Vote 7", 3, {"default_alphabet": "latin1"}, ("votes", int(Via.WEBHOOK), False, True)),
        (b"12345", SPRING, 8, {}, ("spring", int(Via.SMPP), False, True)),
        (b"12345", b"hello", 0, {}, ("acme", int(Via.SMPP), False, True)),
        (b"12345", b"vote", 4, {}, ("acme", int(Via.SMPP), False, True)),
        (b"+9912", b"vote", 0, {}, ("votes", int(Via.SMPP), False, True)),
        (b"9912", b"hello", 0, {}, ("", int(Via.NONE), False, False)),
    ],
)
def test_the_first_word_of_the_text_decides_in_every_alphabet(
    dest: bytes, body: bytes, data_coding: int, changes: dict[str, object], owner: tuple[str, int, bool, bool]
) -> None:
    pdu = DeliverSm(destination_addr=dest, short_message=body, data_coding=data_coding)
    assert owners(pdu, **changes) == [owner]


def part(sequence: int, text: bytes, dest: bytes = b"12345", data_coding: int = 0) -> DeliverSm:
    body = bytes((5, 0, 3, 7, 2, sequence)) + text
    return DeliverSm(destination_addr=dest, esm_class=0x40, short_message=body, data_coding=data_coding)


def test_quirk_33_the_first_word_is_that_of_the_joined_message_and_parts_are_nobodys() -> None:
    nobody = ("", int(Via.NONE), True, False)
    assert owners(part(2, b"te 7"), part(1, b"vo")) == [nobody, nobody, ("votes", int(Via.WEBHOOK), False, True)]
    spring = part(1, SPRING[:6], data_coding=8), part(2, SPRING[6:], data_coding=8)
    assert owners(*spring)[-1] == ("spring", int(Via.SMPP), False, True)
    assert owners(part(1, b"a ", b"9912"), part(2, b"b", b"9912"))[-1] == ("", int(Via.NONE), False, False)


def test_quirk_33_who_lacks_the_beginning_has_no_keyword() -> None:
    reader, waits, taken = InboundReader(profile()), Waits(), Taken()
    reader.take([part(2, b"vote")], [1, 2], waits, KEYWORDS, NOW_MS)
    reader.tell(waits.overdue(NOW_MS + 1_000_000, 1_000, 10), taken, KEYWORDS, NOW_MS)
    [item] = taken.items
    assert (item.record.account, taken.partial) == ("acme", 1)


def test_without_joining_each_part_is_routed_by_itself() -> None:
    parts = part(1, b"vote "), part(2, b"seven")
    assert [owner for owner, *_ in owners(*parts, mo_join_seconds=0)] == ["votes", "acme"]
