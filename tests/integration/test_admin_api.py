"""The admin API on its listener, with a real Redis, a real PostgreSQL and a writer that may be missing."""

from __future__ import annotations

import asyncio
import json
import time

import msgspec
import pytest

from smscd.admin import operators
from smscd.admin.api import BODY_BYTES_MAX
from smscd.admin.operators import UNKNOWN_SECONDS
from smscd.core.directory import Halt, Route
from smscd.core.upstream import Upstream
from storage.postgres import configuration
from storage.postgres.configuration import add_route, add_upstream, load_snapshot
from storage.postgres.overflow import insert_overflow
from storage.redis.keys import ID_EPOCH_MS, ID_TIME_SHIFT
from storage.redis.overflow import SCHEDULED_MARK
from tests.integration.admin_api_rig import METRICS_TOKEN, Api
from tests.integration.admin_rig import KEYS
from tests.integration.writer_fixture import until
from tests.unit.smscd.egress.doubles import message

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")


async def test_a_top_up_is_answered_when_the_ledger_has_it_and_happens_once(api: Api) -> None:
    async with api.rig.writing():
        status, made, headers = await api.pay(amount="12.50", reference="invoice 7", note="paid")
        again = await api.pay(amount_micros=12_500_000, reference="invoice 7")
    assert (status, made["status"], made["applied"], made["balance_micros"]) == (201, "committed", True, 12_500_000)
    assert (made["operator"], made["note"], made["kind"], made["currency"]) == ("ann", "paid", "topup", "EUR")
    assert made["ledger_entry"] == 1
    assert (again[0], again[1]) == (200, {**made, "applied": False})
    assert headers["Location"] == "/admin/v1/accounts/demo/topups/invoice%207"
    status, found, _ = await api.ask("GET", headers["Location"], by="ben")
    assert (status, found) == (200, {**made, "applied": False})


async def test_without_a_writer_it_is_202_pending_and_the_same_again_tells(api: Api) -> None:
    status, made, headers = await api.pay(amount="5", reference="r")
    assert (status, made["status"], made["applied"], made["ledger_entry"]) == (202, "pending", True, None)
    assert made["balance_micros"] == 5_000_000
    assert (await api.ask("GET", headers["Location"]))[1]["status"] == "pending"
    async with api.rig.writing():
        status, again, _ = await api.pay(amount="5", reference="r")
        assert (status, again["status"], again["applied"], again["balance_micros"]) == (
            200, "committed", False, 5_000_000,
        )  # fmt: skip
    assert (await api.ask("GET", headers["Location"]))[1]["status"] == "committed"


async def test_another_amount_or_account_under_the_same_reference_is_409(api: Api) -> None:
    await api.pay(amount="5", reference="r")
    for account, amount in (("demo", "6"), ("acme", "5")):
        status, refused, headers = await api.pay(account, amount=amount, reference="r")
        assert (status, refused["code"], refused["title"]) == (409, "reference_reused", "Conflict")
        assert "another order (topup of 5000000 micro-units for demo)" in refused["detail"]
        assert headers["Content-Type"] == "application/problem+json"
        assert refused["request_id"] == headers["X-Request-ID"]
    assert (await api.ask("GET", "/admin/v1/accounts/acme/topups/r"))[0] == 404


async def test_an_adjustment_below_the_floor_is_409_unless_it_is_forced(api: Api) -> None:
    order = {"kind": "adjust", "amount": "-0.0002", "reference": "a", "note": "why"}
    status, refused, _ = await api.pay("acme", **order)
    assert (status, refused["code"]) == (409, "below_floor")
    status, made, _ = await api.pay("acme", **order, force=True)
    assert (status, made["balance_micros"]) == (202, -200)


async def test_a_correction_names_what_it_corrects(api: Api) -> None:
    async with api.rig.writing():
        await api.pay(amount="5", reference="typo")
        order = {"kind": "correction", "amount": "-4.5", "note": "a zero too much"}
        assert (await api.pay(**order, reference="fix"))[0] == 422
        assert (await api.pay(**order, reference="fix", corrects="none"))[1]["code"] == "unknown_entry"
        status, made, _ = await api.pay(**order, reference="fix", corrects="typo")
    assert (status, made["corrects"], made["balance_micros"]) == (201, "typo", 500_000)


@pytest.mark.parametrize(
    ("body", "status", "code", "pointers"),
    [
        (b"{", 400, "malformed_json", []),
        (b"\xff", 400, "malformed_json", []),
        (b"[]", 422, "validation_failed", [""]),
        (b"{}", 422, "validation_failed", ["/reference"]),
        (b'{"reference": "r"}', 422, "validation_failed", ["/amount"]),
        (b'{"reference": "r", "amount": "1", "amount_micros": 1}', 422, "validation_failed", ["/amount"]),
        (b'{"reference": 7, "amount": 1.5, "kind": "gift", "x/y": 1}', 422, "validation_failed",
         ["/reference", "/amount", "/kind", "/x~1y"]),
        (b'{"reference": "r", "amount": "1.0000001"}', 422, "validation_failed", ["/amount"]),
        (b'{"reference": "r", "amount": "1e3"}', 422, "validation_failed", ["/amount"]),
        (b'{"reference": "r", "amount_micros": 1.5}', 422, "validation_failed", ["/amount_micros"]),
        (b'{"reference": "r", "amount": "-1"}', 422, "validation_failed", ["/amount"]),
        (b'{"reference": "r", "amount_micros": -1}', 422, "validation_failed", ["/amount_micros"]),
        (b'{"reference": "a/b", "amount": "1"}', 422, "validation_failed", ["/reference"]),
        (b" " * (BODY_BYTES_MAX + 1), 413, "content_too_large", []),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_order_is_refused_with_every_field_at_fault(
    api: Api, body: bytes, status: int, code: str, pointers: list[str]
) -> None:
    found, refused, _ = await api.ask("POST", "/admin/v1/accounts/demo/topups", body)
    assert (found, refused["code"]) == (status, code)
    assert [error["pointer"] for error in refused["errors"]] == pointers
    assert await api.rig.balances.balance("demo") is None


async def test_a_body_of_another_type_is_415(api: Api) -> None:
    headers = {"Content-Type": "text/plain"}
    status, refused, _ = await api.ask("POST", "/admin/v1/accounts/demo/topups", b"{}", **headers)
    assert (status, refused["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("by", [None, "", "nobody", METRICS_TOKEN, "smo_" + "A" * 43, "smo_" + "\xe9" * 300])
async def test_without_a_token_of_its_own_nobody_learns_anything_not_even_from_loopback(
    api: Api, by: str | None
) -> None:
    for method, path in (
        ("GET", "/admin/v1/accounts/demo"),
        ("POST", "/admin/v1/accounts/demo/suspend"),
        ("GET", "/admin/v1/nothing"),
    ):
        status, refused, headers = await api.ask(method, path, by=by)
        assert (status, refused["code"]) == (401, "unauthorized")
        assert headers["WWW-Authenticate"].startswith("Bearer")
        assert "smscd operator add" in refused["detail"]


async def test_a_token_of_another_scheme_is_none(api: Api) -> None:
    headers = {"Authorization": f"Basic {api.tokens['ann']}"}
    assert (await api.ask("GET", "/admin/v1/accounts/demo", by=None, **headers))[0] == 401


async def test_a_reader_changes_nothing(api: Api) -> None:
    for path in ("topups", "suspend", "resume"):
        status, refused, _ = await api.ask(
            "POST", f"/admin/v1/accounts/demo/{path}", {"reference": "r", "amount": "1"}, by="ben"
        )
        assert (status, refused["code"]) == (403, "forbidden")
    assert await api.rig.balances.balance("demo") is None
    assert [action for _, action, _ in await api.rig.logged()] == ["operator.add", "operator.add"]


async def test_a_revoked_token_is_refused_within_a_second_and_its_name_is_not_given_again(api: Api) -> None:
    assert (await api.ask("GET", "/admin/v1/accounts/demo"))[0] == 200
    assert await operators.revoke("ann", "test", api.rig.database)
    began = time.monotonic()

    async def refused() -> bool:
        return (await api.ask("GET", "/admin/v1/accounts/demo"))[0] == 401

    await until(refused, 5)
    assert time.monotonic() - began < 2
    assert not await operators.revoke("ann", "test", api.rig.database)
    assert await operators.add("ann", "admin", "test", api.rig.database) is None


async def test_a_new_token_is_known_at_once_though_others_were_asked_for_before(api: Api) -> None:
    assert (await api.ask("GET", "/admin/v1/accounts/demo"))[0] == 200
    token = await operators.add("carl", "read", "test", api.rig.database)
    assert token is not None
    await asyncio.sleep(UNKNOWN_SECONDS)  # as long as it takes to type it, and then some
    assert (await api.ask("GET", "/admin/v1/accounts/demo", by=token))[0] == 200


async def test_tokens_are_stored_as_hashes_of_256_random_bits(api: Api) -> None:
    stored = await api.rig.database.fetchval("SELECT string_agg(o::text, ' ') FROM operators o")
    assert not any(token in stored or token[4:] in stored for token in api.tokens.values())
    assert len({*api.tokens.values()}) == 2 and all(len(token) == 4 + 43 for token in api.tokens.values())


async def test_an_account_is_shown_with_its_balance_and_limits(api: Api) -> None:
    await api.pay("acme", amount_micros=-30, kind="adjust", reference="a", note="n")
    status, found, _ = await api.ask("GET", "/admin/v1/accounts/acme", by="ben")
    shown = {
        "account": "acme", "currency": "EUR", "plan": "default", "balance_micros": -30, "credit_limit_micros": 100,
        "available_micros": 70, "low_balance_micros": None, "is_low": False, "is_suspended": False,
        "rate_per_second": 100.0, "burst": 200, "binds_max": 4,
    }  # fmt: skip
    assert (status, {name: found[name] for name in shown}) == (200, shown)
    assert (found["tags"], found["allowed_networks"], found["velocity_per_day"]) == ([], [], 0)


async def test_suspending_tells_every_process_and_is_logged_with_what_was_before(api: Api) -> None:
    for path, is_suspended, changed in (("suspend", True, True), ("suspend", True, False), ("resume", False, True)):
        status, found, _ = await api.ask("POST", f"/admin/v1/accounts/demo/{path}")
        assert (status, found) == (
            200, {"account": "demo", "is_suspended": is_suspended, "changed": changed, "told": True},
        )  # fmt: skip
        assert (await api.ask("GET", "/admin/v1/accounts/demo"))[1]["is_suspended"] is is_suspended
    assert api.tells == 3
    rows = await api.rig.database.fetch(
        "SELECT operator, action, subject, old::text AS old, new::text AS new FROM audit_log"
        " WHERE action LIKE 'account.%' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [
        ("ann", "account.suspend", "demo", '{"is_suspended": false}', '{"is_suspended": true}'),
        ("ann", "account.resume", "demo", '{"is_suspended": true}', '{"is_suspended": false}'),
    ]
    api.is_deaf = True
    assert (await api.ask("POST", "/admin/v1/accounts/demo/suspend"))[1]["told"] is False


async def test_money_is_logged_with_the_balance_before_and_all_that_was_ordered(api: Api) -> None:
    await api.pay(amount_micros=7, reference="first")
    await api.pay(amount_micros=-5, kind="adjust", reference="second", note="fee", force=True)
    rows = await api.rig.database.fetch(
        "SELECT operator, action, subject, old::text AS old, new::text AS new FROM audit_log"
        " WHERE action LIKE 'account.%' ORDER BY id"
    )
    assert [(row["operator"], row["action"], json.loads(row["old"]), json.loads(row["new"])) for row in rows] == [
        ("ann", "account.topup", {"balance_micros": 0}, {"amount_micros": 7, "reference": "first", "note": ""}),
        ("ann", "account.adjust", {"balance_micros": 7},
         {"amount_micros": -5, "reference": "second", "note": "fee", "is_forced": True}),
    ]  # fmt: skip


async def test_what_is_not_there_is_404_and_other_methods_are_405(api: Api) -> None:
    for path in ("accounts/nobody", "accounts/demo/topups/none", "accounts/demo/topups/a%2Fb", "x"):
        status, refused, _ = await api.ask("GET", f"/admin/v1/{path}")
        assert (status, refused["code"]) == (404, "not_found"), path
    assert (await api.pay("nobody", amount="1", reference="r"))[0] == 404
    assert (await api.ask("POST", "/admin/v1/accounts/nobody/suspend"))[0] == 404
    status, refused, headers = await api.ask("DELETE", "/admin/v1/accounts/demo")
    assert (status, refused["code"], headers["Allow"]) == (405, "method_not_allowed", "GET, PATCH")


async def test_a_storage_that_is_away_is_503(api: Api) -> None:
    await api.rig.database.close()
    status, refused, headers = await api.ask("GET", "/admin/v1/accounts/demo")
    assert (status, refused["code"], headers["Retry-After"]) == (503, "storage_unavailable", "1")


async def test_metrics_and_health_ask_for_no_operator(api: Api) -> None:
    assert (await api.ask("GET", "/health/", by=None))[0] == 200
    assert (await api.ask("GET", "/metrics", by=None))[0] == 200


async def test_the_document_and_the_pages_ask_for_no_token_and_say_nothing_of_this_instance(api: Api) -> None:
    status, document, _ = await api.ask("GET", "/admin/v1/openapi.json", by=None)
    assert (status, document["openapi"]) == (200, "3.1.0") and "/admin/v1/audit" in document["paths"]
    assert (await api.ask("GET", "/api/openapi.json", by=None))[1] == document
    status, page, headers = await api.ask("GET", "/api/docs/", by=None)
    assert status == 200 and "default-src 'self'" in headers["Content-Security-Policy"] and b"swagger-ui" in page
    assert (await api.ask("GET", "/api/pages/docs.js", by=None))[0] == 200
    refused = (await api.ask("POST", "/admin/v1/accounts/demo/suspend", by="ben"))[1]
    assert refused["type"] == "/problems/forbidden" and "needs admin" in refused["detail"]
    status, page, _ = await api.ask("GET", refused["type"], by=None)
    assert status == 200 and b"smscd operator list" in page
    assert (await api.ask("GET", "/problems/none", by=None))[0] == 404


async def test_more_requests_at_once_than_there_may_be_are_503(api: Api) -> None:
    outcomes = await asyncio.gather(*[api.pay(amount="1", reference=f"r {number}") for number in range(90)])
    statuses = [status for status, _, _ in outcomes]
    assert set(statuses) == {202, 503}
    busy = next(refused for status, refused, _ in outcomes if status == 503)
    assert busy["code"] == "busy"
    assert await api.rig.balances.balance("demo") == 1_000_000 * statuses.count(202)


async def test_routes_are_put_shown_explained_and_deleted_and_each_change_is_logged(api: Api) -> None:
    names = ["carrier", "spare"]
    for name in names:
        carrier = Upstream(id=name, host="h", port=1, system_id="s", password="p")
        await configuration.add_upstream(api.rig.database, carrier)
    path, terms = "/admin/v1/routes/*/44/x", {"upstreams": names, "source": "ACME*"}
    status, body, _ = await api.ask("PUT", path, terms)
    assert (status, body["upstreams"], body["name"], body["told"]) == (200, names, "x", True)
    assert (await api.ask("PUT", path, terms, by="ben"))[0] == 403
    assert (await api.ask("GET", path, by="ben"))[1]["source"] == "ACME*"
    bad: list[object] = [b"{", b"[]", {"upstreams": []}, {"upstreams": ["nobody"]}, {"upstreams": ["carrier"], "x": 1}]
    for wrong in bad:
        assert (await api.ask("PUT", path, wrong))[0] == (400 if wrong == b"{" else 422)
    asked = "/admin/v1/routes/explain?account=acme&to=447700900123&from="
    status, found, _ = await api.ask("GET", asked + "Other", by="ben")
    assert status == 200 and found["routes_passed"] == {"*/44/x": "the sender does not match its pattern"}
    assert (await api.ask("GET", asked + "ACME", by="ben"))[1]["route"] == "*/44/x"
    await api.rig.link.command("HSET", KEYS.breakers, "carrier", f"{2**52} open 1 0")
    assert list((await api.ask("GET", asked + "ACME", by="ben"))[1]["upstreams_passed"]) == ["carrier"]
    assert list((await api.ask("GET", asked + "ACME&at=2026-12-01", by="ben"))[1]["upstreams_passed"]) == ["spare"]
    await api.rig.link.command("DEL", KEYS.breakers)
    assert (await api.ask("GET", "/admin/v1/routes/explain"))[0] == 422
    assert (await api.ask("DELETE", path))[0] == 200 and (await api.ask("DELETE", path))[0] == 404
    assert (await api.ask("GET", "/admin/v1/routes"))[1] == {"routes": [], "is_cut": False}
    actions = [row for row in await api.rig.logged() if row[1].startswith("route.")]
    assert actions == [("ann", "route.add", "*/44/x"), ("ann", "route.remove", "*/44/x")]


async def test_bodies_are_refused_with_every_field_at_fault(api: Api) -> None:
    refused: list[tuple[str, str, object, list[str]]] = [
        ("PUT", "routes/*/44", {"choice": "best", "from": "8", "x": 1}, ["/choice", "/from", "/x", "/upstreams"]),
        ("PUT", "routes/none/44", {"upstreams": ["p", "q"]}, ["/upstreams/0", "/upstreams/1", "/account"]),
        ("POST", "upstreams", {"name": "A B", "port": 0}, ["/port", "/host", "/system_id", "/name"]),
        ("PUT", "accounts/demo/networks", {"http": ["x", "192.0.2.0/24", "y"]}, ["/http/0", "/http/2"]),
        ("POST", "doubts/fail", {"messages": ["1", str(2**63), str(2**63)]}, ["/messages/1", "/messages/2"]),
        ("POST", "accounts/demo/topups", {"amount": "-1", "reference": "a/b"}, ["/reference", "/amount"]),
    ]
    for method, path, body, pointers in refused:
        status, found, _ = await api.ask(method, f"/admin/v1/{path}", body)
        assert (status, [error["pointer"] for error in found["errors"]]) == (422, pointers), path
    assert [row for row in await api.rig.logged() if row[0] == "ann"] == []


async def test_an_upstream_a_route_and_an_account_are_paused_and_resumed_and_who_did_it_is_written_down(
    api: Api,
) -> None:
    await add_upstream(api.rig.database, Upstream(id="one", host="h", port=1, system_id="s", password="p"))
    await add_route(api.rig.database, Route(prefix="44", upstreams=("one",)))
    await add_route(api.rig.database, Route(prefix="", upstreams=("one",), account="acme"))
    halts = "/admin/v1/halts"
    status, body, _ = await api.ask("POST", f"{halts}/upstreams/one/pause")
    assert (status, body) == (200, {"upstream": "one", "state": "paused", "changed": True, "told": True})
    assert (await api.ask("POST", f"{halts}/upstreams/one/pause"))[1]["changed"] is False
    assert (await api.ask("POST", f"{halts}/upstreams/one/drain"))[1]["state"] == "drained"
    status, body, _ = await api.ask("POST", f"{halts}/routes/*/pause?account=acme")
    assert (status, body["route"], body["account"], body["state"]) == (200, "*", "acme", "paused")
    assert (await api.ask("POST", f"{halts}/routes/44/drain"))[0] == 200
    assert (await api.ask("POST", f"{halts}/accounts/demo/pause", by="ben"))[0] == 403
    assert (await api.ask("POST", f"{halts}/accounts/demo/pause"))[0] == 200
    status, body, _ = await api.ask("GET", halts, by="ben")
    named = [(halt.get("upstream") or halt.get("route") or halt["account"], halt["state"]) for halt in body["halts"]]
    assert named == [("demo", "paused"), ("*", "paused"), ("44", "drained"), ("one", "drained")]
    snapshot = await load_snapshot(api.rig.database)
    halted = [msgspec.structs.replace(halt, since_ms=0) for halt in snapshot.halts if halt.since_ms > 0]
    assert Halt(kind="route", name="", state="paused", account="acme") in halted
    api.is_deaf = True
    status, body, _ = await api.ask("POST", f"{halts}/accounts/demo/resume")
    assert (status, body["state"], body["told"]) == (200, "running", False)
    logged = [entry for entry in await api.rig.logged() if entry[0] == "ann"]
    assert logged == [
        ("ann", "upstream.pause", "one"), ("ann", "upstream.drain", "one"), ("ann", "route.pause", "* of account acme"),
        ("ann", "route.drain", "44"), ("ann", "account.pause", "demo"), ("ann", "account.resume", "demo"),
    ]  # fmt: skip


async def test_what_cannot_be_halted_is_refused_and_a_suspended_account_is_pointed_out(api: Api) -> None:
    for path in ("upstreams/none/pause", "routes/99/drain", "accounts/none/pause", "routes/44/pause?account=none"):
        status, body, _ = await api.ask("POST", f"/admin/v1/halts/{path}")
        assert (status, body["code"]) == (404, "not_found"), path
    status, body, _ = await api.ask("POST", "/admin/v1/halts/accounts/demo/drain")
    assert (status, body["code"]) == (422, "not_drainable")
    assert "smscd account suspend demo" in body["detail"]
    await api.ask("POST", "/admin/v1/accounts/demo/suspend")
    status, body, _ = await api.ask("POST", "/admin/v1/halts/accounts/demo/resume")
    assert (status, body["changed"]) == (200, False) and "smscd account resume demo" in body["note"]
    assert (await load_snapshot(api.rig.database)).halts == ()


async def test_queues_are_listed_with_what_waits_and_since_when(api: Api) -> None:
    await add_upstream(api.rig.database, Upstream(id="one", host="h", port=1, system_id="s", password="p"))
    await api.ask("POST", "/admin/v1/halts/upstreams/one/pause")
    await api.ask("POST", "/admin/v1/halts/accounts/acme/pause")
    records = [message(number, upstream="one", account="acme") for number in range(1, 251)]
    queue, now_ms = KEYS.queue("one", 1, "acme"), int(time.time() * 1000)
    oldest = msgspec.structs.replace(records[0], id=(now_ms - 90_000 - ID_EPOCH_MS) << ID_TIME_SHIFT)
    for record in [oldest, *records[1:]]:
        await api.rig.link.command("XADD", queue, "*", "b", msgspec.msgpack.encode([record]))
    await api.rig.link.command("SADD", KEYS.ready("one"), queue)
    await api.rig.link.command("HSET", KEYS.depth, "one", 251)
    await api.rig.link.command("ZADD", KEYS.later("one"), now_ms, "x")
    status, body, _ = await api.ask("GET", "/admin/v1/queues", by="ben")
    [view] = body["upstreams"]
    [shown] = view.pop("queues")
    assert (status, view) == (200, {"upstream": "one", "state": "paused", "waiting": 251, "retries": 1})
    assert 89 <= shown.pop("oldest_seconds") <= 120
    assert shown == {
        "priority": 1, "account": "acme", "waiting": 250, "is_estimated": True, "account_state": "paused",
        "tail": 0, "tail_oldest_seconds": None, "scheduled": 0, "due_ms": None,
    }  # fmt: skip


async def test_what_of_a_queue_waits_in_postgresql_alone_is_shown_with_its_first(api: Api) -> None:
    await add_upstream(api.rig.database, Upstream(id="one", host="h", port=1, system_id="s", password="p"))
    now_ms = int(time.time() * 1000)
    old = msgspec.structs.replace(message(1, upstream="one"), id=(now_ms - 90_000 - ID_EPOCH_MS) << ID_TIME_SHIFT)
    later = message(2, upstream="one", send_at_ms=now_ms + 60_000)
    async with api.rig.database.acquire() as connection:
        await insert_overflow(connection, [old, later])
    place = KEYS.queue("one", old.priority, old.account)
    await api.rig.link.command("HSET", KEYS.overflow, place, 1, SCHEDULED_MARK + place, 1)
    [view] = (await api.ask("GET", "/admin/v1/queues", by="ben"))[1]["upstreams"]
    [queue] = view["queues"]
    assert (queue["waiting"], queue["oldest_seconds"], queue["tail"], queue["scheduled"]) == (0, None, 1, 1)
    assert 89 <= queue["tail_oldest_seconds"] <= 120 and queue["due_ms"] == now_ms + 60_000


async def test_rules_of_messages_from_phones_are_added_listed_and_removed(api: Api) -> None:
    rule = {"number": "+12345", "account": "acme", "keyword": "STOP!", "via": "webhook"}
    status, body, _ = await api.ask("POST", "/admin/v1/mo", rule)
    kept = {"number": "12345", "prefix": False, "keyword": "stop", "account": "acme", "via": "webhook"}
    assert (status, body) == (201, {**kept, "changed": True, "told": True})
    status, body, _ = await api.ask("POST", "/admin/v1/mo", {**rule, "account": "demo"})
    assert (status, body["account"], body["changed"]) == (200, "demo", True)
    assert (await api.ask("POST", "/admin/v1/mo", {"number": "*", "account": "acme", "prefix": True}))[0] == 201
    rules = (await api.ask("GET", "/admin/v1/mo", by="ben"))[1]["rules"]
    assert [(found["number"], found["keyword"], found["account"]) for found in rules] == [
        ("*", None, "acme"), ("12345", "stop", "demo"),
    ]  # fmt: skip
    assert (await load_snapshot(api.rig.database)).mo_numbers[1].keyword == "stop"
    assert (await api.ask("DELETE", "/admin/v1/mo/12345"))[0] == 404
    assert (await api.ask("DELETE", "/admin/v1/mo/12345?keyword=Stop"))[1]["account"] == "demo"
    assert (await api.ask("DELETE", "/admin/v1/mo/*?prefix=true"))[0] == 200
    assert (await api.ask("GET", "/admin/v1/mo"))[1]["rules"] == []
    for wrong, code in (
        ({"number": "1", "account": "none"}, "not_found"),
        ({"number": "1", "account": "acme", "keyword": "two words"}, "validation_failed"),
        ({"number": "*", "account": "acme"}, "validation_failed"),
        ({"number": "1 2", "account": "acme"}, "validation_failed"),
    ):
        assert (await api.ask("POST", "/admin/v1/mo", wrong))[1]["code"] == code
    status, body, _ = await api.ask("POST", "/admin/v1/mo", {"via": "fax", "more": 1})
    assert (status, {error["pointer"] for error in body["errors"]}) == (422, {"/number", "/account", "/via", "/more"})
    actions = [entry[1:] for entry in await api.rig.logged() if entry[0] == "ann"]
    assert actions == [
        ("mo.add", "12345 stop"), ("mo.add", "12345 stop"), ("mo.add", "*"),
        ("mo.remove", "12345 stop"), ("mo.remove", "*"),
    ]  # fmt: skip
