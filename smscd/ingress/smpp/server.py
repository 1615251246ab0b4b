"""The SMSC's side of ESME sessions: binds, submits in batches to the admitter, answers by verdict, orderly ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import structlog

from protocols.smpp.events import (
    BindRequested,
    CancelsReceived,
    DataReceived,
    DeliverAnswers,
    Event,
    MultisReceived,
    QueriesReceived,
    ReplacesReceived,
    RequestAnswers,
    SubmitsReceived,
    TimedOut,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import CancelSm, QuerySm, ReplaceSm, Response
from protocols.smpp.state import SessionState
from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.esme import BoundEsme, DeliverSink
from smscd.core.ids import IdSource
from smscd.core.reasons import Reason
from smscd.core.verdicts import Admitter
from smscd.ingress.smpp.auth import REFUSALS, Authenticator, BindOutcome
from smscd.ingress.smpp.binds import Ask, BindDesk
from smscd.ingress.smpp.figures import SmppFigures
from smscd.ingress.smpp.operations import Operations, cancel_answer, query_refused, replace_answer
from smscd.ingress.smpp.replacing import Replacing
from smscd.ingress.smpp.submissions import REQUEST_KEY_TAG
from smscd.ingress.smpp.submits import STATUSES, Submits
from smscd.transport.connection import Callbacks, CloseReason, SmppConnection
from smscd.transport.listener import Listener, ListenerLimits, Refusal, listen
from smscd.transport.registry import BoundSessions
from smscd.transport.tls import ClientTls, ServerTls
from smscd.transport.trace import Traceable, traceable_by_address

CALL_SECONDS: Final = 5.0
DISCONNECT_SECONDS: Final = 10.0
_NO_ACCOUNT: Final = STATUSES[Reason.ACCOUNT_SUSPENDED]
# What a stranger can have us say as often as he likes.
_UNLOGGED: Final = frozenset((BindOutcome.LOCKED, BindOutcome.RATE_LIMITED))
_Request = TypeVar("_Request", QuerySm, CancelSm, ReplaceSm)
_log = structlog.get_logger(__name__)


class SmppServer:
    """All ESME sessions of one process.

    authenticator: the desk that decides on binds, or what one that knows only this process is made of.
    directory: gives the current directory. ids: of this process's leased node; with now_ms (milliseconds since the
    Unix epoch, by Redis TIME) they date what is admitted.
    operations: answers query_sm, cancel_sm and replace_sm, and says what a submit_sm may replace.
    sessions: who is bound here; kept by this server. sink: hears of deliver_sm on each session, see BoundEsme.
    opened: told of each new connection before anything has passed, for traces.
    """

    def __init__(
        self,
        *,
        config: SessionConfig,
        directory: Callable[[], DirectoryIndex],
        admitter: Admitter,
        ids: IdSource,
        authenticator: Authenticator | BindDesk,
        operations: Operations,
        sessions: BoundSessions,
        now_ms: Callable[[], int],
        sink: DeliverSink | None = None,
        system_id: bytes = b"smscd",
        request_key_tag: int = REQUEST_KEY_TAG,
        limits: ListenerLimits | None = None,
        opened: Callable[[Traceable], None] | None = None,
    ) -> None:
        self.figures = SmppFigures()
        self._config = config
        self._directory = directory
        self._submits = Submits(
            directory=directory,
            admitter=admitter,
            replacing=Replacing(operations.changes, admitter, now_ms),
            ids=ids,
            now_ms=now_ms,
            request_key_tag=request_key_tag,
            figures=self.figures,
            answered=self._answered,
        )
        self._operations = operations
        self._desk = authenticator if isinstance(authenticator, BindDesk) else BindDesk(authenticator, directory)
        self._sessions = sessions
        self._sink = sink
        self._system_id = system_id
        self._limits = limits
        self._opened = opened
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unflushed: set[SmppConnection] = set()
        self._none_left: asyncio.Event | None = None
        self._congestion_state: int | None = None

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
        return len(self._connections)

    @property
    def _connections(self) -> Collection[SmppConnection]:
        return self._listener.connections if self._listener is not None else ()

    def session_counts(self) -> dict[str, int]:
        """Bound sessions by mode: "tx", "rx", "trx"."""
        counts = dict.fromkeys(("tx", "rx", "trx"), 0)
        for connection in self._connections:
            if connection.session.state.is_bound:
                counts[connection.session.state.value.removeprefix("bound_")] += 1
        return counts

    def unreadable_counts(self) -> Counter[int]:
        """Requests that could not be read, by command, since the start."""
        counts = self.figures.unreadable.copy()
        for connection in self._connections:
            counts.update(connection.session.malformed)
        return counts

    def traceable(self) -> Iterator[Traceable]:
        """Open connections by account, system_id and address."""
        for connection in self._connections:
            context = connection.context
            names = (context.account, context.system_id.decode("latin-1")) if isinstance(context, BoundEsme) else ()
            yield traceable_by_address(connection, *names)

    def bound(self) -> Iterator[SmppConnection]:
        """The sessions that are bound."""
        for connection in self._connections:
            if isinstance(connection.context, BoundEsme) and connection.session.state.is_bound:
                yield connection

    def disconnect(self, connection: SmppConnection) -> None:
        """Take no new submit of a session, answer what is open, unbind, and cut off who does not follow in time."""
        context = connection.context
        if self._loop is None or not isinstance(context, BoundEsme) or not connection.session.state.is_bound:
            return
        connection.hold_reading(True)
        context.is_leaving = True
        _log.info("session.disconnected", account=context.account, peer=connection.peer[0])
        self._leave_if_answered(connection, context)
        connection.flush()
        self._loop.call_later(DISCONNECT_SECONDS, connection.abort)

    async def call(self, host: str, port: int, system_id: bytes, password: bytes, tls: ClientTls | None = None) -> None:
        """Connect to an ESME and ask it, with outbind, to bind. Raises OSError, also while draining."""
        if self._listener is None or self._none_left is not None:
            raise ConnectionError("the server takes no new sessions")
        connection = await self._listener.dial(host, port, CALL_SECONDS, tls)
        connection.session.outbind(system_id, password, self._time())
        connection.flush()

    def tell_congestion(self, state: int) -> None:
        """Say this congestion_state, 0 to 100, in all responses to ESMEs of SMPP 5.0 from now on."""
        self._congestion_state = state
        for connection in self._connections:
            connection.session.congestion_state = state

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
        """Nothing else to do before the bind; the session has its own timer for it."""
        connection.session.congestion_state = self._congestion_state
        if self._opened is not None:
            self._opened(traceable_by_address(connection))

    def _on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SubmitsReceived):
                self._submits.submit(connection, event.pdus)
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
            else:
                self._on_rare_event(connection, event)

    def _on_rare_event(self, connection: SmppConnection, event: Event) -> None:
        """What few ESMEs ever send."""
        if isinstance(event, MultisReceived):
            self._submits.multis(connection, event.pdus)
        elif isinstance(event, DataReceived):
            self._submits.data(connection, event.pdus)
        elif isinstance(event, QueriesReceived):
            query = partial(self._operations.query, interface_version=connection.session.interface_version)
            self._operate(connection, event.pdus, query, query_refused)
        elif isinstance(event, CancelsReceived):
            self._operate(connection, event.pdus, self._operations.cancel, cancel_answer)
        elif isinstance(event, ReplacesReceived):
            self._operate(connection, event.pdus, self._operations.replace, replace_answer)
        elif isinstance(event, RequestAnswers):
            pass  # we send ESMEs no such requests

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.figures.closed[str(reason)] += 1
        self.figures.unreadable.update(connection.session.malformed)
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
        is_there = connection.is_open and connection.session.state.is_before_bind
        if outcome is BindOutcome.ACCEPTED and (account is None or not is_there):
            self._desk.release(connection)
            outcome = BindOutcome.ABANDONED if not is_there else BindOutcome.SUSPENDED
        self.figures.binds[outcome] += 1
        if not is_there:
            return
        now, address = self._time(), connection.peer[0]
        if account is None or outcome is not BindOutcome.ACCEPTED:
            connection.session.refuse_bind(pdu.sequence_number, REFUSALS[outcome])
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

    # --- operations on messages -------------------------------------------------------------------------------------

    def _operate(
        self,
        connection: SmppConnection,
        pdus: list[_Request],
        work: Callable[[AccountEntry, Sequence[_Request], Callable[[Sequence[Response]], None]], None],
        refused: Callable[[_Request, int], Response],
    ) -> None:
        context = connection.context
        entry = self._directory().entry(context.account) if isinstance(context, BoundEsme) else None
        if entry is None:
            self._answer_requests(connection, [refused(pdu, _NO_ACCOUNT) for pdu in pdus])
        else:
            work(entry, pdus, partial(self._answer_requests, connection))

    def _answer_requests(self, connection: SmppConnection, responses: Sequence[Response]) -> None:
        connection.session.answer(responses)
        self._answered(connection)

    def _answered(self, connection: SmppConnection) -> None:
        """Answers were queued: they are written once this turn of the loop is over."""
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


def _sink_of(connection: SmppConnection) -> DeliverSink | None:
    context = connection.context
    return context.sink if isinstance(context, BoundEsme) else None
