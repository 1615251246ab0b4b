"""The warning of a low balance: once for each crossing, neither lost nor doubled, and shown on the metrics page."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from smscd.admin.low_balance import low_balance_samples
from smscd.archive.announcer import Announcer
from smscd.core.callback_records import CallbackKind, CallbackOutcome, CallbackRecord, CallbackResult
from smscd.core.callbacks import webhook_event
from smscd.core.directory import Account
from smscd.core.records import LedgerRecord
from storage.postgres import configuration
from storage.postgres import warnings as stored
from storage.redis.errors import StorageUnavailable
from storage.redis.outbox import HookFeed
from tests.integration.admin_rig import KEYS, LedgerRig, ledger_rig
from tests.integration.journal_fake import message, message_id
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import until

pytest_plugins = ("tests.integration.postgres_fixture",)

LOW = 1_000
_decode = msgspec.msgpack.Decoder(list[CallbackRecord]).decode


@pytest.fixture
async def rig(record_database: RecordDatabase, valkey_url: str) -> AsyncIterator[LedgerRig]:
    async with ledger_rig(record_database, valkey_url) as made:
        for name, url in (("low", "https://example.net/hook"), ("silent", None)):
            account = Account(id=name, credit_limit_micros=10_000, low_balance_micros=LOW, webhook_url=url)
            await configuration.add_account(made.database, account)
        yield made


def announcer(rig: LedgerRig) -> Announcer:
    return Announcer(HookFeed(KEYS, rig.link))


async def move(rig: LedgerRig, micros: int, account: str = "low") -> None:
    """Move a balance, by an order whose reference nobody asks for."""
    await rig.balances.top_up(LedgerRecord(account, "adjust", micros, f"m{time.monotonic_ns()}", 1))


async def hooks(rig: LedgerRig) -> list[CallbackRecord]:
    """The webhooks that are due."""
    entries = await rig.link.command("XRANGE", KEYS.hooks, "-", "+")
    return [record for _, fields in entries for record in _decode(fields[1])]


async def warned(rig: LedgerRig) -> list[tuple[str, int, bool, int]]:
    rows = await rig.database.fetch(
        "SELECT account, balance_micros, is_queued, callback_state FROM account_warnings ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def test_a_balance_that_falls_below_is_told_once_until_it_was_at_or_above_again(rig: LedgerRig) -> None:
    tell = announcer(rig)
    told = []
    for micros in (5_000, -4_000, -1, -500, 400, -400, 501, -1, -5_000, 9_000):
        await move(rig, micros)
        await rig.write(tell)
        told.append(len(await hooks(rig)))
    # 5000, 1000 (not below), 999 told, 499, 899, 499, 1000 (at it: armed), 999 told, -4001, 4999
    assert told == [0, 0, 1, 1, 1, 1, 1, 2, 2, 2]
    assert await warned(rig) == [("low", 999, True, 1), ("low", 999, True, 1)]


async def test_two_crossings_in_one_batch_are_two_warnings(rig: LedgerRig) -> None:
    for micros in (1_000, -1, 1, -1):
        await move(rig, micros)
    await rig.write(announcer(rig))
    assert len({record.id for record in await hooks(rig)}) == 2


async def test_messages_that_are_charged_cross_it_too(rig: LedgerRig) -> None:
    await move(rig, 1_500)
    now_ms = int(time.time() * 1000)
    records = [message(message_id(now_ms, number), account="low", price_micros=300) for number in range(2)]
    blob = msgspec.msgpack.encode(records)
    await rig.link.command("XADD", KEYS.journal, "*", "k", "A", "b", blob)
    await rig.write(announcer(rig))
    assert await warned(rig) == [("low", 900, True, 1)]
    [record] = await hooks(rig)
    entry = await rig.database.fetchval("SELECT id FROM ledger_entries WHERE kind = 'charge'")
    assert record.id == entry
    event = webhook_event(record)
    body = json.loads(event.body)
    assert (event.id, body["type"]) == (f"acct_{entry}", "account.low_balance")
    assert body["data"] == {
        "account": "low",
        "balance": {"amount": "0.0009", "currency": "EUR"},
        "low_balance": {"amount": "0.0010", "currency": "EUR"},
    }
    assert webhook_event(msgspec.structs.replace(record, attempt=3)) == event


async def test_an_account_without_a_url_or_without_a_limit_gets_no_webhook(rig: LedgerRig) -> None:
    for account in ("silent", "demo"):
        await move(rig, 2_000, account)
        await move(rig, -2_000, account)
    await rig.write(announcer(rig))
    assert await hooks(rig) == []
    assert await warned(rig) == [("silent", 0, True, 0)], "shown to the operator, and not due"


async def test_a_writer_that_ends_between_commit_and_webhook_loses_no_warning(rig: LedgerRig) -> None:
    await move(rig, 1_000)
    await move(rig, -1)
    await rig.write(None)  # it committed, and was killed then
    assert await hooks(rig) == [] and await warned(rig) == [("low", 999, False, 1)]
    await rig.write(announcer(rig))
    assert len(await hooks(rig)) == 1 and await warned(rig) == [("low", 999, True, 1)]
    await rig.write(announcer(rig))
    assert len(await hooks(rig)) == 1


async def test_a_writer_that_ends_between_webhook_and_its_note_tells_again_under_the_same_id(
    rig: LedgerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await move(rig, 1_000)
    await move(rig, -1)

    async def killed(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("smscd.archive.announcer.mark_queued", killed)
        with pytest.raises(asyncio.CancelledError):
            await rig.write(announcer(rig))
    await rig.write(announcer(rig))
    first, again = await hooks(rig)
    assert webhook_event(first) == webhook_event(again)


async def test_a_redis_that_takes_no_webhook_holds_up_neither_the_writer_nor_the_warning(rig: LedgerRig) -> None:
    """At the limit of its memory Redis refuses to add, and only the writer can make room."""

    class Full:
        refusals = 0

        async def push(self, records: list[bytes]) -> None:
            if self.refusals < 2:
                self.refusals += 1
                raise StorageUnavailable("OOM")
            await HookFeed(KEYS, rig.link).push(records)

    full = Full()
    writing = asyncio.create_task(rig.writer(Announcer(full)).run())
    await move(rig, 1_000)
    await move(rig, -1)

    async def told() -> bool:
        return len(await hooks(rig)) == 1

    await until(told, 10)
    assert full.refusals == 2 and rig.observed.errors == []
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_a_redis_that_refuses_to_write_is_unavailable_to_who_pushes(rig: LedgerRig) -> None:
    await rig.link.command("SET", KEYS.hooks, "no stream")
    with pytest.raises(StorageUnavailable):
        await HookFeed(KEYS, rig.link).push([b"\x90"])


async def test_how_its_webhook_ended_is_noted_and_touches_no_message(rig: LedgerRig) -> None:
    await move(rig, 1_000)
    await move(rig, -1)
    await move(rig, 1)
    await move(rig, -1)
    await rig.write(announcer(rig))
    first, second = await hooks(rig)
    # A message that has the very number of the entry: ids of both are made of time, place and a count.
    await rig.link.command(
        "XADD", KEYS.journal, "*", "k", "A", "b", msgspec.msgpack.encode([message(first.id, account="demo")])
    )
    kind = int(CallbackKind.LOW_BALANCE)
    results = [
        CallbackResult(first.id, kind, "low", int(CallbackOutcome.DELIVERED), 1_795_000_000_000, 1),
        CallbackResult(second.id, kind, "low", int(CallbackOutcome.DEAD), 1_795_000_000_000, 10, "status 500"),
    ]
    await rig.link.command("XADD", KEYS.journal, "*", "k", "C", "b", msgspec.msgpack.encode(results))
    await rig.write(announcer(rig))
    assert [state for *_, state in await warned(rig)] == [2, 3]
    assert await rig.database.fetchval("SELECT callbacks_open FROM messages WHERE id = $1", first.id) == 0
    assert await rig.database.fetchval("SELECT count(*) FROM message_events") == 0
    assert await rig.database.fetchval("SELECT callback_attempts FROM account_warnings WHERE id = $1", second.id) == 10


async def test_the_metrics_page_has_those_with_a_limit_and_no_others(rig: LedgerRig) -> None:
    for account in ("low", "demo"):
        await move(rig, 1_000, account)
    found = await low_balance_samples(rig.database, rig.balances)
    assert [(sample.labels, sample.value) for sample in found] == [(("low",), 0.0), (("silent",), 1.0)]
    await move(rig, -1)
    assert (await low_balance_samples(rig.database, rig.balances))[0].value == 1.0
    await rig.database.close()
    assert await low_balance_samples(rig.database, rig.balances) == []


async def test_the_limit_is_read_as_it_is_when_the_entry_is_written(rig: LedgerRig) -> None:
    await move(rig, 3_000)
    await rig.database.execute("UPDATE accounts SET low_balance_micros = 2000 WHERE id = 'low'")
    await move(rig, -1_500)
    await rig.write(announcer(rig))
    rows = await stored.thresholds(rig.database, 10)
    assert rows == {"low": 2_000, "silent": LOW}
    assert await rig.database.fetchval("SELECT low_balance_micros FROM account_warnings") == 2_000
