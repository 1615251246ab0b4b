"""Dead letters of webhooks: listed and sent once more by operators, and what waits is there after a recovery."""

from __future__ import annotations

from datetime import UTC, datetime

from smscd.admin.dead_callbacks import DeadCallbacks
from smscd.archive.partitions_task import DELIVERIES_KEPT_MS
from smscd.core.upstream import Upstream
from storage.postgres.configuration import add_upstream
from storage.postgres.installation import install
from storage.postgres.pool import Connection
from storage.postgres.webhooks import forget_deliveries
from storage.redis.outbox import HookFeed
from tests.integration.journal_fake import (
    NOW_MS,
    FakeJournal,
    delivered_callback,
    inbound,
    message,
    message_id,
    receipt,
    sent,
)
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.recovery_fixture import recovery, silent
from tests.integration.webhook_rig import DAY_MS, KEYS, WebhookRig, callback, webhook_rig
from tests.integration.writer_fixture import write_all

pytest_plugins = ("tests.integration.postgres_fixture",)

LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC)


async def record(rig: WebhookRig, *, dead: bool) -> list[int]:
    """Two messages with a URL of their own, one without, and one from a phone; told of in vain, or not yet."""
    journal = FakeJournal()
    url = rig.to("/status/204?own&token=x")
    own = [message(message_id(NOW_MS, number), account="acme", via=2, callback_url=url) for number in (1, 2)]
    bare = message(message_id(NOW_MS, 3), account="acme", via=2)
    phone = inbound(message_id(NOW_MS, 4), NOW_MS, account="acme", via=2)
    records = [*own, bare]
    journal.append(b"A", records)
    journal.append(b"T", [sent(one, NOW_MS + 5) for one in records])
    journal.append(b"R", [receipt(one, NOW_MS + 9) for one in records], b"222")
    journal.append(b"M", [phone])
    if dead:
        ends = [delivered_callback(one, NOW_MS + 20, outcome=2, attempts=10) for one in own]
        journal.append(b"C", [*ends, delivered_callback(own[0], NOW_MS + 20, outcome=2, id=phone.id, kind=2)])
    await write_all(rig.dsn, journal)
    return [one.id for one in (*records, phone)]


async def test_dead_letters_are_listed_and_sent_once_more(
    valkey_url: str, record_database: RecordDatabase, owner: Connection, daemon: Connection
) -> None:
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        ids = await record(rig, dead=True)
        await owner.execute("UPDATE journal_offsets SET last_id = '0-0'")
        made = await rig.make("/status/410", events=["message.delivered"])
        await rig.deliver()
        rig.write()
        await rig.add(callback(1))
        work = DeadCallbacks(daemon, HookFeed(KEYS, rig.link()))

        async def listed(**which: object) -> list[dict[str, object]]:
            options = {"account": None, "message_id": None, "limit": 100, **which}
            return [one.shown() for one in await work.listed(LONG_AGO, **options)]  # type: ignore[arg-type]

        async def are_there() -> bool:
            return len(await listed()) == 4

        await rig.until(are_there)
        found = await listed()
        assert [one["event"] for one in found[1:]] == [
            f"msg_{ids[0]}_delivered", f"msg_{ids[1]}_delivered", f"mo_{ids[3]}",
        ]  # fmt: skip
        assert (found[0]["to"], found[0]["error"], found[0]["attempts"]) == (made["id"], "status 410", 1)
        assert found[1]["to"] == f"http://127.0.0.1:{rig.receiver_port}/..."
        assert [one["event"] for one in await listed(message_id=ids[1])] == [f"msg_{ids[1]}_delivered"]
        assert (await listed(account="other"), len(await listed(limit=2))) == ([], 2)

        await rig.ask("PATCH", f"/{made['id']}", {"url": rig.to("/status/204?all"), "enabled": True, "events": ["*"]})
        everything = await work.listed(LONG_AGO, account="acme", message_id=None, limit=100)
        assert await work.replay(everything, "cli:test") == 4
        await rig.until(lambda: len(rig.requests("/status/204")) == 4)
        assert {request["id"] for request in rig.requests("/status/204?all")} == {found[0]["event"], found[3]["event"]}
        assert len(rig.requests("/status/204?own")) == 2

        async def are_gone() -> bool:
            return not await listed()

        await rig.until(are_gone)
        rows = await daemon.fetch("SELECT callbacks_open, callback_state FROM messages WHERE id = ANY ($1)", ids)
        assert sorted((row["callbacks_open"], row["callback_state"]) for row in rows) == [
            (0, 2),
            (0, 2),
            (0, 2),
            (1, 1),
        ]
        logged = await owner.fetchrow("SELECT operator, action, subject FROM audit_log")
        assert tuple(logged) == ("cli:test", "callback.replay", "acme")
        assert await work.replay([], "cli:test") == 0


async def test_recovery_restores_what_waits_for_each_endpoint_with_its_schedule(
    valkey_url: str, record_database: RecordDatabase, owner: Connection, daemon: Connection
) -> None:
    await install(owner)
    await add_upstream(owner, Upstream(id="carrier", host="h", port=1, system_id="s", password="p"))
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        rig.chance = lambda: 0.0
        ids = await record(rig, dead=False)
        await owner.execute("UPDATE journal_offsets SET last_id = '0-0'")
        bad, good = await rig.make("/status/500"), await rig.make("/status/204?good")
        await rig.deliver()
        rig.write()
        told = callback(1)
        told.id = ids[2]
        await rig.add(told)
        row = await rig.until(lambda: first(rig, bad, "pending", 1))
        await rig.until(lambda: first(rig, good, "delivered", 1))
        await rig.kill()
        due = await rig.links[0].command("ZRANGE", KEYS.hooks_later, 0, -1, "WITHSCORES")
        async with recovery(valkey_url, record_database, is_forced=True) as work:
            report = await work.run(silent)
        assert report.callbacks_webhook == 4
        assert await rig.links[0].command("ZRANGE", KEYS.hooks_later, 0, -1, "WITHSCORES") == due
        rig.ahead_ms = 10 * DAY_MS
        await rig.ask("PATCH", f"/{bad['id']}", {"url": rig.to("/status/204?bad")})
        await rig.deliver()
        rig.write()
        ended = await rig.until(lambda: first(rig, bad, "delivered", 2, row["event_id"]))
        assert ended["event_id"] == row["event_id"] == f"msg_{ids[2]}_delivered"
        assert [request["id"] for request in rig.requests("/status/204?good")].count(row["event_id"]) == 1

        async def is_over() -> bool:
            return not await daemon.fetchval("SELECT sum(abs(callbacks_open)) FROM messages")

        await rig.until(is_over)
        assert len(rig.requests("/status/204?own")) == 2


async def test_what_became_of_events_is_forgotten_after_a_month(
    valkey_url: str, record_database: RecordDatabase, daemon: Connection
) -> None:
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        made = await rig.make()
        await rig.deliver()
        rig.write()
        for ahead_ms in (0, 40 * DAY_MS):
            rig.ahead_ms = ahead_ms
            await rig.add(callback(1, now_ms=rig.now_ms()))
            await rig.until(lambda: first(rig, made, "delivered", 1))
            await rig.until(lambda at=ahead_ms: rig.figures.delivered == (2 if at else 1))  # type: ignore[misc]

        async def are_recorded() -> bool:
            return len(await rig.deliveries(made)) == 2

        await rig.until(are_recorded)
        assert await forget_deliveries(daemon, rig.now_ms() - DELIVERIES_KEPT_MS) == 1
        assert len(await rig.deliveries(made)) == 1


async def first(
    rig: WebhookRig, endpoint: dict[str, object], status: str, attempt: int, event: str | None = None
) -> dict[str, object] | None:
    """The newest delivery of an endpoint, or that of an event, once it stands so."""
    rows = await rig.deliveries(endpoint)
    return next(
        (
            row
            for row in rows
            if (row["status"], row["attempt"]) == (status, attempt) and event in (None, row["event_id"])
        ),
        None,
    )
