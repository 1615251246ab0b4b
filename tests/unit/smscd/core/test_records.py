"""Records as msgpack: what the previous release wrote is read, and what this one writes is read by the previous."""

from __future__ import annotations

import msgspec

from smscd.core.records import MessageRecord
from tests.unit.smscd.egress.doubles import message

decode = msgspec.msgpack.Decoder(MessageRecord).decode


def test_a_message_of_before_the_priority_flag_is_read() -> None:
    record = message(1, priority_flag=3)
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    assert written[-1] == 3
    assert decode(msgspec.msgpack.encode(written)) == record
    old = decode(msgspec.msgpack.encode(written[:-1]))
    assert old == message(1, priority_flag=0)


def test_fields_of_a_later_release_are_passed_over() -> None:
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(message(1)))
    assert decode(msgspec.msgpack.encode([*written, "of a later release"])) == message(1)
