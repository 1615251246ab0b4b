"""One upstream from taking its roles to letting it go, in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import format_receipt
from smscd.core.records import Outcome, State
from smscd.egress.binds import owner as module
from smscd.egress.binds import pool as pool_module
from smscd.egress.binds.owner import UpstreamOwner
from smscd.egress.figures import UpstreamFigures
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, message, profile
from tests.unit.smscd.egress.pipes import until
from tests.unit.smscd.egress.whole import Whole


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles are tried again soon."""
    monkeypatch.setattr(module, "TAKE_AGAIN_SECONDS", 0.02)


@asynccontextmanager
async def running(whole: Whole) -> AsyncIterator[UpstreamOwner]:
    owner = UpstreamOwner(profile(), whole.around, UpstreamFigures("carrier"))
    task = asyncio.create_task(owner.run())
    try:
        yield owner
    finally:
        owner.end()
        await task
        assert not whole.leases.kept and not whole.smsc.connections


async def test_messages_go_out_and_receipts_come_back() -> None:
    whole = Whole()
    whole.smsc.answers = lambda pdu: (0, b"7")
    whole.redis.admit(message(1))
    async with running(whole) as owner:
        await until(lambda: whole.redis.turn_records)
        assert owner.figures.binds_bound == 1
        text = format_receipt(b"7", submit_ms=NOW_MS, done_ms=NOW_MS, stat=b"DELIVRD")
        whole.smsc.deliver(DeliverSm(esm_class=4, short_message=text), 1)
        await until(lambda: whole.smsc.deliver_answers)
    assert not whole.redis.queues and whole.redis.depth == 0
    assert whole.redis.states == {FIRST_ID + 1: State.DELIVERED}


async def test_a_bell_or_the_admitter_wakes_it() -> None:
    whole = Whole()
    async with running(whole) as owner:
        await until(lambda: owner.figures.binds_bound == 1)
        whole.redis.admit(message(1))
        owner.wake()
        await until(lambda: whole.redis.turn_records, seconds=0.5)


async def test_roles_that_others_hold_are_waited_for() -> None:
    whole = Whole()
    whole.dispatch_role.is_free = False
    async with running(whole) as owner:
        await asyncio.sleep(0.05)
        assert whole.smsc.dialed == 0
        whole.dispatch_role.is_free = True
        whole.receipts_role.is_free = False
        await asyncio.sleep(0.05)
        assert whole.smsc.dialed == 0 and whole.dispatch_role.epoch == 0
        whole.receipts_role.is_free = True
        await until(lambda: owner.is_owner)


@pytest.mark.parametrize("role", ["dispatch_role", "receipts_role"])
async def test_a_lost_role_cuts_the_binds_at_once_and_is_taken_again(role: str) -> None:
    whole = Whole()
    whole.smsc.answers = lambda pdu: None
    whole.redis.admit(message(1))
    async with running(whole) as owner:
        await until(lambda: whole.smsc.submits)
        whole.dispatch_role.is_free = False
        whole.leases.lose(getattr(whole, role))
        await until(lambda: not owner.is_owner and not whole.smsc.connections)
        await until(lambda: owner.figures.binds_bound == 0)
        assert not whole.redis.turn_records, "what is in doubt is its successor's to judge"
        whole.dispatch_role.is_free = True
        await until(lambda: len(whole.smsc.submits) == 2)
    assert [result.outcome for result in whole.redis.results()] == [Outcome.DOUBTED]


async def test_a_fenced_call_ends_the_ownership() -> None:
    whole = Whole()
    async with running(whole) as owner:
        await until(lambda: owner.is_owner)
        whole.dispatch_role.is_free = False
        whole.redis.fenced = True
        owner.wake()
        await until(lambda: not owner.is_owner)
        whole.redis.fenced = False
        whole.dispatch_role.is_free = True
        await until(lambda: owner.is_owner)


async def test_an_end_does_not_wait_again_for_answers_that_draining_waited_for_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "STOP_SECONDS", 0.05)
    whole = Whole()
    whole.smsc.answers = lambda pdu: None
    whole.redis.admit(message(1))
    async with running(whole) as owner:
        await until(lambda: whole.smsc.submits)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await owner.drain()
        began = time.monotonic()
    assert time.monotonic() - began < 2.0


async def test_draining_waits_for_answers_and_records_them() -> None:
    whole = Whole()
    whole.smsc.answers = lambda pdu: None
    whole.redis.admit(message(1))
    async with running(whole) as owner:
        await until(lambda: whole.smsc.submits)
        whole.redis.admit(message(2))
        drained = asyncio.create_task(owner.drain())
        await asyncio.sleep(0.05)
        assert not drained.done()
        far = whole.smsc.connections[0]
        far.session.answer_submits([(whole.smsc.submits[0].sequence_number, 0, b"x")])
        far.flush()
        await drained
        assert [result.state for result in whole.redis.results()] == [State.SENT]
    assert len(whole.smsc.submits) == 1
    assert [result.outcome for result in whole.redis.results()] == [Outcome.ACCEPTED]


async def test_a_drain_that_is_not_waited_for_leaves_its_intents_for_the_next_owner() -> None:
    whole = Whole()
    whole.smsc.answers = lambda pdu: None
    whole.redis.admit(message(1))
    async with running(whole) as owner:
        await until(lambda: whole.smsc.submits)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await owner.drain()
    assert not whole.redis.turn_records
    assert list(whole.redis.open.values()) == [{b"0.0": b"i0"}]


async def test_a_changed_password_is_used_at_once() -> None:
    whole = Whole()
    async with running(whole) as owner:
        await until(lambda: owner.figures.binds_bound == 1)
        owner.reconfigure(profile(password="other"))
        await until(lambda: len(whole.smsc.binds) == 2)
        await until(lambda: owner.figures.binds_bound == 1)


async def test_quirk_5_receipts_are_read_by_the_changed_profile_at_once() -> None:
    whole = Whole()
    whole.smsc.answers = lambda pdu: (0, b"abc")
    whole.redis.admit(message(1))
    async with running(whole) as owner:
        await until(lambda: whole.redis.turn_records)
        owner.reconfigure(profile(receipt_by_text_alone=True))
        text = format_receipt(b"abc", submit_ms=NOW_MS, done_ms=NOW_MS, stat=b"DELIVRD")
        whole.smsc.deliver(DeliverSm(short_message=text), 1)
        await until(lambda: whole.smsc.deliver_answers)
    assert whole.redis.states == {FIRST_ID + 1: State.DELIVERED}


async def test_a_receipt_right_behind_its_answer_is_not_parked() -> None:
    whole = Whole()

    def answer_and_report(pdu: object) -> tuple[int, bytes]:
        text = format_receipt(b"abc", submit_ms=NOW_MS, done_ms=NOW_MS, stat=b"DELIVRD")
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: whole.smsc.deliver(DeliverSm(esm_class=4, short_message=text), 1))
        return 0, b"abc"

    whole.smsc.answers = answer_and_report
    whole.redis.admit(message(1))
    async with running(whole) as owner:
        await until(lambda: whole.smsc.deliver_answers)
        assert owner.figures.receipts_parked == 0
    assert whole.redis.states == {FIRST_ID + 1: State.DELIVERED}
