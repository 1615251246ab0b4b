"""Price lists over the admin API, and the same import by command, each in the log."""

from __future__ import annotations

from smscd.core.upstream import Upstream
from storage.postgres.configuration import add_upstream
from tests.integration.admin_api_rig import Api

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")

PLAN = "/admin/v1/prices/plans/gold"
FILE = b"prefix,price,valid_from,valid_until\n*,0.05,,\n44,0.03,,\n447,0.02,,2099-01-01\n447,0.01,2099-01-01,\n"


async def bring(api: Api, path: str, file: bytes, by: str = "ann") -> tuple[int, dict[str, object]]:
    status, body, _ = await api.ask("POST", path, file, by=by, **{"Content-Type": "text/csv; charset=utf-8"})
    return status, body


async def test_prices_are_planned_then_imported_read_and_looked_up(api: Api) -> None:
    status, plan = await bring(api, f"{PLAN}?currency=USD", FILE)
    assert (status, plan["applied"], plan["currency"], len(plan["added"])) == (200, False, "USD", 4)  # type: ignore[arg-type]
    assert (await api.ask("GET", PLAN))[0] == 404 and api.tells == 0
    assert (await bring(api, f"{PLAN}?currency=USD&apply=true", FILE, by="ben"))[0] == 403
    status, done = await bring(api, f"{PLAN}?currency=USD&apply=true", FILE)
    assert (status, done["applied"], done["told"], api.tells) == (200, True, True, 1)
    assert {"plan": "gold", "currency": "USD"} in (await api.ask("GET", "/admin/v1/prices"))[1]["plans"]

    first = (await api.ask("GET", f"{PLAN}?limit=2", by="ben"))[1]
    assert ([row["prefix"] for row in first["rows"]], first["next_after"]) == (["", "44"], "44")
    rest = (await api.ask("GET", f"{PLAN}?limit=2&after=44"))[1]
    assert ([row["price_micros"] for row in rest["rows"]], rest["next_after"]) == ([20_000, 10_000], None)
    for query, micros in (
        ("to=447700900123", 20_000), ("to=4412", 30_000), ("to=33", 50_000), ("to=4477&at=2099-06-01", 10_000),
    ):  # fmt: skip
        assert (await api.ask("GET", f"{PLAN}/lookup?{query}", by="ben"))[1]["price_micros"] == micros
    assert (await api.ask("GET", f"{PLAN}/lookup"))[1]["errors"][0]["pointer"] == "/to"

    status, done = await bring(api, f"{PLAN}?apply=true&replace=true", b"prefix,price\n44,0.04\n")
    assert (status, len(done["removed"]), len(done["changed"])) == (200, 3, 1)  # type: ignore[arg-type]
    assert (await api.ask("GET", f"{PLAN}/lookup?to=33"))[1]["code"] == "no_price"
    [newest, _] = (await api.ask("GET", "/admin/v1/audit?action=price"))[1]["data"]
    assert (newest["subject"], newest["old"]["rows"], newest["new"]["rows"]) == ("plan gold", 4, 1)
    assert (await bring(api, f"{PLAN}?apply=true", b"prefix,price\n44,0.04\n"))[1]["unchanged"] == 1
    assert len((await api.ask("GET", "/admin/v1/audit?action=price"))[1]["data"]) == 2


async def test_what_an_upstream_asks_is_a_list_of_its_own(api: Api) -> None:
    await add_upstream(api.rig.database, Upstream(id="one", host="h", port=1, system_id="s", password="p"))
    path = "/admin/v1/prices/upstreams/one"
    assert (await bring(api, f"{path}?apply=true", b"prefix,price\n44,0.004\n"))[0] == 200
    assert (await bring(api, f"{path}?apply=true&currency=USD", b"prefix,price\n44,0.005\n"))[0] == 200
    assert (await api.ask("GET", f"{path}/lookup?to=447"))[1]["price_micros"] == 4_000
    assert (await api.ask("GET", f"{path}/lookup?to=447&currency=USD"))[1]["price_micros"] == 5_000
    assert (await api.ask("GET", "/admin/v1/prices/upstreams/none"))[0] == 404


async def test_every_line_at_fault_is_named_and_nothing_is_changed(api: Api) -> None:
    status, refused = await bring(api, f"{PLAN}?apply=true", b"prefix,price\n44,cheap\nabc,0.1\n45,0.1\n")
    assert (status, refused["code"]) == (422, "validation_failed")
    assert [error["pointer"] for error in refused["errors"]] == ["/2", "/3"]  # type: ignore[attr-defined]
    assert (await api.ask("GET", PLAN))[0] == 404
    status, refused = await bring(api, "/admin/v1/prices/plans/default?apply=true&currency=USD", b"prefix,price\n1,1\n")
    assert (status, refused["code"]) == (409, "another_currency")
    status, body, _ = await api.ask("POST", PLAN, {"prefix": "44"})
    assert (status, body["code"], body["detail"]) == (415, "unsupported_media_type", "The body must be text/csv.")
