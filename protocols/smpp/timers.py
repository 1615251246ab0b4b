"""The four timers of a session as deadlines: session_init, enquire_link, inactivity and response."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role, SessionState

_UNBINDING = frozenset((SessionState.UNBIND_SENT, SessionState.UNBIND_RECEIVED))
# When the owner lets us read again, answers may be waiting in the socket: look before anything times out.
_GRACE_SECONDS = 5.0


class Timer(Enum):
    """What is due at a deadline."""

    SESSION_INIT = "the ESME has not bound"
    BIND = "our bind is not answered"
    UNBIND = "an unbind is not finished"
    RESPONSE = "the oldest request is not answered"
    ENQUIRE_LINK = "the peer is silent: ask, or give up"
    INACTIVITY = "no message for long"


class Timers:
    """The moments that deadlines are counted from, on the clock of the caller of the session."""

    __slots__ = (
        "_config",
        "_is_reading",
        "_not_before",
        "_opened_at",
        "_probed_at",
        "_received_at",
        "control_at",
        "probes",
        "transaction_at",
    )

    def __init__(self, config: SessionConfig, now: float) -> None:
        self._config = config
        self._opened_at = now
        self._not_before = now
        self._received_at = now
        self.transaction_at = now
        self.control_at = now
        self._probed_at = now
        self.probes = 0
        self._is_reading = True

    def receive(self, now: float) -> None:
        """A whole PDU came: the peer lives."""
        self._received_at = now
        self.probes = 0

    def restart_session_init(self, now: float) -> None:
        """An outbind passed: the bind has its time from here."""
        self._opened_at = now

    def probe(self, now: float) -> None:
        """One enquire_link was sent."""
        self.probes += 1
        self._probed_at = now

    def note_reading(self, is_reading: bool, now: float) -> None:
        """While the owner does not read, the peer's silence proves nothing."""
        if is_reading and not self._is_reading:
            self.receive(now)
            self._not_before = now + min(_GRACE_SECONDS, self._config.response_seconds)
        self._is_reading = is_reading

    def deadlines(
        self, role: Role, state: SessionState, is_binding: bool, oldest_sent_at: float | None
    ) -> Iterator[tuple[float, Timer]]:
        """Each running timer with its deadline.

        is_binding: a bind of ours is unanswered. oldest_sent_at: of our unanswered requests.
        """
        config = self._config
        is_awaiting_bind = (
            state.is_before_bind if role is Role.SMSC else state is SessionState.OUTBOUND and not is_binding
        )
        if is_awaiting_bind:
            yield self._opened_at + config.session_init_seconds, Timer.SESSION_INIT
        if not self._is_reading:
            return
        if is_binding:
            yield max(self.control_at + config.response_seconds, self._not_before), Timer.BIND
        if state in _UNBINDING:
            seconds = config.unbind_seconds if state is SessionState.UNBIND_SENT else config.response_seconds
            yield max(self.control_at + seconds, self._not_before), Timer.UNBIND
        if oldest_sent_at is not None:
            yield max(oldest_sent_at + config.response_seconds, self._not_before), Timer.RESPONSE
        if config.enquire_link_seconds and state.is_bound:
            if self.probes:
                yield self._probed_at + config.enquire_link_seconds / config.enquire_link_misses, Timer.ENQUIRE_LINK
            else:
                yield self._received_at + config.enquire_link_seconds, Timer.ENQUIRE_LINK
        if config.inactivity_seconds and state.is_bound:
            yield self.transaction_at + config.inactivity_seconds, Timer.INACTIVITY
