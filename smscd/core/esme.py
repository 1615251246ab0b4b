"""The meeting point of ingress and egress: who is bound on an ESME's session, and who hears of our deliver_sm on it."""

from __future__ import annotations

from typing import Protocol


class DeliverSink(Protocol):
    """What the sender of deliver_sm wants to know. session: the connection; refs: those given to send_delivers."""

    def answered(self, session: object, answers: list[tuple[object, int]]) -> None:
        """(ref, command_status) of requests that the ESME answered, late ones included."""
        ...

    def timed_out(self, session: object, refs: list[object]) -> None:
        """Requests that were not answered in time; their slots are free, an answer may still come."""
        ...

    def lost(self, session: object, refs: list[object]) -> None:
        """The session ended; these were never answered, oldest first."""
        ...


class BoundEsme:
    """The context of an ESME's connection from its bind on.

    sink: hears of deliver_sm on this session; who sends them may put itself here. None: nobody does.
    is_leaving: an unbind, the peer's or ours, waits for the answers that are still owed to the peer.
    """

    __slots__ = ("account", "bound_at", "is_leaving", "sink", "system_id")

    def __init__(self, account: str, system_id: bytes, bound_at: float, sink: DeliverSink | None = None) -> None:
        self.account = account
        self.system_id = system_id
        self.bound_at = bound_at
        self.sink = sink
        self.is_leaving = False
