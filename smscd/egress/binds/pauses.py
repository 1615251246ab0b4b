"""How long an upstream is left alone after a session with it ended, by why it ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.smpp.constants import CommandStatus
from smscd.core.pacing import Backoff

HOLD_SECONDS: Final = 900.0
STEADY_SECONDS: Final = 10.0
BIND_FAILED_TRIES: Final = 5

BAD_CREDENTIALS: Final = frozenset(
    (
        int(CommandStatus.ESME_RINVPASWD),
        int(CommandStatus.ESME_RINVSYSID),
        int(CommandStatus.ESME_RINVSYSTYP),
        int(CommandStatus.ESME_RPROHIBITED),
    )
)
STILL_COUNTED: Final = frozenset((int(CommandStatus.ESME_RALYBND), int(CommandStatus.ESME_RBINDFAIL)))
"""How carriers say that all binds that they allow are up."""
INHERITED_SECONDS: Final = 120.0
"""For how long they may count those of an owner that is gone: until their enquire_link is not answered."""

_INHERITED: Final = Backoff(base_seconds=3.0, max_seconds=3.0)
_RECONNECT: Final = Backoff(base_seconds=0.25, max_seconds=30.0)
_ALREADY_BOUND: Final = Backoff(base_seconds=5.0, max_seconds=30.0)
_BIND_FAILED: Final = Backoff(base_seconds=2.0, max_seconds=60.0)


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended. refused: the status of the bind's refusal, 0 when there was none.

    bound_seconds: how long it had been bound. lacks_tlvs: the bind is of a version without the TLVs that the profile
    needs. reason: for the log.
    """

    reason: str
    refused: int = 0
    bound_seconds: float = 0.0
    lacks_tlvs: bool = False

    @property
    def is_steady(self) -> bool:
        """True when it had been bound so long that its end is no sign of a loop."""
        return self.bound_seconds >= STEADY_SECONDS


@dataclass(frozen=True, slots=True)
class Pause:
    """is_held: somebody must look at the profile; a changed configuration ends the pause at once.

    The bind is tried again all the same after a long while, because the mistake may have been the upstream's.
    is_expected: the refusal says nothing about the profile.
    """

    seconds: float
    is_held: bool = False
    is_expected: bool = False


def pause_after(end: SessionEnd, failures: int, chance: float, *, is_heir: bool = False) -> Pause:
    """Never a tight loop. failures: sessions in a row, this one excluded, that ended early. chance: 0..1.

    ESME_RBINDFAIL is what many SMSCs say of wrong credentials, and some while they start: it is tried again for about a
    minute before the bind is held. is_heir: an owner before us may have binds that the upstream still counts.
    """
    if is_heir and end.refused in STILL_COUNTED:
        return Pause(_INHERITED.delay_seconds(0, chance), is_expected=True)
    if end.refused in BAD_CREDENTIALS or end.lacks_tlvs:
        return Pause(HOLD_SECONDS, is_held=True)
    if end.refused == CommandStatus.ESME_RALYBND:
        return Pause(_ALREADY_BOUND.delay_seconds(failures, chance))
    if end.refused == CommandStatus.ESME_RBINDFAIL and failures >= BIND_FAILED_TRIES:
        return Pause(HOLD_SECONDS, is_held=True)
    if end.refused:
        return Pause(_BIND_FAILED.delay_seconds(failures, chance))
    return Pause(_RECONNECT.delay_seconds(failures, chance))
