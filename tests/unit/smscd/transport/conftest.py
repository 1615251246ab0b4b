"""A loop whose time is a number, and a transport that is a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp.events import Event
from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection, WriteLimits


class FakeTimer:
    """Without when(), because uvloop gives a plain Handle for a moment that is nearly now."""

    def __init__(self, moment: float, callback: Callable[[], None]) -> None:
        self.moment = moment
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """What a connection wants of a loop: the time and one timer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(when, callback)
        self.timers.append(timer)
        return timer

    def running(self) -> list[FakeTimer]:
        self.timers = [timer for timer in self.timers if not timer.is_cancelled]
        return self.timers

    def advance(self, until: float) -> None:
        """Let the time pass, running each timer at its moment."""
        while due := [timer for timer in self.running() if timer.moment <= until]:
            timer = min(due, key=lambda timer: timer.moment)
            self.timers.remove(timer)
            self.now = max(self.now, timer.moment)
            timer.callback()
        self.now = until


class FakeTransport:
    """Keeps each write; the peer reads when a test says so."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        self.address = address
        self.protocol: SmppConnection | None = None
        self.writes: list[bytes] = []
        self.is_reading = True
        self.is_closing = False
        self.is_aborted = False
        self.high = 1 << 30

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 40_000) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def write(self, data: bytes) -> None:
        assert not self.is_closing, "a write after close"
        self.writes.append(data)

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def close(self) -> None:
        self.is_closing = True

    def abort(self) -> None:
        self.is_closing = self.is_aborted = True

    def sent(self) -> bytes:
        data = b"".join(self.writes)
        self.writes.clear()
        return data


class Owner:
    """Records what it is told; `answer` is what it does with events."""

    def __init__(self) -> None:
        self.opened: list[SmppConnection] = []
        self.events: list[Event] = []
        self.batches = 0
        self.closed: list[tuple[SmppConnection, str]] = []
        self.unanswered: list[object] = []
        self.answer: Callable[[SmppConnection, list[Event]], None] = lambda connection, events: None

    def on_open(self, connection: SmppConnection) -> None:
        self.opened.append(connection)

    def on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        self.batches += 1
        self.events += events
        self.answer(connection, events)

    def on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.closed.append((connection, reason))
        self.unanswered += connection.session.close(reason)

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(self.on_open, self.on_events, self.on_closed)


class Bench:
    """A connection with everything around it."""

    def __init__(self, role: Role, config: SessionConfig, limits: WriteLimits | None) -> None:
        self.loop = FakeLoop()
        self.transport = FakeTransport()
        self.owner = Owner()
        self.connection = SmppConnection(role, config, self.owner.callbacks, self.loop, limits)  # type: ignore[arg-type]

    def open(self) -> None:
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """Makes an open connection: (role, config, limits)."""

    def make(role: Role = Role.SMSC, config: SessionConfig | None = None, limits: WriteLimits | None = None) -> Bench:
        bench = Bench(role, config or SessionConfig(), limits)
        bench.open()
        return bench

    return make


@pytest.fixture
def fake_loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def make_transport() -> type[FakeTransport]:
    return FakeTransport


@pytest.fixture
def owner() -> Owner:
    return Owner()
