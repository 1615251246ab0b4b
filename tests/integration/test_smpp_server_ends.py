"""The SMPP server over TCP: answers to its deliver_sm, orderly ends, and what it says of congestion."""

from __future__ import annotations

import asyncio

import pytest

from protocols.smpp.codec import encode_body
from protocols.smpp.events import UnbindAnswered, UnbindRequested
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransceiver
from smscd.core.esme import BoundEsme
from tests.integration.smpp_server_rig import WAIT_SECONDS, RecordingSink, deliver, running, submit_sm, until

# --- deliver_sm -----------------------------------------------------------------------------------------------------


async def test_answers_to_deliver_sm_go_to_the_sink() -> None:
    async with running() as rig:
        esme = await rig.bound()
        esme.delivery_status = 0x64
        deliver(rig, "one", "two")
        await until(lambda: len(rig.sink.answers) == 2)
        assert rig.sink.answers == [("one", 0x64), ("two", 0x64)]


async def test_deliver_sm_that_nobody_answers_is_late_and_then_lost() -> None:
    async with running(SessionConfig(response_seconds=0.2)) as rig:
        esme = await rig.bound()
        esme.delivery_status = None
        deliver(rig, "one")
        await until(lambda: rig.sink.late == ["one"])
        deliver(rig, "two")
        await until(lambda: len(esme.delivered) == 2)
        esme.connection.abort()
        await until(lambda: "two" in rig.sink.unanswered)


async def test_a_sender_of_deliver_sm_may_put_itself_in_the_sinks_place() -> None:
    async with running() as rig:
        await rig.bound()
        other = RecordingSink()
        (connection,) = rig.sessions.sessions("acme")
        context = connection.context
        assert isinstance(context, BoundEsme) and (context.account, context.system_id) == ("acme", b"esme")
        context.sink = other
        deliver(rig, "one")
        await until(lambda: other.answers)
        assert not rig.sink.answers
        context.sink = None
        deliver(rig, "two")
        await until(lambda: connection.session.pending_count == 0)


# --- ends -----------------------------------------------------------------------------------------------------------


async def test_an_unbind_waits_for_the_answers_that_are_owed() -> None:
    """Quirk 20: an unbind with work in flight."""
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(submit_sm(), submit_sm())
        esme.unbind()
        await until(lambda: not rig.sessions.count("acme"))
        assert not esme.seen(UnbindAnswered)
        rig.admitter.release()
        await until(lambda: esme.closed_reason)
        assert [status for _, status, _ in esme.answers] == [0, 0]
        assert esme.seen(UnbindAnswered)


async def test_an_unbind_before_the_bind_is_agreed_to() -> None:
    async with running() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        writer.write(bytes.fromhex("00000010 00000006 00000000 00000007"))
        assert await reader.readexactly(16) == bytes.fromhex("00000010 80000006 00000000 00000007")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_drain_answers_what_is_open_and_unbinds_everybody() -> None:
    async with running() as rig:
        busy, idle, unbound = await rig.bound(), await rig.bound(), await rig.esme()
        rig.admitter.is_holding = True
        busy.submit(submit_sm())
        await until(lambda: rig.admitter.calls)
        draining = asyncio.create_task(rig.server.drain())
        await until(lambda: idle.closed_reason and unbound.closed_reason)
        assert not draining.done() and not busy.closed_reason
        rig.admitter.release()
        async with asyncio.timeout(WAIT_SECONDS):
            await draining
        await until(lambda: busy.closed_reason)
        assert busy.answers[0][1] == 0
        assert busy.seen(UnbindRequested) and idle.seen(UnbindRequested)
        with pytest.raises(OSError, match=r"."):
            await rig.esme()


async def test_a_drain_with_nobody_there_is_done_at_once() -> None:
    async with running() as rig:
        async with asyncio.timeout(WAIT_SECONDS):
            await rig.server.drain()


async def test_a_submit_after_our_unbind_is_refused_for_now() -> None:
    async with running() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        bind = bytes.fromhex("00000009 00000000 00000001") + b"esme\0s3cret\0\0\x34\0\0\0"
        writer.write((len(bind) + 4).to_bytes(4, "big") + bind)
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
        draining = asyncio.create_task(rig.server.drain())
        unbind = await reader.readexactly(16)
        assert unbind[4:8] == bytes.fromhex("00000006")
        submit = bytes.fromhex("00000004 00000000 00000002") + encode_body(submit_sm())
        writer.write((len(submit) + 4).to_bytes(4, "big") + submit)
        assert await reader.readexactly(16) == bytes.fromhex("00000010 80000004 00000014 00000002")
        writer.write(bytes.fromhex("00000010 80000006 00000000") + unbind[12:])
        async with asyncio.timeout(WAIT_SECONDS):
            await draining
        assert not rig.admitter.planned
        writer.close()
        await writer.wait_closed()


async def test_congestion_is_told_to_esmes_of_5_0_in_their_answers() -> None:
    config = SessionConfig(session_init_seconds=2.0, response_seconds=2.0, interface_version=0x50)
    async with running(config) as rig:
        early, old = await rig.esme(), await rig.esme()
        assert await early.bind(BindTransceiver(system_id=b"esme", password=b"s3cret", interface_version=0x50)) == 0
        assert await old.bind() == 0
        rig.server.tell_congestion(85)
        for esme in (early, old):
            [(_, status, _)] = await esme.answered(submit_sm())
            assert status == 0
        assert early.connection.session.peer_congestion_state == 85
        assert old.connection.session.peer_congestion_state is None
        old.unbind()
        await until(lambda: old.closed_reason)
        later = await rig.esme()
        assert await later.bind(BindTransceiver(system_id=b"esme", password=b"s3cret", interface_version=0x50)) == 0
        await later.answered(submit_sm())
        assert later.connection.session.peer_congestion_state == 85
