"""The directory of a process: replaced when something changed, and in steps where it is large."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from smscd.core.directory import Account, Price, Route, Snapshot
from smscd.core.directory_index import VALIDITY_DEFAULT_MS, DirectoryIndex
from smscd.core.prefix_table import STEP_PREFIXES
from smscd.worker import directory_feed
from smscd.worker.directory_feed import DirectoryFeed

PRICES = tuple(Price(plan="default", prefix=str(number), price_micros=number) for number in range(40 * STEP_PREFIXES))


def feed_of(*snapshots: Snapshot) -> tuple[DirectoryFeed, list[Snapshot], list[DirectoryIndex]]:
    """A feed that loads these one after another, what it said that it knew, and what it told."""
    known: list[Snapshot] = []
    told: list[DirectoryIndex] = []
    coming = iter(snapshots)

    async def load(before: Snapshot) -> Snapshot:
        known.append(before)
        return next(coming)

    feed = DirectoryFeed(load, (), VALIDITY_DEFAULT_MS)
    feed.on_change.append(told.append)
    return feed, known, told


async def test_prices_that_did_not_change_are_not_built_again() -> None:
    first = Snapshot(prices_version=1, prices=PRICES)
    second = Snapshot(prices_version=1, prices=PRICES, accounts=(Account(id="a"),))
    feed, known, told = feed_of(first, second, second)
    await feed.refresh()
    before = feed.current
    await feed.refresh()
    await feed.refresh()
    assert known == [Snapshot(), first, second]
    assert told == [before, feed.current] and feed.loads == 2
    assert feed.current is not before and feed.current.prices is before.prices
    assert feed.current.account("a") is not None


async def test_prices_that_changed_are_built_while_the_process_does_its_work() -> None:
    """The old ones are used until the new ones are whole."""
    feed, _, _ = feed_of(Snapshot(prices_version=1, prices=PRICES[:10]), Snapshot(prices_version=2, prices=PRICES))
    await feed.refresh()
    building = asyncio.create_task(feed.refresh())
    turns = 0
    while not building.done():
        assert feed.get().prices.price("default", b"11111", 0) == 1
        turns += 1
        await asyncio.sleep(0)
    assert turns > 3 * 40
    assert feed.get().prices.price("default", b"11111", 0) == 11111


async def test_routes_that_did_not_change_are_not_built_again_and_others_in_steps() -> None:
    routes = tuple(Route(prefix=str(number), upstreams=("a",)) for number in range(40 * STEP_PREFIXES))
    few = Snapshot(routes=routes[:10])
    other = msgspec.structs.replace(few, accounts=(Account(id="a"),))
    feed, _, _ = feed_of(few, other, msgspec.structs.replace(other, routes=routes))
    await feed.refresh()
    before = feed.current
    await feed.refresh()
    assert feed.current is not before and feed.current.rules is before.rules
    building = asyncio.create_task(feed.refresh())
    turns = 0
    while not building.done():
        assert feed.current.rules is before.rules
        turns += 1
        await asyncio.sleep(0)
    assert turns > 2 * 40
    assert feed.current.rules.plain(Account(id="a"), b"11111") is routes[11111]


async def test_a_route_whose_zone_is_not_known_is_told_once_and_keeps_nothing_from_loading() -> None:
    lost = Route(prefix="44", upstreams=("a",), name="night", zone="Europe/Nowhere")
    snapshot = Snapshot(routes=(lost,))
    feed, _, told = feed_of(snapshot, msgspec.structs.replace(snapshot, accounts=(Account(id="a"),)))
    with capture_logs() as logs:
        await feed.refresh()
        await feed.refresh()
    assert len(told) == 2
    assert [log for log in logs if log["event"] == "route.skipped"] == [
        {
            "event": "route.skipped",
            "log_level": "warning",
            "route": "*/44/night",
            "zone": "Europe/Nowhere",
            "reason": "this machine does not know its time zone",
        }
    ]


async def test_it_looks_again_though_no_notice_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended account is refused also when the notice was lost."""
    monkeypatch.setattr(directory_feed, "REFRESH_SECONDS", 0.01)
    active = Snapshot(accounts=(Account(id="a"),))
    suspended = Snapshot(accounts=(Account(id="a", is_suspended=True),))
    feed, _, told = feed_of(active, active, suspended)
    changed = asyncio.Event()
    feed.on_change.append(lambda index: changed.set() if len(told) == 2 else None)
    running = asyncio.create_task(feed.run())
    await asyncio.wait_for(changed.wait(), 5)
    running.cancel()
    account = feed.get().account("a")
    assert account is not None and account.is_suspended
