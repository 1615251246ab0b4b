"""The demo's data in the real PostgreSQL: a second start leaves what operators changed."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest

from smscd.core.directory import MoNumber, Price, Route, Snapshot
from smscd.core.records import LedgerRecord
from smscd.core.upstream import Upstream
from smscd.supervision import seed as seeding
from storage.postgres import configuration
from storage.postgres.pool import Connection
from storage.redis.accounts import Balances

pytest_plugins = ("tests.integration.postgres_fixture",)

SECRETS = seeding.new_demo_secrets()


class Paid:
    """In place of the ledger and of Redis: what was topped up by which reference."""

    def __init__(self) -> None:
        self.entries: list[LedgerRecord] = []

    async def top_up(self, record: LedgerRecord) -> None:
        self.entries.append(record)

    async def entry_of(self, _database: object, reference: str) -> LedgerRecord | None:
        return next((entry for entry in self.entries if entry.reference == reference), None)


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch) -> Paid:
    paid = Paid()
    monkeypatch.setattr(seeding, "entry_of", paid.entry_of)
    return paid


async def start(daemon: Connection, paid: Paid, *upstreams: Upstream) -> Snapshot:
    balances = cast("Balances", paid)
    await seeding.seed(daemon, balances, pepper="p", demo=SECRETS, upstreams=upstreams)
    return await configuration.load_snapshot(daemon)


def enabled(snapshot: Snapshot) -> set[str]:
    return {upstream.id for upstream in snapshot.upstreams if upstream.is_enabled}


async def test_a_second_start_of_the_demo_leaves_what_operators_changed(daemon: Connection, paid: Paid) -> None:
    simulated = seeding.simulated_upstream("127.0.0.1", 2776)
    first = await start(daemon, paid, simulated)
    [account] = first.accounts
    await configuration.add_account(daemon, msgspec.structs.replace(account, rate_per_second=5.0, is_suspended=True))
    await configuration.add_upstream(daemon, msgspec.structs.replace(simulated, id="north"))
    await configuration.add_upstream(daemon, msgspec.structs.replace(simulated, window_size=7))
    await configuration.add_route(daemon, Route(prefix="", upstreams=("north", "carrier")))
    await configuration.add_prices(daemon, [Price(plan="default", prefix="", price_micros=3)])
    await configuration.add_mo_number(daemon, MoNumber(number=seeding.MO_NUMBER, account="demo", via="webhook"))
    changed = await configuration.load_snapshot(daemon)
    moved = seeding.simulated_upstream("127.0.0.1", 2777)
    again = await start(daemon, paid, moved)
    assert (again.accounts, again.prices, again.mo_numbers) == (changed.accounts, changed.prices, changed.mo_numbers)
    assert (again.routes, enabled(again)) == (changed.routes, {"carrier", "north"})
    [carrier] = [upstream for upstream in again.upstreams if upstream.id == "carrier"]
    assert (carrier.port, carrier.window_size) == (2777, 7)
    assert len(paid.entries) == 1


async def test_other_upstreams_of_the_demo_take_the_place_of_those_before(daemon: Connection, paid: Paid) -> None:
    await start(daemon, paid, seeding.simulated_upstream("127.0.0.1", 2776))
    mine = seeding.upstream_of_url("smpp://a:b@h:1", "upstream1")
    found = await start(daemon, paid, mine)
    assert (enabled(found), found.routes) == ({"upstream1"}, (Route(prefix="", upstreams=("upstream1",)),))
