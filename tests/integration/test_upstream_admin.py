"""Upstreams over the admin API: roles, refusals, what is written down, and what removing one waits for."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from smscd.core.directory import Route
from smscd.core.ids import first_id
from smscd.core.records import State
from storage.postgres import configuration
from tests.integration.admin_api_rig import Api
from tests.integration.admin_rig import KEYS

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")

PLACE = "/admin/v1/upstreams"
FIELDS: dict[str, Any] = {
    "name": "north", "host": "smsc.example", "port": 2775, "system_id": "us", "password": "hunter2",
    "interface_version": "5.0", "temporary_statuses": ["0x400"], "status_delays": {"0x400": 30},
}  # fmt: skip


async def logged(api: Api) -> list[tuple[str, str, Any, Any]]:
    rows = await api.rig.database.fetch(
        "SELECT operator, action, old, new FROM audit_log WHERE subject = 'north' ORDER BY id"
    )
    return [
        (row["operator"], row["action"], *(json.loads(row[side]) if row[side] else None for side in ("old", "new")))
        for row in rows
    ]


async def test_an_upstream_is_made_changed_and_removed_and_all_of_it_is_written_down_without_secrets(api: Api) -> None:
    status, made, _ = await api.ask("POST", PLACE, FIELDS)
    assert (status, made["interface_version"], made["told"], made["has_password"]) == (201, "5.0", True, True)
    assert "hunter2" not in json.dumps(made)
    status, changed, _ = await api.ask("PATCH", f"{PLACE}/north", {"window_size": 7, "password": "hunter3"})
    assert (status, changed["window_size"]) == (200, 7)
    assert changed["changed"] == {
        "password": {"before": "(secret)", "after": "(another)"}, "window_size": {"before": 100, "after": 7},
    }  # fmt: skip
    [stored] = await configuration.upstreams(api.rig.database)
    assert (stored.password, stored.window_size, stored.status_delays) == ("hunter3", 7, {0x400: 30.0})
    assert (await api.ask("PATCH", f"{PLACE}/north", {"is_enabled": False}))[1]["is_enabled"] is False
    assert (await api.ask("PATCH", f"{PLACE}/north", {"is_enabled": False}))[1]["changed"] == {}
    status, found, _ = await api.ask("GET", f"{PLACE}/north", by="ben")
    assert (status, found["window_size"]) == (200, 7)
    assert (await api.ask("GET", PLACE, by="ben"))[1] == {"upstreams": [found]}
    status, removed, _ = await api.ask("DELETE", f"{PLACE}/north")
    assert (status, removed) == (200, {"name": "north", "removed": True, "told": True})
    log = await logged(api)
    assert [(operator, action) for operator, action, _, _ in log] == [
        ("ann", "upstream.add"), ("ann", "upstream.set"), ("ann", "upstream.disable"), ("ann", "upstream.remove"),
    ]  # fmt: skip
    assert log[1][2:] == ({"password": "(secret)", "window_size": 100}, {"password": "(another)", "window_size": 7})
    assert "hunter" not in json.dumps(log) and log[0][3]["host"] == "smsc.example"
    assert api.tells == 5


async def write_message(api: Api, at: float, state: State) -> None:
    """A row of a message that went to the upstream."""
    numbers = (
        "price_micros, refunded_micros, direction, door, priority, via, tariff, segments, source_ton, source_npi, "
        "dest_ton, dest_npi, esm_class, protocol_id, data_coding, registered_delivery, attempts, callbacks_open, "
        "callback_state, callback_attempts"
    )
    zeros = ", ".join("0" for _ in numbers.split(","))
    await api.rig.database.execute(
        f"INSERT INTO messages (id, state, maybe_duplicate, account, upstream, source, dest, body, {numbers}) "
        f"VALUES ($1, $2, false, 'demo', 'north', '', '', '', {zeros})",
        first_id(int(at * 1000)), int(state),
    )  # fmt: skip


async def test_a_reader_changes_nothing(api: Api) -> None:
    for method, path, body in (
        ("POST", PLACE, FIELDS), ("PATCH", f"{PLACE}/north", {}), ("DELETE", f"{PLACE}/north", None),
    ):  # fmt: skip
        status, refused, _ = await api.ask(method, path, body, by="ben")
        assert (status, refused["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "text"),
    [
        ("POST", PLACE, {**FIELDS, "name": "south"}, 409, "upstream_exists", "take another name"),
        ("POST", PLACE, {**FIELDS, "name": 5}, 422, "validation_failed", "1 field is invalid"),
        ("POST", PLACE, {**FIELDS, "port": 0, "colour": 1}, 422, "validation_failed", "2 fields are invalid"),
        ("POST", PLACE, [], 422, "validation_failed", "1 field is invalid"),
        ("POST", PLACE, b"{", 400, "malformed_json", ""),
        ("PATCH", f"{PLACE}/north", {"binds": 2}, 404, "no_upstream", "smscd upstream list"),
        ("PATCH", f"{PLACE}/south", {"binds": 0}, 422, "validation_failed", "1 field is invalid"),
        ("PATCH", f"{PLACE}/south", b"{", 400, "malformed_json", ""),
        ("DELETE", f"{PLACE}/north", None, 404, "no_upstream", "smscd upstream list"),
        ("GET", f"{PLACE}/north", None, 404, "no_upstream", "smscd upstream list"),
        ("PUT", f"{PLACE}/south", None, 405, "method_not_allowed", ""),
    ],
)
async def test_refusals_have_a_code_and_a_sentence(
    api: Api, method: str, path: str, body: object, status: int, code: str, text: str
) -> None:
    await api.ask("POST", PLACE, {**FIELDS, "name": "south"})
    found, refused, _ = await api.ask(method, path, body)
    assert (found, refused["code"]) == (status, code)
    assert text in refused.get("detail", "")
    assert len(await configuration.upstreams(api.rig.database)) == 1


async def test_fields_at_fault_are_pointed_at(api: Api) -> None:
    _, refused, _ = await api.ask("POST", PLACE, {**FIELDS, "port": 0, "status_delays": {"0x0b": 3}})
    assert refused["errors"] == [{"pointer": "/port", "detail": "is a whole number from 1 to 65535"}]


async def test_an_upstream_is_removed_only_when_nothing_leads_to_it_waits_for_it_or_comes_from_it(api: Api) -> None:
    database = api.rig.database

    async def refusal(force: str = "") -> tuple[int, str]:
        status, answer, _ = await api.ask("DELETE", f"{PLACE}/north{force}")
        return status, answer.get("code", "")

    await api.ask("POST", PLACE, FIELDS)
    await configuration.add_route(database, Route(prefix="44", upstreams=("other", "north")))
    assert await refusal() == await refusal("?force=true") == (409, "upstream_has_routes")
    await configuration.delete_route(database, "", "44")
    await api.rig.link.command("HSET", KEYS.depth, "north", "3")
    assert await refusal() == (409, "upstream_has_messages")
    await api.rig.link.command("HSET", KEYS.depth, "north", "0")
    await database.execute(
        "INSERT INTO upstream_costs (upstream, currency, prefix, cost_micros) VALUES ('north', 'EUR', '', 1)"
    )
    await write_message(api, time.time(), State.SENT)
    assert await refusal() == (409, "upstream_has_receipts_due")
    assert await refusal("?force=false") == (409, "upstream_has_receipts_due")
    await database.execute("UPDATE messages SET state = $1", int(State.DELIVERED))
    await write_message(api, time.time() - 10 * 86_400, State.SENT)
    assert await refusal() == (200, "")
    assert await database.fetchval("SELECT count(*) FROM upstream_costs") == 0
    await api.ask("POST", PLACE, FIELDS)
    await api.rig.link.command("HSET", KEYS.depth, "north", "3")
    assert await refusal("?force=true") == (200, "")
