"""/v1/webhooks over real HTTP: each documented answer, and what the endpoints get."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from smscd.core.records import State
from smscd.core.webhook_events import ENDPOINTS_MAX, OLD_SECRETS_MAX
from storage.postgres.pool import connect
from tests.integration.journal_fake import NOW_MS, FakeJournal, message, message_id, receipt, sent
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.webhook_rig import DAY_MS, KEYS, SECRET, WebhookRig, callback, webhook_rig
from tests.integration.writer_fixture import write_all

pytest_plugins = ("tests.integration.postgres_fixture",)


def verified(request: dict[str, Any], secret: str) -> dict[str, Any]:
    """What the official package makes of a request."""
    headers = {
        "webhook-id": request["id"],
        "webhook-timestamp": request["timestamp"],
        "webhook-signature": request["signature"],
    }
    found: dict[str, Any] = Webhook(secret).verify(request["body"], headers)
    return found


def errors(reply: Any) -> dict[str, str]:
    """By pointer."""
    return {error["pointer"]: error["detail"] for error in reply.json["errors"]}


async def test_an_endpoint_is_made_shown_changed_and_deleted(valkey_url: str, record_database: RecordDatabase) -> None:
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        assert (await rig.ask("GET")).json == {"data": []}
        reply = await rig.ask("POST", "", {"url": "https://app.example/in", "events": ["message.*"]})
        made = reply.json
        assert reply.status == 201
        assert reply.headers["location"] == f"/v1/webhooks/{made['id']}"
        assert made.pop("secret").startswith("whsec_")
        assert (made["url"], made["events"], made["enabled"], made["disabled_reason"], made["secrets"]) == (
            "https://app.example/in", ["message.*"], True, None, 1,
        )  # fmt: skip
        path = f"/{made['id']}"
        assert (await rig.ask("GET", path)).json == made
        assert (await rig.ask("GET")).json == {"data": [made]}
        assert [endpoint.url for endpoint in rig.directory().endpoints.of("acme")] == ["https://app.example/in"]

        changes = {"url": "https://app.example/2", "events": ["*"], "description": "two", "enabled": False}
        changed = (await rig.ask("PATCH", path, changes)).json
        assert {**changes, "disabled_reason": "requested"}.items() <= changed.items()
        assert not rig.directory().endpoints.of("acme")[0].is_enabled
        enabled = (await rig.ask("PATCH", path, {"enabled": True})).json
        assert (enabled["enabled"], enabled["disabled_reason"], enabled["url"], enabled["description"]) == (
            True, None, "https://app.example/2", "two",
        )  # fmt: skip
        assert (await rig.ask("PATCH", path, {"description": None})).json["description"] is None

        for method, below in [
            ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test"), ("GET", "/deliveries"),
            ("POST", "/deliveries/msg_1_delivered/replay"),
        ]:  # fmt: skip
            body = {} if method == "PATCH" else None
            for account, number in (("other", made["id"]), ("acme", "17"), ("acme", "0x"), ("acme", "9" * 19)):
                reply = await rig.ask(method, f"/{number}{below}", body, account=account)
                assert (reply.status, reply.json["code"]) == (404, "not_found"), (method, below, number)
        assert (await rig.ask("GET", path)).status == 200
        deleted = await rig.ask("DELETE", path)
        assert (deleted.status, deleted.json) == (200, {"id": made["id"], "deleted": True})
        assert (await rig.ask("GET", path)).status == 404
        assert rig.directory().endpoints.of("acme") == []


async def test_what_is_not_valid_is_refused_with_every_field_at_fault(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        bad = {"url": "ftp://x", "events": ["message.lost"], "description": "a\nb", "secret": "mine"}
        reply = await rig.ask("POST", "", bad)
        assert (reply.status, reply.json["code"], sorted(errors(reply))) == (
            422, "validation_failed", ["/description", "/events", "/secret", "/url"],
        )  # fmt: skip
        assert errors(await rig.ask("POST", "", {})) == {"/url": "is required"}
        for body, found in [
            ([1], ""), ({"url": "https://" + "x" * 2_050}, "/url"), ({"url": "https://x/", "events": []}, "/events"),
            ({"url": "https://x/", "description": "x" * 201}, "/description"), ({"url": "https://[x/"}, "/url"),
        ]:  # fmt: skip
            assert list(errors(await rig.ask("POST", "", body))) == [found], body
        twice = await rig.ask("POST", raw=b'{"url": "https://x/", "url": "https://x/"}')
        assert twice.status in (201, 422)
        for raw, code in ((b"{", "malformed_json"), (b'"\xff"', "malformed_json")):
            reply = await rig.ask("POST", raw=raw)
            assert (reply.status, reply.json["code"]) == (400, code)
        reply = await rig.ask("POST", raw=b"{" + b" " * 20_000 + b"}")
        assert (reply.status, reply.json["code"]) == (413, "content_too_large")
        made = await rig.make()
        path = f"/{made['id']}"
        assert sorted(errors(await rig.ask("PATCH", path, {"enabled": 1, "url": None, "x": 0}))) == [
            "/enabled", "/url", "/x",
        ]  # fmt: skip
        assert list(errors(await rig.ask("POST", f"{path}/rotate", {"overlap": 604_801}))) == ["/overlap"]
        reply = await rig.ask("GET", f"{path}/deliveries?limit=0&cursor=x&status=dead")
        assert sorted(errors(reply)) == ["/cursor", "/limit", "/status"]
        for method, below, allowed in [
            ("PUT", "", "GET, HEAD, POST"), ("POST", path, "DELETE, GET, HEAD, PATCH"), ("GET", f"{path}/test", "POST"),
            ("POST", f"{path}/deliveries", "GET, HEAD"),
        ]:  # fmt: skip
            reply = await rig.ask(method, below)
            assert (reply.status, reply.headers["allow"]) == (405, allowed)
        assert (await rig.ask("GET", account="nobody")).status == 401

        while (reply := await rig.ask("POST", "", {"url": "https://x.example/"})).status == 201:
            pass
        assert (reply.status, reply.json["code"]) == (409, "too_many_webhooks")
        assert len((await rig.ask("GET")).json["data"]) == ENDPOINTS_MAX
        assert (await rig.ask("POST", "", {"url": "https://x.example/"}, account="other")).status == 201

    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        rig.changes_at_once = 1
        http = await rig.serve()
        assert (await rig.ask("PATCH", "/1", {})).status == 404
        for method, below, body in (
            ("PATCH", "/1", {}), ("POST", "", {"url": "https://x.example/"}), ("DELETE", "/1", None),
            ("POST", "/1/rotate", None),
        ):  # fmt: skip
            reply = await rig.ask(method, below, body)
            assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (429, "rate_limited", "2")
        await http.stop()


async def test_a_message_goes_to_every_endpoint_that_wants_it_and_the_official_package_verifies(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        everything = await rig.make("/status/204?all")
        failed = await rig.make("/status/204?failed", events=["message.failed", "message.received"])
        await rig.make("/status/204?foreign", account="other")
        await rig.deliver()
        rig.write()
        own = callback(3, url=rig.to("/status/204?own"))
        await rig.add(callback(1), callback(2, state=State.FAILED), own)
        await rig.until(lambda: len(rig.requests()) == 4)
        by_path = {path: rig.requests(path) for path in ("/status/204?all", "/status/204?failed", "/status/204?own")}
        assert [len(found) for found in by_path.values()] == [2, 1, 1]
        assert [verified(request, everything["secret"])["type"] for request in by_path["/status/204?all"]] == [
            "message.delivered", "message.failed",
        ]  # fmt: skip
        assert verified(by_path["/status/204?failed"][0], failed["secret"])["data"]["client_ref"] == "order-2"
        assert verified(by_path["/status/204?own"][0], SECRET)["data"]["client_ref"] == "order-3"
        with pytest.raises(WebhookVerificationError):
            verified(by_path["/status/204?failed"][0], everything["secret"])

        await rig.until(lambda: _has(rig, everything, 2))
        rows = await rig.deliveries(everything)
        assert {(row["type"], row["status"], row["attempt"], row["response_code"]) for row in rows} == {
            ("message.delivered", "delivered", 1, 204), ("message.failed", "delivered", 1, 204),
        }  # fmt: skip
        assert {row["event_id"] for row in rows} == {request["id"] for request in by_path["/status/204?all"]}
        assert all(row["next_attempt_at"] is None and row["error"] is None for row in rows)

        first = await rig.ask("GET", f"/{everything['id']}/deliveries?limit=1")
        second = await rig.ask("GET", f"/{everything['id']}/deliveries?limit=1&cursor={first.json['next_cursor']}")
        third = await rig.ask("GET", f"/{everything['id']}/deliveries?limit=1&cursor={second.json['next_cursor']}")
        assert [first.json["data"], second.json["data"], third.json] == [
            rows[:1], rows[1:], {"data": [], "next_cursor": None},
        ]  # fmt: skip


async def _has(rig: WebhookRig, endpoint: dict[str, Any], count: int, status: str = "") -> bool:
    rows = await rig.deliveries(endpoint)
    return len([row for row in rows if not status or row["status"] == status]) >= count


async def test_a_rotated_secret_signs_beside_the_old_one_until_that_runs_out(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        made = await rig.make()
        path = f"/{made['id']}"
        reply = await rig.ask("POST", f"{path}/rotate")
        assert (reply.status, reply.json["secrets"], reply.headers["cache-control"]) == (200, 2, "no-store")
        new = reply.json["secret"]
        await rig.deliver()
        await rig.add(callback(1))
        await rig.until(lambda: len(rig.requests()) == 1)
        for secret in (made["secret"], new):
            assert verified(rig.requests()[0], secret)["type"] == "message.delivered"
        assert (await rig.ask("POST", f"{path}/test")).json["delivered"]
        for secret in (made["secret"], new):
            assert verified(rig.requests()[1], secret)["type"] == "webhook.test"

        rig.ahead_ms = DAY_MS + 1_000
        await rig.add(callback(2))
        await rig.until(lambda: len(rig.requests()) == 3)
        assert len(rig.requests()[2]["signature"].split(" ")) == 1
        assert (await rig.ask("GET", path)).json["secrets"] == 1

        for _ in range(OLD_SECRETS_MAX):
            assert (await rig.ask("POST", f"{path}/rotate", {"overlap": 3_600})).status == 200
        reply = await rig.ask("POST", f"{path}/rotate", {"overlap": 60})
        assert (reply.status, reply.json["code"]) == (409, "too_many_secrets")
        reply = await rig.ask("POST", f"{path}/rotate", {"overlap": 0})
        assert (reply.status, reply.json["secrets"]) == (200, 1)


async def test_a_test_event_says_how_the_receiver_took_it(valkey_url: str, record_database: RecordDatabase) -> None:
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        made = await rig.make("/slow/0.05", events=["message.received"])
        path = f"/{made['id']}"
        found = (await rig.ask("POST", f"{path}/test")).json
        assert (found["type"], found["delivered"], found["response_code"], found["error"]) == (
            "webhook.test", True, 204, None,
        )  # fmt: skip
        assert 50 <= found["milliseconds"] < 2_000
        assert rig.requests()[0]["id"] == found["event_id"]
        assert verified(rig.requests()[0], made["secret"])["data"] == {"endpoint": made["id"]}
        for to, code, error in [
            ("/status/500", 500, None), ("/redirect", 302, None), ("/drop", None, "connection lost"),
        ]:  # fmt: skip
            await rig.ask("PATCH", path, {"url": rig.to(to), "enabled": False})
            found = (await rig.ask("POST", f"{path}/test")).json
            assert (found["delivered"], found["response_code"], found["error"]) == (False, code, error)
        await rig.ask("PATCH", path, {"url": rig.to("/hang")})
        both = [asyncio.create_task(rig.ask("POST", f"{path}/test")) for _ in range(2)]
        await rig.until(lambda: len(rig.requests("/hang")) == 2)
        busy = await rig.ask("POST", f"{path}/test")
        assert (busy.status, busy.json["code"], busy.headers["retry-after"]) == (503, "busy", "1")
        assert {(await one).json["error"] for one in both} == {"time-out"}
        assert len(rig.requests("/status/200")) == 0  # the redirect was not followed


async def test_gone_disables_the_endpoint_and_what_waits_becomes_dead_letters_that_can_be_replayed(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        rig.chance = lambda: 0.0
        made = await rig.make("/flaky/503/1")
        other = await rig.make("/status/204")
        path = f"/{made['id']}"
        await rig.deliver()
        rig.write()
        await rig.add(callback(1))
        await rig.until(lambda: _has(rig, made, 1, "pending"))
        pending = (await rig.deliveries(made))[0]
        assert (pending["attempt"], pending["response_code"], pending["next_attempt_at"] is None) == (1, 503, False)
        await rig.ask("PATCH", path, {"url": rig.to("/status/410")})
        await rig.add(callback(2), callback(3))
        await rig.until(lambda: _has(rig, made, 3, "dead"))
        shown = (await rig.ask("GET", path)).json
        assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")
        assert len(rig.requests("/status/410")) in (1, 2)
        assert (await rig.deliveries(made))[-1]["error"] == "endpoint disabled"
        await rig.until(lambda: _has(rig, other, 3, "delivered"))
        await rig.tell()
        await rig.add(callback(4))
        await rig.until(lambda: _has(rig, other, 4, "delivered"))
        assert len(rig.requests("/status/410")) in (1, 2)

        replayed = await rig.ask("POST", f"{path}/deliveries/{pending['event_id']}/replay")
        assert (replayed.status, replayed.json["status"]) == (202, "pending")
        await rig.until(lambda: _has(rig, made, 3, "dead"))
        await rig.ask("PATCH", path, {"url": rig.to("/status/200"), "enabled": True})
        for row in await rig.deliveries(made):
            reply = await rig.ask("POST", f"{path}/deliveries/{row['event_id']}/replay")
            assert reply.status == 202
        await rig.until(lambda: _has(rig, made, 3, "delivered"))
        assert {request["id"] for request in rig.requests("/status/200")} == {
            row["event_id"] for row in await rig.deliveries(made)
        }
        reply = await rig.ask("POST", f"{path}/deliveries/msg_1_delivered/replay")
        assert (reply.status, reply.json["code"]) == (404, "not_found")


async def test_open_callbacks_are_counted_by_endpoint_and_survive_a_kill(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    """A message's callbacks_open is 0 when all have ended, however many its one callback became."""
    journal = FakeJournal()
    records = [message(message_id(NOW_MS, number), account="acme", via=2) for number in range(3)]
    journal.append(b"A", records)
    journal.append(b"T", [sent(record, NOW_MS + 5) for record in records])
    journal.append(b"R", [receipt(record, NOW_MS + 9) for record in records], b"222")
    await write_all(record_database.dsn, journal)
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        rig.chance = lambda: 0.0
        slow, quick = await rig.make("/slow/0.3"), await rig.make("/flaky/503/1")
        told = [callback(0) for _ in records]
        for one, record in zip(told, records, strict=True):
            one.id = record.id
        await rig.deliver()
        await rig.add(*told)
        await rig.until(lambda: len(rig.requests("/slow")) == 3 and len(rig.requests("/flaky")) == 3)
        await rig.kill()
        await rig.links[0].command("DEL", KEYS.session("hooks"))
        rig.ahead_ms = 120_000
        await rig.deliver()
        await rig.until(lambda: len(rig.requests("/slow")) >= 6 and len(rig.requests("/flaky")) >= 6)
        connection = await connect(record_database.dsn, name="test")

        async def opened() -> list[int]:
            rows = await connection.fetch("SELECT callbacks_open FROM messages ORDER BY id")
            return [row["callbacks_open"] for row in rows]

        async def journal_is_from_redis() -> None:
            await connection.execute("UPDATE journal_offsets SET last_id = '0-0'")

        try:
            assert await opened() == [1, 1, 1]
            await journal_is_from_redis()
            rig.write()
            await rig.until(lambda: _has(rig, slow, 3, "delivered"))
            await rig.until(lambda: _has(rig, quick, 3, "delivered"))
            assert await opened() == [0, 0, 0]
            states = await connection.fetch("SELECT DISTINCT callback_state FROM messages")
            assert [row["callback_state"] for row in states] == [2]
        finally:
            await connection.close()
        assert await rig.links[0].command("ZCARD", KEYS.hooks_later) == 0
        assert await rig.links[0].command("XLEN", KEYS.hooks) == 0
