"""Traces: which connections are tapped, what a tap makes of octets, and what is sent on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from protocols.smpp.codec import encode
from protocols.smpp.pdu import EnquireLink, SubmitSm
from smscd.transport.connection import SmppConnection
from smscd.transport.trace import WAITING_MAX, Tap, Traceable, TracedPdu, Tracer


class Away(Exception):
    pass


class Rig:
    """A tracer over two connections that are none."""

    def __init__(self) -> None:
        self.targets: set[str] = set()
        self.sent: list[tuple[str, TracedPdu]] = []
        self.is_away = False
        self.looks = 0
        self.esme = cast(SmppConnection, SimpleNamespace(peer=("10.0.0.1", 4000), tap=None))
        self.carrier = cast(SmppConnection, SimpleNamespace(peer=("10.0.0.2", 2775), tap=None))
        self.tracer = Tracer(
            watched=self.watched,
            publish=self.publish,
            connections=lambda: [
                Traceable(self.esme, frozenset({"acme", "10.0.0.1"})),
                Traceable(self.carrier, frozenset({"carrier"})),
            ],
            now_ms=lambda: 1000,
            away=(Away,),
        )

    async def watched(self) -> set[str]:
        self.looks += 1
        if self.is_away:
            raise Away
        return set(self.targets)

    async def publish(self, items: Sequence[tuple[str, bytes]]) -> None:
        self.sent += [(target, msgspec.msgpack.decode(record, type=TracedPdu)) for target, record in items]

    def tap(self, connection: Any) -> Tap:
        assert isinstance(connection.tap, Tap)
        return connection.tap


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_tap_cuts_both_directions_into_pdus_however_they_come(size: int) -> None:
    taken: list[tuple[bool, bytes]] = []
    tap = Tap(lambda is_ours, frame: taken.append((is_ours, frame)))
    pdus = [encode(SubmitSm(short_message=b"x" * 20, sequence_number=1)), encode(EnquireLink(sequence_number=2))]
    data = b"".join(pdus)
    for position in range(0, len(data), size):
        tap(False, data[position : position + size])
        tap(True, data[position : position + size])
    assert [frame for is_ours, frame in taken if is_ours] == pdus
    assert [frame for is_ours, frame in taken if not is_ours] == pdus


def test_a_tap_that_begins_in_the_middle_of_a_pdu_finds_the_next_read() -> None:
    taken: list[bytes] = []
    tap = Tap(lambda _, frame: taken.append(frame))
    whole = encode(EnquireLink(sequence_number=2))
    tap(False, b"\xff" * 16 + whole)
    tap(False, whole)
    assert taken == [whole]


async def test_only_what_is_watched_is_tapped_and_reaches_each_watcher() -> None:
    rig = Rig()
    task = asyncio.create_task(rig.tracer.run())
    await until(lambda: rig.looks == 1)
    assert rig.esme.tap is None
    rig.targets = {"acme", "10.0.0.1"}
    rig.tracer.ring()
    await until(lambda: rig.esme.tap is not None)
    assert rig.carrier.tap is None
    rig.tap(rig.esme)(False, encode(SubmitSm(short_message=b"secret", sequence_number=5)))
    await until(lambda: len(rig.sent) == 2)
    assert {target for target, _ in rig.sent} == {"acme", "10.0.0.1"}
    shown = rig.sent[0][1]
    assert (shown.at_ms, shown.session, shown.is_ours, shown.lost) == (1000, "10.0.0.1:4000", False, 0)
    assert b"secret" not in shown.frame and b"******" in shown.frame
    rig.targets = set()
    await until(lambda: rig.esme.tap is None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_who_begins_to_watch_what_is_watched_already_sees_it_too() -> None:
    rig = Rig()
    rig.targets = {"acme"}
    task = asyncio.create_task(rig.tracer.run())
    await until(lambda: rig.esme.tap is not None)
    first = rig.esme.tap
    rig.targets = {"acme", "10.0.0.1"}
    await until(lambda: rig.esme.tap is not first)
    rig.tap(rig.esme)(False, encode(EnquireLink(sequence_number=5)))
    await until(lambda: len(rig.sent) == 2)
    assert {target for target, _ in rig.sent} == {"acme", "10.0.0.1"}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_too_many_pdus_are_counted_and_a_redis_that_is_away_costs_the_trace_alone() -> None:
    rig = Rig()
    rig.targets = {"acme"}
    task = asyncio.create_task(rig.tracer.run())
    await until(lambda: rig.esme.tap is not None)
    link = encode(EnquireLink(sequence_number=2))
    for _ in range(WAITING_MAX + 5):
        rig.tap(rig.esme)(True, link)
    await until(lambda: len(rig.sent) == WAITING_MAX)
    rig.tap(rig.esme)(True, link)
    await until(lambda: len(rig.sent) == WAITING_MAX + 1)
    assert rig.sent[-1][1].lost == 5
    rig.is_away = True
    looks = rig.looks
    await until(lambda: rig.looks > looks)
    rig.is_away = False
    rig.tap(rig.esme)(True, link)
    await until(lambda: len(rig.sent) == WAITING_MAX + 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
