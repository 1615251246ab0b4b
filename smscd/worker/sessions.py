"""Answers operators about the sessions of this worker, and ends the one that they name."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec
import structlog

from smscd.core.directory_index import DirectoryIndex
from smscd.core.esme import BoundEsme
from smscd.core.live_sessions import LiveSession, SessionAnswer, SessionAsk
from smscd.egress.binds.links import Link, LinkState
from smscd.egress.binds.upstreams import Upstreams
from smscd.transport.connection import SmppConnection
from storage.redis.errors import StorageUnavailable
from storage.redis.sessions import SessionAsks

ANSWERED_MAX: Final = 100
_MODES: Final = {"transmitter": "tx", "receiver": "rx", "transceiver": "trx"}
_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SessionAsk).decode


class EsmeDoor(Protocol):
    """The sessions of ESMEs here, and their end."""

    def bound(self) -> Iterator[SmppConnection]:
        """Those that are bound; their context is a BoundEsme."""
        ...

    def disconnect(self, connection: SmppConnection) -> None:
        """Answer what is owed, unbind, close."""
        ...


class SessionDesk:
    """The sessions of one worker. worker: its name in leases. ring() is for a bell; run() is a task of the process."""

    def __init__(
        self,
        asks: SessionAsks,
        worker: str,
        *,
        door: EsmeDoor,
        upstreams: Upstreams,
        directory: Callable[[], DirectoryIndex],
        now_ms: Callable[[], int],
    ) -> None:
        self._asks = asks
        self._worker = worker
        self._door = door
        self._upstreams = upstreams
        self._directory = directory
        self._now_ms = now_ms
        self._boot = secrets.token_hex(3)
        self._count = 0
        self._numbers: dict[SmppConnection, int] = {}
        self._answered: dict[str, None] = {}
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Somebody asks."""
        self._rung.set()

    async def run(self) -> None:
        """Answer whenever the bell rings, until cancelled; without a bell nothing is looked for."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                for number, question in (await self._asks.asked()).items():
                    if number not in self._answered:
                        self._remember(number)
                        answer = _encode(self.answer(_decode(question)))
                        await self._asks.answer(number, self._worker, answer)
            except msgspec.MsgspecError as error:
                _log.warning("sessions.question_unreadable", error=str(error))  # another release asks
            except StorageUnavailable:
                pass  # who asks is told that nobody answered

    def answer(self, ask: SessionAsk) -> SessionAnswer:
        """What is said to a question; the session that it names is ended here."""
        here = self._here()
        if not ask.ends:
            return SessionAnswer([shown for _, shown in here])
        for end, shown in here:
            if shown.id == ask.ends:
                end()
                return SessionAnswer([shown], True)
        return SessionAnswer()

    def _here(self) -> list[tuple[Callable[[], None], LiveSession]]:
        """How each session is ended, and what is shown of it."""
        esmes = [*self._door.bound()]
        links = [*self._links()]
        live = {*esmes, *(connection for _, _, connection in links)}
        self._numbers = {connection: number for connection, number in self._numbers.items() if connection in live}
        return [*map(self._esme, esmes), *(self._upstream(*link) for link in links)]

    def _links(self) -> Iterator[tuple[str, Link, SmppConnection]]:
        for profile in self._directory().snapshot.upstreams:
            owner = self._upstreams.owner(profile.id)
            for link in owner.pool.links if owner is not None and owner.pool is not None else ():
                if link.state is LinkState.BOUND and link.connection is not None:
                    yield profile.id, link, link.connection

    def _esme(self, connection: SmppConnection) -> tuple[Callable[[], None], LiveSession]:
        context, session = connection.context, connection.session
        assert isinstance(context, BoundEsme)  # as the door says
        account = self._directory().account(context.account)
        shown = LiveSession(
            id=self._id(connection),
            worker=self._worker,
            side="esme",
            name=context.account,
            system_id=context.system_id.decode("latin-1"),
            mode=session.state.value.removeprefix("bound_"),
            address=_address(connection),
            interface_version=_version(connection),
            since_ms=self._since_ms(connection.now - context.bound_at),
            window=session.window_size,
            in_flight=session.unanswered_count,
            rate_per_second_max=account.rate_per_second if account is not None else 0.0,
        )
        return lambda: self._door.disconnect(connection), shown

    def _upstream(self, name: str, link: Link, connection: SmppConnection) -> tuple[Callable[[], None], LiveSession]:
        shown = LiveSession(
            id=self._id(connection),
            worker=self._worker,
            side="upstream",
            name=name,
            system_id=link.profile.system_id,
            mode=_MODES[link.kind.name.lower()],
            address=_address(connection),
            interface_version=_version(connection),
            since_ms=self._since_ms(time.monotonic() - link.bound_at),
            window=link.window,
            in_flight=link.pending,
            rate_per_second_max=link.profile.rate_per_second,
        )
        return link.renew, shown

    def _id(self, connection: SmppConnection) -> str:
        if connection not in self._numbers:
            self._count += 1
            self._numbers[connection] = self._count
        return f"{self._boot}-{self._numbers[connection]}"

    def _since_ms(self, seconds: float) -> int:
        return self._now_ms() - round(seconds * 1000)

    def _remember(self, number: str) -> None:
        self._answered[number] = None
        if len(self._answered) > ANSWERED_MAX:
            del self._answered[next(iter(self._answered))]


def _address(connection: SmppConnection) -> str:
    host, port = connection.peer
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _version(connection: SmppConnection) -> str:
    version = connection.session.peer_interface_version
    return f"{version >> 4}.{version & 15}"
