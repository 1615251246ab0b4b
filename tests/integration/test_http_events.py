"""GET /v1/inbound and /v1/events on a real Redis, PostgreSQL and carrier: what webhooks tell, and none left out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from redis import Redis

from protocols.smpp.longform import Piece
from smscd.core.callback_records import CallbackRecord
from smscd.core.callbacks import webhook_event
from smscd.core.directory import Account, MoNumber
from smscd.core.records import JournalKind, State
from smscd.ingress.http.queries import write_cursor
from storage.postgres.account_events import forget_events, read_events
from storage.postgres.configuration import add_account
from storage.postgres.pool import Connection
from tests.integration.gateway_rig import BALANCE, PRICE, Gateway, gateway
from tests.integration.http_rig import BODY, KEYS
from tests.integration.journal_fake import NOW_MS, FakeJournal, append_lives, message, message_id, receipt
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.test_joined_messages import deliver, parts_of
from tests.integration.writer_fixture import QUICK, until, write_all, writer_on
from tests.unit.smscd.ingress.http_fixture import errors_of
from tools.carrier.control import MoRequest, mo_delivery

pytest_plugins = ("tests.integration.postgres_fixture",)

NUMBERS = (MoNumber(number="777", account="acme", via="webhook"),)


async def events(rig: Gateway, query: str = "") -> Any:
    reply = await rig.http.get("/v1/events" + query)
    assert reply.status == 200, reply.body
    return reply.json


async def gathered(rig: Gateway, after: str, count: int) -> list[Any]:
    """Ask from `after` on, two at a time, until there are so many."""
    found: list[Any] = []

    async def are_there() -> bool:
        nonlocal after
        page = await events(rig, f"?after={after}&limit=2")
        found.extend(page["data"])
        after = page["next_after"]
        return len(found) >= count

    await until(are_there, 15)
    return found


def webhooks(url: str) -> dict[str, Any]:
    """What is queued for the webhook, by webhook-id, without the names that only a callback knows."""
    told: dict[str, Any] = {}
    with Redis.from_url(url) as redis:
        for _, fields in redis.xrange(KEYS.hooks):
            for record in msgspec.msgpack.decode(fields[b"b"], type=list[CallbackRecord]):
                record.parts_total = 0
                event = webhook_event(record)
                told[event.id] = msgspec.json.decode(event.body)
    return told


async def test_events_are_what_webhooks_tell_and_messages_from_phones_can_be_listed(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await add_account(owner, Account(id="acme", low_balance_micros=BALANCE - 3 * PRICE))
    async with gateway(valkey_url, record_database.dsn, numbers=NUMBERS) as rig:
        before = (await rig.http.send(BODY | {"to": "+447700900000"})).json["id"]
        await rig.recorded(int(before))
        first = await events(rig)
        assert (first["data"], first["has_more"]) == ([], False)

        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        ids = []
        for change in ({"to": "+447700900000"}, {"to": "+447700900001"}, {"send_at": later}):
            ids.append((await rig.http.send(BODY | change)).json["id"])
        assert (await rig.http.get(f"/v1/messages/{ids[2]}", method="DELETE")).status == 200
        rig.carrier.deliver(b"us", [mo_delivery(MoRequest("447700900999", "777", "Grüße"))])
        deliver(rig.carrier, b"777", *parts_of(Piece(b"x" * 400, 0)))

        found = await gathered(rig, first["next_after"], 6)
        shown = {event["id"]: event for event in found}
        states = zip(ids, ("delivered", "undelivered", "canceled"), strict=True)
        assert {f"msg_{number}_{state}" for number, state in states} < shown.keys()
        [warned] = [event for event in found if event["type"] == "account.low_balance"]
        assert warned["data"]["low_balance"]["amount"] == "0.9700"
        told = webhooks(valkey_url)
        del told[f"msg_{before}_delivered"]
        assert len(shown) == len(found) == 6
        assert {key: {**event, "id": None} for key, event in shown.items() if event is not warned} == {
            key: {**body, "id": None} for key, body in told.items()
        }
        assert (await events(rig, f"?after={first['next_after']}"))["data"] == found
        gone = await rig.http.get(f"/v1/events?after={write_cursor(2**62)}")
        assert (gone.status, gone.problem["code"]) == (410, "events_gone")
        assert set(errors_of(await rig.http.get("/v1/events?after=x&limit=0&status=sent"))) == {
            "/after", "/limit", "/status",
        }  # fmt: skip

        listed = (await rig.http.get("/v1/inbound")).json
        long, short = sorted(listed["data"], key=lambda each: each["text"])[::-1]
        assert (short["text"], short["from"], short["to"], listed["next_cursor"]) == (
            "Grüße", "+447700900999", "777", None,
        )  # fmt: skip
        assert (long["text"], long["encoding"]) == ("x" * 400, "gsm7")
        for each in (short, long):
            assert (await rig.http.get(f"/v1/inbound/{each['id']}")).json == each
            data = shown[f"mo_{each['id']}"]["data"]
            assert {name: data[name] for name in each if name != "received_at"} == {
                name: each[name] for name in each if name != "received_at"
            }
        assert [len((await rig.http.get(f"/v1/inbound?{query}")).json["data"]) for query in (
            "from=%2B447700900999", "from=1", "to=777", "created_before=2026-01-01", "limit=1",
        )] == [2, 0, 2, 0, 1]  # fmt: skip
        assert (await rig.http.get("/v1/inbound?status=queued")).status == 422
        for path in (f"/v1/inbound/{ids[0]}", "/v1/inbound/4711", "/v1/inbound/x"):
            assert (await rig.http.get(path)).status == 404


async def test_a_reader_beside_the_writer_sees_every_end_once_and_nobody_elses(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal, count = FakeJournal(), 600
    append_lives(journal, count, batch=20, step_ms=10)
    stranger = message(message_id(journal.now_ms, 1_000), account="other")
    journal.append(JournalKind.ADMITTED, [stranger])
    journal.append(JournalKind.RECEIPTS, [receipt(stranger, journal.now_ms)], b"2")
    page = await read_events(daemon, "demo", None, 10)
    assert (page.events, page.is_kept) == ([], True)
    writer = writer_on(record_database.dsn, journal, limits=replace(QUICK, batch_records=40))
    writer.drain()
    writing = asyncio.create_task(writer.run())
    seen, after = [], page.floor
    while True:
        is_last = writing.done()
        page = await read_events(daemon, "demo", after, 50)
        seen += page.events
        after = seen[-1].position if seen else after
        if is_last and not page.events:
            break
    rows = await daemon.fetch("SELECT id, state FROM messages WHERE account = 'demo' AND state >= 4 AND direction = 1")
    assert len(rows) > count // 2
    assert sorted((event.id, event.state) for event in seen) == sorted((row["id"], row["state"]) for row in rows)
    assert await daemon.fetchval("SELECT count(*) FROM account_events WHERE account <> 'demo'") == 0


async def test_a_receipt_after_the_end_is_no_event(record_database: RecordDatabase, daemon: Connection) -> None:
    await read_events(daemon, "demo", None, 1)
    journal = FakeJournal()
    record = message(message_id(NOW_MS, 1))
    journal.append(JournalKind.ADMITTED, [record])
    journal.append(JournalKind.RECEIPTS, [receipt(record, NOW_MS + 5)], b"2")
    await write_all(record_database.dsn, journal)
    failed = receipt(record, NOW_MS + 9, state=State.UNDELIVERED, stat=b"UNDELIV")
    journal.append(JournalKind.RECEIPTS, [failed], b"2")
    await write_all(record_database.dsn, journal)
    found = (await read_events(daemon, "demo", None, 10)).events
    assert [(event.id, event.state, event.stat, event.err) for event in found] == [
        (record.id, State.DELIVERED, b"DELIVRD", b"000")
    ]


async def test_what_is_not_kept_any_more_is_said_and_not_passed_over(
    record_database: RecordDatabase, daemon: Connection, owner: Connection
) -> None:
    journal = FakeJournal()
    start = (await read_events(daemon, "demo", None, 1)).floor
    append_lives(journal, 50, batch=10, step_ms=10)
    await write_all(record_database.dsn, journal)
    first, last = [(await read_events(daemon, "demo", None, 1_000)).events[end] for end in (0, -1)]
    week = timedelta(days=7)
    await owner.execute("UPDATE account_events SET at = now() - interval '8 days' WHERE position <= $1", first.position)
    assert await forget_events(daemon, datetime.now(UTC) - week) == 1
    for after, is_kept in ((start, False), (first.position - 1, False), (first.position, True), (2**62, False)):
        page = await read_events(daemon, "demo", after, 10)
        assert (page.is_kept, bool(page.events)) == (is_kept, is_kept)
    assert (await read_events(daemon, "demo", None, 1_000)).events[-1] == last

    await owner.execute("UPDATE account_event_readers SET asked_at = now() - interval '8 days'")
    await forget_events(daemon, datetime.now(UTC) - week)
    assert not (await read_events(daemon, "demo", last.position, 10)).is_kept
    assert not (await read_events(daemon, "demo", last.position, 10)).is_kept
    assert (await read_events(daemon, "demo", None, 10)).is_kept
