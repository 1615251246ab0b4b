"""One bind's life, over real sessions in memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from protocols.smpp.codec import encode_body
from protocols.smpp.constants import CommandStatus
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import AlertNotification, DataSm, DataSmResp, DeliverSm, SubmitSm
from smscd.core.upstream import Upstream, VendorTlv
from smscd.egress.binds import links
from smscd.egress.binds.links import BindKind, Link, LinkState
from smscd.egress.binds.pauses import HOLD_SECONDS, Pause, SessionEnd, pause_after
from smscd.egress.binds.ports import Delivered, Dial
from smscd.transport.connection import SmppConnection
from smscd.transport.tls import ClientTls
from tests.unit.smscd.egress.doubles import profile
from tests.unit.smscd.egress.pipes import Smsc, until

DLT = VendorTlv(tag=0x1400, name="dlt", kind="octets", size_min=1, size_max=9, is_required=True)


class Sink:
    """Remembers what a link tells."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.late: list[Any] = []
        self.unanswered: list[Any] = []
        self.losses = 0
        self.unreached_times: list[int] = []
        self.held: list[tuple[int, float]] = []
        self.delivered: list[Delivered] = []
        self.alerts: list[AlertNotification] = []

    def answered(self, link: Link, answers: Any, now: float) -> None:
        self.answers += answers

    def timed_out(self, refs: list[Any]) -> None:
        self.late += refs

    def lost(self, link: Link, refs: list[Any]) -> None:
        self.unanswered += refs
        self.losses += 1

    def unreached(self, times: int) -> None:
        self.unreached_times.append(times)

    def links_changed(self) -> None:
        pass

    def received(self, link: Link, pdus: Sequence[Delivered]) -> None:
        self.delivered += pdus
        assert link.connection is not None
        is_data = isinstance(pdus[0], DataSm)
        link.answer(link.connection, [(pdu.sequence_number, 0) for pdu in pdus], is_data=is_data)

    def alerted(self, pdus: Sequence[AlertNotification]) -> None:
        self.alerts += pdus


@asynccontextmanager
async def running(
    smsc: Smsc, kind: BindKind = BindKind.TRANSCEIVER, upstream: Upstream | None = None, dial: Dial | None = None
) -> AsyncIterator[tuple[Link, Sink]]:
    """A link that runs until the test is over."""
    sink = Sink()
    loop = asyncio.get_running_loop()
    link = Link(
        upstream or profile(), kind, dial=dial or smsc.dial, sink=sink, delivers=sink, clock=loop.time,
        chance=lambda: 1.0, on_held=lambda end, seconds: sink.held.append((end.refused, seconds)),
    )  # fmt: skip
    task = asyncio.create_task(link.run())
    try:
        yield link, sink
    finally:
        link.cut()
        await task


def submits(*texts: bytes) -> list[tuple[bytes, Any]]:
    return [(encode_body(SubmitSm(destination_addr=b"1", short_message=text)), text) for text in texts]


@pytest.mark.parametrize(
    ("kind", "request_name", "can_send"),
    [
        (BindKind.TRANSCEIVER, "BindTransceiver", True),
        (BindKind.TRANSMITTER, "BindTransmitter", True),
        (BindKind.RECEIVER, "BindReceiver", False),
    ],
)
async def test_a_link_binds_as_its_kind(kind: BindKind, request_name: str, can_send: bool) -> None:
    smsc = Smsc()
    async with running(smsc, kind) as (link, _):
        await until(lambda: link.state is LinkState.BOUND)
        assert smsc.binds == [request_name]
        assert link.can_send is can_send


async def test_answers_free_the_window() -> None:
    smsc = Smsc()
    async with running(smsc, upstream=profile(window_size=2)) as (link, sink):
        await until(lambda: link.can_send)
        assert link.room(0.0) == 2
        link.send(submits(b"a", b"b"), asyncio.get_running_loop().time())
        assert link.room(0.0) == 0
        await until(lambda: len(sink.answers) == 2)
        assert sink.answers == [(b"a", 0, b"id-a"), (b"b", 0, b"id-b")]
        assert link.free == 2


async def test_a_cut_connection_gives_what_was_not_answered_and_is_dialed_again() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: None
    async with running(smsc) as (link, sink):
        await until(lambda: link.can_send)
        link.send(submits(b"a", b"b"), asyncio.get_running_loop().time())
        await until(lambda: len(smsc.submits) == 2)
        smsc.connections[0].abort()
        await until(lambda: sink.losses == 1)
        assert sink.unanswered == [b"a", b"b"]
        await until(lambda: link.can_send)
        assert smsc.dialed == 2


async def test_an_upstream_that_is_down_is_dialed_again_after_a_pause() -> None:
    smsc = Smsc()
    smsc.is_down = True
    async with running(smsc) as (link, sink):
        await until(lambda: smsc.dialed == 2)
        smsc.is_down = False
        await until(lambda: link.state is LinkState.BOUND)
        tried = smsc.dialed - 1
        assert sink.unreached_times == list(range(1, tried + 1))


async def test_quirk_21_bad_credentials_hold_the_link_until_the_configuration_changes() -> None:
    smsc = Smsc()
    smsc.refuses = int(CommandStatus.ESME_RINVPASWD)
    with capture_logs() as logs:
        async with running(smsc) as (link, sink):
            await until(lambda: link.state is LinkState.HELD)
            assert sink.held == [(smsc.refuses, HOLD_SECONDS)] and smsc.dialed == 1
            smsc.refuses = 0
            link.reconfigure(profile(password="right"))
            await until(lambda: link.state is LinkState.BOUND)
    assert not any("right" in str(log) or "secret" in str(log) for log in logs)


async def test_who_takes_over_tries_again_and_again_while_binds_of_the_owner_before_may_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    smsc = Smsc()
    smsc.refuses = int(CommandStatus.ESME_RBINDFAIL)
    seen: list[tuple[int, bool]] = []

    def shorter(end: SessionEnd, failures: int, chance: float, *, is_heir: bool) -> Pause:
        seen.append((failures, is_heir))
        return Pause(0.02, is_expected=pause_after(end, failures, chance, is_heir=is_heir).is_expected)

    monkeypatch.setattr(links, "pause_after", shorter)
    async with running(smsc) as (link, sink):
        link._heir_until = asyncio.get_running_loop().time() + 0.2
        await until(lambda: seen and not seen[-1][1])
        expected = [failures for failures, is_heir in seen if is_heir]
        assert len(expected) > 1 and set(expected) == {0}, "those are no failures"
        await until(lambda: seen[-1][0] == 2)
        assert not sink.held


@pytest.mark.parametrize(("password", "is_held"), [("right", False), ("secret", True)])
async def test_quirk_21_a_changed_profile_that_comes_while_the_old_one_is_refused_is_tried_at_once(
    password: str, is_held: bool
) -> None:
    """The refusal was the old one's: nobody would look at the new one for the time of a hold."""
    smsc = Smsc()
    smsc.refuses = int(CommandStatus.ESME_RINVPASWD)

    async def dial(*args: Any, **options: Any) -> SmppConnection:
        connection = await smsc.dial(*args, **options)
        if smsc.dialed == 1:
            assert link.state is LinkState.BINDING
            link.reconfigure(profile(password=password))
        else:
            smsc.refuses = 0
        return connection

    async with running(smsc, dial=dial) as (link, sink):
        await until(lambda: link.state is (LinkState.HELD if is_held else LinkState.BOUND))
        assert len(sink.held) == is_held and smsc.dialed == 2 - is_held


@pytest.mark.parametrize("change", [{"long_message": "payload"}, {"long_message": "sar"}, {"vendor_tlvs": (DLT,)}])
async def test_quirk_25_a_bind_without_the_tlvs_that_the_profile_needs_is_held_until_that_changes(
    change: dict[str, Any],
) -> None:
    smsc = Smsc(SessionConfig(interface_version=0x33))
    async with running(smsc, upstream=profile(**change)) as (link, sink):
        await until(lambda: link.state is LinkState.HELD)
        assert sink.held == [(0, HOLD_SECONDS)] and smsc.dialed == 1 and not smsc.connections
        assert not link.can_send
        link.reconfigure(profile(long_message="udh8"))
        await until(lambda: link.can_send)
        assert not link.takes_tlvs
        link.reconfigure(profile(**change))
        assert not link.can_send
        await until(lambda: len(sink.held) == 2)
        smsc.config = SessionConfig(interface_version=0x34)
        link.reconfigure(profile(**change, window_size=7))
        await until(lambda: link.can_send)
        assert link.takes_tlvs


async def test_quirk_25_an_upstream_that_tells_no_version_is_taken_for_that_of_its_profile() -> None:
    smsc = Smsc()
    smsc.tells_version = False
    async with running(smsc, upstream=profile(long_message="payload")) as (link, sink):
        await until(lambda: link.can_send)
        assert link.takes_tlvs and not sink.held


async def test_quirk_25_a_bind_that_only_receives_may_be_of_any_version() -> None:
    smsc = Smsc(SessionConfig(interface_version=0x33))
    async with running(smsc, BindKind.RECEIVER, profile(long_message="payload")) as (link, sink):
        await until(lambda: link.state is LinkState.BOUND)
        assert not sink.held


async def test_quirk_21_an_upstream_that_holds_us_for_bound_is_tried_again_after_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    smsc = Smsc()
    smsc.refuses = int(CommandStatus.ESME_RALYBND)
    ends: list[SessionEnd] = []

    def shorter(end: SessionEnd, failures: int, chance: float, *, is_heir: bool) -> Pause:
        assert not is_heir
        ends.append(end)
        pause = pause_after(end, failures, chance)
        assert pause.seconds >= 2.5 and not pause.is_held
        return Pause(0.02)

    monkeypatch.setattr(links, "pause_after", shorter)
    async with running(smsc) as (link, sink):
        await until(lambda: len(ends) == 2)
        smsc.refuses = 0
        await until(lambda: link.state is LinkState.BOUND)
        assert not sink.held and {end.refused for end in ends} == {int(CommandStatus.ESME_RALYBND)}


async def test_quirk_20_stopping_waits_for_the_window_and_then_unbinds() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: None
    async with running(smsc) as (link, sink):
        await until(lambda: link.can_send)
        link.send(submits(b"a"), asyncio.get_running_loop().time())
        await until(lambda: len(smsc.submits) == 1)
        far = smsc.connections[0]
        stopping = asyncio.create_task(link.stop(5.0))
        await until(lambda: link.state is LinkState.DRAINING)
        assert not link.can_send and far.session.state.is_bound
        far.session.answer_submits([(smsc.submits[0].sequence_number, 0, b"x")])
        far.flush()
        await stopping
        assert sink.answers == [(b"a", 0, b"x")] and sink.unanswered == [] and sink.losses == 1


async def test_quirk_20_an_upstream_that_answers_nothing_cannot_hold_up_the_stop() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: None
    async with running(smsc) as (link, sink):
        await until(lambda: link.can_send)
        link.send(submits(b"a"), asyncio.get_running_loop().time())
        await until(lambda: len(smsc.submits) == 1)
        async with asyncio.timeout(2.0):
            await link.stop(0.2)
        await until(lambda: sink.losses == 1)
        assert sink.unanswered == [b"a"]


async def test_stopping_unbinds() -> None:
    smsc = Smsc()
    async with running(smsc) as (link, sink):
        await until(lambda: link.can_send)
        await link.stop(1.0)
        await until(lambda: sink.losses == 1)
        assert link.state is LinkState.DOWN and not smsc.connections


async def test_quirk_20_an_unbind_of_the_upstream_is_agreed_to_when_the_window_is_empty() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: None
    async with running(smsc) as (link, sink):
        await until(lambda: link.can_send)
        link.send(submits(b"a"), asyncio.get_running_loop().time())
        await until(lambda: len(smsc.submits) == 1)
        far = smsc.connections[0]
        far.session.unbind(asyncio.get_running_loop().time())
        far.flush()
        await until(lambda: link.state is LinkState.DRAINING)
        assert not link.can_send
        far.session.answer_submits([(smsc.submits[0].sequence_number, 0, b"x")])
        far.flush()
        await until(lambda: sink.losses == 1)
        assert sink.answers == [(b"a", 0, b"x")] and sink.unanswered == []


async def test_ten_time_outs_in_a_row_close_the_bind() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: None
    async with running(smsc, upstream=profile(response_timeout_seconds=0.05)) as (link, sink):
        await until(lambda: link.can_send)
        link.send(submits(*[b"%d" % at for at in range(9)]), asyncio.get_running_loop().time())
        await until(lambda: len(sink.late) == 9)
        assert link.can_send and link.free == 100
        link.send(submits(b"9"), asyncio.get_running_loop().time())
        await until(lambda: sink.losses == 1)
        assert len(sink.unanswered) == 10


async def test_an_answer_between_time_outs_keeps_the_bind() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: (0, b"x") if pdu.short_message == b"good" else None
    async with running(smsc, upstream=profile(response_timeout_seconds=0.05)) as (link, sink):
        await until(lambda: link.can_send)
        for _ in range(2):
            link.send(submits(*[b"%d" % at for at in range(9)]), asyncio.get_running_loop().time())
            before = len(sink.late)
            await until(lambda before=before: len(sink.late) == before + 9)  # type: ignore[misc]
            link.send(submits(b"good"), asyncio.get_running_loop().time())
            await until(lambda: link.pending == 0)
        assert sink.losses == 0 and len(sink.answers) == 2


async def test_deliver_sm_reaches_the_receipts_side_and_is_answered() -> None:
    smsc = Smsc()
    async with running(smsc, BindKind.RECEIVER) as (link, sink):
        await until(lambda: link.state is LinkState.BOUND)
        smsc.deliver(DeliverSm(short_message=b"hello"), "ref")
        await until(lambda: smsc.deliver_answers)
        assert smsc.deliver_answers == [("ref", 0)]
        assert sink.delivered[0].short_message == b"hello"


async def test_data_sm_of_an_upstream_is_answered_as_such() -> None:
    smsc = Smsc()
    async with running(smsc, BindKind.RECEIVER) as (link, sink):
        await until(lambda: link.state is LinkState.BOUND)
        far = smsc.connections[0]
        far.session.send_requests([(DataSm(source_addr=b"4917"), "ref")], asyncio.get_running_loop().time())
        far.flush()
        await until(lambda: smsc.request_answers)
        [(ref, response)] = smsc.request_answers
        assert (ref, type(response), response.command_status) == ("ref", DataSmResp, 0)
        assert sink.delivered[0].source_addr == b"4917"


async def test_an_alert_is_no_error_and_ends_nothing() -> None:
    smsc = Smsc()
    async with running(smsc, BindKind.RECEIVER) as (link, sink):
        await until(lambda: link.state is LinkState.BOUND)
        far = smsc.connections[0]
        far.session.send_alerts([AlertNotification(source_addr=b"4917")], asyncio.get_running_loop().time())
        far.flush()
        await until(lambda: sink.alerts)
        smsc.deliver(DeliverSm(short_message=b"after"), "ref")
        await until(lambda: smsc.deliver_answers)
        assert sink.alerts[0].source_addr == b"4917" and sink.losses == 0


@pytest.mark.parametrize(("state", "rates"), [(80, [0.0]), (90, [75.0, 56.25]), (100, [50.0, 25.0])])
async def test_congestion_of_the_upstream_slows_the_link_down_the_more_the_higher(
    state: int, rates: list[float]
) -> None:
    smsc = Smsc(SessionConfig(interface_version=0x50))
    async with running(smsc, upstream=profile(interface_version=0x50)) as (link, sink):
        await until(lambda: link.can_send)
        smsc.connections[0].session.congestion_state = state
        now = asyncio.get_running_loop().time()
        link.send(submits(*[b"%d" % at for at in range(100)]), now)
        await until(lambda: len(sink.answers) == 100)
        for at, rate in enumerate(rates):
            link.rated(0, now + 1.1 * at)
            assert link._pace.bucket.rate == pytest.approx(rate)


async def test_a_link_that_was_congested_comes_back() -> None:
    smsc = Smsc(SessionConfig(interface_version=0x50))
    async with running(smsc, upstream=profile(interface_version=0x50)) as (link, sink):
        await until(lambda: link.can_send)
        session = smsc.connections[0].session
        now = asyncio.get_running_loop().time()
        for state, text in ((100, b"a"), (10, b"b")):
            session.congestion_state = state
            link.send(submits(text), now)
            await until(lambda text=text: sink.answers[-1:] == [(text, 0, b"id-" + text)])  # type: ignore[misc]
            link.rated(0, now)
        slow = link._pace.bucket.rate
        link.rated(0, now + 5.0)
        assert link._pace.bucket.rate > slow > 0


async def test_throttling_slows_the_link_down() -> None:
    smsc = Smsc()
    async with running(smsc) as (link, _):
        await until(lambda: link.can_send)
        now = asyncio.get_running_loop().time()
        link.rated(1, now)
        assert link.room(now) < 100
        assert link.next_room_at(now) is not None


async def test_a_profile_with_tls_is_dialed_with_it_and_a_change_of_it_is_another_session() -> None:
    smsc = Smsc()
    async with running(smsc) as (link, _):
        await until(lambda: link.state is LinkState.BOUND)
        link.reconfigure(profile(uses_tls=True, tls_ca_file="/ca.pem", tls_server_name="smsc.example"))
        await until(lambda: smsc.dialed == 2 and link.state is LinkState.BOUND)
        assert smsc.tls == [None, ClientTls(ca_file="/ca.pem", server_name="smsc.example")]


async def test_a_certificate_that_is_not_believed_is_a_warning_and_counted() -> None:
    smsc = Smsc()
    smsc.fails = ssl.SSLCertVerificationError("hostname mismatch")
    with capture_logs() as logs:
        async with running(smsc, upstream=profile(uses_tls=True)) as (link, _):
            await until(lambda: link.state is LinkState.WAITING)
            assert link.tls_failures == 1
            assert [log["log_level"] for log in logs if log["event"] == "upstream.tls_failed"] == ["warning"]
            smsc.fails = None
            await until(lambda: link.state is LinkState.BOUND)
