"""The limits and timers of one session; each is a number that the configuration may set."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.smpp.constants import InterfaceVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """What bounds a session. 0 seconds turns enquire_link and inactivity off.

    window_size: how many requests of the peer may wait for our answers. An SMSC answers the next window_size
        requests with ESME_RTHROTTLED and then stops reading; an ESME stops reading at once, because an SMSC that is
        refused a deliver_sm may drop it.
    interface_version: what an SMSC says it speaks, in sc_interface_version; an ESME says it in its bind.
    enquire_link_seconds, enquire_link_misses: after this silence the peer is asked, as often as `misses` within a
        second interval of the same length; the session is dead after twice the interval.
    unbind_seconds: how long the peer has to agree to our unbind; its own gets response_seconds, because answers that
        we owe come first.
    response_late_max: of how many requests that timed out the sequence number is remembered.
    assumed_interface_version: what an SMSC is taken for that gives no sc_interface_version.
    """

    pdu_size_max: int = 70_000
    pre_bind_size_max: int = 256
    session_init_seconds: float = 5.0
    response_seconds: float = 30.0
    unbind_seconds: float = 5.0
    enquire_link_seconds: float = 30.0
    enquire_link_misses: int = 2
    inactivity_seconds: float = 0.0
    window_size: int = 100
    response_late_max: int = 10_000
    interface_version: int = InterfaceVersion.V3_4
    assumed_interface_version: int = InterfaceVersion.V3_3

    @property
    def shortest_seconds(self) -> float:
        """No deadline of a session lies nearer than this to the moment that set it."""
        seconds = [self.session_init_seconds, self.response_seconds, self.unbind_seconds]
        if self.enquire_link_seconds:
            seconds.append(self.enquire_link_seconds / self.enquire_link_misses)
        if self.inactivity_seconds:
            seconds.append(self.inactivity_seconds)
        return min(seconds)
