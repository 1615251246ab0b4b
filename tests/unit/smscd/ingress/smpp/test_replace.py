"""replace_sm of messages that were converted for their upstream."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from protocols.gsm.alphabets import GSM
from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, TlvTag
from protocols.smpp.pdu import ReplaceSm
from smscd.core.directory import Route
from smscd.core.directory_index import DirectoryIndex
from smscd.core.planning import Planned
from smscd.core.records import MessageRecord, State
from smscd.ingress.smpp.replace import replacement
from storage.postgres.messages import StoredMessage, record_of
from tests.integration.changes_fake import stored
from tests.unit.smscd.core.profile_fixture import NOW, Way, submits, understood


def as_stored(record: MessageRecord) -> StoredMessage:
    names = set(StoredMessage.__slots__) & {field.name for field in msgspec.structs.fields(record)} - {"id"}
    values: dict[str, Any] = {name: getattr(record, name) for name in names}
    values |= {"segments": tuple(record.segments), "metadata": None, "group_id": None}
    return stored(1, **values)


def replaced(way: Way, old: StoredMessage, content: bytes, **changes: Any) -> MessageRecord | int:
    pdu = ReplaceSm(message_id=b"1", source_addr=b"ACME", short_message=content, registered_delivery=1, **changes)
    entry = way.directory.entry("acme")
    assert entry is not None
    return replacement(pdu, old, entry, way.directory, NOW)


def original(way: Way, content: bytes, data_coding: int = 0, **changes: Any) -> StoredMessage:
    result = way.smpp(content, data_coding, **changes)
    assert isinstance(result, Planned), result
    return as_stored(result.record)


def test_the_new_text_is_read_in_the_customers_alphabet_and_written_in_the_upstreams() -> None:
    way = Way({"default_alphabet": "gsm"}, {"default_alphabet": "latin1"})
    new = replaced(way, original(way, GSM.encode("Ä ö")), GSM.encode("ñ @ £"))
    assert isinstance(new, MessageRecord)
    assert understood(submits(new, way.upstream), "latin1") == "ñ @ £"
    assert new.conversion is not None
    assert (new.conversion.content, new.conversion.excerpt) == (GSM.encode("ñ @ £"), b"? @ ?")


def test_data_coding_is_what_the_customer_gave_not_what_the_upstream_got() -> None:
    way = Way({"default_alphabet": "latin1"}, {"default_alphabet": "gsm"})
    old = original(way, "½".encode("latin-1"))
    assert old.data_coding == 8
    new = replaced(way, old, b"plain")
    assert isinstance(new, MessageRecord)
    assert new.data_coding == 0
    assert understood(submits(new, way.upstream), "gsm") == "plain"


def test_half_a_character_does_not_replace_a_text() -> None:
    way = Way()
    old = original(way, "\u2713 old".encode("utf-16-be"), 8)
    assert replaced(way, old, "\u2713 new".encode("utf-16-be")[:-1]) == CommandStatus.ESME_RINVMSGLEN
    new = replaced(way, old, "\u2713 new".encode("utf-16-be"))
    assert isinstance(new, MessageRecord)
    assert (new.segments, new.data_coding) == (["\u2713 new".encode("utf-16-be")], 8)


@pytest.mark.parametrize("long_message", ["as_is", "udh8", "udh16", "sar", "payload"])
def test_a_text_of_more_parts_than_were_paid_for_is_refused_in_every_form(long_message: str) -> None:
    way = Way(None, {"long_message": long_message})
    assert replaced(way, original(way, b"short"), b"x" * 200) == CommandStatus.ESME_RREPLACEFAIL
    two = replaced(way, original(way, b"y" * 200), b"x" * 200)
    assert isinstance(two, MessageRecord)
    assert understood(submits(two, way.upstream), "gsm") == "x" * 200


def test_what_a_replace_sm_does_not_say_stays_as_it_was() -> None:
    way = Way()
    new = replaced(way, original(way, b"old", priority_flag=2, protocol_id=0x41, service_type=b"CMT"), b"new")
    assert isinstance(new, MessageRecord)
    assert (new.segments, new.priority_flag, new.protocol_id, new.service_type) == ([b"new"], 2, 0x41, b"CMT")


def test_a_part_of_a_longer_message_is_not_replaced_whatever_its_form() -> None:
    sar = (
        tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, 7)
        + tlv.encode_value(TlvTag.SAR_TOTAL_SEGMENTS, 2)
        + tlv.encode_value(TlvTag.SAR_SEGMENT_SEQNUM, 1)
    )
    for way in (Way(), Way(None, {"long_message": "udh8"})):
        assert replaced(way, original(way, b"part", tlvs=sar), b"x") == CommandStatus.ESME_RREPLACEFAIL


def scheduled(way: Way, seconds: int) -> StoredMessage:
    at = datetime.fromtimestamp(NOW / 1000 + seconds, UTC)
    values = {"state": State.SCHEDULED, "send_at": at, "valid_until": at + timedelta(seconds=500)}
    return dataclasses.replace(original(way, b"old"), **values)


def test_a_scheduled_message_keeps_its_time_and_its_validity_counts_from_it() -> None:
    way = Way()
    old = record_of(scheduled(way, 3600))
    kept = replaced(way, scheduled(way, 3600), b"new")
    assert isinstance(kept, MessageRecord)
    assert (kept.send_at_ms, kept.valid_until_ms) == (old.send_at_ms, old.valid_until_ms)
    valid = replaced(way, scheduled(way, 3600), b"new", validity_period=b"000000000100000R")
    assert isinstance(valid, MessageRecord)
    assert abs(valid.valid_until_ms - valid.send_at_ms - 60_000) < 100


def test_another_time_takes_the_validity_with_it() -> None:
    way = Way()
    moved = replaced(way, scheduled(way, 3600), b"new", schedule_delivery_time=b"000000020000000R")
    assert isinstance(moved, MessageRecord)
    assert (moved.send_at_ms, moved.valid_until_ms) == (NOW + 7_200_000, NOW + 7_700_000)
    at_once = replaced(way, scheduled(way, 3600), b"new", schedule_delivery_time=b"200101000000000+")
    assert isinstance(at_once, MessageRecord)
    assert (at_once.send_at_ms, at_once.valid_until_ms) == (0, NOW + 500_000)


def test_a_time_is_given_to_what_waits_for_one_alone_and_within_the_limit() -> None:
    way = Way()
    queued = original(way, b"old")
    assert replaced(way, queued, b"new", schedule_delivery_time=b"000000020000000R") == CommandStatus.ESME_RINVSCHED
    far = replaced(way, scheduled(way, 3600), b"new", schedule_delivery_time=b"000100000000000R")
    assert far == CommandStatus.ESME_RINVSCHED


def test_what_the_route_says_of_doubt_stays() -> None:
    way = Way()
    route = Route(prefix="", upstreams=("up",), in_doubt="fail")
    way.directory = DirectoryIndex(msgspec.structs.replace(way.directory.snapshot, routes=(route,)))
    new = replaced(way, original(way, b"old"), b"new")
    assert isinstance(new, MessageRecord) and new.in_doubt == 3
