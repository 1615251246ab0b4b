"""One test message over a bind of its own: what an upstream says to the bind and the message, and its receipt.

It takes one bind more than the profile has (two where it has pairs), and works beside the daemon: what comes over its
bind for anybody else is refused for the moment, so that the carrier sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from protocols.gsm.alphabets import GSM
from protocols.gsm.transcode import Content, DefaultAlphabet, render, transcode
from protocols.smpp import events as ev
from protocols.smpp.constants import CommandStatus
from protocols.smpp.message_ids import relations
from protocols.smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter, DataSm, DataSmResp, DeliverSm
from protocols.smpp.receipt import Receipt, parse_receipt
from smscd.admin.upstream_findings import TEXT, Observed, SeenReceipt
from smscd.core.addresses import Destination
from smscd.core.directory_index import PlannedSource
from smscd.core.lifecycle import state_of_receipt
from smscd.core.profiles import PLAIN, dialect_of
from smscd.core.records import MessageRecord
from smscd.core.upstream import Upstream
from smscd.egress.binds.ports import Delivered, Dial
from smscd.egress.binds.terms import session_config, tls_of
from smscd.egress.dispatch.submits import SubmitEncoder
from smscd.transport.connection import Callbacks, SmppConnection

UNBIND_SECONDS: Final = 5.0
VALIDITY_MS: Final = 3_600_000
FOREIGN_IDS_MAX: Final = 20
RX_T_APPN: Final = int(CommandStatus.ESME_RX_T_APPN)


class UpstreamTest:
    """The test of one upstream. clock: monotonic seconds, that of the event loop. wall_ms: since the Unix epoch."""

    def __init__(
        self, profile: Upstream, *, dial: Dial, clock: Callable[[], float], wall_ms: Callable[[], int]
    ) -> None:
        self.seen = Observed()
        self._profile = msgspec.structs.replace(profile, registered_delivery=1)
        self._dial = dial
        self._clock = clock
        self._wall_ms = wall_ms
        self._connections: list[SmppConnection] = []
        self._ours = _Waiting()
        self._bound = 0
        self._sent_at = 0.0
        self._answered_at = 0.0
        self._early: list[tuple[SmppConnection, Delivered]] = []
        self._dest = b""

    async def run(self, source: PlannedSource, dest: Destination, receipt_seconds: float) -> Observed:
        """Bind, send, wait for the final receipt, unbind."""
        profile, seen = self._profile, self.seen
        self._dest = dest.digits
        kinds = _KINDS[profile.bind_mode]
        try:
            for kind in kinds:
                await self._bind(kind)
            if self._bound == len(kinds):
                self._send(source, dest)
                await self._ours.until(lambda: seen.submit_status is not None, profile.response_timeout_seconds)
                if seen.submit_status == 0 and profile.bind_mode != "transmitter":
                    await self._ours.until(self._has_ended, receipt_seconds)
        finally:
            await self._unbind()
        return seen

    async def _bind(self, kind: type[BindReceiver | BindTransceiver | BindTransmitter]) -> None:
        profile = self._profile
        bound = self._bound
        callbacks = Callbacks(lambda _: None, self._on_events, self._on_closed)
        try:
            connection = await self._dial(
                profile.host, profile.port, config=session_config(profile), callbacks=callbacks, tls=tls_of(profile)
            )
        except OSError as error:
            self.seen.failure = str(error) or type(error).__name__
            return
        self._connections.append(connection)
        request = kind(
            system_id=profile.system_id.encode(),
            password=profile.password.encode(),
            system_type=profile.system_type.encode(),
            interface_version=profile.interface_version,
        )
        connection.session.bind(request, self._clock())
        connection.flush()
        await self._ours.until(
            lambda: self._bound > bound or bool(self.seen.bind_status or self.seen.failure),
            profile.response_timeout_seconds,
        )

    def _send(self, source: PlannedSource, dest: Destination) -> None:
        seen, profile = self.seen, self._profile
        seen.octets, data_coding = content_for(profile)
        seen.sent_ms = self._wall_ms()
        record = MessageRecord(
            id=1, account="", upstream=profile.id, priority=0, door=0, source_ton=source.ton, source_npi=source.npi,
            source=source.address, dest_ton=dest.ton, dest_npi=dest.npi, dest=dest.digits, esm_class=0, protocol_id=0,
            data_coding=data_coding, registered_delivery=1, segments=[seen.octets], price_micros=0,
            valid_until_ms=seen.sent_ms + VALIDITY_MS,
        )  # fmt: skip
        body = SubmitEncoder(profile).body(record, 0, seen.sent_ms)
        connection = self._connections[0]
        self._sent_at = self._clock()
        connection.session.send_submits([(body, None)], self._sent_at)
        connection.flush()

    def _on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        seen = self.seen
        for event in events:
            match event:
                case ev.BindAccepted():
                    seen.bind_status = seen.bind_status or 0
                    seen.system_id = event.system_id
                    seen.interface_version, seen.told_version = event.interface_version, event.told_version
                    self._bound += 1
                case ev.BindRefused():
                    seen.bind_status = event.command_status
                case ev.SubmitAnswers():
                    [(_, status, message_id)] = event.answers
                    self._answered(status, message_id)
                case ev.DeliversReceived() | ev.DataReceived():
                    self._take(connection, event.pdus)
                case ev.UnbindRequested():
                    connection.session.finish_unbind()
                case ev.UnbindAnswered():
                    connection.close("unbound")
                case _:
                    pass
        connection.flush()
        self._ours.look()

    def _answered(self, status: int, message_id: bytes) -> None:
        seen = self.seen
        self._answered_at = self._clock()
        seen.submit_status, seen.message_id = status, message_id
        seen.response_seconds = self._answered_at - self._sent_at
        early, self._early = self._early, []
        for connection, pdu in early:
            self._judge(connection, pdu)
            connection.flush()

    def _take(self, connection: SmppConnection, pdus: list[DeliverSm] | list[DataSm]) -> None:
        """What comes before the response may be the receipt for it (quirk 4): it waits for the id."""
        for pdu in pdus:
            if self._sent_at and self.seen.submit_status is None:
                self._early.append((connection, pdu))
            else:
                self._judge(connection, pdu)

    def _judge(self, connection: SmppConnection, pdu: Delivered) -> None:
        seen = self.seen
        strict = parse_receipt(pdu, is_little_endian=self._profile.is_little_endian)
        receipt = strict or parse_receipt(pdu, by_text_alone=True, is_little_endian=self._profile.is_little_endian)
        if receipt is None or not relations(seen.message_id, receipt.message_id):
            seen.foreign += 1
            if receipt is not None and self._dest in (pdu.source_addr, pdu.destination_addr):
                seen.foreign_ids = [*seen.foreign_ids, receipt.message_id][:FOREIGN_IDS_MAX]
            _answer(connection, pdu, RX_T_APPN)
            return
        seen.receipts.append(
            SeenReceipt(
                receipt=receipt,
                command="data_sm" if isinstance(pdu, DataSm) else "deliver_sm",
                esm_class=pdu.esm_class,
                has_tlvs=bool(pdu.tlvs),
                by_text_alone=strict is None,
                seconds=self._clock() - self._answered_at,
            )
        )
        _answer(connection, pdu, 0)

    def _has_ended(self) -> bool:
        """True when the last receipt says what became of the message, or the session is gone."""
        return bool(self.seen.failure) or any(self._is_final(one.receipt) for one in self.seen.receipts)

    def _is_final(self, receipt: Receipt) -> bool:
        state = state_of_receipt(receipt.stat, receipt.message_state, self._profile.receipt_stats)
        return state is not None and state.is_final and not receipt.is_intermediate

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        connection.session.close(reason)
        if connection in self._connections:
            self._connections.remove(connection)
            if not self._ours.is_over:
                self.seen.failure = self.seen.failure or f"the connection ended ({reason})"
        self._ours.look()

    async def _unbind(self) -> None:
        self._ours.is_over = True
        for connection, pdu in self._early:
            _answer(connection, pdu, RX_T_APPN)
            connection.flush()
        for connection in tuple(self._connections):
            if connection.session.state.is_bound:
                connection.session.unbind(self._clock())
                connection.flush()
            else:
                connection.abort()
        await self._ours.until(lambda: not self._connections, UNBIND_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.sleep(0)


class _Waiting:
    """Wakes who waits for a condition whenever something has happened."""

    def __init__(self) -> None:
        self.is_over = False
        self._happened = asyncio.Event()

    def look(self) -> None:
        """Something has happened."""
        self._happened.set()

    async def until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Return when the condition holds, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._happened.clear()
                    await self._happened.wait()


_KINDS: Final[dict[str, tuple[type[BindReceiver | BindTransceiver | BindTransmitter], ...]]] = {
    "transceiver": (BindTransceiver,),
    "transmitter": (BindTransmitter,),
    "pair": (BindTransmitter, BindReceiver),
}


def content_for(profile: Upstream) -> tuple[bytes, int]:
    """The test message as the upstream wants it (in UCS-2 where its alphabet lacks characters), and its data_coding."""
    dialect = dialect_of(profile)
    target = dialect if dialect.default is not None else replace(dialect, default=DefaultAlphabet.GSM)
    content = transcode(Content(GSM.encode(TEXT), 0), PLAIN, target)
    return render(content.body, content.data_coding, target), content.data_coding


def _answer(connection: SmppConnection, pdu: Delivered, status: int) -> None:
    if not connection.is_open:
        return
    if isinstance(pdu, DataSm):
        answer = DataSmResp(command_status=status, sequence_number=pdu.sequence_number)
        connection.session.answer(iter((answer,)))
    else:
        connection.session.answer_delivers([(pdu.sequence_number, status)])
