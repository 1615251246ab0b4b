"""A declaration becomes a plan, the plan what it says, all or nothing, and then there is nothing to do."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from smscd.admin.declared.plan import Declaration, DeclarationInvalid, apply, parse, plan
from smscd.admin.declared.steps import Step
from smscd.admin.orders import Refusal
from smscd.admin.upstreams import Admin
from smscd.core.directory import Account, MoNumber, Route
from smscd.core.upstream import Upstream
from storage.postgres import configuration
from storage.postgres.pool import Connection, connect
from tests.integration.postgres_databases import RecordDatabase

pytest_plugins = ("tests.integration.postgres_fixture",)

FILE = """
[upstreams.north]
host = "smsc.example"
port = 2775
system_id = "us"
password = "hunter2"
status_delays = {"0x14" = 30}

[[routes]]
prefix = "44"
upstreams = ["north"]

[[routes]]
account = "acme"
upstreams = ["north", "old"]

[accounts.acme]
rate_per_second = 50
senders = ["ACME"]

[mo_numbers.12345]
account = "acme"
"""


class Place:
    """A database with an upstream `old`, and what is waiting for it."""

    def __init__(self, database: Connection) -> None:
        self.database = database
        self.waiting = 0
        self.tells = 0
        self.admin = Admin(
            operator="cli:ann", database=database, tell=self._tell, waiting=self._waiting,
            now_ms=lambda: int(time.time() * 1000),
        )  # fmt: skip

    async def _tell(self) -> None:
        self.tells += 1

    async def _waiting(self, _upstream: str) -> int:
        return self.waiting

    def declaration(self, text: str, *, is_pruned: bool = False) -> Declaration:
        return Declaration(sections=parse(text), is_pruned=is_pruned, new_secret=lambda: "whsec_new")

    async def plan(self, text: str, *, is_pruned: bool = False) -> list[Step]:
        return await plan(self.declaration(text, is_pruned=is_pruned), self.database)

    async def apply(self, text: str, *, is_pruned: bool = False, is_forced: bool = False) -> bool | Refusal:
        declaration = self.declaration(text, is_pruned=is_pruned)
        return await apply(declaration, await plan(declaration, self.database), self.admin, is_forced=is_forced)

    async def logged(self) -> list[tuple[str, str]]:
        rows = await self.database.fetch("SELECT action, subject FROM audit_log ORDER BY id")
        return [(row["action"], row["subject"]) for row in rows]


@pytest.fixture
async def place(record_database: RecordDatabase) -> AsyncIterator[Place]:
    database = await connect(record_database.dsn, name="test")
    try:
        await configuration.add_upstream(database, OLD)
        yield Place(database)
    finally:
        await database.close()


OLD = Upstream(id="old", host="h", port=1, system_id="s", password="p", window_size=7)


def says(steps: list[Step]) -> list[tuple[str, str, str]]:
    return [(step.verb, step.section, step.name) for step in steps]


async def test_a_file_is_applied_once_and_then_there_is_nothing_to_do(place: Place) -> None:
    steps = await place.plan(FILE)
    assert says(steps) == [
        ("add", "accounts", "acme"), ("add", "upstreams", "north"), ("add", "routes", "*/44"),
        ("add", "routes", "acme/*"), ("add", "mo_numbers", "12345"),
    ]  # fmt: skip
    assert dict(steps[0].differences) == {"rate_per_second": (None, 50.0), "senders": (None, ["ACME"])}
    assert steps[1].differences["password"] == (None, "(secret)")
    assert await place.apply(FILE) is True
    assert place.tells == 1
    held = await configuration.load_snapshot(place.database)
    assert held.accounts == (
        Account(id="acme", rate_per_second=50.0, senders=frozenset({"ACME"}), webhook_secret="whsec_new"),
    )
    north = next(upstream for upstream in held.upstreams if upstream.id == "north")
    assert (north.password, north.status_delays) == ("hunter2", {0x14: 30.0})
    assert set(held.routes) == {
        Route(prefix="44", upstreams=("north",)), Route(prefix="", upstreams=("north", "old"), account="acme"),
    }  # fmt: skip
    assert held.mo_numbers == (MoNumber(number="12345", account="acme"),)
    assert await place.plan(FILE) == []
    assert await place.logged() == [
        ("account.add", "acme"), ("upstream.add", "north"), ("route.set", "*/44"), ("route.set", "acme/*"),
        ("number.set", "12345"),
    ]  # fmt: skip
    rows = await place.database.fetch("SELECT old, new FROM audit_log")
    assert not any(secret in f"{rows}" for secret in ("hunter2", "whsec_new"))


async def test_changes_are_shown_field_by_field_and_what_is_not_named_stays(place: Place) -> None:
    await place.apply(FILE)
    await configuration.set_durability(place.database, "acme", "strict")
    changed = FILE.replace("50", "60\nhttp_networks = ['192.0.2.0/24']\ntags = ['gold']")
    changed = changed.replace('"hunter2"', '"hunter3"').replace('["north"]', '["old", "north"]')
    changed += 'via = "webhook"\n'
    steps = await place.plan(changed)
    assert [(step.verb, step.name, dict(step.differences)) for step in steps] == [
        (
            "change",
            "acme",
            {"rate_per_second": (50.0, 60.0), "tags": ([], ["gold"]), "http_networks": ([], ["192.0.2.0/24"])},
        ),
        ("change", "north", {"password": ("(secret)", "(another)")}),
        ("change", "*/44", {"upstreams": (["north"], ["old", "north"])}),
        ("change", "12345", {"via": ("smpp", "webhook")}),
    ]
    assert await place.apply(changed) is True
    held = await configuration.load_snapshot(place.database)
    assert (held.accounts[0].durability, held.accounts[0].webhook_secret) == ("strict", "whsec_new")
    assert held.accounts[0].http_networks == {"192.0.2.0/24"}
    assert await place.plan(changed) == []


async def test_what_is_not_declared_goes_with_prune_only_and_of_the_sections_of_the_file(place: Place) -> None:
    await place.apply(FILE)
    only_north = FILE[: FILE.index("[[routes]]")]
    assert await place.plan(only_north) == []
    with pytest.raises(DeclarationInvalid, match="the route acme/\\* leads to old"):
        await place.plan(only_north, is_pruned=True)
    less = only_north + '[[routes]]\nprefix = "44"\nupstreams = ["north"]\n[mo_numbers]\n[accounts]\n'
    assert says(await place.plan(less, is_pruned=True)) == [
        ("remove", "routes", "acme/*"), ("remove", "mo_numbers", "12345"), ("remove", "upstreams", "old"),
    ]  # fmt: skip
    assert await place.apply(less, is_pruned=True) is True
    held = await configuration.load_snapshot(place.database)
    assert [upstream.id for upstream in held.upstreams] == ["north"]
    assert (len(held.routes), len(held.mo_numbers), len(held.accounts)) == (1, 0, 1)
    assert (await place.logged())[-3:] == [
        ("route.remove", "acme/*"), ("number.remove", "12345"), ("upstream.remove", "old"),
    ]  # fmt: skip
    assert await place.plan(less, is_pruned=True) == []


async def test_an_upstream_for_which_messages_wait_is_not_pruned_and_nothing_else_happens(place: Place) -> None:
    text = FILE.replace('["north", "old"]', '["north"]')
    place.waiting = 3
    refused = await place.apply(text, is_pruned=True)
    assert isinstance(refused, Refusal) and refused.code == "upstream_has_messages"
    held = await configuration.load_snapshot(place.database)
    assert (held.upstreams, held.accounts, await place.logged(), place.tells) == ((OLD,), (), [], 0)
    assert await place.apply(text, is_pruned=True, is_forced=True) is True


async def test_a_plan_that_is_no_longer_the_one_that_was_shown_is_not_applied(place: Place) -> None:
    declaration = place.declaration(FILE)
    shown = await plan(declaration, place.database)
    await configuration.add_account(place.database, Account(id="acme", rate_per_second=5.0))
    refused = await apply(declaration, shown, place.admin)
    assert isinstance(refused, Refusal) and refused.code == "plan_changed"
    assert (await configuration.load_snapshot(place.database)).routes == ()


async def test_all_or_nothing(place: Place) -> None:
    declaration = place.declaration(FILE)
    steps = await plan(declaration, place.database)

    async def fails(*_: Any) -> None:
        raise RuntimeError("the last step")

    broken = [*steps[:-1], dataclasses.replace(steps[-1], write=fails)]
    with pytest.raises(RuntimeError):
        await apply(declaration, broken, place.admin)
    held = await configuration.load_snapshot(place.database)
    assert (held.upstreams, held.accounts, await place.logged()) == ((OLD,), (), [])


REFUSED = [
    ("[upstreams", "", "is no TOML"),
    ("[prices]", "prices", "there is no such section"),
    ("upstreams = 5", "upstreams", "is written [upstreams.NAME]"),
    ("[upstreams.new]\nport = 1\nsystem_id = 'x'", "upstreams.new.host", "is required"),
    ("[upstreams.old]\nwindow_size = 0", "upstreams.old.window_size", "is a whole number from 1 to 10000"),
    ("[routes]", "routes", "is written [[routes]]"),
    ("[[routes]]\nprefix = '+44'\nupstreams = ['old']", "routes[1].prefix", "is up to 15 digits"),
    ("[[routes]]\nupstreams = []", "routes[1]", "a route needs upstreams, each once"),
    ("[[routes]]\nupstreams = ['old']\nzone = 'Europe/Nowhere'", "routes[1].zone", "knows no time zone Europe/Nowhere"),
    ("[[routes]]\nupstreams = ['new']", "routes[1].upstreams", "there is no upstream new"),
    ("[[routes]]\nupstreams = ['old']\naccount = 'x'", "routes[1].account", "there is no account x"),
    (
        "[[routes]]\nupstreams = ['old']\n[[routes]]\nupstreams = ['old']",
        "routes[2]",
        "*/* is declared twice",
    ),
    ("[[routes]]\nupstreams = 'old'", "routes[1]", "Expected `array`"),
    ("[[routes]]\nprefix = '4'", "routes[1]", "missing required field `upstreams`"),
    ("[[routes]]\nto = ['old']", "routes[1].to", "there is no such field"),
    ("[accounts.Acme]", "accounts.Acme", "is called by 1 to 63 of a-z"),
    ("[accounts.acme]\nburst = 0", "accounts.acme.burst", "is no less than 1"),
    ("[accounts.acme]\nwebhook_secret = 'x'", "accounts.acme.webhook_secret", "there is no such field"),
    ("[accounts.acme]\nplan = 'gold'", "accounts.acme.plan", "`smscd price import` makes it"),
    ("[accounts.acme]\ncurrency = 'USD'", "accounts.acme.plan", "the plan default is in EUR, not USD"),
    ("[accounts.acme]\nallowed_countries = ['XX']", "accounts.acme", "XX"),
    ("[accounts.acme]\nhttp_networks = ['10.0.0.1/8']", "accounts.acme", "has host bits set"),
    ("[mo_numbers.1]\naccount = 'x'", "mo_numbers.1.account", "there is no account x"),
    ("[mo_numbers.1]\naccount = 'x'\nkeyword = 'stop'", "mo_numbers.1", "`smscd mo add` makes it"),
    ("[mo_numbers.'+1']\naccount = 'x'", "mo_numbers.+1", "without +"),
    ("[accounts.a]\n[mo_numbers.1]\naccount = 'a'\nvia = 'pigeon'", "mo_numbers.1.via", "is smpp or webhook"),
]


async def test_what_cannot_be_applied_is_refused_with_the_place(place: Place) -> None:
    for text, where, rule in REFUSED:
        with pytest.raises(DeclarationInvalid) as refused:
            await place.plan(text)
        found = dict(refused.value.faults)
        assert rule in found.get(where, ""), (text, found)


async def test_an_account_keeps_its_currency(place: Place) -> None:
    await configuration.add_price_plan(place.database, "dollars", "USD")
    await place.apply("[accounts.acme]")
    with pytest.raises(DeclarationInvalid, match="stays EUR"):
        await place.plan("[accounts.acme]\ncurrency = 'USD'\nplan = 'dollars'")
