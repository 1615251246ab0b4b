"""Traces: which connections are tapped, what a tap makes of octets, and what is sent on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from protocols.smpp.codec import encode
from protocols.smpp.pdu import BindTransceiver, BindTransceiverResp, EnquireLink, SubmitSm
from smscd.transport.connection import SmppConnection
from smscd.transport.trace import FIRST_PDUS_MAX, WAITING_MAX, Tap, Traceable, TracedPdu, Tracer, traceable_by_address


class Away(Exception):
    pass


class Rig:
    """A tracer over two connections that are none."""

    def __init__(self) -> None:
        self.targets: set[str] = set()
        self.sent: list[tuple[str, TracedPdu]] = []
        self.is_away = False
        self.looks = 0
        self.others: list[Traceable] = []
        self.esme = cast(SmppConnection, SimpleNamespace(peer=("10.0.0.1", 4000), tap=None))
        self.carrier = cast(SmppConnection, SimpleNamespace(peer=("10.0.0.2", 2775), tap=None))
        self.tracer = Tracer(
            watched=self.watched,
            publish=self.publish,
            connections=lambda: [
                Traceable(self.esme, frozenset({"acme", "10.0.0.1"})),
                Traceable(self.carrier, frozenset({"carrier"})),
                *self.others,
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


# --- connections that open while something is watched -----------------------------------------------------------------

BIND = encode(BindTransceiver(system_id=b"stranger", password=b"guess", sequence_number=1))
REFUSED = encode(BindTransceiverResp(command_status=0x0E, sequence_number=1))


@asynccontextmanager
async def watching(*targets: str) -> AsyncIterator[Rig]:
    rig = Rig()
    rig.targets = set(targets)
    task = asyncio.create_task(rig.tracer.run())
    await until(lambda: rig.looks)
    yield rig
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def newcomer(*, is_before_bind: bool = True) -> Any:
    session = SimpleNamespace(state=SimpleNamespace(is_before_bind=is_before_bind))
    return SimpleNamespace(peer=("10.0.0.3", 4003), tap=None, session=session)


def commands(rig: Rig) -> list[tuple[str, int]]:
    return [(target, int.from_bytes(shown.frame[4:8], "big")) for target, shown in rig.sent]


async def test_a_new_connection_costs_nothing_while_nothing_is_watched() -> None:
    async with watching() as rig:
        connection = newcomer()
        rig.tracer.opened(traceable_by_address(connection))
        assert connection.tap is None


@pytest.mark.parametrize("target", ["10.0.0.3", "10.0.0.3:4003", "stranger"])
async def test_who_is_refused_at_once_is_seen_by_its_address_and_by_the_name_that_it_claimed(target: str) -> None:
    async with watching(target, "another") as rig:
        connection = newcomer()
        rig.tracer.opened(traceable_by_address(connection))
        tap = rig.tap(connection)
        tap(False, encode(EnquireLink(sequence_number=9)) + BIND)
        tap(True, REFUSED)
        await until(lambda: len(rig.sent) == 3)
        assert commands(rig) == [(target, 0x15), (target, 0x09), (target, 0x80000009)]
        assert not any(b"guess" in shown.frame for _, shown in rig.sent)


async def test_a_connection_that_claims_no_watched_name_is_shown_to_nobody_and_keeps_little() -> None:
    async with watching("another") as rig:
        connection = newcomer()
        rig.tracer.opened(traceable_by_address(connection))
        tap = rig.tap(connection)
        tap(False, BIND + encode(EnquireLink(sequence_number=9)) * (3 * FIRST_PDUS_MAX))
        tap(False, BIND.replace(b"stranger\0", b"another\0\0"))
        await until(lambda: rig.sent)
        assert len(rig.sent) == FIRST_PDUS_MAX + 1 and commands(rig)[-1] == ("another", 0x09)


@pytest.mark.parametrize("is_before_bind", [True, False])
async def test_the_first_tap_stays_until_the_connection_is_bound_as_somebody_else(is_before_bind: bool) -> None:
    async with watching("another") as rig:
        connection = newcomer(is_before_bind=is_before_bind)
        rig.others.append(traceable_by_address(connection))
        rig.tracer.opened(rig.others[0])
        looks = rig.looks
        await until(lambda: rig.looks > looks)
        assert (connection.tap is not None) is is_before_bind
        rig.targets = set()
        await until(lambda: connection.tap is None)


async def test_who_was_refused_under_a_watched_name_is_watched_on() -> None:
    async with watching("stranger") as rig:
        connection = newcomer()
        rig.others.append(traceable_by_address(connection))
        rig.tracer.opened(rig.others[0])
        first = rig.tap(connection)
        first(False, BIND)
        rig.targets = {"stranger", "10.0.0.3"}
        await until(lambda: connection.tap is not first)
        rig.sent.clear()
        rig.tap(connection)(True, REFUSED)
        await until(lambda: len(rig.sent) == 2)
        assert {target for target, _ in rig.sent} == {"stranger", "10.0.0.3"}


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
