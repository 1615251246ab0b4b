"""`smscd upstream test` against the simulated carrier: what it learns, and that nobody else's receipts are lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import events as ev
from protocols.smpp.codec import encode_body
from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import format_receipt
from smscd.admin.upstream_findings import Findings, Observed, findings
from smscd.admin.upstream_test import UpstreamTest
from smscd.core.addresses import find_destination
from smscd.core.directory_index import PlannedSource
from smscd.core.reasons import Rejected
from smscd.core.submission import DETECT
from smscd.core.upstream import Upstream
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import connect
from tests.integration.local_carrier import local_carrier
from tools.carrier.options import CarrierOptions
from tools.carrier.smsc import Carrier

TO = b"+447700900123"
ENDING = b"+447700900%03d"
FIRST_ID = 0x1ABCDE


async def tested(
    options: CarrierOptions | None = None,
    *,
    to: bytes = TO,
    seconds: float = 5.0,
    wrap: Callable[[Callbacks], Callbacks] = lambda callbacks: callbacks,
    **profile: Any,
) -> tuple[Observed, Findings, Carrier]:
    loop = asyncio.get_running_loop()
    async with local_carrier(options, wrap=wrap) as (carrier, listener):
        carrier._acceptance._next_id = FIRST_ID
        fields: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": listener.port,
            "system_id": "us",
            "password": "p",
            **profile,
        }
        upstream = Upstream(id="carrier", **fields)
        dest = find_destination(DETECT, DETECT, to)
        assert not isinstance(dest, Rejected)
        test = UpstreamTest(upstream, dial=connect, clock=loop.time, wall_ms=lambda: int(time.time() * 1000))
        seen = await test.run(PlannedSource(5, 0, b"ACME"), dest, seconds)
        assert not test._connections
        return seen, findings(upstream, seen), carrier


@pytest.mark.parametrize(("mode", "binds"), [("transceiver", 1), ("pair", 2)])
async def test_what_needs_no_pinning_is_seen_and_nothing_is_suggested(mode: str, binds: int) -> None:
    seen, found, carrier = await tested(bind_mode=mode)
    assert found.is_good and found.suggestion == {} and found.remarks == []
    assert found.facts["bind"] == "accepted by carrier"
    assert found.facts["interface_version"] == "3.4 asked, 3.4 told"
    assert found.facts["receipt_id"].startswith("same")
    assert found.facts["stat"] == "DELIVRD, err 000"
    assert found.facts["dates"] == "YYMMDDhhmm, UTC+00:00"
    assert found.facts["receipt"].startswith("deliver_sm with TLVs, esm_class 0x04, after 0.")
    assert "the octets that were sent" in found.facts["excerpt"]
    assert 0 < seen.response_seconds < 1
    assert carrier.binds == binds


async def test_quirk_2_the_form_of_the_ids_is_suggested_until_it_is_pinned() -> None:
    options = CarrierOptions(response_ids="hex", receipt_ids="decimal", receipt_tlvs=False)
    _, found, _ = await tested(options)
    assert found.is_good and found.suggestion == {"receipt_id": "decimal"}
    assert (found.facts["id in the response"], found.facts["id in the receipt"]) == ("1abcde", str(FIRST_ID))
    assert (await tested(options, receipt_id="decimal"))[1].suggestion == {}


async def test_quirk_5_a_receipt_may_be_a_data_sm() -> None:
    _, found, _ = await tested(CarrierOptions(as_data_sm=True))
    assert found.is_good and found.facts["receipt"].startswith("data_sm")


async def test_quirk_4_a_receipt_before_the_response_is_taken() -> None:
    _, found, _ = await tested(to=ENDING % 777)
    assert found.is_good and found.suggestion == {}


async def test_a_bind_and_a_message_that_are_refused_are_told_by_their_status() -> None:
    _, found, _ = await tested(CarrierOptions(password="other"))
    assert (found.is_good, found.facts) == (False, {"bind": "ESME_RINVPASWD"})
    _, found, _ = await tested(to=ENDING % 8)
    assert not found.is_good and found.facts["submit_sm"] == "ESME_RSYSERR, to this profile temporary"
    _, found, _ = await tested(port=1)
    assert not found.is_good and found.remarks[0].startswith("There is no session: ")


async def test_without_a_response_or_a_receipt_it_ends_in_time_and_says_so() -> None:
    _, found, _ = await tested(to=ENDING % 404, response_timeout_seconds=0.2)
    assert not found.is_good and found.remarks[0].startswith("submit_sm was not answered in time")
    _, found, _ = await tested(to=ENDING % 999, seconds=0.2)
    assert not found.is_good and "over a bind of the daemon" in found.remarks[0]
    _, found, _ = await tested(to=ENDING % 999, bind_mode="transmitter")
    assert found.is_good and "transmitters only" in found.remarks[0]


class Others:
    """With the test message come an MO, another message's receipt, and one of this number. statuses: their answers."""

    def __init__(self) -> None:
        self.statuses: dict[object, int] = {}

    def wrap(self, callbacks: Callbacks) -> Callbacks:
        def on_events(connection: SmppConnection, events: list[ev.Event]) -> None:
            for event in events:
                if isinstance(event, ev.SubmitsReceived):
                    connection.session.send_delivers(self._deliveries(), asyncio.get_running_loop().time())
                elif isinstance(event, ev.DeliverAnswers):
                    self.statuses |= {ref: status for ref, status in event.answers if isinstance(ref, str)}
                    event.answers = [answer for answer in event.answers if not isinstance(answer[0], str)]
            callbacks.on_events(connection, events)

        return callbacks._replace(on_events=on_events)

    def _deliveries(self) -> list[tuple[bytes, object]]:
        receipt = format_receipt(b"77", submit_ms=0, done_ms=0, stat=b"DELIVRD", err=b"000")
        rows = (("mo", b"4915", 0, b"hello"), ("other", b"4915", 4, receipt), ("same number", TO[1:], 4, receipt))
        return [
            (encode_body(DeliverSm(source_addr=source, esm_class=esm_class, short_message=text)), ref)
            for ref, source, esm_class, text in rows
        ]


async def test_deliveries_of_others_are_given_back_to_be_sent_again() -> None:
    others = Others()
    seen, found, _ = await tested(wrap=others.wrap)
    assert others.statuses == dict.fromkeys(("mo", "other", "same number"), int(CommandStatus.ESME_RX_T_APPN))
    assert found.is_good and len(seen.receipts) == 1
    assert (seen.foreign, seen.foreign_ids) == (3, [b"77"])
    assert "3 deliveries of other messages" in found.remarks[0] and "ESME_RX_T_APPN" in found.remarks[0]
