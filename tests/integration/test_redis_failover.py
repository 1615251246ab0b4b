"""The scripts of failover on a real server: a move is whole and happens once, and a standing ends with its owner."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from smscd.core.records import MessageRecord
from storage.redis.breakers import Breakers, UpstreamStanding, encode_standing
from storage.redis.dispatch import Move, MoveReply
from storage.redis.errors import Fenced
from tests.integration.redis_rig import KEYS, Rig, admit, encode, first_entry, item, message


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url)
    await made.top_up(1_000_000)
    await admit(await made.admission(), [item(number) for number in (1, 2, 3)])
    yield made
    await made.close()


def moving(*numbers: int, room: int = 100) -> Move:
    blobs = [encode(message(number, "u2")) for number in numbers]
    return Move(upstream="u2", queue_messages_max=room, count=len(blobs), added=[(1, "demo", blobs)], journal=blobs)


async def depths(rig: Rig) -> tuple[int, int]:
    held = await rig.raw.command("HMGET", KEYS.depth, "u1", "u2")
    return int(held[0] or 0), int(held[1] or 0)


async def moved(rig: Rig) -> list[MessageRecord]:
    entries = await rig.raw.command("XRANGE", KEYS.queue("u2", 1, "demo"), "-", "+")
    found: list[MessageRecord] = []
    for _, fields in entries:
        found += msgspec.msgpack.decode(fields[1], type=list[MessageRecord])
    return found


async def test_messages_leave_one_queue_for_the_other_in_one_step(rig: Rig) -> None:
    store = await rig.dispatch()
    entry = await first_entry(store)
    move = moving(1, 2)
    move.settled = [(entry.queue, entry.entry_id, b"0.0"), (entry.queue, entry.entry_id, b"1.0")]
    assert await store.move(move) == MoveReply(True, 98)
    assert (await store.opens([entry])) == [{b"0.0": b"d", b"1.0": b"d"}]
    assert await depths(rig) == (1, 2)
    last = moving(3)
    last.finished = [(entry.queue, entry.entry_id)]
    assert await store.move(last) == MoveReply(True, 97)
    assert await depths(rig) == (0, 3)
    assert await moved(rig) == [message(number, "u2") for number in (1, 2, 3)]
    for gone in (entry.queue, KEYS.open(entry.queue, entry.entry_id), KEYS.ready("u1")):
        assert not await rig.raw.command("EXISTS", gone)
    assert await rig.raw.command("SMEMBERS", KEYS.ready("u2")) == [KEYS.queue("u2", 1, "demo").encode()]
    told = [(entry.kind, entry.effects) for entry in await rig.journal.read("0-0", 10)]
    assert told[-2:] == [(b"P", b"u1")] * 2, "and which upstream they left"


async def test_what_the_other_has_no_room_for_does_not_move_at_all(rig: Rig) -> None:
    store = await rig.dispatch()
    before = await rig.journal.last_id()
    assert await store.move(moving(1, 2, 3, room=2)) == MoveReply(False, 2)
    assert await depths(rig) == (3, 0) and not await moved(rig)
    assert await rig.journal.last_id() == before


async def test_a_move_that_is_asked_for_again_happens_once(rig: Rig) -> None:
    store = await rig.dispatch()
    session = store._session
    assert await store.move(moving(1)) == MoveReply(True, 99)
    session._sequence -= 1
    assert await store.move(moving(1)) == MoveReply(True, 99), "answered from what is stored"
    assert await depths(rig) == (2, 1) and len(await moved(rig)) == 1


async def test_an_owner_that_was_replaced_moves_and_says_nothing(rig: Rig) -> None:
    old = await rig.dispatch()
    await rig.dispatch()
    with pytest.raises(Fenced):
        await old.move(moving(1))
    assert not await moved(rig) and await depths(rig) == (3, 0)


async def test_a_standing_is_read_by_everybody_and_has_an_end(rig: Rig) -> None:
    store = await rig.dispatch()
    breakers = Breakers(KEYS, rig.raw)
    await store.publish_standing(encode_standing("open", 17, False))
    seconds = int((await rig.raw.command("TIME"))[0])
    (found,) = await breakers.read()
    assert found == UpstreamStanding(upstream="u1", state="open", since_ms=17, takes_new=False, until_ms=found.until_ms)
    assert 1_000 < found.until_ms - seconds * 1000 < 5_000
    assert await breakers.passed_over() == {"u1"}
    await store.publish_standing(encode_standing("half_open", 17, True))
    assert await breakers.passed_over() == set()
    await store.publish_standing("")
    assert await breakers.read() == []
