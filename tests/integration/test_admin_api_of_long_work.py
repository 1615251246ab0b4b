"""What takes long over the admin API: the proof of the ledger, the test of an upstream, a declaration."""

from __future__ import annotations

import asyncio
import time

from smscd.core.upstream import Upstream
from storage.postgres.configuration import add_upstream
from tests.integration.admin_api_rig import Api
from tests.integration.admin_rig import KEYS
from tests.integration.local_carrier import local_carrier

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")

VERIFY = "/admin/v1/ledger/verification"
DECLARE = "/admin/v1/declarations"
TOML = {"Content-Type": "application/toml"}
FILE = b"""
[upstreams.north]
host = "smsc.example"
port = 2775
system_id = "us"
password = "hidden"
[[routes]]
prefix = "44"
upstreams = ["north"]
"""


async def test_the_ledger_is_proved_and_what_was_altered_is_found(api: Api) -> None:
    async with api.rig.writing():
        for account in ("demo", "acme"):
            assert (await api.pay(account, reference=account, amount="5"))[0] == 201
    status, found, _ = await api.ask("GET", VERIFY)
    assert (status, found["differences"], found["entries"]) == (200, [], 2) and found["accounts"] >= 2
    await api.rig.link.command("HINCRBY", KEYS.acct("acme"), "balance", 7)
    status, found, _ = await api.ask("GET", f"{VERIFY}?seconds=30")
    assert status == 200
    [difference] = found["differences"]
    assert (difference["kind"], difference["account"], difference["micros"]) == ("balance", "acme", 7)
    assert (await api.ask("GET", f"{VERIFY}?account=demo"))[1]["differences"] == []
    assert (await api.ask("GET", f"{VERIFY}?account=nobody"))[1]["code"] == "not_found"
    assert (await api.ask("GET", f"{VERIFY}?seconds=601"))[0] == 422
    assert (await api.ask("GET", VERIFY, by="ben"))[0] == 403


async def test_an_upstream_is_tested_in_the_time_that_is_given_and_only_one_at_once(api: Api) -> None:
    async with local_carrier() as (carrier, listener):
        place = {"host": "127.0.0.1", "port": listener.port, "system_id": "us", "password": "p"}
        for name, mode in (("one", "transceiver"), ("ears", "receiver")):
            await add_upstream(api.rig.database, Upstream(id=name, bind_mode=mode, **place))  # type: ignore[arg-type]  # terms
        path = "/admin/v1/upstreams/one/test"
        status, found, _ = await api.ask("POST", path, {"to": "+447700900123", "from": "ACME"})
        assert (status, found["upstream"], found["good"], found["suggestion"]) == (200, "one", True, {})
        assert found["facts"]["bind"] == "accepted by carrier" and found["looks"]

        began = time.monotonic()
        silent = asyncio.create_task(api.ask("POST", f"{path}?seconds=1", {"to": "447700900404"}))
        while carrier.binds < 2:
            await asyncio.sleep(0.01)
        status, refused, _ = await api.ask("POST", path, {"to": "447700900123"})
        assert (status, refused["code"]) == (409, "under_way")
        status, found, _ = await silent
        assert (status, found["good"]) == (200, False) and "not answered" in found["remarks"][0]
        assert 0.9 < time.monotonic() - began < 8

        status, refused, _ = await api.ask("POST", path, {"to": "x", "from": "\u00e9"})
        assert (status, [one["pointer"] for one in refused["errors"]]) == (422, ["/to", "/from"])
        to = {"to": "447700900123"}
        assert (await api.ask("POST", "/admin/v1/upstreams/ears/test", to))[1]["code"] == "upstream_cannot_send"
        assert (await api.ask("POST", "/admin/v1/upstreams/none/test", to))[1]["code"] == "no_upstream"
        assert (await api.ask("POST", path, to, by="ben"))[0] == 403
    logged = await api.rig.database.fetch("SELECT operator, subject, new::text FROM audit_log WHERE action LIKE 'up%'")
    assert [tuple(row) for row in logged] == [
        ("ann", "one", '{"to": "4477******23"}'), ("ann", "one", '{"to": "4477******04"}'),
    ]  # fmt: skip


async def test_a_declaration_is_planned_and_that_plan_is_applied_or_nothing(api: Api) -> None:
    status, planned, _ = await api.ask("POST", DECLARE, FILE, **TOML)
    assert (status, planned["applied"], planned["told"]) == (200, False, None)
    assert [(step["verb"], step["name"]) for step in planned["plan"]] == [("add", "north"), ("add", "*/44")]
    assert "hidden" not in str(planned)
    for other in (f"{DECLARE}?plan={'0' * 32}", f"{DECLARE}?prune=true&plan={planned['id']}"):
        file = FILE.replace(b"hidden", b"another") if "prune" in other else FILE
        assert (await api.ask("POST", other, file, **TOML))[1]["code"] == "plan_changed"
    assert (await api.ask("GET", "/admin/v1/upstreams"))[1]["upstreams"] == []
    status, done, _ = await api.ask("POST", f"{DECLARE}?plan={planned['id']}", FILE, **TOML)
    assert (status, done) == (200, {**planned, "applied": True, "told": True})
    assert (await api.ask("POST", f"{DECLARE}?plan={planned['id']}", FILE, **TOML))[1]["code"] == "plan_changed"
    assert (await api.ask("POST", DECLARE, FILE, **TOML))[1]["plan"] == []
    actions = [row for row in await api.rig.logged() if row[0] == "ann"]
    assert actions == [("ann", "upstream.add", "north"), ("ann", "route.set", "*/44")]

    bad = b'[upstreams.south]\nport = 0\n[[routes]]\nprefix = "4x"\nupstreams = ["none"]\n'
    status, refused, _ = await api.ask("POST", DECLARE, bad, **TOML)
    assert status == 422 and {one["pointer"] for one in refused["errors"]} >= {
        "/upstreams.south.port", "/upstreams.south.host", "/routes[1].prefix", "/routes[1].upstreams",
    }  # fmt: skip
    refusals = [
        (b"[", 422, "validation_failed"), (b"\xff", 422, "validation_failed"), (b"[queues]", 422, "validation_failed"),
        (b"#" * 1_000_001, 413, "content_too_large"),
    ]  # fmt: skip
    for body, wanted, code in refusals:
        status, refused, _ = await api.ask("POST", DECLARE, body, **TOML)
        assert (status, refused["code"]) == (wanted, code) and refused["detail"]
    assert (await api.ask("POST", DECLARE, FILE))[0] == 415
    assert (await api.ask("POST", f"{DECLARE}?plan=x", FILE, **TOML))[0] == 422
    assert (await api.ask("POST", DECLARE, FILE, by="ben", **TOML))[0] == 403
