"""What is explained of a message's way: which upstream it takes as things are, and why it would wait."""

from __future__ import annotations

from typing import Any

import pytest

from smscd.admin.routes import explain
from smscd.core.directory import Account, Halt, Price, Route, Snapshot
from smscd.core.routing import NONE_CLOSED
from smscd.core.upstream import Upstream

OUT = "it is out: `smscd upstream list` says why"


def explained(*halts: Halt, out: frozenset[str] = NONE_CLOSED) -> dict[str, Any]:
    names = ("one", "two")
    snapshot = Snapshot(
        accounts=(Account(id="a", any_sender=True),),
        upstreams=tuple(Upstream(id=name, host="h", port=1, system_id="s", password="p") for name in names),
        prices=(Price(plan="default", prefix="", price_micros=5),),
        routes=(Route(prefix="44", upstreams=names),),
        halts=halts,
    )
    found = explain(snapshot, "a", "+447700900123", "ACME", 1_800_000_000_000, out=out)
    assert isinstance(found, dict)
    return found


def test_the_upstream_that_is_explained_is_the_one_that_a_message_takes_now() -> None:
    found = explained()
    assert (found["upstream"], found["waits"]) == ("one", None)
    found = explained(out=frozenset({"one"}))
    assert (found["upstream"], found["waits"], found["upstreams_passed"]) == ("two", None, {"one": OUT})


def test_a_message_waits_where_no_upstream_of_its_route_can_be_used() -> None:
    found = explained(out=frozenset({"one", "two"}))
    assert (found["upstream"], found["upstreams_passed"]) == ("one", {"two": OUT})
    assert "one is out" in found["waits"]


@pytest.mark.parametrize(("kind", "name"), [("upstream", "one"), ("route", "44"), ("account", "a")])
def test_a_message_waits_for_who_paused_its_upstream_its_route_or_its_account(kind: Any, name: str) -> None:
    found = explained(Halt(kind=kind, name=name, state="paused"))
    assert found["upstream"] == "one" and "`smscd halted` says which" in found["waits"]
