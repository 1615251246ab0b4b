"""The SMPP server over TCP, with an admitter of the test's own: binds and submits."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import Any

import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import HEADER
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.events import BindAccepted
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter
from smscd.core.directory import Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.reasons import Reason
from smscd.core.verdicts import Duplicate, Refused, Verdict
from smscd.ingress.smpp.auth import BindOutcome
from smscd.monitoring.samples import smpp_samples
from tests.integration.smpp_server_rig import NOW, Rig, deliver, running, snapshot, submit_sm, until

# --- binds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mode"), [(BindTransmitter, "tx"), (BindReceiver, "rx"), (BindTransceiver, "trx")])
async def test_the_right_password_binds_in_every_mode(kind: type[Bind], mode: str) -> None:
    async with running() as rig:
        esme = await rig.esme()
        assert await esme.bind(kind(system_id=b"esme", password=b"s3cret", interface_version=0x34)) == 0
        assert esme.seen(BindAccepted) == [BindAccepted(0x34, b"smscd", 0x34)]
        assert rig.server.session_counts()[mode] == 1
        assert rig.sessions.count("acme") == 1
        assert rig.sessions.can_receive("acme") is (mode != "tx")


async def test_wrong_password_and_unknown_id_get_the_same_answer_and_may_try_again() -> None:
    async with running() as rig:
        esme = await rig.esme()
        for system_id, password in ((b"esme", b"wrong"), (b"nobody", b"s3cret")):
            assert (
                await esme.bind(BindTransceiver(system_id=system_id, password=password)) == CommandStatus.ESME_RINVPASWD
            )
        assert await esme.bind() == 0
        assert rig.server.figures.binds == {BindOutcome.WRONG: 2, BindOutcome.ACCEPTED: 1}


async def test_the_tenth_wrong_guess_locks_even_the_right_password_out() -> None:
    async with running() as rig:
        esme = await rig.esme()
        for _ in range(10):
            await esme.bind(BindTransceiver(system_id=b"esme", password=b"wrong"))
        assert await esme.bind() == CommandStatus.ESME_RINVPASWD
        assert rig.server.figures.binds[BindOutcome.LOCKED] == 1


async def test_a_suspended_account_may_not_bind() -> None:
    async with running() as rig:
        esme = await rig.esme()
        request = BindTransceiver(system_id=b"late", password=b"s3cret")
        assert await esme.bind(request) == CommandStatus.ESME_RBINDFAIL


async def test_one_bind_too_many_is_refused_until_another_ends() -> None:
    async with running() as rig:
        first, _ = await rig.bound(), await rig.bound()
        third = await rig.esme()
        assert await third.bind() == CommandStatus.ESME_RALYBND
        first.unbind()
        await until(lambda: rig.sessions.count("acme") == 1)
        assert await third.bind() == 0


async def test_who_does_not_bind_is_closed() -> None:
    """Quirk 26: peers that connect and never bind."""
    async with running(SessionConfig(session_init_seconds=0.2)) as rig:
        esme = await rig.esme()
        await until(lambda: esme.closed_reason)


async def test_pdus_before_the_bind_are_bounded_and_what_comes_byte_by_byte_is_still_in_time() -> None:
    """5 s and 256 octets in production; here 0.5 s, and a peer that would take longer than that for its bind."""
    async with running(SessionConfig(session_init_seconds=0.5)) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        writer.write((257).to_bytes(4, "big") + bytes.fromhex("00000009 00000000 00000001"))
        assert await reader.readexactly(16) == bytes.fromhex("00000010 80000000 00000002 00000001")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        began = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        bind = (256).to_bytes(4, "big") + bytes.fromhex("00000009 00000000 00000001") + bytes(240)
        ended = asyncio.ensure_future(reader.read())
        for octet in bind:
            if ended.done():
                break
            writer.write(bytes([octet]))
            await asyncio.sleep(0.01)  # the slow peer
        # An octet that comes after the end makes a reset of it.
        assert ended.done() and (isinstance(ended.exception(), ConnectionResetError) or ended.result() == b"")
        assert 0.45 < asyncio.get_running_loop().time() - began < 1.0
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        assert rig.server.figures.closed["session_init_timeout"] == 1


async def test_a_bind_from_a_network_that_is_not_allowed_is_refused_like_a_wrong_password() -> None:
    async with running(allowed_networks=frozenset({"192.0.2.0/24"})) as rig:
        esme = await rig.esme()
        assert await esme.bind() == CommandStatus.ESME_RINVPASWD
        assert rig.server.figures.binds == {BindOutcome.ADDRESS: 1}
    async with running(allowed_networks=frozenset({"127.0.0.0/8"})) as rig:
        await rig.bound()


async def test_a_type_beyond_its_limit_is_already_bound_and_a_forbidden_one_fails() -> None:
    async with running(binds_max=9, binds_tx_max=1, binds_rx_max=0) as rig:
        request = {"system_id": b"esme", "password": b"s3cret"}
        assert await (await rig.esme()).bind(BindTransmitter(**request)) == 0
        assert await (await rig.esme()).bind(BindTransmitter(**request)) == CommandStatus.ESME_RALYBND
        assert await (await rig.esme()).bind(BindReceiver(**request)) == CommandStatus.ESME_RBINDFAIL
        assert rig.server.figures.binds == {
            BindOutcome.ACCEPTED: 1, BindOutcome.TOO_MANY_OF_TYPE: 1, BindOutcome.TYPE_NOT_ALLOWED: 1,
        }  # fmt: skip


async def test_an_esme_that_says_nothing_to_a_whole_window_is_cut_off() -> None:
    async with running(SessionConfig(response_seconds=0.3), window_size=3) as rig:
        esme = await rig.bound()
        esme.delivery_status = None
        deliver(rig, "one", "two", "three")
        await until(lambda: esme.closed_reason)
        assert rig.server.figures.closed["silent"] == 1
        assert rig.sink.late == ["one", "two", "three"]


async def test_an_esme_that_answers_late_but_lives_stays() -> None:
    async with running(SessionConfig(response_seconds=0.3), window_size=3) as rig:
        esme = await rig.bound()
        esme.delivery_status = None
        deliver(rig, "one", "two", "three")
        await asyncio.sleep(0.15)  # half of its time
        await esme.answered(submit_sm())
        await until(lambda: rig.sink.late == ["one", "two", "three"])
        assert not esme.closed_reason


# --- submits --------------------------------------------------------------------------------------------------------


async def test_a_read_becomes_one_call_and_each_answer_carries_its_id() -> None:
    async with running() as rig:
        esme = await rig.bound()
        answers = await esme.answered(*[submit_sm(short_message=b"%d" % number) for number in range(9)])
        assert [planned.record.segments for planned in rig.admitter.planned] == [[b"%d" % n] for n in range(9)]
        ids = [b"%d" % planned.record.id for planned in rig.admitter.planned]
        assert answers == [(number, 0, message_id) for number, message_id in enumerate(ids)]
        assert rig.server.figures.submits == 9


async def test_nothing_is_answered_before_its_verdict() -> None:
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(submit_sm(), submit_sm(destination_addr=b"999"))
        await until(lambda: esme.answers)
        assert esme.answers == [(1, CommandStatus.ESME_RINVDSTADR, b"")]
        rig.admitter.release()
        await until(lambda: len(esme.answers) == 2)
        assert esme.answers[1][:2] == (0, 0)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"esm_class": 0x40, "short_message": b"\x05\x00"}, CommandStatus.ESME_RINVESMCLASS),
        ({"tlvs": tlv.encode([(0x0424, b"x")])}, CommandStatus.ESME_RINVMSGLEN),
        ({"priority_flag": 9}, CommandStatus.ESME_RINVPRTFLG),
        ({"registered_delivery": 0x80}, CommandStatus.ESME_RINVREGDLVFLG),
        ({"replace_if_present_flag": 2}, CommandStatus.ESME_RINVREPFLAG),
    ],
)
async def test_what_the_specification_forbids_is_refused_with_its_status(
    changes: dict[str, Any], status: CommandStatus
) -> None:
    async with running() as rig:
        esme = await rig.bound()
        assert await esme.answered(submit_sm(**changes)) == [(0, status, b"")]
        assert not rig.admitter.planned
        assert rig.server.figures.malformed == 1


async def test_what_the_session_itself_refuses_is_counted_and_stays_counted() -> None:
    async with running() as rig:
        esme = await rig.bound()
        unreadable = HEADER.pack(17, CommandId.SUBMIT_SM, 0, 7) + b"x", HEADER.pack(17, CommandId.QUERY_SM, 0, 8) + b"x"
        esme.connection._transport.write(b"".join(unreadable))  # type: ignore[union-attr]  # what no session writes
        await until(lambda: rig.server.unreadable_counts().total() == 2)
        await esme.answered(submit_sm(priority_flag=9))
        expected = {
            ("smscd_admission_messages_total", ("smpp", "malformed")): 2,
            ("smscd_smpp_pdu_errors_total", ("unreadable",)): 2,
            ("smscd_smpp_pdu_errors_total", ("forbidden",)): 1,
            ("smscd_smpp_pdu_errors_total", ("framing",)): 0,
        }
        assert shown(rig, expected) == expected
        esme.connection._transport.write(HEADER.pack(15, 0, 0, 9))  # type: ignore[union-attr]  # what no session writes
        await until(lambda: esme.closed_reason and not rig.server.connection_count)
        expected["smscd_smpp_pdu_errors_total", ("framing",)] = 1
        assert shown(rig, expected) == expected


def shown(rig: Rig, names: Container[tuple[str, tuple[str, ...]]]) -> dict[tuple[str, tuple[str, ...]], float]:
    samples = smpp_samples(rig.server)
    return {(found.name, found.labels): found.value for found in samples if (found.name, found.labels) in names}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"destination_addr": b"abc"}, CommandStatus.ESME_RINVDSTADR),
        ({"destination_addr": b"8613800000000"}, CommandStatus.ESME_RINVDSTADR),
        ({"source_addr": b"a@b"}, CommandStatus.ESME_RINVSRCADR),
        ({"schedule_delivery_time": b"tomorrow"}, CommandStatus.ESME_RINVSCHED),
        ({"schedule_delivery_time": b"000100000000000R"}, CommandStatus.ESME_RINVSCHED),
        ({"validity_period": b"never"}, CommandStatus.ESME_RINVEXPIRY),
        ({"short_message": b"", "tlvs": tlv.encode([(0x0424, b"x" * 2_000)])}, CommandStatus.ESME_RINVMSGLEN),
        ({"tlvs": tlv.encode([(0x1500, b"k" * 65)])}, CommandStatus.ESME_RINVOPTPARAMVAL),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_the_status_of_the_table(
    changes: dict[str, Any], status: CommandStatus
) -> None:
    async with running() as rig:
        esme = await rig.bound()
        assert await esme.answered(submit_sm(**changes)) == [(0, status, b"")]
        assert not rig.admitter.planned
        assert sum(rig.server.figures.rejected.values()) == 1


async def test_a_schedule_reaches_the_plan_and_one_that_is_over_means_at_once() -> None:
    async with running() as rig:
        esme = await rig.bound()
        in_an_hour = submit_sm(schedule_delivery_time=b"000000010000000R", validity_period=b"000000000100000R")
        assert [status for _, status, _ in await esme.answered(in_an_hour)] == [0]
        await esme.answered(submit_sm(schedule_delivery_time=b"200101000000000+"))
        later, at_once = (planned.record for planned in rig.admitter.planned)
        assert (
            later.valid_until_ms - later.send_at_ms == 60_000 and later.send_at_ms > at_once.valid_until_ms - 86_400_000
        )
        assert at_once.send_at_ms == 0


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (Duplicate(77, 10_000, 1, 0, True), (0, b"77")),
        (Duplicate(77, 10_000, 1, 0, False), (CommandStatus.ESME_RINVOPTPARAMVAL, b"")),
        (Refused(Reason.INSUFFICIENT_BALANCE), (CommandStatus.ESME_RSUBMITFAIL, b"")),
        (Refused(Reason.RATE_LIMITED, 1.0), (CommandStatus.ESME_RTHROTTLED, b"")),
        (Refused(Reason.PREFIX_VELOCITY, 41.2), (CommandStatus.ESME_RTHROTTLED, b"")),
        (Refused(Reason.SPEND_LIMIT, 7_200.0), (CommandStatus.ESME_RTHROTTLED, b"")),
        (Refused(Reason.QUEUE_FULL), (CommandStatus.ESME_RMSGQFUL, b"")),
        (Refused(Reason.RECORD_BEHIND, 1.0), (CommandStatus.ESME_RSYSERR, b"")),
        (Refused(Reason.STORAGE_UNAVAILABLE), (CommandStatus.ESME_RSYSERR, b"")),
    ],
)
async def test_each_verdict_has_its_answer(verdict: Verdict, answer: tuple[int, bytes]) -> None:
    """Quirks 16 and 17: ESME_RTHROTTLED for the account's own rate, ESME_RMSGQFUL for our back-pressure."""
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.verdict = lambda planned: verdict
        assert await esme.answered(submit_sm(), submit_sm()) == [(0, *answer), (1, *answer)]


async def test_a_long_payload_is_cut_and_paid_by_segment() -> None:
    async with running() as rig:
        esme = await rig.bound()
        await esme.answered(submit_sm(short_message=b"", tlvs=tlv.encode([(0x0424, b"x" * 400), (0x1500, b"key")])))
        record = rig.admitter.planned[0].record
        assert (len(record.segments), record.price_micros, record.esm_class) == (3, 30_000, 0x40)
        assert rig.admitter.planned[0].idem_key == b"key"


async def test_an_account_that_is_suspended_while_bound_is_refused() -> None:
    async with running() as rig:
        esme = await rig.bound()
        rig.directory = DirectoryIndex(snapshot(is_suspended=True))
        assert await esme.answered(submit_sm()) == [(0, CommandStatus.ESME_RSUBMITFAIL, b"")]
        rig.directory = DirectoryIndex(Snapshot())
        assert await esme.answered(submit_sm()) == [(0, CommandStatus.ESME_RSUBMITFAIL, b"")]


async def test_a_clock_that_stepped_far_back_refuses_rather_than_inventing_times() -> None:
    async with running() as rig:
        esme = await rig.bound()
        await esme.answered(submit_sm())
        rig.now_ms = NOW - 60_000
        assert await esme.answered(submit_sm()) == [(0, CommandStatus.ESME_RSYSERR, b"")]
        rig.now_ms = NOW + 1
        assert (await esme.answered(submit_sm()))[0][1] == 0


async def test_beyond_the_accounts_window_submits_are_throttled_and_none_is_admitted() -> None:
    """Quirk 15: as a server ours is enforced."""
    async with running(window_size=3) as rig:
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(*[submit_sm() for _ in range(6)])
        await until(lambda: len(esme.answers) == 3)
        assert [status for _, status, _ in esme.answers] == [CommandStatus.ESME_RTHROTTLED] * 3
        assert len(rig.admitter.planned) == 3
        rig.admitter.release()
        await until(lambda: len(esme.answers) == 6)
        assert [status for _, status, _ in esme.answers[3:]] == [0] * 3


async def test_verdicts_for_a_connection_that_is_gone_do_no_harm() -> None:
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(submit_sm(), submit_sm())
        await until(lambda: rig.admitter.calls)
        esme.connection.abort()
        await until(lambda: not rig.sessions.count("acme"))
        rig.admitter.release()
        assert (await (await rig.bound()).answered()) == []
