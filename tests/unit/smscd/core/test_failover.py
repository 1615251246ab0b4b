"""When an upstream is out, where its messages go instead, and what they are there."""

from __future__ import annotations

import msgspec

from smscd.core.breaker import BreakerState
from smscd.core.directory import Account, Cost, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.failover import Standing, Throttling, next_candidates, reroute
from smscd.core.planning import Planned, plan
from smscd.core.records import Door, Form, MessageRecord
from smscd.core.submission import Submission
from smscd.core.upstream import Upstream

NOW_MS = 1_800_000_000_000


def upstream(name: str, **changes: object) -> Upstream:
    fields: dict[str, object] = {"id": name, "host": "h", "port": 1, "system_id": "s", "password": "p", **changes}
    return Upstream(**fields)  # type: ignore[arg-type]  # the test names fields that exist


def index(*others: Upstream) -> DirectoryIndex:
    ways = (upstream("one"), *others)
    return DirectoryIndex(
        Snapshot(
            accounts=(Account(id="a", senders=("Sender",)),),
            upstreams=ways,
            prices=(Price(plan="default", prefix="", price_micros=50_000),),
            costs=tuple(
                Cost(upstream=way.id, prefix="", currency=Account(id="a").currency, cost_micros=10 * n)
                for n, way in enumerate(ways, 1)
            ),
            routes=(Route(prefix="44", upstreams=tuple(way.id for way in ways)),),
        )
    )


def planned(directory: DirectoryIndex, text: str = "hello") -> MessageRecord:
    account = directory.account("a")
    assert account is not None
    asked = Submission(account=account, door=Door.HTTP, source=b"Sender", dest=b"447700900123", text=text)
    found = plan(asked, directory, 1 << 30, NOW_MS)
    assert isinstance(found, Planned)
    return found.record


def test_an_open_breaker_is_out_at_once_and_its_queue_moves_after_the_grace() -> None:
    standing = Standing(5.0, 5.0)
    standing.look(BreakerState.OPEN, True, 100.0)
    assert standing.since == 100.0 and not standing.may_move(104.9) and standing.may_move(105.0)
    standing.look(BreakerState.HALF_OPEN, True, 106.0)
    assert standing.since == 100.0, "a probe does not begin the grace anew"
    standing.look(BreakerState.CLOSED, True, 107.0)
    assert standing.since is None and not standing.may_move(200.0)


def test_an_upstream_that_only_throttles_for_a_while_is_out_until_it_takes_one() -> None:
    throttling = Throttling(60.0)
    throttling.answered(0, 0, 90.0)
    for second in range(60):
        throttling.answered(3, 0, 100.0 + second)
        assert not throttling.is_all
    throttling.answered(1, 0, 160.0)
    assert throttling.is_all
    standing = Standing(5.0, 5.0)
    standing.look(BreakerState.CLOSED, True, 160.0, throttles=throttling.is_all)
    assert standing.since == 160.0 and standing.may_move(165.0)
    throttling.answered(1, 0, 500.0)
    assert throttling.is_all, "however seldom it is tried now"
    throttling.answered(5, 1, 501.0)
    assert not throttling.is_all
    standing.look(BreakerState.CLOSED, True, 501.0, throttles=throttling.is_all)
    assert standing.since is None


def test_throttling_now_and_then_is_not_throttling_all_the_time() -> None:
    throttling = Throttling(60.0)
    for second in range(0, 600, 120):
        throttling.answered(1, 0, float(second))
    assert not throttling.is_all, "nobody asked for two minutes in between"
    for second in range(600, 900, 10):
        throttling.answered(9, second % 50 == 0, float(second))
        assert not throttling.is_all


def test_an_upstream_without_a_bind_is_out_only_after_a_while() -> None:
    standing = Standing(1.0, 5.0)
    standing.look(BreakerState.CLOSED, False, 100.0)
    standing.look(BreakerState.CLOSED, False, 104.9)
    assert standing.since is None
    standing.look(BreakerState.CLOSED, True, 105.0)
    standing.look(BreakerState.CLOSED, False, 106.0)
    standing.look(BreakerState.CLOSED, False, 110.0)
    assert standing.since is None, "the bind in between began it anew"
    standing.look(BreakerState.CLOSED, False, 111.0)
    assert standing.since == 111.0


def test_new_messages_go_around_an_upstream_that_is_out_and_come_back() -> None:
    directory = index(upstream("two"))
    assert planned(directory).upstream == "one"
    directory.go_around(frozenset({"one"}))
    assert planned(directory).upstream == "two"
    directory.go_around(frozenset({"one", "two"}))
    assert planned(directory).upstream == "one", "all are out: the first, whose queue waits"
    directory.go_around(frozenset())
    assert planned(directory).upstream == "one"


def test_candidates_are_the_others_of_the_route_that_are_enabled_and_not_out() -> None:
    directory = index(upstream("off", is_enabled=False), upstream("two"), upstream("three"))
    record = planned(directory)
    assert [found.id for found in next_candidates(directory, record, NOW_MS)] == ["two", "three"]
    directory.go_around(frozenset({"one", "two"}))
    assert [found.id for found in next_candidates(directory, record, NOW_MS)] == ["three"]
    assert next_candidates(directory, msgspec.structs.replace(record, dest=b"4917012345678"), NOW_MS) == []


def test_what_is_cut_for_one_upstream_is_made_anew_for_the_other_at_the_same_price() -> None:
    two = upstream("two", long_message="sar")
    directory = index(two)
    record = planned(directory, "x" * 200)
    moved = reroute(directory, record, two, NOW_MS)
    assert moved is not None and moved.conversion is not None
    assert (moved.upstream, moved.price_micros, moved.cost_micros) == ("two", record.price_micros, 40)
    assert moved.conversion.form == Form.SAR and b"".join(moved.segments) == b"x" * 200
    back = reroute(directory, moved, directory.upstream("one") or two, NOW_MS)
    assert back is not None
    assert (back.segments, back.esm_class, back.tlvs) == (record.segments, record.esm_class, record.tlvs)


def test_what_needs_no_conversion_stays_as_it_is() -> None:
    two = upstream("two")
    directory = index(two)
    record = planned(directory, "x" * 200)
    moved = reroute(directory, record, two, NOW_MS)
    assert moved == msgspec.structs.replace(record, upstream="two", cost_micros=40)


def test_what_the_other_upstream_cannot_write_stays() -> None:
    two = upstream("two", long_message="sar")
    directory = index(two)
    record = msgspec.structs.replace(planned(directory), esm_class=0x40, segments=[b"\x90no header"])
    assert reroute(directory, record, two, NOW_MS) is None
