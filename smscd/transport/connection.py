"""One TCP connection that carries an SMPP session: feeds it, writes what it queued, and wakes it at its deadlines.

The owner is told of batches of events and calls flush() after it has queued something. Nothing here happens once a
message: one parse for each read, one write for each flush, one timer for each connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, cast

from protocols.smpp.constants import HEADER_SIZE
from protocols.smpp.errors import FramingError
from protocols.smpp.events import ConnectionDead, Event
from protocols.smpp.limits import SessionConfig
from protocols.smpp.session import Session
from protocols.smpp.state import Role, SessionState
from smscd.core.networks import normalised
from smscd.transport.tls import PeerCertificate, peer_certificate

_KEEPALIVE_IDLE_SECONDS = 60
_KEEPALIVE_INTERVAL_SECONDS = 10
_KEEPALIVE_PROBES = 3


class CloseReason(StrEnum):
    """Why a connection ended; the reasons of ConnectionDead are further ones."""

    LOCAL = "closed_by_us"
    PEER = "closed_by_peer"
    UNBOUND = "unbound"
    FRAMING = "framing_lost"
    WRITE_STALLED = "write_stalled"
    SILENT = "silent"
    REFUSED = "too_many_connections"
    ERROR = "connection_error"


class Callbacks(NamedTuple):
    """What the owner of connections wants to know. None of them may block, and none may raise.

    on_open(connection): the connection is up; an ESME binds here.
    on_events(connection, events): in order; call flush() on the connection after answering, now or later.
    on_closed(connection, reason): exactly once for each on_open; take session.close(reason) here to get the refs of
        the requests that were never answered.
    """

    on_open: Callable[[SmppConnection], None]
    on_events: Callable[[SmppConnection, list[Event]], None]
    on_closed: Callable[[SmppConnection, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLimits:
    """A peer that does not read has at most write_buffer_max octets waiting for it, and this long: gone within 30 s."""

    write_buffer_max: int = 1 << 20
    stall_seconds: float = 29.0
    close_seconds: float = 5.0


class SmppConnection(asyncio.Protocol):
    """The connection. context is free for the owner.

    peer: address and port. certificate: what the peer has proved to own, with TLS. heard_at: when it last sent.
    tap: hears (is_ours, octets) of all that passes, for traces.
    """

    def __init__(
        self,
        role: Role,
        config: SessionConfig,
        callbacks: Callbacks,
        loop: asyncio.AbstractEventLoop,
        limits: WriteLimits | None = None,
        on_bound: Callable[[SmppConnection], None] | None = None,
    ) -> None:
        """on_bound: called once when the session leaves the state OPEN, or ends in it."""
        self.session = Session(role, config, loop.time())
        self.context: object = None
        self.tap: Callable[[bool, bytes], None] | None = None
        self.peer: tuple[str, int] = ("", 0)
        self.certificate: PeerCertificate | None = None
        self.heard_at = loop.time()
        self._on_bound = on_bound
        self._shortest_seconds = config.shortest_seconds
        self._callbacks = callbacks
        self._limits = limits or WriteLimits()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        self._reason: str | None = None
        self._is_held = False
        self._is_paused = False
        self._is_pumping = False
        self._is_aborted = False
        self._is_drowsy = False
        self._stalled_at: float | None = None
        self._closing_at: float | None = None

    # --- what the owner calls ---------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True while octets may be written: from on_open until close() or the end of the connection."""
        return self._transport is not None and self._closing_at is None

    @property
    def is_writable(self) -> bool:
        """False while the peer reads more slowly than we write: send no new requests then."""
        return self.is_open and self._stalled_at is None

    @property
    def write_buffer_size(self) -> int:
        """Octets that wait for the peer to read."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def now(self) -> float:
        """The time that the session counts in."""
        return self._loop.time()

    def flush(self) -> None:
        """Write everything that the session has queued, in one piece, and go on with what was held back.

        Inside on_events it does nothing, because the same is done once on_events returns.
        """
        if not self._is_pumping:
            self._pump([])

    def hold_reading(self, is_held: bool) -> None:
        """Read nothing more from the peer until this is called with False."""
        self._is_held = is_held
        self.flush()

    def forget_bound(self) -> None:
        """Call no on_bound: whoever waits for it does not count this connection."""
        self._on_bound = None

    def close(self, reason: str = CloseReason.LOCAL) -> None:
        """Write what is queued, then close; a peer that does not take it in time is cut off."""
        transport = self._transport
        if transport is None or self._closing_at is not None:
            return
        self._reason = self._reason or reason
        data = self.session.data_to_send()
        if data:
            if self.tap is not None:
                self.tap(True, data)
            transport.write(data)
        self._closing_at = self._loop.time()
        transport.close()
        self._arm()

    def abort(self, reason: str = CloseReason.LOCAL) -> None:
        """Close now; what is queued is lost."""
        if self._transport is not None:
            self._reason = self._reason or reason
            self._closing_at = self._loop.time()
            self._is_aborted = True
            self._transport.abort()

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up and tell the owner."""
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer = (normalised(str(name[0])), int(name[1]))
        tls = transport.get_extra_info("ssl_object")
        self.certificate = peer_certificate(tls)
        tcp = transport.get_extra_info("socket")
        if tcp is not None and tcp.family in (socket.AF_INET, socket.AF_INET6):
            self._is_drowsy = self._on_bound is not None and tls is None
            _set_options(tcp, is_drowsy=self._is_drowsy)
        # Half of the bound is for what one flush adds after the buffer is called full.
        self._transport.set_write_buffer_limits(high=self._limits.write_buffer_max // 2)
        self._callbacks.on_open(self)
        self.flush()
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Parse everything that came, hand it over, write the answers."""
        self.heard_at = self._loop.time()
        if self._is_drowsy:
            self._wake_up()
        self._pump(self._receive(data))

    def eof_received(self) -> bool:
        """A peer that will send no more is gone: close."""
        self._reason = self._reason or CloseReason.PEER
        return False

    def pause_writing(self) -> None:
        """The write buffer is full: read nothing more that would have to be answered."""
        self._stalled_at = self._loop.time()
        self._set_reading()
        self._arm()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._stalled_at = None
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner once, with the reason."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None
        self._leave_half_open()
        reason = self._reason or (CloseReason.PEER if exc is None else CloseReason.ERROR)
        self._callbacks.on_closed(self, reason)
        self.session.close(reason)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _wake_up(self) -> None:
        """Be told of every octet from now on: how many the next PDU lacks, the kernel does not know."""
        self._is_drowsy = False
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def _receive(self, data: bytes) -> list[Event]:
        if self._closing_at is not None:
            return []
        if self.tap is not None and data:
            self.tap(False, data)
        try:
            return self.session.receive_data(data, self._loop.time())
        except FramingError as error:
            self._reason = self._reason or CloseReason.FRAMING
            return cast("list[Event]", error.events)

    def _pump(self, events: list[Event]) -> None:
        """Hand events over and write what they led to, until the session has nothing more to go on with."""
        session = self.session
        self._is_pumping = True
        try:
            while True:
                if events:
                    self._callbacks.on_events(self, events)
                self._write()
                if not (session.has_backlog and session.wants_read and self.is_writable) or self._is_held:
                    break
                events = self._receive(b"")
        finally:
            self._is_pumping = False
        if session.state in (SessionState.UNBOUND, SessionState.CLOSED):
            self.close(CloseReason.UNBOUND)
        elif self.is_open:
            self._set_reading()
            if self._on_bound is not None and not session.state.is_before_bind:
                self._leave_half_open()

    def _leave_half_open(self) -> None:
        if self._on_bound is not None:
            self._on_bound(self)
            self._on_bound = None

    def _write(self) -> None:
        if self._transport is not None and self.is_writable:
            data = self.session.data_to_send()
            if data:
                if self.tap is not None:
                    self.tap(True, data)
                self._transport.write(data)

    def _set_reading(self) -> None:
        is_read = self.session.wants_read and self._stalled_at is None and not self._is_held
        if self._transport is None or is_read is not self._is_paused:
            return
        self._is_paused = not is_read
        self.session.note_reading(is_read, self._loop.time())
        if is_read:
            self._transport.resume_reading()
            self._arm()
        else:
            self._transport.pause_reading()

    def _arm(self) -> None:
        """Wake up at the nearest deadline, or a little earlier.

        No session sets a deadline nearer than shortest_seconds, so a timer that runs at least that often finds every
        deadline without being moved by each request.
        """
        if self._transport is None or self._is_aborted:
            return
        when = self._next_moment()
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        # uvloop gives a handle without when() for a moment that is nearly now, so we remember it ourselves.
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._on_timer)

    def _next_moment(self) -> float:
        if self._closing_at is not None:
            return self._closing_at + self._limits.close_seconds
        when = self._loop.time() + self._shortest_seconds
        deadline = self.session.next_deadline()
        if deadline is not None:
            when = min(when, deadline)
        if self._stalled_at is not None:
            when = min(when, self._stalled_at + self._limits.stall_seconds)
        return when

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._closing_at is not None:
            if now >= self._closing_at + self._limits.close_seconds:
                self.abort()
        elif self._stalled_at is not None and now >= self._stalled_at + self._limits.stall_seconds:
            self.abort(CloseReason.WRITE_STALLED)
        else:
            events = self.session.handle_timer(now)
            for event in events:
                if isinstance(event, ConnectionDead):
                    self._reason = self._reason or event.reason
            self._pump(events)
        self._arm()


def _set_options(given: socket.socket, *, is_drowsy: bool) -> None:
    """Send at once, and let the kernel find peers that vanished.

    is_drowsy: a peer that has to bind is not heard octet by octet: the kernel wakes us for a header, or for the end.
    """
    # uvloop's own sockets build one like this for each option.
    tcp = socket.socket(given.family, given.type, given.proto, fileno=given.fileno())
    try:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_SECONDS)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
        if is_drowsy:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, HEADER_SIZE)
    finally:
        tcp.detach()
