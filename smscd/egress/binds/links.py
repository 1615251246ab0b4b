"""One bind to an upstream: dials, binds, is used, ends, waits, and dials again."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, cast

import structlog

from protocols.smpp import events as ev
from protocols.smpp.negotiation import takes_tlvs
from protocols.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter, DataSmResp
from protocols.smpp.state import SessionState
from smscd.core.upstream import Upstream
from smscd.egress.binds.pace import Pace
from smscd.egress.binds.pauses import SessionEnd, pause_after
from smscd.egress.binds.ports import DeliverSink, Dial, LinkSink
from smscd.egress.binds.terms import identity_of, session_config, tls_of
from smscd.egress.dispatch.blobs import Item
from smscd.egress.dispatch.turn import Answers, Ref
from smscd.egress.wake import Wake
from smscd.transport.connection import Callbacks, CloseReason, SmppConnection

TIMEOUTS_IN_A_ROW_MAX: Final = 10
ANSWERS_SHARE: Final = 0.6
LACKS_TLVS: Final = (
    "the upstream speaks SMPP before 3.4, which has no TLVs, and the profile needs them: let long_message be as_is, "
    "udh8 or udh16 and no vendor_tlvs be required, or have the upstream announce 3.4"
)
_log = structlog.get_logger(__name__)


class BindKind(Enum):
    """What a bind asks for."""

    TRANSCEIVER = BindTransceiver
    TRANSMITTER = BindTransmitter
    RECEIVER = BindReceiver


class LinkState(Enum):
    """Where a bind is in its life; the names are label values of a metric."""

    DOWN = "down"
    DIALING = "dialing"
    BINDING = "binding"
    BOUND = "bound"
    DRAINING = "draining"
    WAITING = "waiting"
    HELD = "held"


class Link:
    """A bind that is kept up. begun: messages with segments on it and more to come, which must follow on it.

    tls_failures, framing_errors, unreadable: dials that ended in the handshake, sessions that ended because what came
    was no PDU, and requests of ended sessions that could not be read; refusals: the statuses of refused binds. All as
    far as nobody has counted them yet.
    on_held: told of a refusal that somebody must look at, and for how long nothing is tried.
    is_adopted: the upstream has called (outbind); there is nothing to dial again when the session ends.
    heir_until: until then the upstream may count binds of an owner before us that are gone (monotonic seconds).
    """

    def __init__(
        self,
        profile: Upstream,
        kind: BindKind,
        *,
        dial: Dial,
        sink: LinkSink,
        delivers: DeliverSink,
        clock: Callable[[], float],
        chance: Callable[[], float],
        on_held: Callable[[SessionEnd, float], None],
        is_adopted: bool = False,
        heir_until: float = 0.0,
    ) -> None:
        self.profile = profile
        self.kind = kind
        self.is_adopted = is_adopted
        self._heir_until = heir_until
        self.state = LinkState.DOWN
        self.begun: deque[Item] = deque()
        self._begun_under = profile
        self.connection: SmppConnection | None = None
        self.tls_failures = 0
        self.framing_errors = 0
        self.unreadable = 0
        self.refusals: list[int] = []
        self._dial = dial
        self._sink = sink
        self._delivers = delivers
        self._clock = clock
        self._chance = chance
        self._on_held = on_held
        self._wake = Wake(asyncio.get_running_loop())
        self._ended: asyncio.Future[SessionEnd] | None = None
        self._refused = 0
        self._bound_at = 0.0
        self._timeouts_in_a_row = 0
        self._is_stopping = False
        self._is_held_reading = False
        self._lacks_tlvs = False
        self._pace = Pace(profile.window_size, clock())

    # --- what the dispatcher asks -----------------------------------------------------------------------------------

    @property
    def can_send(self) -> bool:
        """True when submit_sm may be written now, window and pace aside."""
        connection = self.connection
        return (
            self.state is LinkState.BOUND
            and connection is not None
            and connection.is_writable
            and connection.session.can_submit
        )

    @property
    def takes_tlvs(self) -> bool:
        """False when the session leaves TLVs out, because the upstream is older than 3.4."""
        return self.connection is not None and takes_tlvs(self.connection.session.peer_interface_version)

    @property
    def free(self) -> int:
        """Free slots of the window."""
        connection = self.connection
        return max(0, self._pace.window - connection.session.pending_count) if connection is not None else 0

    @property
    def window(self) -> int:
        """How many requests may be under way: the profile's window, or less while the upstream bears no more."""
        return self._pace.window

    @property
    def can_narrow(self) -> bool:
        """True when a full queue of the upstream may be about our window."""
        return self._pace.window > 1

    @property
    def pending(self) -> int:
        """Requests of ours that are awaited."""
        return self.connection.session.pending_count if self.connection is not None else 0

    def room(self, now: float) -> int:
        """How many segments may go out now."""
        return self._pace.room(self.free, now)

    def next_room_at(self, now: float) -> float | None:
        """When the pace lets something pass again; None while the window is full or nothing may be sent."""
        if not self.can_send or not self.free:
            return None
        return now + self._pace.bucket.seconds_until(1, now)

    def send(self, items: Sequence[tuple[bytes, Ref]], now: float) -> None:
        """Write submit_sm: (body, ref) each. Only while can_send."""
        connection = cast(SmppConnection, self.connection)
        self._pace.sent(len(items), now)
        connection.session.send_submits(items, now)
        connection.flush()

    def rated(self, throttled: int, now: float, full: int = 0, answered: int = 0) -> None:
        """Answers came, so many of them throttled: slow down, or slowly come back.

        full: of these, how many said that the queue is full, which narrows the window as well (quirk 15). answered: how
        many answers came.
        """
        connection, pace = self.connection, self._pace
        pace.rated(throttled, connection.session.peer_congestion_state if connection is not None else None, now)
        if (full or pace.is_narrowed) and pace.fit_window(full, self.pending + answered, now):
            _log.info("upstream.window_narrowed", upstream=self.profile.id, window=pace.window)

    # --- what the receipts' side asks -------------------------------------------------------------------------------

    def answer(self, connection: SmppConnection, answers: list[tuple[int, int]], *, is_data: bool = False) -> None:
        """Answer deliver_sm, or data_sm, that came over `connection`; nothing happens when that is gone by now."""
        if connection.is_open:
            if is_data:
                connection.session.answer(
                    DataSmResp(command_status=status, sequence_number=number) for number, status in answers
                )
            else:
                connection.session.answer_delivers(answers)
            connection.flush()
            self._go_on_draining()

    def hold_reading(self, is_held: bool) -> None:
        """Read nothing from the upstream until this is called with False."""
        if self.connection is not None and is_held != self._is_held_reading:
            self._is_held_reading = is_held
            self.connection.hold_reading(is_held)

    # --- its life ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the bind up until stopped; one that was adopted, until its session ends."""
        failures = unbound = 0
        while not self._is_stopping:
            profile = self.profile
            end = await self._live()
            if self.is_adopted:
                _log.info("upstream.call_ended", upstream=self.profile.id, reason=end.reason,
                          command_status=end.refused)  # fmt: skip
            if self.is_adopted or self._is_stopping:
                break
            pause = pause_after(end, failures, self._chance(), is_heir=self._clock() < self._heir_until)
            failures = 0 if end.is_steady or pause.is_expected else failures + 1
            unbound = 0 if self._bound_at else unbound + 1
            if unbound:
                self._sink.unreached(unbound)
            if self._is_elsewhere() or (pause.is_held and self.profile != profile):
                continue  # it changed, and may be right by now
            self.state = LinkState.HELD if pause.is_held else LinkState.WAITING
            if pause.is_held:
                self._on_held(end, pause.seconds)
            else:
                _log.info("upstream.waiting", upstream=self.profile.id, reason=end.reason, command_status=end.refused,
                          seconds=round(pause.seconds, 3))  # fmt: skip
            self._sink.links_changed()
            self._wake.clear()
            await self._wake.wait(pause.seconds)
        self.state = LinkState.DOWN

    async def _live(self) -> SessionEnd:
        """One session from dialing to its end."""
        profile = self._begun_under = self.profile
        self.state = LinkState.DIALING
        self._refused = 0
        self._bound_at = 0.0
        self._timeouts_in_a_row = 0
        self._is_held_reading = False
        self._lacks_tlvs = False
        self._ended = asyncio.get_running_loop().create_future()
        config = session_config(profile)
        try:
            callbacks = Callbacks(self._on_open, self._on_events, self._on_closed)
            await self._dial(profile.host, profile.port, config=config, callbacks=callbacks, tls=tls_of(profile))
        except ssl.SSLError as error:
            _log.warning("upstream.tls_failed", upstream=profile.id, error=str(error))
            self.tls_failures += 1
            return SessionEnd(f"TLS failed: {error}")
        except OSError as error:
            return SessionEnd(f"dial failed: {error}")
        try:
            return await self._ended
        finally:
            connection = self.connection
            if connection is not None:
                connection.abort()

    async def stop(self, seconds: float) -> None:
        """Send nothing new, wait for what is under way, unbind, and cut it off after the time.

        Without the unbind the next bind may be refused. Answers that do not come hold it up for a part of the time
        only.
        """
        self._is_stopping = True
        self._wake.set()
        connection, ended = self.connection, self._ended
        if connection is None or ended is None or ended.done():
            return
        if connection.session.state.is_bound:
            self.state = LinkState.DRAINING
            self._sink.links_changed()
            self._go_on_draining()
            await asyncio.wait((ended,), timeout=seconds * ANSWERS_SHARE)
            if not ended.done() and connection.session.state.is_bound:
                connection.session.unbind(self._clock())
                connection.flush()
            await asyncio.wait((ended,), timeout=seconds * (1 - ANSWERS_SHARE))
        connection.abort()

    @property
    def bound_at(self) -> float:
        """When the session was bound, on the clock; 0 when it is not."""
        return self._bound_at

    def renew(self) -> None:
        """End the session once what is under way on it is answered, and bind anew."""
        connection = self.connection
        if self.state is LinkState.BOUND and connection is not None and connection.session.state.is_bound:
            self.state = LinkState.DRAINING
            _log.info("upstream.disconnected", upstream=self.profile.id)
            self._sink.links_changed()
            self._go_on_draining()

    def cut(self) -> None:
        """Close at once: the role was lost, and its new owner will bind."""
        self._is_stopping = True
        self._wake.set()
        if self.connection is not None:
            self.connection.abort()

    def reconfigure(self, profile: Upstream) -> None:
        """Go on under a changed profile; a held bind tries again at once. Another address ends the session."""
        self.profile = profile
        self._wake.set()
        self._pace.resize(profile.window_size)
        connection = self.connection
        if connection is not None and connection.session.state.is_bound:
            is_elsewhere = self._is_elsewhere()
            self._lacks_tlvs = not is_elsewhere and self._is_too_old()
            if is_elsewhere or self._lacks_tlvs:
                self.state = LinkState.DRAINING
                self._go_on_draining()

    def _is_elsewhere(self) -> bool:
        """True when the session was begun under a profile that it cannot change to."""
        return identity_of(self._begun_under) != identity_of(self.profile)

    # --- what the connection tells ----------------------------------------------------------------------------------

    def _on_open(self, connection: SmppConnection) -> None:
        if self._is_stopping:
            connection.abort()
            return
        profile = self._begun_under
        self.connection = connection
        self.state = LinkState.BINDING
        request: Bind = self.kind.value(
            system_id=profile.system_id.encode(),
            password=profile.password.encode(),
            system_type=profile.system_type.encode(),
            interface_version=profile.interface_version,
        )
        connection.session.bind(request, self._clock())

    def _on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        for event in events:
            match event:
                case ev.SubmitAnswers():
                    self._timeouts_in_a_row = 0
                    self._sink.answered(self, cast(Answers, event.answers), self._clock())
                case ev.DeliversReceived() | ev.DataReceived():
                    self._delivers.received(self, event.pdus)
                case ev.AlertsReceived():
                    self._delivers.alerted(event.pdus)
                case ev.TimedOut():
                    self._on_timed_out(connection, cast("list[Ref]", event.refs))
                case ev.BindAccepted():
                    self._on_bound()
                case ev.BindRefused():
                    self._refused = event.command_status
                    self.refusals.append(event.command_status)
                    connection.close("bind_refused")
                case ev.UnbindRequested():
                    self.state = LinkState.DRAINING
                    _log.info("upstream.unbind_requested", upstream=self.profile.id)
                    self._sink.links_changed()
                case ev.UnbindAnswered():
                    connection.close("unbound")
                case _:
                    pass
        self._go_on_draining()

    def _on_bound(self) -> None:
        is_elsewhere = self._is_elsewhere()
        if is_elsewhere or self._is_too_old():
            # Nothing is sent, and _on_events goes on to unbind: a bind that was only dropped would count on.
            self._lacks_tlvs = not is_elsewhere
            self.state = LinkState.DRAINING
            return
        self.state = LinkState.BOUND
        self._bound_at = self._clock()
        _log.info("upstream.bound", upstream=self.profile.id, bind=self.kind.name.lower())
        self._sink.links_changed()

    def _is_too_old(self) -> bool:
        """True when messages would go over this bind without what the profile puts into TLVs."""
        return self.profile.needs_tlvs and self.kind is not BindKind.RECEIVER and not self.takes_tlvs

    def _on_timed_out(self, connection: SmppConnection, refs: list[Ref]) -> None:
        self._sink.timed_out(refs)
        self._timeouts_in_a_row += len(refs)
        if self._timeouts_in_a_row >= TIMEOUTS_IN_A_ROW_MAX and self.state is LinkState.BOUND:
            _log.warning("upstream.unresponsive", upstream=self.profile.id, timeouts=self._timeouts_in_a_row)
            self.state = LinkState.DRAINING
            if connection.session.state.is_bound:
                connection.session.unbind(self._clock())
            connection.close("unanswered")

    def _go_on_draining(self) -> None:
        """Once nothing is open either way: agree to the upstream's unbind, or ask for ours."""
        connection = self.connection
        if self.state is not LinkState.DRAINING or connection is None:
            return
        session = connection.session
        if session.pending_count or session.unanswered_count:
            return
        if session.state is SessionState.UNBIND_RECEIVED:
            session.finish_unbind()
            connection.flush()
        elif session.state.is_bound:
            session.unbind(self._clock())
            connection.flush()

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        refs = cast("list[Ref]", connection.session.close(reason))
        self.connection = None
        self.unreadable += sum(connection.session.malformed.values())
        self.framing_errors += reason == CloseReason.FRAMING
        was_bound = self._bound_at > 0
        bound_seconds = self._clock() - self._bound_at if was_bound else 0.0
        self.state = LinkState.DOWN
        if was_bound:
            _log.info("upstream.unbound", upstream=self.profile.id, reason=reason, unanswered=len(refs))
        self._sink.lost(self, refs)
        if self._ended is not None and not self._ended.done():
            why = LACKS_TLVS if self._lacks_tlvs else reason
            self._ended.set_result(SessionEnd(why, self._refused, bound_seconds, self._lacks_tlvs))
