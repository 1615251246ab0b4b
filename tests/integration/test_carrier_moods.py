"""The simulated carrier over TCP: binds, every mood, ids, rate, latency, and receipts that are not lost."""

import asyncio

import pytest

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus
from protocols.smpp.events import BindAccepted, BindRefused
from protocols.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter, CancelSm, DataSm, QuerySm
from smscd.transport.connection import CloseReason
from tests.integration.carrier_esme import running_carrier
from tools.carrier.options import CarrierOptions


async def test_message_is_accepted_and_its_receipt_comes_back() -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        esme.submit(("token1 hello", "447700900123"))
        await esme.until(lambda: esme.receipts)
        ((text, status, message_id),) = esme.answers
        assert (text, status) == ("token1 hello", 0)
        (receipt,) = esme.receipts
        assert (receipt.message_id, receipt.stat) == (message_id, b"DELIVRD")
        assert esme.delivered[0].destination_addr == b"TESTER"
        assert esme.sequence == ["answer token1 hello", "deliver"]


@pytest.mark.parametrize(("suffix", "stat"), [("001", b"UNDELIV"), ("002", b"EXPIRED"), ("003", b"REJECTD")])
async def test_failed_delivery_is_told_by_the_receipt(suffix: str, stat: bytes) -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        esme.submit(("x", "447700900" + suffix))
        await esme.until(lambda: esme.receipts)
        assert esme.answers[0][1] == 0
        assert esme.receipts[0].stat == stat


@pytest.mark.parametrize(
    ("suffix", "statuses"),
    [
        ("010", [CommandStatus.ESME_RINVDSTADR] * 5),
        ("008", [CommandStatus.ESME_RSYSERR] * 2 + [CommandStatus.ESME_ROK] * 3),
        ("088", [CommandStatus.ESME_RTHROTTLED] * 3 + [CommandStatus.ESME_ROK] * 2),
    ],
)
async def test_refusals_are_counted_by_number(suffix: str, statuses: list[int]) -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        for n in range(5):
            esme.submit((f"x{n}", "447700900" + suffix))
            await esme.until(lambda n=n: len(esme.answers) > n)  # type: ignore[misc]
        assert [status for _, status, _ in esme.answers] == statuses
        assert all((message_id == b"") == bool(status) for _, status, message_id in esme.answers)


async def test_404_is_never_answered_and_others_are() -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        esme.submit(("silent", "447700900404"), ("loud", "447700900123"))
        await esme.until(lambda: esme.receipts)
        assert [text for text, _, _ in esme.answers] == ["loud"]
        assert carrier.carrier.stats()["silent"] == 1


async def test_500_drops_the_connection_once_and_answers_what_came_before() -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        esme.submit(("before", "447700900123"), ("cut", "447700900500"), ("after", "447700900124"))
        await esme.until(lambda: esme.closed_reason)
        assert [text for text, _, _ in esme.answers] == ["before"]
        again = await carrier.esme()
        again.submit(("cut", "447700900500"))
        await again.until(lambda: len(again.receipts) == 2)
        assert [(text, status) for text, status, _ in again.answers] == [("cut", 0)]
        assert b"text:before" in again.delivered[0].short_message


async def test_777_puts_the_receipt_on_the_wire_before_the_answer() -> None:
    async with running_carrier(CarrierOptions(latency_seconds=0.1)) as carrier:
        esme = await carrier.esme()
        esme.submit(("early", "447700900777"))
        await esme.until(lambda: len(esme.sequence) == 2)
        assert esme.sequence == ["deliver", "answer early"]
        assert esme.receipts[0].message_id == esme.answers[0][2]


@pytest.mark.parametrize(("suffix", "receipts"), [("888", 2), ("999", 0)])
async def test_receipts_can_be_doubled_and_missing(suffix: str, receipts: int) -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        esme.submit(("x", "447700900" + suffix), ("last", "447700900123"))
        await esme.until(lambda: len(esme.receipts) == receipts + 1)
        assert len({receipt.message_id for receipt in esme.receipts}) == 2 - (receipts == 0)


async def test_message_without_registered_delivery_gets_no_receipt() -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        esme.submit(("silent", "447700900123"), registered_delivery=0)
        esme.submit(("loud", "447700900124"))
        await esme.until(lambda: esme.receipts)
        assert [receipt.message_id for receipt in esme.receipts] == [esme.answers[1][2]]


async def test_ids_of_answer_and_receipt_may_differ_in_form() -> None:
    async with running_carrier(CarrierOptions(response_ids="hex", receipt_ids="decimal")) as carrier:
        esme = await carrier.esme()
        esme.submit(("x", "447700900123"))
        await esme.until(lambda: esme.receipts)
        assert int(esme.answers[0][2], 16) == int(esme.receipts[0].message_id)
        assert esme.answers[0][2] != esme.receipts[0].message_id


async def test_receipt_carries_tlvs_for_a_peer_of_3_4_and_none_for_3_3() -> None:
    async with running_carrier() as carrier:
        new = await carrier.esme()
        new.submit(("x", "447700900123"))
        await new.until(lambda: new.receipts)
        assert [tag for tag, _ in tlv.parse(new.delivered[0].tlvs)] == [0x001E, 0x0427]
        bind = BindTransceiver(system_id=b"elder", password=b"x", interface_version=0x33)
        old = await carrier.esme(bind)
        old.submit(("x", "447700900123"))
        await old.until(lambda: old.receipts)
        assert old.delivered[0].tlvs == b""


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [
        (b"tester", b"wrong", CommandStatus.ESME_RINVPASWD),
        (b"nobody", b"secret", CommandStatus.ESME_RINVSYSID),
        (b"", b"secret", CommandStatus.ESME_RINVSYSID),
    ],
)
async def test_wrong_credentials_are_refused_when_some_are_asked_for(
    system_id: bytes, password: bytes, status: int
) -> None:
    async with running_carrier(CarrierOptions(system_id="tester", password="secret")) as carrier:
        refused = await carrier.esme(BindTransceiver(system_id=system_id, password=password, interface_version=0x34))
        assert refused.bound == BindRefused(status)
        assert isinstance((await carrier.esme()).bound, BindAccepted)


async def test_messages_above_the_rate_are_throttled() -> None:
    async with running_carrier(CarrierOptions(rate=100.0)) as carrier:
        esme = await carrier.esme()
        esme.submit(*[(f"x{n}", "447700900123") for n in range(50)])
        await esme.until(lambda: len(esme.answers) == 50)
        throttled = sum(status == CommandStatus.ESME_RTHROTTLED for _, status, _ in esme.answers)
        assert 40 <= throttled <= 45
        assert {status for _, status, _ in esme.answers} == {0, CommandStatus.ESME_RTHROTTLED}


async def test_latency_and_receipt_delay_are_kept_apart() -> None:
    async with running_carrier(CarrierOptions(latency_seconds=0.05, receipt_delay_seconds=0.1)) as carrier:
        loop = asyncio.get_running_loop()
        esme = await carrier.esme()
        started = loop.time()
        esme.submit(("x", "447700900123"))
        await esme.until(lambda: esme.answers)
        assert loop.time() - started >= 0.045
        assert not esme.receipts
        await esme.until(lambda: esme.receipts)
        assert loop.time() - started >= 0.145


async def test_receipts_wait_for_a_receiver_and_go_to_any_session_of_the_system_id() -> None:
    async with running_carrier() as carrier:
        transmitter = await carrier.esme(BindTransmitter(system_id=b"pair", interface_version=0x34))
        transmitter.submit(("x", "447700900123"))
        await transmitter.until(lambda: transmitter.answers)
        stranger = await carrier.esme()
        receiver = await carrier.esme(BindReceiver(system_id=b"pair", interface_version=0x34))
        await receiver.until(lambda: receiver.receipts)
        assert receiver.receipts[0].message_id == transmitter.answers[0][2]
        assert not stranger.delivered
        assert not transmitter.delivered


async def test_unacknowledged_receipts_are_sent_again_in_order_after_a_reconnect() -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        esme.delivery_statuses = [0, None, None, None]
        esme.submit(*[(f"x{n}", "447700900123") for n in range(4)])
        await esme.until(lambda: len(esme.delivered) == 4)
        esme.connection.abort()
        await esme.until(lambda: esme.closed_reason)
        again = await carrier.esme()
        await again.until(lambda: len(again.receipts) == 3)
        assert [receipt.message_id for receipt in again.receipts] == [id for _, _, id in esme.answers[1:]]


async def test_receipt_that_is_refused_for_now_comes_again_and_a_rejected_one_does_not() -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        esme.delivery_statuses = [CommandStatus.ESME_RX_T_APPN, CommandStatus.ESME_RX_R_APPN, 0]
        esme.submit(("later", "447700900123"), ("never", "447700900124"))
        await esme.until(lambda: len(esme.delivered) == 3)
        ids = [receipt.message_id for receipt in esme.receipts]
        assert ids[2] == ids[0] != ids[1]


async def test_window_of_unanswered_receipts_is_kept() -> None:
    async with running_carrier(CarrierOptions(receipt_window=2)) as carrier:
        esme = await carrier.esme()
        esme.delivery_statuses = [None, None]
        esme.submit(*[(f"x{n}", "447700900123") for n in range(5)])
        await esme.until(lambda: len(esme.answers) == 5)
        assert len(esme.delivered) == 2
        first, second = esme.delivered
        now = [(first.sequence_number, 0), (second.sequence_number, 0)]
        esme.connection.session.answer_delivers(now)
        esme.connection.flush()
        await esme.until(lambda: len(esme.delivered) == 5)


@pytest.mark.parametrize("bind", [BindReceiver, BindTransceiver])
async def test_receivers_share_what_is_due(bind: type[Bind]) -> None:
    async with running_carrier(CarrierOptions(receipt_window=5)) as carrier:
        first = await carrier.esme()
        second = await carrier.esme(bind(system_id=b"tester", interface_version=0x34))
        first.submit(*[(f"x{n}", "447700900123") for n in range(60)])
        await first.until(lambda: len(first.delivered) + len(second.delivered) == 60)
        assert len(second.delivered) > 5


async def test_carrier_unbinds_its_sessions_when_it_ends() -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        await carrier.carrier.close(5.0)
        await esme.until(lambda: esme.closed_reason)
        assert esme.closed_reason == CloseReason.UNBOUND
        assert carrier.carrier.stats()["sessions"] == 0


async def test_what_the_carrier_does_not_offer_is_refused_and_not_left_unanswered() -> None:
    async with running_carrier() as carrier:
        esme = await carrier.esme()
        session = esme.connection.session
        session.send_requests([(QuerySm(), 1), (CancelSm(), 2), (DataSm(), 3)], esme.connection.now)
        esme.connection.flush()
        await esme.until(lambda: session.pending_count == 0)
        assert session.state.is_bound
