"""The SMSC's side of ESME sessions: binds, submits in batches to the admitter, answers by verdict, orderly ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog

from protocols.smpp.constants import CommandStatus
from protocols.smpp.events import (
    BindRequested,
    DeliverAnswers,
    Event,
    SubmitsReceived,
    TimedOut,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import SubmitSm
from protocols.smpp.state import SessionState
from smscd.core.directory_index import DirectoryIndex
from smscd.core.esme import BoundEsme, DeliverSink
from smscd.core.ids import ClockSteppedError, IdSource
from smscd.core.planning import Planned, plan
from smscd.core.reasons import REASONS, Reason, Rejected
from smscd.core.verdicts import Accepted, Admitter, Duplicate, Verdict
from smscd.ingress.smpp_auth import Authenticator, BindOutcome
from smscd.ingress.smpp_binds import Ask, BindDesk
from smscd.ingress.smpp_submissions import REQUEST_KEY_TAG, submission_of
from smscd.transport.connection import Callbacks, CloseReason, SmppConnection
from smscd.transport.listener import Listener, ListenerLimits, Refusal, listen
from smscd.transport.registry import BoundSessions
from smscd.transport.tls import ServerTls

_STATUSES: Final = {reason: int(answer.command_status) for reason, answer in REASONS.items()}
_KEY_REUSED: Final = _STATUSES[Reason.IDEMPOTENCY_KEY_REUSED]
_REFUSALS: Final = {
    BindOutcome.WRONG: int(CommandStatus.ESME_RINVPASWD),
    BindOutcome.ADDRESS: int(CommandStatus.ESME_RINVPASWD),
    BindOutcome.CERTIFICATE: int(CommandStatus.ESME_RINVPASWD),
    BindOutcome.LOCKED: int(CommandStatus.ESME_RINVPASWD),
    BindOutcome.SUSPENDED: int(CommandStatus.ESME_RBINDFAIL),
    BindOutcome.TOO_MANY: int(CommandStatus.ESME_RALYBND),
    BindOutcome.TOO_MANY_OF_TYPE: int(CommandStatus.ESME_RALYBND),
    BindOutcome.TYPE_NOT_ALLOWED: int(CommandStatus.ESME_RBINDFAIL),
    BindOutcome.RATE_LIMITED: int(CommandStatus.ESME_RTHROTTLED),
}
# What a stranger can have us say as often as he likes.
_UNLOGGED: Final = frozenset((BindOutcome.LOCKED, BindOutcome.RATE_LIMITED))
_log = structlog.get_logger(__name__)


class SmppFigures:
    """What the server counts: plain numbers, added to once a batch.

    rejected: submits refused before admission, by reason. closed: ends of connections by reason.
    """

    __slots__ = ("binds", "closed", "rejected", "submits")

    def __init__(self) -> None:
        self.binds: Counter[BindOutcome] = Counter()
        self.closed: Counter[str] = Counter()
        self.rejected: Counter[Reason] = Counter()
        self.submits = 0


class SmppServer:
    """All ESME sessions of one process.

    authenticator: the desk that decides on binds, or what one that knows only this process is made of.
    directory: gives the current directory. ids: of this process's leased node; with now_ms (milliseconds since the
    Unix epoch, by Redis TIME) they date what is admitted.
    sessions: who is bound here; kept by this server. sink: hears of deliver_sm on each session, see BoundEsme.
    """

    def __init__(
        self,
        *,
        config: SessionConfig,
        directory: Callable[[], DirectoryIndex],
        admitter: Admitter,
        ids: IdSource,
        authenticator: Authenticator | BindDesk,
        sessions: BoundSessions,
        now_ms: Callable[[], int],
        sink: DeliverSink | None = None,
        system_id: bytes = b"smscd",
        request_key_tag: int = REQUEST_KEY_TAG,
        limits: ListenerLimits | None = None,
    ) -> None:
        self.figures = SmppFigures()
        self._config = config
        self._directory = directory
        self._admitter = admitter
        self._ids = ids
        self._desk = authenticator if isinstance(authenticator, BindDesk) else BindDesk(authenticator, directory)
        self._sessions = sessions
        self._now_ms = now_ms
        self._sink = sink
        self._system_id = system_id
        self._request_key_tag = request_key_tag
        self._limits = limits
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unflushed: set[SmppConnection] = set()
        self._none_left: asyncio.Event | None = None
        self._is_without_ids = False

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(
        self, host: str, port: int | None, *, reuse_port: bool = False, tls_port: int = 0, tls: ServerTls | None = None
    ) -> None:
        """Listen for ESMEs, see listen(). Raises OSError."""
        self._loop = asyncio.get_running_loop()
        callbacks = Callbacks(self._on_open, self._on_events, self._on_closed)
        self._listener = await listen(
            host,
            port,
            config=self._config,
            callbacks=callbacks,
            reuse_port=reuse_port,
            limits=self._limits,
            tls_port=tls_port,
            tls=tls,
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._listener.port if self._listener is not None else 0

    @property
    def tls_port(self) -> int:
        """The port that is listened on with TLS; 0 when there is none."""
        return self._listener.tls_port if self._listener is not None else 0

    @property
    def refused(self) -> Mapping[Refusal, int]:
        """Connections that were not let in, by reason."""
        return self._listener.refused if self._listener is not None else {}

    @property
    def binds_without_redis(self) -> int:
        """Decisions on binds that Redis should have taken part in and did not."""
        return self._desk.without_redis

    @property
    def connection_count(self) -> int:
        """Open connections, bound or not."""
        return len(self._listener.connections) if self._listener is not None else 0

    def session_counts(self) -> dict[str, int]:
        """Bound sessions by mode: "tx", "rx", "trx"."""
        counts = dict.fromkeys(("tx", "rx", "trx"), 0)
        for connection in self._listener.connections if self._listener is not None else ():
            if connection.session.state.is_bound:
                counts[connection.session.state.value.removeprefix("bound_")] += 1
        return counts

    async def drain(self) -> None:
        """Take no new connection and no new submit, answer what is open, unbind everybody; return when all are gone.

        The caller bounds the time.
        """
        if self._listener is None:
            return
        self._none_left = asyncio.Event()
        self._listener.stop_accepting()
        for connection in tuple(self._listener.connections):
            context = connection.context
            if not isinstance(context, BoundEsme):
                connection.close()
            elif connection.session.state.is_bound:
                connection.hold_reading(True)
                context.is_leaving = True
                self._leave_if_answered(connection, context)
        if not self._listener.connections:
            self._none_left.set()
        await self._none_left.wait()

    def stop(self) -> None:
        """End everything now."""
        if self._listener is not None:
            self._listener.stop_accepting()
            self._listener.abort_all()

    # --- what connections tell --------------------------------------------------------------------------------------

    def _on_open(self, connection: SmppConnection) -> None:
        """Nothing to do before the bind; the session has its own timer for it."""

    def _on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SubmitsReceived):
                self._submit(connection, event.pdus)
            elif isinstance(event, DeliverAnswers):
                sink = _sink_of(connection)
                if sink is not None:
                    sink.answered(connection, event.answers)
            elif isinstance(event, TimedOut):
                sink = _sink_of(connection)
                if sink is not None:
                    sink.timed_out(connection, event.refs)
                self._end_silent(connection, len(event.refs))
            elif isinstance(event, BindRequested):
                self._desk.ask(connection, event.pdu, self._decided)
            elif isinstance(event, UnbindRequested):
                self._unbind_requested(connection)

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.figures.closed[str(reason)] += 1
        self._unflushed.discard(connection)
        context = connection.context
        if isinstance(context, BoundEsme):
            self._sessions.remove(connection)
            self._desk.release(connection)
            refs = connection.session.close(reason)
            if context.sink is not None and refs:
                context.sink.lost(connection, refs)
            _log.info("session.closed", account=context.account, peer=connection.peer[0], reason=str(reason))
        if self._none_left is not None and self._listener is not None and not self._listener.connections:
            self._none_left.set()

    # --- binds ------------------------------------------------------------------------------------------------------

    def _decided(self, ask: Ask, outcome: BindOutcome) -> None:
        """Answer a bind request; the desk says when."""
        connection, pdu = ask.connection, ask.pdu
        account = self._directory().account(ask.account) if outcome is BindOutcome.ACCEPTED else None
        is_there = connection.is_open and connection.session.state is SessionState.OPEN
        if outcome is BindOutcome.ACCEPTED and (account is None or not is_there):
            self._desk.release(connection)
            outcome = BindOutcome.ABANDONED if not is_there else BindOutcome.SUSPENDED
        self.figures.binds[outcome] += 1
        if not is_there:
            return
        now, address = self._time(), connection.peer[0]
        if account is None or outcome is not BindOutcome.ACCEPTED:
            connection.session.refuse_bind(pdu.sequence_number, _REFUSALS[outcome])
            connection.flush()
            if outcome not in _UNLOGGED:
                system_id = pdu.system_id.decode("ascii", "backslashreplace")
                _log.warning("session.refused", system_id=system_id, peer=address, reason=outcome.value)
            return
        connection.session.window_size = account.window_size
        connection.session.accept_bind(pdu.sequence_number, self._system_id, now)
        connection.context = BoundEsme(account.id, pdu.system_id, now, self._sink)
        self._sessions.add(account.id, connection)
        mode = connection.session.state.value.removeprefix("bound_")
        _log.info("session.bound", account=account.id, peer=address, mode=mode)
        connection.flush()

    def _end_silent(self, connection: SmppConnection, timed_out: int) -> None:
        """Cut an ESME off that has said nothing while a whole window of ours waited for it: it does not read."""
        session = connection.session
        is_silent = connection.now - connection.heard_at >= self._config.response_seconds
        if is_silent and timed_out + session.pending_count >= session.window_size:
            connection.abort(CloseReason.SILENT)

    # --- submits ----------------------------------------------------------------------------------------------------

    def _submit(self, connection: SmppConnection, pdus: list[SubmitSm]) -> None:
        """Plan a read's worth of submits, refuse what is to be refused, hand the rest over in one call."""
        context = connection.context
        self.figures.submits += len(pdus)
        directory, now_ms = self._directory(), self._now_ms()
        account = directory.account(context.account) if isinstance(context, BoundEsme) else None
        if account is None:
            self._refuse_all(connection, pdus, Reason.ACCOUNT_SUSPENDED)
            return
        if connection.session.state is SessionState.UNBIND_SENT:
            self._refuse_all(connection, pdus, Reason.QUEUE_FULL)
            return
        try:
            ids = self._ids.take(now_ms, len(pdus))
        except ClockSteppedError as error:
            if not self._is_without_ids:
                self._is_without_ids = True
                _log.error("ids.refused", error=str(error))
            self._refuse_all(connection, pdus, Reason.STORAGE_UNAVAILABLE)
            return
        self._is_without_ids = False
        planned: list[Planned] = []
        numbers: list[int] = []
        answers: list[tuple[int, int, bytes]] = []
        tag = self._request_key_tag
        for pdu, message_id in zip(pdus, ids, strict=True):
            asked = submission_of(pdu, account, now_ms, tag)
            result = asked if isinstance(asked, Rejected) else plan(asked, directory, message_id, now_ms)
            if isinstance(result, Rejected):
                self.figures.rejected[result.reason] += 1
                answers.append((pdu.sequence_number, _STATUSES[result.reason], b""))
            else:
                planned.append(result)
                numbers.append(pdu.sequence_number)
        if answers:
            connection.session.answer_submits(answers)
        if planned:
            self._admitter.submit(planned, partial(self._answer, connection, numbers))

    def _refuse_all(self, connection: SmppConnection, pdus: list[SubmitSm], reason: Reason) -> None:
        self.figures.rejected[reason] += len(pdus)
        status = _STATUSES[reason]
        connection.session.answer_submits([(pdu.sequence_number, status, b"") for pdu in pdus])

    def _answer(self, connection: SmppConnection, numbers: list[int], start: int, verdicts: list[Verdict]) -> None:
        """Queue the answers for verdicts from number `start` on; they are written with all others of this turn."""
        answers = [
            (number, 0, b"%d" % verdict.id) if type(verdict) is Accepted else _answer_of(number, verdict)
            for number, verdict in zip(numbers[start : start + len(verdicts)], verdicts, strict=True)
        ]
        connection.session.answer_submits(answers)
        context = connection.context
        if isinstance(context, BoundEsme) and context.is_leaving:
            self._leave_if_answered(connection, context)
        if not self._unflushed and self._loop is not None:
            self._loop.call_soon(self._flush)
        self._unflushed.add(connection)

    def _flush(self) -> None:
        """One write for each connection that has answers from the verdicts of this turn of the loop."""
        connections, self._unflushed = self._unflushed, set()
        for connection in connections:
            connection.flush()

    # --- ends -------------------------------------------------------------------------------------------------------

    def _unbind_requested(self, connection: SmppConnection) -> None:
        context = connection.context
        if isinstance(context, BoundEsme):
            self._sessions.remove(connection)
            self._desk.release(connection)
            context.is_leaving = True
            self._leave_if_answered(connection, context)
        else:
            connection.session.finish_unbind()

    def _leave_if_answered(self, connection: SmppConnection, context: BoundEsme) -> None:
        """Once nothing is owed to the peer: agree to its unbind, or ask for ours."""
        session = connection.session
        if session.unanswered_count:
            return
        if session.state is SessionState.UNBIND_RECEIVED:
            session.finish_unbind()
        elif session.state.is_bound:
            context.is_leaving = False
            session.unbind(self._time())
            connection.hold_reading(False)

    def _time(self) -> float:
        """Seconds on the clock of the transport, which drives the sessions."""
        return self._loop.time() if self._loop is not None else 0.0


def _answer_of(number: int, verdict: Verdict) -> tuple[int, int, bytes]:
    if isinstance(verdict, Accepted):
        return number, 0, b"%d" % verdict.id
    if isinstance(verdict, Duplicate):
        return (number, 0, b"%d" % verdict.id) if verdict.same_body else (number, _KEY_REUSED, b"")
    return number, _STATUSES[verdict.reason], b""


def _sink_of(connection: SmppConnection) -> DeliverSink | None:
    context = connection.context
    return context.sink if isinstance(context, BoundEsme) else None
