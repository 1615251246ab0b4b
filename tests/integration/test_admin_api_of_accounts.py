"""Accounts, SMPP credentials, statements and the audit log over the admin API."""

from __future__ import annotations

import asyncio
import time

from smscd.core.directory_index import DirectoryIndex
from smscd.ingress.smpp.auth import Authenticator, BindOutcome
from storage.postgres import configuration
from storage.postgres.configuration import load_snapshot
from tests.integration.admin_api_rig import PEPPER, Api

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")

ACCOUNTS = "/admin/v1/accounts"


async def test_an_account_is_made_changed_and_listed_and_the_secret_is_shown_once(api: Api) -> None:
    terms = {
        "name": "fresh", "rate_per_second": 5, "senders": ["ACME"], "allowed_networks": ["192.0.2.0/24"],
        "languages": ["turkish"], "tags": ["vip"], "outbind_password": "geheim", "low_balance_micros": 7,
    }  # fmt: skip
    status, made, headers = await api.ask("POST", ACCOUNTS, terms)
    assert (status, headers["Location"]) == (201, f"{ACCOUNTS}/fresh")
    assert made["webhook_secret"].startswith("whsec_") and made["velocity_per_minute"] == 50
    assert (made["languages"], made["has_outbind_password"], made["told"]) == (["turkish"], True, True)
    assert (await api.ask("POST", ACCOUNTS, terms))[1]["code"] == "account_exists"

    change = {"rate_per_second": 9, "low_balance_micros": None, "tags": [], "outbind_password": "another"}
    status, changed, _ = await api.ask("PATCH", f"{ACCOUNTS}/fresh", change)
    assert status == 200 and changed["changed"] == {
        "rate_per_second": {"before": 5.0, "after": 9.0},
        "low_balance_micros": {"before": 7, "after": None},
        "tags": {"before": ["vip"], "after": []},
        "outbind_password": {"before": "(secret)", "after": "(another)"},
    }
    assert (await api.ask("PATCH", f"{ACCOUNTS}/fresh", change))[1]["changed"] == {}
    stored = await configuration.find_account(api.rig.database, "fresh")
    assert stored is not None and stored.webhook_secret == made["webhook_secret"]
    assert stored in (await load_snapshot(api.rig.database, with_prices=False)).accounts
    assert (stored.outbind_password, stored.senders, stored.languages) == ("another", {"ACME"}, {1})

    status, shown, _ = await api.ask("GET", f"{ACCOUNTS}/fresh", by="ben")
    assert status == 200 and shown["rate_per_second"] == 9 and "geheim" not in str(shown)
    assert "webhook_secret" not in shown
    first = (await api.ask("GET", f"{ACCOUNTS}?limit=2", by="ben"))[1]
    assert [one["account"] for one in first["accounts"]] == ["acme", "demo"]
    rest = (await api.ask("GET", f"{ACCOUNTS}?limit=2&after={first['next_after']}"))[1]
    assert ([one["account"] for one in rest["accounts"]], rest["next_after"]) == (["fresh"], None)


async def test_every_term_at_fault_is_named_and_nothing_is_changed(api: Api) -> None:
    status, refused, _ = await api.ask(
        "POST", ACCOUNTS, {"name": "No!", "rate_per_second": 0, "burst": "x", "binds_max": None, "speed": 1}
    )
    assert (status, refused["code"]) == (422, "validation_failed")
    pointers = {error["pointer"] for error in refused["errors"]}
    assert pointers == {"/name", "/rate_per_second", "/burst", "/binds_max", "/speed"}
    wrong = {"allowed_networks": ["10.0.0.1/8"], "allowed_countries": ["XX"], "languages": ["klingon"]}
    refused = (await api.ask("PATCH", f"{ACCOUNTS}/demo", wrong))[1]
    assert {error["pointer"] for error in refused["errors"]} == {
        "/allowed_networks", "/allowed_countries", "/languages",
    }  # fmt: skip
    for terms in ({"plan": "none"}, {"outbind_port": 2775}):
        assert (await api.ask("PATCH", f"{ACCOUNTS}/demo", terms))[0] == 422
    assert (await api.ask("POST", ACCOUNTS, {"name": "n", "currency": "USD"}))[1]["errors"][0]["pointer"] == "/plan"
    assert (await api.ask("PATCH", f"{ACCOUNTS}/nobody", {"burst": 1}))[0] == 404
    assert (await api.ask("PATCH", f"{ACCOUNTS}/demo", {"currency": "USD"}))[1]["errors"] == [
        {"pointer": "/currency", "detail": "unknown field"}
    ]
    assert [row for row in await api.rig.logged() if row[1].startswith("account")] == []


async def test_a_credential_binds_until_it_is_rotated_or_revoked(api: Api) -> None:
    path = f"{ACCOUNTS}/demo/credentials"

    async def outcome(password: str) -> BindOutcome:
        index = DirectoryIndex(await load_snapshot(api.rig.database))
        return Authenticator(PEPPER.encode()).evaluate(index, "192.0.2.1", b"demo-1", password.encode()).outcome

    status, made, _ = await api.ask("POST", path, {"system_id": "demo-1"})
    assert (status, made["system_id"], len(made["password"])) == (201, "demo-1", 8)
    assert await outcome(made["password"]) is BindOutcome.ACCEPTED
    assert (await api.ask("POST", f"{ACCOUNTS}/acme/credentials", {"system_id": "demo-1"}))[1]["code"] == (
        "credential_exists"
    )
    assert (await api.ask("GET", path, by="ben"))[1] == {
        "credentials": [{"system_id": "demo-1", "client_certificate": None}]
    }
    status, again, _ = await api.ask("POST", f"{path}/demo-1/rotate")
    assert status == 200 and await outcome(again["password"]) is BindOutcome.ACCEPTED
    assert await outcome(made["password"]) is BindOutcome.WRONG
    for wrong in ("acme/credentials/demo-1", "demo/credentials/none"):
        assert (await api.ask("DELETE", f"{ACCOUNTS}/{wrong}"))[0] == 404
    assert (await api.ask("DELETE", f"{path}/demo-1"))[1]["revoked"] is True
    assert await outcome(again["password"]) is BindOutcome.WRONG
    assert (await api.ask("GET", f"{ACCOUNTS}/nobody/credentials"))[0] == 404
    refused = (await api.ask("POST", path, {"system_id": "much-too-long-for-smpp", "client_certificate": "x"}))[1]
    assert {error["pointer"] for error in refused["errors"]} == {"/system_id", "/client_certificate"}
    log = (await api.ask("GET", "/admin/v1/audit?action=credential&subject=demo"))[1]["data"]
    assert [entry["action"] for entry in log] == ["credential.revoke", "credential.rotate", "credential.add"]
    assert made["password"] not in str(log) and again["password"] not in str(log)
    assert log[1]["new"]["password"] == "(another)"


async def test_the_audit_log_says_who_what_when_and_whence_page_by_page(api: Api) -> None:
    begin = time.time()
    for verb in ("suspend", "resume", "suspend"):
        await api.ask("POST", f"{ACCOUNTS}/demo/{verb}")
    await api.ask("PATCH", f"{ACCOUNTS}/acme", {"burst": 3})
    status, page, _ = await api.ask("GET", "/admin/v1/audit?limit=3&operator=ann", by="ben")
    assert status == 200 and [entry["action"] for entry in page["data"]] == [
        "account.change", "account.suspend", "account.resume",
    ]  # fmt: skip
    newest = page["data"][0]
    assert (newest["operator"], newest["address"], newest["subject"]) == ("ann", "127.0.0.1", "acme")
    assert (newest["old"], newest["new"]) == ({"burst": 200}, {"burst": 3})
    rest = (await api.ask("GET", f"/admin/v1/audit?limit=3&operator=ann&cursor={page['next_cursor']}"))[1]
    assert ([entry["action"] for entry in rest["data"]], rest["next_cursor"]) == (["account.suspend"], None)
    found = (await api.ask("GET", "/admin/v1/audit?action=account.suspend&subject=demo"))[1]["data"]
    assert len(found) == 2 and found[0]["old"] == {"is_suspended": False}
    whence = (await api.ask("GET", "/admin/v1/audit?action=operator"))[1]["data"]
    assert {entry["address"] for entry in whence} == {"local"}
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin + 3600))
    assert (await api.ask("GET", f"/admin/v1/audit?since={since}"))[1]["data"] == []
    assert len((await api.ask("GET", f"/admin/v1/audit?until={since}&operator=ann"))[1]["data"]) == 4
    status, refused, _ = await api.ask("GET", f"/admin/v1/audit?since={since}&until={since}&who=x&limit=0")
    assert (status, {error["pointer"] for error in refused["errors"]}) == (422, {"/who", "/limit"})


async def until_status(api: Api, path: str, by: str, status: int) -> None:
    """Until a token is known, or known no more: PostgreSQL is not asked at each request."""
    async with asyncio.timeout(5.0):
        while (await api.ask("GET", path, by=by))[0] != status:
            await asyncio.sleep(0.02)


async def test_an_operator_is_made_by_another_works_by_role_and_is_revoked(api: Api) -> None:
    path = "/admin/v1/operators"
    status, made, _ = await api.ask("POST", path, {"name": "sue", "role": "support"})
    assert (status, made["role"]) == (201, "support")
    api.tokens["sue"] = made["token"]
    await until_status(api, path, "sue", 200)
    assert (await api.ask("POST", f"{ACCOUNTS}/demo/suspend", by="sue"))[0] == 403
    assert (await api.ask("POST", "/admin/v1/orphans/match", {}, by="sue"))[0] == 200
    assert (await api.ask("POST", path, {"name": "sue"}))[1]["code"] == "operator_exists"
    assert (await api.ask("POST", path, {"name": "Sue!", "role": "root"}))[1]["errors"][1]["pointer"] == "/role"
    listed = (await api.ask("GET", path, by="ben"))[1]["operators"]
    assert [(one["operator"], one["role"]) for one in listed] == [("ann", "admin"), ("ben", "read"), ("sue", "support")]
    assert made["token"] not in str(listed)
    assert (await api.ask("DELETE", f"{path}/sue"))[1]["revoked"] is True
    await until_status(api, path, "sue", 401)
    assert (await api.ask("DELETE", f"{path}/sue"))[0] == 404


async def test_an_accounts_money_is_read_by_page_and_what_a_day_came_to_is_told(api: Api) -> None:
    async with api.rig.writing():
        for number in range(3):
            assert (await api.pay(amount_micros=number + 1, reference=f"r{number}"))[0] == 201
    path = f"{ACCOUNTS}/demo/transactions"
    status, page, _ = await api.ask("GET", f"{path}?limit=2&kind=topup", by="ben")
    assert (status, page["currency"]) == (200, "EUR")
    assert [(one["reference"], one["balance_micros"]) for one in page["data"]] == [("r2", 6), ("r1", 3)]
    rest = (await api.ask("GET", f"{path}?limit=2&kind=topup&cursor={page['next_cursor']}"))[1]
    assert [one["reference"] for one in rest["data"]] == ["r0"]
    assert (await api.ask("GET", f"{path}?kind=gift"))[1]["errors"][0]["pointer"] == "/kind"
    assert (await api.ask("GET", f"{ACCOUNTS}/nobody/transactions"))[0] == 404
    assert (await api.ask("GET", f"{ACCOUNTS}/demo/spent"))[1]["spent_today_micros"] is None
    await api.rig.database.execute(
        "INSERT INTO daily_totals VALUES ('2026-11-01', 'demo', 'GB', 'one', 'EUR', 2, 3, 40, 10, 5, 0)"
    )
    await api.rig.database.execute("INSERT INTO daily_totals_days VALUES ('2026-11-01', now())")
    totals = (await api.ask("GET", "/admin/v1/totals?from=2026-11-01&until=2026-11-03&account=demo", by="ben"))[1]
    [row] = totals["rows"]
    assert (row["day"], row["country"], row["charged_micros"], row["segments"]) == ("2026-11-01", "GB", 40, 3)
    assert totals["not_added_up"] == ["2026-11-02"]
    refused = (await api.ask("GET", "/admin/v1/totals?until=2026-11-03"))[1]
    assert refused["errors"] == [{"pointer": "/from", "detail": "is required"}]
