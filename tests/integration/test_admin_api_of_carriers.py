"""Doubts and orphans over the admin API, without an owner of the upstream: what is listed, asked and refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from smscd.admin import doubts
from smscd.core.records import OrphanRecord, ParkedReceipt, State
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.blobs import DOUBTED, Item, rest_blob
from storage.postgres.configuration import add_upstream
from storage.postgres.orphans import insert_orphans
from storage.redis.dispatch import id8
from tests.integration.admin_api_rig import Api
from tests.integration.admin_rig import KEYS
from tests.unit.smscd.egress.doubles import NOW_MS, message

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")


@pytest.fixture
async def with_carrier(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An upstream that nobody owns, a message in doubt and an orphan."""
    monkeypatch.setattr(doubts, "ANSWER_SECONDS", 0.1)
    rig = api.rig
    await add_upstream(rig.database, Upstream(id="carrier", host="h", port=1, system_id="s", password="p"))
    item = Item(message(1, segments=[b"a", b"b"]), None, 0)
    item.states[1], item.doubted_ms = DOUBTED, NOW_MS
    await rig.link.command("HSET", KEYS.rest("carrier"), id8(item.record.id), rest_blob(item))
    receipt = ParkedReceipt(
        b"a\\b\xff", b"DELIVRD", b"000", State.DELIVERED, NOW_MS, b"raw", NOW_MS, source=b"4477", dest=b"ACME"
    )
    record = OrphanRecord("carrier", b"mark", "unknown", receipt)
    async with rig.database.acquire() as connection:
        await insert_orphans(connection, [record])
        await insert_orphans(connection, [record])
    return api


async def test_doubts_are_listed_for_whoever_may_read(with_carrier: Api) -> None:
    status, found, _ = await with_carrier.ask("GET", "/admin/v1/doubts?account=acme&limit=5", by="ben")
    [doubt] = found["doubts"]
    assert status == 200 and doubt["id"] == str(message(1).id)
    assert (doubt["segments"], doubt["of"], doubt["since_ms"], doubt["upstream"]) == ([2], 2, NOW_MS, "carrier")
    for query in ("account=beta", "upstream=carrier&account=beta"):
        assert (await with_carrier.ask("GET", f"/admin/v1/doubts?{query}"))[1] == {"doubts": []}


async def test_a_ruling_that_no_owner_answers_says_so_and_is_written_down(with_carrier: Api) -> None:
    held = str(message(1).id)
    status, found, _ = await with_carrier.ask("POST", "/admin/v1/doubts/fail", {"messages": [held, "7"]})
    assert (status, found) == (
        200, {"messages": {held: "not_answered", "7": "not_in_doubt"}, "not_answered": 1, "not_in_doubt": 1},
    )  # fmt: skip
    status, found, _ = await with_carrier.ask("POST", "/admin/v1/doubts/resend", {"upstream": "carrier"})
    assert (status, found) == (200, {"not_answered": 1})
    logged = [entry for entry in await with_carrier.rig.logged() if entry[1].startswith("doubt")]
    assert logged == [
        ("ann", action, "carrier")
        for action in ("doubt.fail", "doubt.fail.refused", "doubt.resend", "doubt.resend.refused")
    ]


async def test_orphans_are_listed_once_though_they_were_told_twice(with_carrier: Api) -> None:
    status, found, _ = await with_carrier.ask("GET", "/admin/v1/orphans?upstream=carrier", by="ben")
    [orphan] = found["orphans"]
    assert status == 200 and orphan["upstream_message_id"] == "a\\b\\xff"
    assert (orphan["reason"], orphan["stat"], orphan["source"]) == ("unknown", "DELIVRD", "4477")
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW_MS / 1000 + 1))
    for query in (f"since={later}", "upstream=other"):
        assert (await with_carrier.ask("GET", f"/admin/v1/orphans?{query}"))[1] == {"orphans": []}
    status, found, _ = await with_carrier.ask("POST", "/admin/v1/orphans/match", {"form": "case"})
    assert (status, found) == (200, {"unknown": 1})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "doubts?upstream=nowhere", None, 404, "not_found"),
        ("GET", "doubts?limit=0", None, 422, "validation_failed"),
        ("GET", "orphans?limit=5000", None, 422, "validation_failed"),
        ("GET", "orphans?since=yesterday", None, 422, "validation_failed"),
        ("GET", "orphans?since=2026-01-01", None, 422, "validation_failed"),
        ("POST", "doubts/fail", {}, 422, "validation_failed"),
        ("POST", "doubts/fail", {"messages": ["1"], "upstream": "carrier"}, 422, "validation_failed"),
        ("POST", "doubts/fail", {"messages": ["x"]}, 422, "validation_failed"),
        ("POST", "doubts/fail", {"messages": [str(2**63)]}, 422, "validation_failed"),
        ("POST", "doubts/resend", {"upstream": "nowhere"}, 404, "not_found"),
        ("POST", "doubts/drop", {"upstream": "carrier"}, 404, "not_found"),
        ("POST", "orphans/match", {"upstream": "nowhere"}, 404, "not_found"),
        ("POST", "orphans/match", {"form": "octal"}, 422, "validation_failed"),
        ("POST", "orphans/99/match", {"message": "1"}, 404, "not_found"),
        ("POST", "orphans/1/match", {"message": "1"}, 422, "unknown_message"),
        ("POST", "orphans/1/match", {"message": str(2**63)}, 422, "validation_failed"),
        ("POST", "orphans/1/match", b"[]", 422, "validation_failed"),
        ("POST", "orphans/1/match", b"{", 400, "malformed_json"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_sentence(
    with_carrier: Api, method: str, path: str, body: Any, status: int, code: str
) -> None:
    found_status, found, _ = await with_carrier.ask(method, f"/admin/v1/{path}", body)
    assert (found_status, found["code"]) == (status, code) and found["detail"]
    if code in ("validation_failed", "unknown_message"):
        assert found["errors"]


async def test_who_may_only_read_rules_and_matches_nothing(with_carrier: Api) -> None:
    for path in ("doubts/fail", "orphans/match", "orphans/1/match"):
        status, found, _ = await with_carrier.ask("POST", f"/admin/v1/{path}", {}, by="ben")
        assert (status, found["code"]) == (403, "forbidden")
