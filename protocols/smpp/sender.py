"""The half of a session that sends requests of its own and keeps the time; `session` adds what comes from the peer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, assert_never

from protocols.smpp import codec, events, tlv
from protocols.smpp.codec import HEADER, read_message_id
from protocols.smpp.constants import HEADER_SIZE, RESPONSE_BIT, CommandId, CommandStatus, TlvTag
from protocols.smpp.errors import EncodeError, StateError
from protocols.smpp.events import Event
from protocols.smpp.limits import SessionConfig
from protocols.smpp.negotiation import destinations_max, has_congestion_state, read_congestion_state, takes_tlvs
from protocols.smpp.pdu import AlertNotification, Bind, Outbind, Pdu, Request, SubmitMulti
from protocols.smpp.state import Flow, Role, SessionState, state_after
from protocols.smpp.timers import Timer, Timers
from protocols.smpp.window import PeerWindow, RequestWindow, SequenceNumbers

SUBMIT_SM: Final = int(CommandId.SUBMIT_SM)
DELIVER_SM: Final = int(CommandId.DELIVER_SM)
OVER: Final = frozenset((SessionState.UNBOUND, SessionState.CLOSED))
# What send_requests takes: submit_sm and deliver_sm come in batches of bodies.
_SINGLES: Final = frozenset(
    (
        CommandId.SUBMIT_MULTI,
        CommandId.DATA_SM,
        CommandId.QUERY_SM,
        CommandId.CANCEL_SM,
        CommandId.REPLACE_SM,
    )
)
_SINCE_3_4: Final = frozenset((CommandId.DATA_SM, CommandId.ALERT_NOTIFICATION))
CONGESTION_STATE_MAX: Final = 100


class Asked(NamedTuple):
    """One of send_requests' requests: the response that it waits for, and its owner's ref."""

    response_id: int
    ref: object


class Sender:
    """What a session has to send, whoever asked for it: the owner, the peer or a timer.

    state: as in the table of `state`. peer_interface_version: known once bound. closed_reason: what close() was told.
    peer_congestion_state: what the peer last said of itself, 0 (idle) to 100, in a response to us; None while it has
    not, or is no peer of 5.0.
    """

    def __init__(self, role: Role, config: SessionConfig, now: float) -> None:
        self.role = role
        self.config = config
        self.peer_interface_version = int(config.assumed_interface_version)
        self.peer_congestion_state: int | None = None
        self.closed_reason: str | None = None
        self._own_interface_version = int(config.interface_version)
        self._is_smsc = role is Role.SMSC
        self._request_id = SUBMIT_SM if self._is_smsc else DELIVER_SM
        self._answer_id = (DELIVER_SM if self._is_smsc else SUBMIT_SM) | RESPONSE_BIT
        self._out: list[bytes] = []
        self._timers = Timers(config, now)
        # The peer's requests that the owner has to answer.
        self._peer = PeerWindow(config.window_size, may_throttle=self._is_smsc)
        # Our requests: submits or delivers, and the others; our bind or unbind while it is unanswered: (sequence
        # number, command id).
        self._numbers = SequenceNumbers()
        self._own = RequestWindow(config.response_late_max, self._numbers)
        self._others = RequestWindow(config.response_late_max, self._numbers)
        self._control: tuple[int, int] | None = None
        # congestion_state (5.0): ours as every response carries it, and how the peer's is read.
        self._congestion_state: int | None = None
        self._is_congestion_told = False
        self._answer_tlvs = b""
        self._read_message_id: Callable[[bytes, int, int], bytes] = read_message_id
        self._enter(SessionState.OPEN)

    # --- what the owner may look at ---------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """The state after the last call."""
        return self._state

    @property
    def interface_version(self) -> int:
        """What both ends speak: the lower of the two versions."""
        return min(self._own_interface_version, self.peer_interface_version)

    @property
    def pending_count(self) -> int:
        """Our requests that are unanswered and have not timed out."""
        return len(self._own.pending) + len(self._others.pending)

    @property
    def can_submit(self) -> bool:
        """True when send_submits is allowed."""
        return self.can_send(SUBMIT_SM)

    @property
    def can_deliver(self) -> bool:
        """True when send_delivers is allowed."""
        return self.can_send(DELIVER_SM)

    def can_send(self, command_id: int) -> bool:
        """True when the state, and the peer's version, allow us to send this command."""
        if command_id in _SINCE_3_4 and not takes_tlvs(self.peer_interface_version):
            return False
        return state_after(self.role, self._state, Flow.SENT, command_id) is not None

    @property
    def congestion_state(self) -> int | None:
        """How congested we are, 0 (idle) to 100, for a peer of 5.0 in our responses. None says nothing."""
        return self._congestion_state

    @congestion_state.setter
    def congestion_state(self, state: int | None) -> None:
        if state is not None and not 0 <= state <= CONGESTION_STATE_MAX:
            raise ValueError(f"a congestion_state of {state} is not in 0..{CONGESTION_STATE_MAX}")
        self._congestion_state = state
        is_told = self._is_congestion_told and state is not None
        self._answer_tlvs = tlv.encode_value(TlvTag.CONGESTION_STATE, state or 0) if is_told else b""

    def data_to_send(self) -> bytes:
        """All octets queued since the last call, joined."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    # --- the state --------------------------------------------------------------------------------------------------

    def _answer(self, command_id: int, command_status: int, sequence_number: int) -> None:
        """Queue a PDU without a body; a response (generic_nack is none) has one when it has a congestion_state."""
        body = b""
        if self._answer_tlvs and command_id > CommandId.GENERIC_NACK:
            body = codec.encode_body(codec.response_to(command_id)(tlvs=self._answer_tlvs))
        self._out.append(HEADER.pack(HEADER_SIZE + len(body), command_id, command_status, sequence_number) + body)

    def _enter(self, state: SessionState) -> None:
        self._state = state
        self._takes_requests = state_after(self.role, state, Flow.RECEIVED, self._request_id) is not None
        self._size_max = self.config.pre_bind_size_max if state.is_before_bind else self.config.pdu_size_max

    def _agree(self, peer_interface_version: int) -> None:
        """The bind was accepted: what the versions of the two ends allow from here on."""
        self.peer_interface_version = peer_interface_version
        self._is_congestion_told = has_congestion_state(self.interface_version)
        if self._is_congestion_told:
            self._read_message_id = self._read_message_id_and_congestion
            self.congestion_state = self._congestion_state

    def _read_message_id_and_congestion(self, buffer: bytes, position: int, end: int) -> bytes:
        self._note_congestion(buffer, position, end)
        return read_message_id(buffer, position, end)

    def _note_congestion(self, buffer: bytes, position: int, end: int) -> None:
        if self._is_congestion_told:
            state = read_congestion_state(buffer, position, end)
            if state is not None:
                self.peer_congestion_state = min(state, CONGESTION_STATE_MAX)

    def _check_may_send(self, command_id: int) -> SessionState:
        after = state_after(self.role, self._state, Flow.SENT, command_id)
        if after is None:
            raise StateError(f"{CommandId(command_id).name} is not ours to send in state {self._state.value}")
        if command_id in _SINCE_3_4 and not takes_tlvs(self.peer_interface_version):
            raise StateError(f"a peer before 3.4 has no {CommandId(command_id).name}")
        return after

    # --- our requests -----------------------------------------------------------------------------------------------

    def outbind(self, system_id: bytes, password: bytes, now: float) -> None:
        """As an SMSC that has connected to an ESME: ask it to bind. Answered by BindRequested, or ConnectionDead."""
        after = self._check_may_send(CommandId.OUTBIND)
        number = self._numbers.take(1)[0]
        self._out.append(codec.encode(Outbind(sequence_number=number, system_id=system_id, password=password)))
        self._timers.restart_session_init(now)
        self._enter(after)

    def bind(self, pdu: Bind, now: float) -> None:
        """Ask to be bound; its sequence_number is set here. Answered by BindAccepted or BindRefused."""
        self._check_may_send(pdu.command_id)
        if self._control is not None:
            raise StateError("a bind is under way")
        octets = codec.encode(dataclasses.replace(pdu, sequence_number=self._start_control(pdu.command_id, now)))
        self._own_interface_version = pdu.interface_version
        self._out.append(octets)

    def unbind(self, now: float) -> None:
        """End the session: send no more requests. Answered by UnbindAnswered, or by ConnectionDead in time."""
        after = self._check_may_send(CommandId.UNBIND)
        self._answer(CommandId.UNBIND, CommandStatus.ESME_ROK, self._start_control(CommandId.UNBIND, now))
        self._enter(after)

    def _start_control(self, command_id: CommandId, now: float) -> int:
        number = self._numbers.take(1)[0]
        self._control = (number, int(command_id))
        self._timers.control_at = now
        return number

    def send_submits(self, items: Sequence[tuple[bytes, object]], now: float) -> None:
        """Send submit_sm: (body from codec.encode_body, ref) each. Answered by SubmitAnswers or TimedOut.

        Raises StateError when the session may not (see can_submit).
        """
        self._send_bodies(SUBMIT_SM, items, now)

    def send_delivers(self, items: Sequence[tuple[bytes, object]], now: float) -> None:
        """Send deliver_sm: as send_submits. Answered by DeliverAnswers or TimedOut."""
        self._send_bodies(DELIVER_SM, items, now)

    def _send_bodies(self, command_id: int, items: Sequence[tuple[bytes, object]], now: float) -> None:
        self._check_may_send(command_id)
        if not takes_tlvs(self.peer_interface_version):
            items = [(codec.without_tlvs(command_id, body), ref) for body, ref in items]
        out, pack, pending = self._out, HEADER.pack, self._own.pending
        for number, (body, ref) in zip(self._numbers.take(len(items)), items, strict=True):
            pending[number] = (ref, now)
            out.append(pack(HEADER_SIZE + len(body), command_id, 0, number))
            out.append(body)
        self._timers.transaction_at = now

    def send_requests(self, items: Sequence[tuple[Request, object]], now: float) -> None:
        """Send other requests: (PDU, ref) each. Answered by RequestAnswers or TimedOut.

        The PDUs' own sequence_number does not count. Raises StateError when the session may not send one of them (see
        can_send), EncodeError when one does not fit; then none is sent.
        """
        bodies: list[tuple[int, bytes, object]] = []
        for pdu, ref in items:
            if pdu.command_id not in _SINGLES:
                raise StateError(f"{pdu.command_id.name} is not sent with send_requests")
            self._check_may_send(pdu.command_id)
            bodies.append((pdu.command_id, self._body(pdu), ref))
        for number, (command_id, body, ref) in zip(self._numbers.take(len(bodies)), bodies, strict=True):
            self._others.pending[number] = (Asked(command_id | RESPONSE_BIT, ref), now)
            self._out.append(HEADER.pack(HEADER_SIZE + len(body), command_id, 0, number) + body)
        self._timers.transaction_at = now

    def send_alerts(self, pdus: Iterable[AlertNotification], now: float) -> None:
        """Send alert_notification, which nobody answers. Raises StateError and EncodeError like send_requests."""
        self._check_may_send(CommandId.ALERT_NOTIFICATION)
        bodies = [self._body(pdu) for pdu in pdus]
        for number, body in zip(self._numbers.take(len(bodies)), bodies, strict=True):
            self._out.append(HEADER.pack(HEADER_SIZE + len(body), CommandId.ALERT_NOTIFICATION, 0, number) + body)
        self._timers.transaction_at = now

    def _body(self, pdu: Pdu) -> bytes:
        """The body as this peer may be sent it. Raises EncodeError when there is no such form of it."""
        if isinstance(pdu, SubmitMulti) and len(pdu.dest_address) > destinations_max(self.interface_version):
            raise EncodeError(f"dest_address: {len(pdu.dest_address)} destinations are one too many before 5.0")
        body = codec.encode_body(pdu)
        return body if takes_tlvs(self.peer_interface_version) else body[: len(body) - len(pdu.tlvs)]

    # --- time -------------------------------------------------------------------------------------------------------

    def note_reading(self, is_reading: bool, now: float) -> None:
        """Say when the socket is not read for a while: what the peer answers meanwhile cannot be seen."""
        self._timers.note_reading(is_reading, now)

    def next_deadline(self) -> float | None:
        """When handle_timer wants to be called, or None."""
        return min((when for when, _ in self._deadlines()), default=None)

    def handle_timer(self, now: float) -> list[Event]:
        """Do what is due."""
        happened: list[Event] = []
        for when, timer in tuple(self._deadlines()):
            if when > now or self._state in OVER:
                continue
            match timer:
                case Timer.SESSION_INIT:
                    self._die(events.DeathReason.SESSION_INIT, happened)
                case Timer.BIND:
                    self._die(events.DeathReason.BIND_UNANSWERED, happened)
                case Timer.UNBIND:
                    self._die(events.DeathReason.UNBIND_UNFINISHED, happened)
                case Timer.RESPONSE:
                    self._expire(now, happened)
                case Timer.ENQUIRE_LINK:
                    self._probe(now, happened)
                case Timer.INACTIVITY:
                    self._end_idle(now)
                case _:
                    assert_never(timer)
        return happened

    def _deadlines(self) -> Iterator[tuple[float, Timer]]:
        is_binding = self._control is not None and self._state.is_before_bind
        oldest = self._own.oldest_sent_at()
        if self._others.pending:
            moments = (oldest, self._others.oldest_sent_at())
            oldest = min(moment for moment in moments if moment is not None)
        return self._timers.deadlines(self.role, self._state, is_binding, oldest)

    def _expire(self, now: float, happened: list[Event]) -> None:
        refs = self._own.expire(now, self.config.response_seconds)
        refs += _refs(self._others.expire(now, self.config.response_seconds))
        happened.append(events.TimedOut(refs))

    def _probe(self, now: float, happened: list[Event]) -> None:
        if self._timers.probes >= self.config.enquire_link_misses:
            self._die(events.DeathReason.ENQUIRE_LINK, happened)
            return
        self._timers.probe(now)
        # Not remembered: whatever the peer sends next, not only this answer, shows that it lives.
        self._answer(CommandId.ENQUIRE_LINK, CommandStatus.ESME_ROK, self._numbers.take(1)[0])

    def _end_idle(self, now: float) -> None:
        if self._peer.unanswered or self.pending_count:
            self._timers.transaction_at = now
        else:
            self.unbind(now)

    def _die(self, reason: events.DeathReason, happened: list[Event]) -> None:
        self._enter(SessionState.CLOSED)
        happened.append(events.ConnectionDead(reason))

    def close(self, reason: str) -> list[object]:
        """The connection is gone: the refs of our requests that were never answered.

        Submits or delivers first, then those of send_requests, each oldest first. Called again it changes nothing and
        returns [].
        """
        self.closed_reason = self.closed_reason or reason
        self._enter(SessionState.CLOSED)
        return self._own.drain() + _refs(self._others.drain())


def _refs(asked: Iterable[object]) -> list[object]:
    return [each.ref for each in asked if isinstance(each, Asked)]
