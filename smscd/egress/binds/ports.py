"""The interfaces by which the parts of egress know each other; each is named for who is asked through it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import AlertNotification, DataSm, DeliverSm
from smscd.core.records import ParkedReceipt, SentContext
from smscd.egress.dispatch.turn import Answers, Ref
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.tls import ClientTls

if TYPE_CHECKING:
    from smscd.egress.binds.links import Link

Delivered: TypeAlias = DeliverSm | DataSm
"""A receipt or a mobile-originated message, in either PDU that an SMSC may put it in."""


class Dial(Protocol):
    """Opens a connection, as transport.dial.connect does. Raises OSError when it cannot."""

    def __call__(
        self, host: str, port: int, *, config: SessionConfig, callbacks: Callbacks, tls: ClientTls | None = None
    ) -> Awaitable[SmppConnection]: ...


class LinkSink(Protocol):
    """The dispatcher, as a bind knows it. None of it may block."""

    def answered(self, link: Link, answers: Answers, now: float) -> None:
        """Answers of one read of the socket."""

    def timed_out(self, refs: list[Ref]) -> None:
        """Not answered in time; their slots are free, an answer may still come."""

    def lost(self, link: Link, refs: list[Ref]) -> None:
        """The session ended; these were never answered."""

    def unreached(self, times: int) -> None:
        """A bind could not be made, so many times in a row."""

    def links_changed(self) -> None:
        """A bind came up or went."""


class DeliverSink(Protocol):
    """The receipts' side, as a bind knows it."""

    def received(self, link: Link, pdus: Sequence[Delivered]) -> None:
        """The deliver_sm of one read, or the data_sm of one, each to be answered with link.answer()."""

    def alerted(self, pdus: Sequence[AlertNotification]) -> None:
        """The upstream says that these numbers can be reached again; nothing is answered."""


class ParkedSink(Protocol):
    """The receipts' side, as the dispatcher knows it."""

    async def apply_parked(self, parked: list[tuple[bytes, SentContext, list[ParkedReceipt]]]) -> None:
        """Apply receipts that came before their submit_sm_resp: (canonical id, context, receipts) each."""


class Senders(Protocol):
    """The binds of the upstream, as the dispatcher knows them."""

    def senders(self) -> list[Link]:
        """Binds that may send, window and pace aside."""

    def take_rate(self, wanted: int, now: float) -> int:
        """How many segments the upstream's rate lets pass now."""

    def give_back_rate(self, unused: int) -> None:
        """Return what take_rate() gave and was not used."""

    def next_room_at(self, now: float) -> float | None:
        """When a bind that has free slots will be let send by its pace and the upstream's; None when none has."""

    def count(self) -> None:
        """Set the gauges."""
