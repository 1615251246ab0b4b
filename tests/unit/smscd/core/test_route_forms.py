"""Routes as JSON and CSV: what is shown is read again, what is wrong has a sentence, an import says what it changes."""

from __future__ import annotations

from typing import Any

import pytest

from smscd.core.directory import Route, RouteInvalid
from smscd.core.route_forms import key_of, plan_changes, read_routes, route_of, shown

NIGHT = Route(
    prefix="44", upstreams=("a", "b"), name="night", source="ACME*", tags=frozenset({"vip"}), zone="Europe/London",
    days=frozenset({1, 7}), from_minute=1320, until_minute=360, choice="weighted", weights=(3, 1), in_doubt="hold",
)  # fmt: skip


@pytest.mark.parametrize("route", [NIGHT, Route(prefix="", upstreams=("a",), account="acme")])
def test_what_is_shown_is_read_again(route: Route) -> None:
    assert route_of(shown(route)) == route
    assert key_of(route.label) == (route.account, route.prefix, route.name)


@pytest.mark.parametrize("label", ["44", "", "/44", "acme/", "a/4/b/c", "acme/x"])
def test_a_name_that_is_none_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        key_of(label)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"prefix": "4x"}, "is not 1 to 15 digits"),
        ({"cost": 1}, "a route has no cost"),
        ({"days": ["monday"], "zone": "UTC"}, "monday is not a day"),
        ({"from": "24:00", "zone": "UTC"}, "is not a time of day"),
        ({"choice": "best"}, "Invalid enum value"),
        ({"weights": [1]}, "needs a weight"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        route_of({"prefix": "44", "upstreams": ["a"]} | wrong)


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = {
        "cost": 1,
        "days": "mon",
        "from": "8",
        "until": "24:00",
        "choice": "best",
        "zone": "Mars",
        "weights": ["x"],
    }
    with pytest.raises(RouteInvalid) as caught:
        route_of({"prefix": "4x", **wrong})
    assert [name for name, _ in caught.value.faults] == ["prefix", *wrong, "upstreams"]
    with pytest.raises(RouteInvalid) as caught:
        route_of(
            {"prefix": "", "upstreams": ["a", "a"], "account": "acme", "tags": ["vip"], "weights": [1], "days": ["mon"]}
        )
    assert [name for name, _ in caught.value.faults] == ["upstreams", "tags", "weights", "zone"]


def test_a_file_is_read_by_line() -> None:
    head = b"account,prefix,name,upstreams,source,tags,zone,days,from,until,choice,weights,in_doubt\n"
    night = b"*,44,night,a b,ACME*,vip,Europe/London,mon sun,22:00,06:00,weighted,3 1,hold\n"
    routes, errors = read_routes(head + night + b"acme,*,,a,,,,,,,,,\n")
    assert routes == {2: NIGHT, 3: Route(prefix="", upstreams=("a",), account="acme")} and not errors
    assert [line for line, _ in read_routes(head + night + night + b"acme,x,,a,,,,,,,,,\nacme\n")[1]] == [3, 4, 5]
    assert (
        read_routes(head + b"*,44,,a b,,,,,,,weighted,3 x,\n")[1][0].sentence
        == "has weights that are not whole numbers"
    )
    assert [read_routes(data)[1][0].sentence for data in (b"", b"\xff")] == [
        "has no routes", "is not UTF-8: save the file as UTF-8",
    ]  # fmt: skip


def test_an_import_says_what_it_changes() -> None:
    stays, goes = Route(prefix="1", upstreams=("a",)), Route(prefix="2", upstreams=("a",))
    before, after = Route(prefix="+3", upstreams=("a",)), Route(prefix="3", upstreams=("b",))
    added = plan_changes([stays, goes, before], [stays, after, NIGHT], replace=False)
    kept = Route(prefix="+3", upstreams=("b",))
    assert added == ([NIGHT], [(before, kept)], [], 2)
    assert plan_changes([stays, goes], [stays], replace=True) == ([], [], [goes], 1)
