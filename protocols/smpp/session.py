"""One SMPP session, either end, without I/O: octets and the time go in, events and octets come out.

Call receive_data() with what came from the peer and handle_timer() at next_deadline(); write what data_to_send()
gives. `now` is always seconds on one monotonic clock. Bad PDUs, PDUs that the state does not allow, enquire_link and
the excess over the window are answered here; the owner sees lists of good requests and of answers. What a session
sends of its own stands in `sender`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from protocols.smpp import codec, events
from protocols.smpp.codec import DECODERS, HEADER, ID_RESPONSE_MAX
from protocols.smpp.constants import HEADER_SIZE, RESPONSE_BIT, CommandId, CommandStatus
from protocols.smpp.errors import FramingError, PduError, StateError
from protocols.smpp.events import Event
from protocols.smpp.limits import SessionConfig
from protocols.smpp.negotiation import bind_response, read_bind_response, takes_tlvs
from protocols.smpp.pdu import Bind, Request, Response
from protocols.smpp.reassembly import Reassembly
from protocols.smpp.sender import OVER, Asked, Sender
from protocols.smpp.state import Flow, Role, SessionState, refusal, state_after

_COMMAND_IDS: Final = frozenset(int(command_id) for command_id in CommandId)
# Requests that are handed to the owner in a list of their own, whoever's they are. All but the last are answered.
_EVENTS: Final[dict[int, Callable[[list[Any]], Event]]] = {
    int(CommandId.SUBMIT_MULTI): events.MultisReceived,
    int(CommandId.DATA_SM): events.DataReceived,
    int(CommandId.QUERY_SM): events.QueriesReceived,
    int(CommandId.CANCEL_SM): events.CancelsReceived,
    int(CommandId.REPLACE_SM): events.ReplacesReceived,
    int(CommandId.ALERT_NOTIFICATION): events.AlertsReceived,
}
_WITHOUT_RESPONSE: Final = frozenset((int(CommandId.OUTBIND), int(CommandId.ALERT_NOTIFICATION)))


class Session(Sender):
    """The protocol of one connection. malformed: requests that were refused because they cannot be read, by command."""

    def __init__(self, role: Role, config: SessionConfig, now: float) -> None:
        super().__init__(role, config, now)
        self.malformed: dict[int, int] = {}
        self._inbound = Reassembly()
        # What the PDUs of the present read amount to, until it is handed over: submits or delivers, and the answers to
        # ours; and the list inside the last event that holds others.
        self._requests: list[Any] = []
        self._answers: list[Any] = []
        self._batch: list[Any] = []
        # The bind that is being decided and the unbind that is to be answered.
        self._bind: Bind | None = None
        self._unbind_number = 0

    # --- what the owner may look at ---------------------------------------------------------------------------------

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

    # --- octets in --------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Feed octets from the peer; return what they mean.

        data: any slice of the TCP stream; may end inside a PDU.
        Requests keep the order of the stream, and so do binds and unbinds among them. Answers may come before requests
        that were sent earlier: between two events of other kinds all answers to submits or delivers come first, in one
        list, and all submits or delivers after them in another.
        Raises FramingError, with the events before it, when command_length is outside 16..pdu_size_max (before the
        bind: pre_bind_size_max); a generic_nack is then queued and the session is closed.

        SMPP 3.4 section 3.2.
        """
        if self._state in OVER:
            return []
        if not self.wants_read:
            self._inbound.append(data)
            return []
        buffer, position = self._inbound.take(data)
        return self._parse(buffer, position, now) if buffer else []

    def _parse(self, buffer: bytes, position: int, now: float) -> list[Event]:
        happened: list[Event] = []
        requests, answers = self._requests, self._answers
        request_id, answer_id, is_smsc = self._request_id, self._answer_id, self._is_smsc
        is_terse = is_smsc and not self._is_congestion_told  # its answers are a status and nothing else
        decode_request, unpack, read_message_id = DECODERS[request_id], HEADER.unpack_from, self._read_message_id
        peer, settle, settle_pending = self._peer, self._own.settle, self._own.pending.pop
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
                        self._refuse_malformed(command_id, error, request_id | RESPONSE_BIT, sequence_number)
                elif peer.throttle():
                    self._answer(request_id | RESPONSE_BIT, CommandStatus.ESME_RTHROTTLED, sequence_number)
                else:
                    self._inbound.keep_unread(buffer, position)
                    break
            elif command_id == answer_id:
                entry = settle_pending(sequence_number, None) or settle(sequence_number)
                if entry is None:
                    pass  # an answer to nothing that we know
                elif is_terse:
                    answers.append((entry[0], command_status))
                elif command_status or is_smsc:
                    self._note_congestion(buffer, position + 16, stop)
                    answers.append((entry[0], command_status) if is_smsc else (entry[0], command_status, b""))
                else:
                    # What read_message_id finds in nearly every response, without the call.
                    message_id = buffer[position + 16 : stop - 1]
                    if length > ID_RESPONSE_MAX or buffer[stop - 1] or 0 in message_id:
                        message_id = read_message_id(buffer, position + 16, stop)
                    answers.append((entry[0], 0, message_id))
            else:
                if not self._receive_other(command_id, buffer[position:stop], happened, now):
                    self._inbound.keep_unread(buffer, position)
                    break
                if self._bind is not None or self._state in OVER:
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

    def _collect(self, make: Callable[[list[Any]], Event], item: object, happened: list[Event], now: float) -> None:
        """Add to the event that happened last, if it is one of these, else begin one."""
        if self._requests or self._answers or not happened or type(happened[-1]) is not make:
            self._hand_over(happened, now)
            self._batch = []
            happened.append(make(self._batch))
        self._batch.append(item)
        self._timers.transaction_at = now

    def _lost_framing(self, length: int, sequence_number: int, happened: list[Event], now: float) -> FramingError:
        self._hand_over(happened, now)
        self._answer(CommandId.GENERIC_NACK, CommandStatus.ESME_RINVCMDLEN, sequence_number)
        size_max = self._size_max
        self._enter(SessionState.CLOSED)
        return FramingError(f"command_length {length} is not in {HEADER_SIZE}..{size_max}", happened)

    def _receive_other(self, command_id: int, frame: bytes, happened: list[Event], now: float) -> bool:
        """Everything but submits, delivers and their answers. False: it is beyond the window, leave it unread."""
        _, _, command_status, sequence_number = HEADER.unpack_from(frame)
        if command_id & RESPONSE_BIT:
            self._receive_response(command_id, command_status, sequence_number, frame, happened, now)
            return True
        decoder = DECODERS.get(command_id)
        if decoder is None:
            self._answer(CommandId.GENERIC_NACK, CommandStatus.ESME_RINVCMDID, sequence_number)
            return True
        has_response = command_id not in _WITHOUT_RESPONSE
        response_id = command_id | RESPONSE_BIT if has_response else int(CommandId.GENERIC_NACK)
        after = state_after(self.role, self._state, Flow.RECEIVED, command_id)
        if after is None:
            self._answer(response_id, refusal(self.role, self._state, command_id), sequence_number)
            return True
        event_class = _EVENTS.get(command_id)
        is_counted = event_class is not None and has_response
        if is_counted and self._peer.unanswered >= self._peer.size:
            if self._peer.throttle():
                self._answer(response_id, CommandStatus.ESME_RTHROTTLED, sequence_number)
                return True
            return False
        try:
            pdu = decoder(frame, HEADER_SIZE, len(frame), command_status, sequence_number)
        except PduError as error:
            self._refuse_malformed(command_id, error, response_id, sequence_number)
            return True
        self._enter(after)
        if event_class is not None:
            self._peer.unanswered += is_counted
            self._collect(event_class, pdu, happened, now)
        elif command_id == CommandId.ENQUIRE_LINK:
            self._answer(response_id, CommandStatus.ESME_ROK, sequence_number)
        else:
            self._hand_over(happened, now)
            happened.append(self._receive_control(command_id, pdu, now))
        return True

    def _refuse_malformed(self, command_id: int, error: PduError, response_id: int, sequence_number: int) -> None:
        self.malformed[command_id] = self.malformed.get(command_id, 0) + 1
        self._answer(response_id, error.command_status, sequence_number)

    def _receive_control(self, command_id: int, pdu: Any, now: float) -> Event:
        """outbind, unbind and the binds: what begins or ends a session."""
        if command_id == CommandId.OUTBIND:
            self._timers.restart_session_init(now)
            return events.OutbindReceived(pdu)
        if command_id == CommandId.UNBIND:
            self._unbind_number = pdu.sequence_number
            self._timers.control_at = now
            return events.UnbindRequested()
        self._bind = pdu
        return events.BindRequested(pdu)

    def _receive_response(
        self,
        command_id: int,
        command_status: int,
        sequence_number: int,
        frame: bytes,
        happened: list[Event],
        now: float,
    ) -> None:
        is_nack = command_id == CommandId.GENERIC_NACK
        if is_nack:
            command_status = command_status or int(CommandStatus.ESME_RUNKNOWNERR)
            entry = self._own.settle(sequence_number)
            if entry is not None:
                self._answers.append((entry[0], command_status) if self._is_smsc else (entry[0], command_status, b""))
                return
        elif command_id not in _COMMAND_IDS:
            self._answer(CommandId.GENERIC_NACK, CommandStatus.ESME_RINVCMDID, sequence_number)
            return
        asked = self._others.find(sequence_number)
        if isinstance(asked, Asked) and (is_nack or command_id == asked.response_id):
            self._others.settle(sequence_number)
            self._note_congestion(frame, HEADER_SIZE, len(frame))
            answer = asked.ref, codec.decode_response(asked.response_id, frame)
            self._collect(events.RequestAnswers, answer, happened, now)
            return
        event = self._settle_control(command_id, command_status, sequence_number, frame)
        self._note_congestion(frame, HEADER_SIZE, len(frame))
        if event is not None:
            self._hand_over(happened, now)
            happened.append(event)

    def _settle_control(self, command_id: int, command_status: int, sequence_number: int, frame: bytes) -> Event | None:
        """The answer to our bind or unbind; None when it is to an enquire_link, or to nothing that we asked."""
        if self._control is None or self._control[0] != sequence_number:
            return None
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
        self._agree(self.peer_interface_version if version is None else version)
        self._enter(after)
        return events.BindAccepted(self.peer_interface_version, system_id, version)

    # --- answers to the peer ----------------------------------------------------------------------------------------

    def accept_bind(self, sequence_number: int, system_id: bytes, now: float) -> None:
        """Bind the ESME that asked; system_id is ours, at most 15 octets."""
        bind = self._decide_bind(sequence_number)
        if bind is None:
            return
        self._agree(bind.interface_version)
        response = bind_response(bind, system_id, self.config.interface_version)
        response.tlvs += self._answer_tlvs
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
        if self._state in OVER:
            return None
        bind = self._bind
        if bind is None or bind.sequence_number != sequence_number:
            raise StateError("no bind with this sequence_number waits for an answer")
        self._bind = None
        return bind

    def answer_submits(self, answers: Iterable[tuple[int, int, bytes]]) -> None:
        """Answer submit_sm: (sequence_number, command_status, message_id of at most 64 octets) each, in any order."""
        self._send_answers(codec.encode_submit_sm_resps(answers, self._answer_tlvs))

    def answer_delivers(self, answers: Iterable[tuple[int, int]]) -> None:
        """Answer deliver_sm: (sequence_number, command_status) each, in any order."""
        self._send_answers(codec.encode_deliver_sm_resps(answers, self._answer_tlvs))

    def answer(self, responses: Iterable[Response]) -> None:
        """Answer data_sm, submit_multi, query_sm, cancel_sm and replace_sm, in any order.

        Each response has the request's sequence_number and is of the class that answers it. Raises EncodeError when
        one does not fit; then none is sent.
        """
        self._send_answers([self._encode_answer(response) for response in responses])

    def refuse(self, pdus: Iterable[Request], command_status: int) -> None:
        """Answer each of these requests with an error on its own response."""
        self.answer(
            codec.response_to(pdu.command_id)(sequence_number=pdu.sequence_number, command_status=command_status)
            for pdu in pdus
        )

    def _encode_answer(self, response: Response) -> bytes:
        """The whole PDU, with congestion_state, and without TLVs for a peer that takes none.

        An error is sent without its fields, or with empty ones when TLVs follow.
        """
        tlvs = response.tlvs + self._answer_tlvs if takes_tlvs(self.peer_interface_version) else b""
        if response.command_status:
            body = codec.encode_body(type(response)(tlvs=tlvs)) if tlvs else b""
        else:
            body = codec.encode_body(response)
            body = body[: len(body) - len(response.tlvs)] + tlvs
        header = HEADER.pack(
            HEADER_SIZE + len(body), response.command_id, response.command_status, response.sequence_number
        )
        return header + body

    def _send_answers(self, responses: list[bytes]) -> None:
        if self._state not in OVER:
            self._out += responses
            self._peer.answer(len(responses))

    def finish_unbind(self) -> None:
        """Agree to the peer's unbind: nothing is sent after this."""
        if self._state in OVER:
            return
        after = self._check_may_send(CommandId.UNBIND_RESP)
        self._answer(CommandId.UNBIND_RESP, CommandStatus.ESME_ROK, self._unbind_number)
        self._enter(after)
