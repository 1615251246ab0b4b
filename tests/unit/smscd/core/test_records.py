"""Records as msgpack: what the previous release wrote is read, and what this one writes is read by the previous."""

from __future__ import annotations

import msgspec

from smscd.core.records import MessageRecord
from tests.unit.smscd.egress.doubles import message

decode = msgspec.msgpack.Decoder(MessageRecord).decode


def test_messages_of_earlier_releases_are_read() -> None:
    record = message(1, priority_flag=3, cost_micros=7, stored_answer=b"answer", in_doubt=2)
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    assert written[-4:] == [3, 7, b"answer", 2]
    assert decode(msgspec.msgpack.encode(written)) == record
    assert decode(msgspec.msgpack.encode(written[:-2])) == message(1, priority_flag=3, cost_micros=7)
    assert decode(msgspec.msgpack.encode(written[:-3])) == message(1, priority_flag=3)
    assert decode(msgspec.msgpack.encode(written[:-4])) == message(1)


def test_fields_of_a_later_release_are_passed_over() -> None:
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(message(1)))
    assert decode(msgspec.msgpack.encode([*written, "of a later release"])) == message(1)
