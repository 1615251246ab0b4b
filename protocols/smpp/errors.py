"""What can go wrong on an SMPP session: the peer's mistakes, which say what to answer, and our own."""

from __future__ import annotations

from collections.abc import Sequence


class SmppError(Exception):
    """The base of everything that this package raises."""


class PduError(SmppError):
    """One PDU of the peer is bad; answer with `command_status` and keep the session."""

    def __init__(self, command_status: int, detail: str) -> None:
        super().__init__(detail)
        self.command_status = command_status


class FramingError(SmppError):
    """The boundaries between PDUs are lost; the connection has to be closed.

    events: what was understood before the bad bytes, oldest first; it still counts.
    """

    def __init__(self, detail: str, events: Sequence[object] = ()) -> None:
        super().__init__(detail)
        self.events = events


class LocalError(SmppError):
    """A mistake of ours: nothing that a peer sends raises it."""


class EncodeError(LocalError, ValueError):
    """A value does not fit the field that was to carry it."""


class StateError(LocalError):
    """A request that the session's state does not allow us to send."""
