"""One SMPP session, either end, without I/O: octets and the time go in, events and octets come out.

Call receive_data() with what came from the peer and handle_timer() at next_deadline(); write what data_to_send()
gives. `now` is always seconds on one monotonic clock. Bad PDUs, PDUs that the state does not allow, enquire_link and
the excess over the window are answered here; the owner sees lists of good requests and of answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, assert_never

from protocols.smpp import codec, events
from protocols.smpp.codec import DECODERS, HEADER, read_message_id
from protocols.smpp.constants import HEADER_SIZE, RESPONSE_BIT, CommandId, CommandStatus
from protocols.smpp.errors import FramingError, PduError, StateError
from protocols.smpp.events import Event
from protocols.smpp.limits import SessionConfig
from protocols.smpp.negotiation import bind_response, read_bind_response, takes_tlvs
from protocols.smpp.pdu import Bind
from protocols.smpp.reassembly import Reassembly
from protocols.smpp.state import Flow, Role, SessionState, refusal, state_after
from protocols.smpp.timers import Timer, Timers
from protocols.smpp.window import PeerWindow, RequestWindow

_SUBMIT_SM = int(CommandId.SUBMIT_SM)
_DELIVER_SM = int(CommandId.DELIVER_SM)
_COMMAND_IDS = frozenset(int(command_id) for command_id in CommandId)
_OVER = frozenset((SessionState.UNBOUND, SessionState.CLOSED))


class Session:
    """The protocol of one connection.

    state: as in the table of `state`. peer_interface_version: known once bound. closed_reason: what close() was told.
    """

    def __init__(self, role: Role, config: SessionConfig, now: float) -> None:
        self.role = role
        self.config = config
        self.peer_interface_version = int(config.assumed_interface_version)
        self.closed_reason: str | None = None
        self._is_smsc = role is Role.SMSC
        self._request_id = _SUBMIT_SM if self._is_smsc else _DELIVER_SM
        self._answer_id = (_DELIVER_SM if self._is_smsc else _SUBMIT_SM) | RESPONSE_BIT
        self._out: list[bytes] = []
        self._inbound = Reassembly()
        self._timers = Timers(config, now)
        # What the PDUs of the present read amount to, until it is handed over.
        self._requests: list[Any] = []
        self._answers: list[Any] = []
        # The peer's requests, with the bind that is being decided and the unbind that is to be answered.
        self._peer = PeerWindow(config.window_size, may_throttle=self._is_smsc)
        self._bind: Bind | None = None
        self._unbind_number = 0
        # Our requests, and our bind or unbind while it is unanswered: (sequence number, command id).
        self._own = RequestWindow(config.response_late_max)
        self._control: tuple[int, int] | None = None
        self._enter(SessionState.OPEN)

    # --- what the owner may look at ---------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """The state after the last call."""
        return self._state

    @property
    def wants_read(self) -> bool:
        """False while a bind is being decided or the peer is beyond its window: stop reading the socket."""
        return not self._peer.is_stopped and self._bind is None

    @property
    def has_backlog(self) -> bool:
        """True when PDUs of the peer wait here: with wants_read True again, receive_data(b"", now) reads them."""
        return self._inbound.is_ready

    @property
    def window_size(self) -> int:
        """How many requests of the peer may be unanswered; the owner may set it when it knows who the peer is."""
        return self._peer.size

    @window_size.setter
    def window_size(self, size: int) -> None:
        self._peer.size = size

    @property
    def unanswered_count(self) -> int:
        """The peer's requests that the owner has not yet answered."""
        return self._peer.unanswered

    @property
    def pending_count(self) -> int:
        """Our requests that are unanswered and have not timed out."""
        return len(self._own.pending)

    @property
    def can_submit(self) -> bool:
        """True when send_submits is allowed."""
        return state_after(self.role, self._state, Flow.SENT, _SUBMIT_SM) is not None

    @property
    def can_deliver(self) -> bool:
        """True when send_delivers is allowed."""
        return state_after(self.role, self._state, Flow.SENT, _DELIVER_SM) is not None

    # --- octets in, octets out --------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Feed octets from the peer; return what they mean.

        data: any slice of the TCP stream; may end inside a PDU.
        Events keep the order of the stream where it matters: around each bind and unbind. Between those, all answers
        come first in one list and all requests after them in another.
        Raises FramingError, with the events before it, when command_length is outside 16..pdu_size_max (before the
        bind: pre_bind_size_max); a generic_nack is then queued and the session is closed.

        SMPP 3.4 section 3.2.
        """
        if self._state in _OVER:
            return []
        if not self.wants_read:
            self._inbound.append(data)
            return []
        buffer, position = self._inbound.take(data)
        return self._parse(buffer, position, now) if buffer else []

    def data_to_send(self) -> bytes:
        """All octets queued since the last call, joined."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def _parse(self, buffer: bytes, position: int, now: float) -> list[Event]:
        happened: list[Event] = []
        requests, answers = self._requests, self._answers
        request_id, answer_id, is_smsc = self._request_id, self._answer_id, self._is_smsc
        decode_request, unpack = DECODERS[request_id], HEADER.unpack_from
        peer, settle = self._peer, self._own.settle
        start, end = position, len(buffer)
        while end - position >= HEADER_SIZE:
            length, command_id, command_status, sequence_number = unpack(buffer, position)
            if not HEADER_SIZE <= length <= self._size_max:
                raise self._lost_framing(length, sequence_number, happened, now)
            stop = position + length
            if stop > end:
                self._inbound.keep_partial(buffer, position, length)
                break
            if command_id == request_id and self._takes_requests:
                if peer.unanswered < peer.size:
                    try:
                        requests.append(decode_request(buffer, position + 16, stop, command_status, sequence_number))
                        peer.unanswered += 1
                    except PduError as error:
                        self._answer(request_id | RESPONSE_BIT, error.command_status, sequence_number)
                elif peer.throttle():
                    self._answer(request_id | RESPONSE_BIT, CommandStatus.ESME_RTHROTTLED, sequence_number)
                else:
                    self._inbound.keep_unread(buffer, position)
                    break
            elif command_id == answer_id:
                entry = settle(sequence_number)
                if entry is None:
                    pass  # an answer to nothing that we know
                elif is_smsc:
                    answers.append((entry[0], command_status))
                elif command_status:
                    answers.append((entry[0], command_status, b""))
                else:
                    answers.append((entry[0], 0, read_message_id(buffer, position + 16, stop)))
            else:
                event = self._receive_other(command_id, command_status, sequence_number, buffer[position:stop], now)
                if event is not None:
                    self._hand_over(happened, now)
                    happened.append(event)
                    if self._bind is not None or self._state in _OVER:
                        position = stop
                        self._inbound.keep_unread(buffer, position)
                        break
            position = stop
        else:
            self._inbound.keep_partial(buffer, position, HEADER_SIZE)
        if position > start:
            self._timers.receive(now)
        self._hand_over(happened, now)
        return happened

    def _hand_over(self, happened: list[Event], now: float) -> None:
        """Turn what was collected into events: answers first, so that a receipt rarely precedes its submit_sm_resp."""
        if self._answers:
            answers = self._answers.copy()
            happened.append(events.DeliverAnswers(answers) if self._is_smsc else events.SubmitAnswers(answers))
            self._answers.clear()
            self._timers.transaction_at = now
        if self._requests:
            requests = self._requests.copy()
            happened.append(events.SubmitsReceived(requests) if self._is_smsc else events.DeliversReceived(requests))
            self._requests.clear()
            self._timers.transaction_at = now

    def _lost_framing(self, length: int, sequence_number: int, happened: list[Event], now: float) -> FramingError:
        self._hand_over(happened, now)
        self._answer(CommandId.GENERIC_NACK, CommandStatus.ESME_RINVCMDLEN, sequence_number)
        size_max = self._size_max
        self._enter(SessionState.CLOSED)
        return FramingError(f"command_length {length} is not in {HEADER_SIZE}..{size_max}", happened)

    def _receive_other(
        self, command_id: int, command_status: int, sequence_number: int, frame: bytes, now: float
    ) -> Event | None:
        if command_id & RESPONSE_BIT:
            return self._receive_response(command_id, command_status, sequence_number, frame)
        decoder = DECODERS.get(command_id)
        if decoder is None:
            self._answer(CommandId.GENERIC_NACK, CommandStatus.ESME_RINVCMDID, sequence_number)
            return None
        response_id = command_id | RESPONSE_BIT
        after = state_after(self.role, self._state, Flow.RECEIVED, command_id)
        if after is None:
            self._answer(response_id, refusal(self.role, self._state, command_id), sequence_number)
            return None
        try:
            pdu = decoder(frame, HEADER_SIZE, len(frame), command_status, sequence_number)
        except PduError as error:
            self._answer(response_id, error.command_status, sequence_number)
            return None
        self._enter(after)
        if command_id == CommandId.ENQUIRE_LINK:
            self._answer(response_id, CommandStatus.ESME_ROK, sequence_number)
            return None
        if command_id == CommandId.UNBIND:
            self._unbind_number = sequence_number
            self._timers.control_at = now
            return events.UnbindRequested()
        self._bind = pdu
        return events.BindRequested(pdu)

    def _receive_response(
        self, command_id: int, command_status: int, sequence_number: int, frame: bytes
    ) -> Event | None:
        if command_id == CommandId.GENERIC_NACK:
            command_status = command_status or int(CommandStatus.ESME_RUNKNOWNERR)
            entry = self._own.settle(sequence_number)
            if entry is not None:
                self._answers.append((entry[0], command_status) if self._is_smsc else (entry[0], command_status, b""))
                return None
        elif command_id not in _COMMAND_IDS:
            self._answer(CommandId.GENERIC_NACK, CommandStatus.ESME_RINVCMDID, sequence_number)
            return None
        if self._control is None or self._control[0] != sequence_number:
            return None  # the answer to an enquire_link, or to nothing that we asked
        response_id = self._control[1] | RESPONSE_BIT
        if command_id not in (response_id, CommandId.GENERIC_NACK):
            return None
        self._control = None
        after = state_after(self.role, self._state, Flow.RECEIVED, response_id)
        if response_id == CommandId.UNBIND_RESP:
            # Whatever its status says: the peer has answered, and nothing more will come.
            self._enter(after or SessionState.UNBOUND)
            return events.UnbindAnswered()
        if command_status or after is None:
            return events.BindRefused(command_status)
        system_id, version = read_bind_response(command_id, frame)
        if version is not None:
            self.peer_interface_version = version
        self._enter(after)
        return events.BindAccepted(self.peer_interface_version, system_id)

    def _answer(self, command_id: int, command_status: int, sequence_number: int) -> None:
        self._out.append(HEADER.pack(HEADER_SIZE, command_id, command_status, sequence_number))

    def _enter(self, state: SessionState) -> None:
        self._state = state
        self._takes_requests = state_after(self.role, state, Flow.RECEIVED, self._request_id) is not None
        is_open = state is SessionState.OPEN
        self._size_max = self.config.pre_bind_size_max if is_open else self.config.pdu_size_max

    # --- answers to the peer ----------------------------------------------------------------------------------------

    def accept_bind(self, sequence_number: int, system_id: bytes, now: float) -> None:
        """Bind the ESME that asked; system_id is ours, at most 15 octets."""
        bind = self._decide_bind(sequence_number)
        if bind is None:
            return
        self.peer_interface_version = bind.interface_version
        response = bind_response(bind, system_id, self.config.interface_version)
        self._out.append(codec.encode(response))
        self._enter(self._check_may_send(response.command_id))
        self._timers.receive(now)
        self._timers.transaction_at = now

    def refuse_bind(self, sequence_number: int, status: int) -> None:
        """Answer the bind with an error; the session stays open for another one."""
        bind = self._decide_bind(sequence_number)
        if bind is not None:
            self._answer(bind.command_id | RESPONSE_BIT, status, sequence_number)

    def _decide_bind(self, sequence_number: int) -> Bind | None:
        """The bind that waits, or None when the session ended meanwhile."""
        if self._state in _OVER:
            return None
        bind = self._bind
        if bind is None or bind.sequence_number != sequence_number:
            raise StateError("no bind with this sequence_number waits for an answer")
        self._bind = None
        return bind

    def answer_submits(self, answers: Iterable[tuple[int, int, bytes]]) -> None:
        """Answer submit_sm: (sequence_number, command_status, message_id of at most 64 octets) each, in any order."""
        self._send_answers(codec.encode_submit_sm_resps(answers))

    def answer_delivers(self, answers: Iterable[tuple[int, int]]) -> None:
        """Answer deliver_sm: (sequence_number, command_status) each, in any order."""
        self._send_answers(codec.encode_deliver_sm_resps(answers))

    def _send_answers(self, responses: list[bytes]) -> None:
        if self._state not in _OVER:
            self._out += responses
            self._peer.answer(len(responses))

    def finish_unbind(self) -> None:
        """Agree to the peer's unbind: nothing is sent after this."""
        if self._state in _OVER:
            return
        after = self._check_may_send(CommandId.UNBIND_RESP)
        self._answer(CommandId.UNBIND_RESP, CommandStatus.ESME_ROK, self._unbind_number)
        self._enter(after)

    # --- our requests -----------------------------------------------------------------------------------------------

    def bind(self, pdu: Bind, now: float) -> None:
        """Ask to be bound; its sequence_number is set here. Answered by BindAccepted or BindRefused."""
        self._check_may_send(pdu.command_id)
        if self._control is not None:
            raise StateError("a bind is under way")
        octets = codec.encode(dataclasses.replace(pdu, sequence_number=self._start_control(pdu.command_id, now)))
        self._out.append(octets)

    def unbind(self, now: float) -> None:
        """End the session: send no more requests. Answered by UnbindAnswered, or by ConnectionDead in time."""
        after = self._check_may_send(CommandId.UNBIND)
        self._answer(CommandId.UNBIND, CommandStatus.ESME_ROK, self._start_control(CommandId.UNBIND, now))
        self._enter(after)

    def _start_control(self, command_id: CommandId, now: float) -> int:
        number = self._own.take_numbers(1)[0]
        self._control = (number, int(command_id))
        self._timers.control_at = now
        return number

    def send_submits(self, items: Sequence[tuple[bytes, object]], now: float) -> None:
        """Send submit_sm: (body from codec.encode_body, ref) each. Answered by SubmitAnswers or TimedOut.

        Raises StateError when the session may not (see can_submit).
        """
        self._send_requests(_SUBMIT_SM, items, now)

    def send_delivers(self, items: Sequence[tuple[bytes, object]], now: float) -> None:
        """Send deliver_sm: as send_submits. Answered by DeliverAnswers or TimedOut."""
        self._send_requests(_DELIVER_SM, items, now)

    def _send_requests(self, command_id: int, items: Sequence[tuple[bytes, object]], now: float) -> None:
        self._check_may_send(command_id)
        if not takes_tlvs(self.peer_interface_version):
            items = [(codec.without_tlvs(command_id, body), ref) for body, ref in items]
        out, pack, pending = self._out, HEADER.pack, self._own.pending
        for number, (body, ref) in zip(self._own.take_numbers(len(items)), items, strict=True):
            pending[number] = (ref, now)
            out.append(pack(HEADER_SIZE + len(body), command_id, 0, number))
            out.append(body)
        self._timers.transaction_at = now

    def _check_may_send(self, command_id: int) -> SessionState:
        after = state_after(self.role, self._state, Flow.SENT, command_id)
        if after is None:
            raise StateError(f"{CommandId(command_id).name} is not ours to send in state {self._state.value}")
        return after

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
            if when > now or self._state in _OVER:
                continue
            match timer:
                case Timer.SESSION_INIT:
                    self._die(events.DeathReason.SESSION_INIT, happened)
                case Timer.BIND:
                    self._die(events.DeathReason.BIND_UNANSWERED, happened)
                case Timer.UNBIND:
                    self._die(events.DeathReason.UNBIND_UNFINISHED, happened)
                case Timer.RESPONSE:
                    happened.append(events.TimedOut(self._own.expire(now, self.config.response_seconds)))
                case Timer.ENQUIRE_LINK:
                    self._probe(now, happened)
                case Timer.INACTIVITY:
                    self._end_idle(now)
                case _:
                    assert_never(timer)
        return happened

    def _deadlines(self) -> Iterator[tuple[float, Timer]]:
        is_binding = self._control is not None and self._state is SessionState.OPEN
        return self._timers.deadlines(self.role, self._state, is_binding, self._own.oldest_sent_at())

    def _probe(self, now: float, happened: list[Event]) -> None:
        if self._timers.probes >= self.config.enquire_link_misses:
            self._die(events.DeathReason.ENQUIRE_LINK, happened)
            return
        self._timers.probe(now)
        # Not remembered: whatever the peer sends next, not only this answer, shows that it lives.
        self._answer(CommandId.ENQUIRE_LINK, CommandStatus.ESME_ROK, self._own.take_numbers(1)[0])

    def _end_idle(self, now: float) -> None:
        if self._peer.unanswered or self._own.pending:
            self._timers.transaction_at = now
        else:
            self.unbind(now)

    def _die(self, reason: events.DeathReason, happened: list[Event]) -> None:
        self._enter(SessionState.CLOSED)
        happened.append(events.ConnectionDead(reason))

    def close(self, reason: str) -> list[object]:
        """The connection is gone: the refs of our requests that were never answered, oldest first.

        Called again it changes nothing and returns [].
        """
        self.closed_reason = self.closed_reason or reason
        self._enter(SessionState.CLOSED)
        return self._own.drain()
