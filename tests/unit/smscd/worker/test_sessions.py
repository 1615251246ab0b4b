"""What a worker says of its sessions, and which of them it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec

from smscd.core.live_sessions import SessionAnswer, SessionAsk
from smscd.egress.binds.upstreams import Upstreams
from smscd.transport.connection import SmppConnection
from smscd.worker.sessions import SessionDesk
from storage.redis.errors import StorageUnavailable
from storage.redis.sessions import SessionAsks
from tests.unit.smscd.egress.pipes import until
from tests.unit.smscd.egress.whole import Whole


class Asks(SessionAsks):
    """Questions and answers in memory."""

    def __init__(self) -> None:
        self.open: dict[str, bytes] = {}
        self.said: dict[str, SessionAnswer] = {}
        self.is_away = False

    async def asked(self) -> dict[str, bytes]:
        if self.is_away:
            raise StorageUnavailable("away")
        return dict(self.open)

    async def answer(self, number: str, worker: str, answer: bytes) -> None:
        assert worker == "w/0" and number not in self.said
        self.said[number] = msgspec.msgpack.decode(answer, type=SessionAnswer)


class NoEsmes:
    def bound(self) -> Iterator[SmppConnection]:
        return iter(())

    def disconnect(self, connection: SmppConnection) -> None:
        raise AssertionError(connection)


@asynccontextmanager
async def desk_of(whole: Whole) -> AsyncIterator[tuple[SessionDesk, Asks]]:
    upstreams = Upstreams(whole.around, subscribe=whole.subscribe, unsubscribe=whole.unsubscribe)
    asks = Asks()
    desk = SessionDesk(
        asks, "w/0", door=NoEsmes(), upstreams=upstreams, directory=lambda: whole.directory, now_ms=lambda: 10**12
    )
    await upstreams.start()
    running = asyncio.create_task(desk.run())
    try:
        await until(lambda: upstreams.figures["carrier"].binds_bound == 1)
        yield desk, asks
    finally:
        running.cancel()
        await upstreams.drain()
        await upstreams.stop()


async def ask(
    desk: SessionDesk, asks: Asks, number: str, question: SessionAsk, *, is_left_open: bool = False
) -> SessionAnswer:
    """Ask, and close the question when it is answered."""
    asks.open[number] = msgspec.msgpack.encode(question)
    desk.ring()
    await until(lambda: number in asks.said)
    if not is_left_open:
        del asks.open[number]
    return asks.said[number]


async def test_a_bind_is_shown_with_the_same_id_until_it_is_ended_and_made_anew() -> None:
    async with desk_of(Whole()) as (desk, asks):
        [shown] = (await ask(desk, asks, "1", SessionAsk())).sessions
        assert (shown.side, shown.name, shown.mode, shown.worker) == ("upstream", "carrier", "trx", "w/0")
        assert [one.id for one in (await ask(desk, asks, "2", SessionAsk())).sessions] == [shown.id]
        assert await ask(desk, asks, "3", SessionAsk("other-1")) == SessionAnswer()
        ended = await ask(desk, asks, "4", SessionAsk(shown.id))
        assert ended.ended and [one.id for one in ended.sessions] == [shown.id]
        again, number = ended.sessions, 4
        async with asyncio.timeout(10.0):
            while not again or again[0].id == shown.id:
                number += 1
                again = (await ask(desk, asks, str(number), SessionAsk())).sessions
        assert [one.name for one in again] == ["carrier"]


async def test_a_question_is_answered_once_and_what_cannot_be_read_stops_nothing() -> None:
    async with desk_of(Whole()) as (desk, asks):
        asks.open["of-another-release"] = b"\xc1"
        desk.ring()
        await asyncio.sleep(0)
        asks.is_away = True
        desk.ring()
        await asyncio.sleep(0)
        asks.is_away = False
        assert len((await ask(desk, asks, "1", SessionAsk(), is_left_open=True)).sessions) == 1
        desk.ring()  # again: Asks would complain of a second answer
        await ask(desk, asks, "2", SessionAsk())
        assert set(asks.said) == {"1", "2"}
