"""Queues whose tail waits in PostgreSQL, and messages that wait for their time, on real servers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import msgspec
import pytest

from smscd.core.records import MessageRecord, State
from smscd.ingress.changes import Change
from storage.postgres.installation import install
from storage.postgres.messages import StoredMessage, record_of
from storage.postgres.overflow import OverflowTable
from storage.postgres.pool import Connection
from storage.redis.admission import Refusal
from tests.integration.egress_rig import KEYS, PRICE, wall_ms
from tests.integration.overflow_rig import BALANCE, IN_REDIS_MAX, OverflowRig, overflow_rig, until
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.recovery_fixture import raw, recovery, silent

pytest_plugins = ("tests.integration.postgres_fixture",)

HOUR_MS = 3_600_000


@pytest.fixture
async def rig(valkey_url: str, record_database: RecordDatabase) -> AsyncIterator[OverflowRig]:
    async with overflow_rig(valkey_url, record_database.dsn) as made:
        yield made


async def test_a_carrier_that_was_down_gets_everything_in_order_and_redis_held_little(rig: OverflowRig) -> None:
    """The role that brings them back is killed again and again: once each, in order, and the money is right."""
    await rig.bring()
    sent: dict[str, list[int]] = {"acme": [], "other": []}
    for account, messages in (("acme", 1_500), ("other", 300), ("acme", 1_200)):
        sent[account] += await rig.admit(messages, account)
        assert await rig.queued() <= IN_REDIS_MAX + 2 * 100
    await rig.serve()
    chance = random.Random(7)
    for _ in range(12):
        await asyncio.sleep(chance.random() * 0.05)
        await rig.kill_bringing()
        await rig.bring()
        assert await rig.queued() <= IN_REDIS_MAX + 2 * 100
    await until(rig.is_at_rest, 30)
    assert sorted(rig.sent()) == sorted(sent["acme"] + sent["other"])
    for account, ids in sent.items():
        mine = set(ids)
        assert _backward([number for number in rig.sent() if number in mine]) == 0, account
    await rig.assert_ledger_agrees()
    left = {name.decode() for name in await rig.redis.command("KEYS", "*")}
    assert not {KEYS.overflow} & left and not [name for name in left if ":q:" in name or ":ready:" in name]


async def test_neither_a_code_nor_another_account_waits_behind_the_tail_of_a_bulk_run(rig: OverflowRig) -> None:
    bulk = await rig.admit(2_000)
    await until(lambda: _reaches(rig.rows, 2_000 - IN_REDIS_MAX))
    code = await rig.admit(1, "otp", priority=0)
    small = await rig.admit(1, "other")
    assert (await rig.depth())[1] == 2_000 - IN_REDIS_MAX
    await rig.bring()
    await rig.serve()
    await until(lambda: _value(len(rig.taken) >= 400))
    order = rig.sent()
    assert order.index(code[0]) <= 50 and order.index(small[0]) <= 150
    again = await rig.admit(1, "otp", priority=0)
    await until(rig.is_at_rest, 30)
    assert rig.sent().index(again[0]) < 1_900
    assert [number for number in rig.sent() if number in set(bulk)] == bulk


async def test_what_waits_in_postgres_is_cancelled_replaced_and_expired_like_the_rest(rig: OverflowRig) -> None:
    ids = await rig.admit(400)
    expired = await rig.admit(3, valid_until_ms=wall_ms() + 50)
    await until(lambda: _reaches(rig.rows, 400 + 3 - IN_REDIS_MAX))
    egress = await rig.serve(port=1)
    assert await rig.changes.cancel("acme", ids[-1]) is Change.DONE
    assert await rig.changes.cancel("acme", ids[-1]) is Change.DONE
    assert await rig.changes.replace("acme", ids[-2], _other_text) is Change.DONE
    assert await rig.changes.cancel("acme", ids[0]) is Change.DONE
    assert await rig.balances.balance("acme") == BALANCE - 401 * PRICE
    assert await rig.state(ids[-1]) == State.CANCELED
    await egress.stop(0.1)
    await rig.bring()
    await rig.serve()
    await until(rig.is_at_rest, 30)
    texts = [pdu.short_message for pdu in rig.taken]
    assert texts.count(b"%d replaced" % ids[-2]) == 1 and len(texts) == 398
    assert not {ids[0], ids[-1]} & set(rig.sent())
    assert [await rig.state(message_id) for message_id in expired] == [State.EXPIRED] * 3
    assert not await rig.redis.command("EXISTS", KEYS.gone("carrier"))
    await rig.assert_ledger_agrees()


async def test_a_scheduled_message_is_sent_at_its_time_and_not_before(rig: OverflowRig) -> None:
    now_ms = wall_ms()
    at_ms = now_ms + 1_500
    (soon,) = await rig.admit(1, send_at_ms=at_ms)
    (hidden,) = await rig.admit(1, send_at_ms=now_ms + HOUR_MS + 60_000)
    (within,) = await rig.admit(1, send_at_ms=now_ms + HOUR_MS - 60_000)
    (at_once,) = await rig.admit(1)
    assert await rig.balances.balance("acme") == BALANCE - 4 * PRICE
    assert [await rig.state(one) for one in (soon, hidden, within)] == [State.SCHEDULED] * 3
    await rig.bring()
    await rig.serve()
    await until(lambda: _reaches(rig.rows, 1))
    await until(lambda: _value(soon in rig.sent()))
    assert at_ms <= wall_ms() <= at_ms + 5_000 and rig.sent() == [at_once, soon]
    await until(lambda: _reaches(rig.depth_alone, 2))
    assert await rig.depth() == (2, 1) and await rig.redis.command("ZCARD", KEYS.later("carrier")) == 1

    assert await rig.changes.cancel("acme", hidden) is Change.DONE
    assert await rig.changes.cancel("acme", within) is Change.DONE
    assert await rig.changes.cancel("acme", soon) is Change.LATE
    assert [await rig.state(one) for one in (hidden, within)] == [State.CANCELED] * 2
    assert await rig.balances.balance("acme") == BALANCE - 2 * PRICE
    await rig.assert_ledger_agrees()


async def test_a_scheduled_message_is_given_another_text_and_another_time(rig: OverflowRig) -> None:
    now_ms = wall_ms()
    (one,) = await rig.admit(1, send_at_ms=now_ms + HOUR_MS * 30)
    await rig.bring()
    egress = await rig.serve()
    assert await rig.changes.replace("acme", one, _other_text) is Change.DONE
    assert await rig.state(one) == State.SCHEDULED and not rig.taken
    await egress.stop(0.1)
    await rig.serve()
    at_ms = wall_ms() + 1_500
    assert await rig.changes.replace("acme", one, lambda found: _at(found, at_ms)) is Change.DONE
    assert await rig.state(one) == State.SCHEDULED
    await until(lambda: _value(bool(rig.taken)))
    assert wall_ms() >= at_ms and [pdu.short_message for pdu in rig.taken] == [b"%d replaced" % one]
    await until(lambda: _reaches(lambda: _value(rig.waiting["carrier"]), 1))


async def test_what_was_admitted_though_refused_is_paid_back_before_its_time(rig: OverflowRig) -> None:
    (one,) = await rig.admit(1, send_at_ms=wall_ms() + 30 * HOUR_MS)
    assert await rig.store.cancel([Refusal(one, "acme", "carrier", b"")]) == []
    await rig.bring()
    await rig.serve()
    await until(rig.is_at_rest)
    assert not rig.taken and await rig.state(one) == State.CANCELED
    assert await rig.balances.balance("acme") == BALANCE


async def test_a_lost_redis_is_built_again_around_what_waits_in_postgres(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    """What was never brought back waits on; what was, what ended and what was replaced is not taken from there."""
    await install(owner)
    now_ms = wall_ms()
    async with overflow_rig(valkey_url, record_database.dsn) as rig:
        ids = await rig.admit(400)
        (hidden,) = await rig.admit(1, send_at_ms=now_ms + HOUR_MS * 30)
        (within,) = await rig.admit(1, send_at_ms=now_ms + HOUR_MS // 2)
        (gone,) = await rig.admit(1, send_at_ms=now_ms + HOUR_MS * 30)
        await until(lambda: _reaches(rig.rows, 403 - IN_REDIS_MAX))
        await rig.serve(port=1)
        assert await rig.changes.cancel("acme", ids[-1]) is Change.DONE
        assert await rig.changes.cancel("acme", gone) is Change.DONE
        assert await rig.changes.replace("acme", ids[-2], _other_text) is Change.DONE
        taken = await OverflowTable(rig.pool).take(("carrier", 1, "acme"), after_ms=-1, until_ms=now_ms, limit=3)
        assert [row.message_id for row in taken] == ids[IN_REDIS_MAX : IN_REDIS_MAX + 3]
        await rig.bring()
        await until(lambda: _reaches(lambda: rig.redis.command("ZCARD", KEYS.later("carrier")), 1))
        await rig.kill_bringing()
        await rig.changes.catch_up()
    with raw(valkey_url) as store:
        store.flushall()
    async with recovery(valkey_url, record_database) as work:
        planned = await work.plan(silent)
        done = await work.run(silent)
    assert done == planned
    assert done.waiting["carrier"] == 401 and done.later == 1
    assert done.apart["carrier"] + done.doubtful["carrier"] + done.later == 401
    async with overflow_rig(valkey_url, record_database.dsn) as rig:
        assert await rig.depth() == (401, await rig.rows()) == (401, done.apart["carrier"])
        await rig.bring()
        await rig.serve()
        await until(lambda: _reaches(rig.depth_alone, 2))
        texts = [pdu.short_message for pdu in rig.taken]
        assert sorted(rig.sent()) == ids[:-1] and texts.count(b"%d replaced" % ids[-2]) == 1
        assert [await rig.state(one) for one in (hidden, within, gone)] == [State.SCHEDULED] * 2 + [State.CANCELED]
        flagged = await owner.fetchval("SELECT count(*) FROM messages WHERE maybe_duplicate")
        assert IN_REDIS_MAX <= flagged == done.doubtful["carrier"]
        await rig.assert_ledger_agrees()


def _other_text(found: StoredMessage) -> MessageRecord:
    return msgspec.structs.replace(record_of(found), segments=[b"%d replaced" % found.id])


def _at(found: StoredMessage, send_at_ms: int) -> MessageRecord:
    return msgspec.structs.replace(record_of(found), send_at_ms=send_at_ms)


def _backward(numbers: list[int]) -> int:
    """How often a number comes after a greater one."""
    return sum(later < earlier for earlier, later in pairwise(numbers))


async def _value(value: bool | int) -> bool | int:
    return value


async def _reaches(number: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await number() == wanted
