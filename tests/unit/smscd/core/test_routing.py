"""Routing: which rule wins, in which order its upstreams are tried, and that what is explained is what is planned."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import datetime
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smscd.core.directory import Account, Cost, Price, Route, RouteChoice, Snapshot
from smscd.core.directory_index import DirectoryIndex, Routed
from smscd.core.failover import next_candidates
from smscd.core.planning import plan
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Door, MessageRecord
from smscd.core.route_forms import route_of
from smscd.core.routing import NONE_CLOSED, Why
from smscd.core.submission import Submission
from smscd.core.upstream import Upstream

DEST = b"447700900123"
VIP = Account(id="vip", any_sender=True, tags=frozenset({"gold", "uk"}))
PLAIN = Account(id="plain", any_sender=True)


def others(record: MessageRecord, directory: DirectoryIndex) -> list[str]:
    """Where else a queued message may go."""
    return [upstream.id for upstream in next_candidates(directory, record, NOON)]


UPSTREAMS = tuple(
    Upstream(id=name, host="h", port=1, system_id="s", password="p", is_enabled=name != "off")
    for name in ("one", "two", "three", "off")
)
NOON = int(datetime(2026, 11, 26, 12, tzinfo=ZoneInfo("UTC")).timestamp()) * 1000


def index(*routes: Route, costs: tuple[Cost, ...] = ()) -> DirectoryIndex:
    prices = (Price(plan="default", prefix="", price_micros=10),)
    return DirectoryIndex(
        Snapshot(accounts=(VIP, PLAIN), upstreams=UPSTREAMS, routes=routes, prices=prices, costs=costs)
    )


def planned(
    directory: DirectoryIndex,
    account: Account = PLAIN,
    source: bytes = b"ACME",
    id: int = 1,
    now_ms: int = NOON,
    closed: frozenset[str] = NONE_CLOSED,
    dest: bytes = DEST,
) -> MessageRecord | Reason:
    asked = Submission(account, Door.SMPP, source, dest, content=b"x", source_ton=5, source_npi=0)
    found = plan(asked, directory, id, now_ms, closed)
    return found.reason if isinstance(found, Rejected) else found.record


def to(directory: DirectoryIndex, **asked: Any) -> str | Reason:
    found = planned(directory, **asked)
    return found if isinstance(found, Reason) else found.upstream


def routed(directory: DirectoryIndex, account: Account = PLAIN, id: int = 1, **asked: Any) -> Routed:
    entry = directory.entry(account.id)
    assert entry is not None
    given: dict[str, Any] = {"now_ms": NOON, "source": b"ACME", "closed": NONE_CLOSED, "digits": DEST} | asked
    return directory.routed(entry, id=id, **given)


def test_the_order_of_rules() -> None:
    """Each of these comes before all that follow it."""
    gold, both = frozenset({"gold"}), frozenset({"gold", "uk"})
    rules = [
        Route(prefix="4477", upstreams=("one",), account="vip"),
        Route(prefix="4", upstreams=("one",), account="vip", name="pattern", source="A*"),
        Route(prefix="4", upstreams=("one",), account="vip"),
        Route(prefix="447", upstreams=("one",), tags=gold),
        Route(prefix="44", upstreams=("one",), name="c", tags=gold, source="ACM*"),
        Route(prefix="44", upstreams=("one",), name="b", tags=both, source="A*", zone="UTC"),
        Route(prefix="44", upstreams=("one",), name="d", tags=both, source="A*"),
        Route(prefix="44", upstreams=("one",), name="e", tags=gold, zone="UTC"),
        Route(prefix="44", upstreams=("one",), name="f", tags=both),
        Route(prefix="44", upstreams=("one",), name="g", tags=gold),
        Route(prefix="+447700900123", upstreams=("one",)),
        Route(prefix="44", upstreams=("one",), name="a"),
        Route(prefix="44", upstreams=("one",), name="aa"),
        Route(prefix="", upstreams=("one",)),
    ]
    shuffled = random.Random(1).sample(rules, len(rules))
    found = routed(index(*shuffled), VIP).rules
    assert [judged.route for judged in found] == rules
    assert found[0].why is None and {judged.why for judged in found[1:]} == {Why.LOWER}
    assert [judged.why for judged in routed(index(*rules)).rules][:7] == [Why.TAGS] * 7


def test_a_pattern_of_the_sender_is_of_the_sender_as_it_is_sent() -> None:
    directory = index(
        Route(prefix="", upstreams=("one",), name="x", source="ACME*"), Route(prefix="4", upstreams=("off",))
    )
    assert to(directory) is Reason.NO_ROUTE_AVAILABLE, "the longer prefix comes first"
    directory = index(
        Route(prefix="", upstreams=("one",), name="x", source="ACME*"), Route(prefix="", upstreams=("two",))
    )
    senders = (b"ACME", b"ACME Bank", b"acme", b"XACME")
    assert [to(directory, source=source) for source in senders] == ["one", "one", "two", "two"]
    alone = index(Route(prefix="", upstreams=("one",), name="x", source="ACME*"))
    assert to(alone, source=b"Other") is Reason.NO_ROUTE


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-27T21:59", "two"), ("2026-03-27T22:00", "one"), ("2026-03-28T05:59", "one"),
        ("2026-03-28T06:00", "two"), ("2026-03-28T23:00", "two"), ("2026-03-29T05:59", "two"),
        ("2026-03-30T05:59", "two"), ("2026-10-23T22:00", "one"),
    ],
)  # fmt: skip
def test_a_window_over_midnight_is_of_local_time_and_of_the_day_that_it_begins_on(at: str, expected: str) -> None:
    """Friday from ten in the evening until six in the morning, in winter and in summer time."""
    night = Route(
        prefix="", upstreams=("one",), name="night", zone="Europe/London", days=frozenset({5}),
        from_minute=22 * 60, until_minute=6 * 60,
    )  # fmt: skip
    local = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Europe/London"))
    now_ms = int(local.timestamp()) * 1000
    assert to(index(night, Route(prefix="", upstreams=("two",))), now_ms=now_ms) == expected


def test_a_rule_whose_time_zone_is_not_known_here_fits_nothing_and_is_explained() -> None:
    """It was made where the zone is known, or before the machine lost it: the others must not be lost with it."""
    lost = Route(prefix="44", upstreams=("one",), name="night", zone="Europe/Nowhere")
    directory = index(lost, Route(prefix="", upstreams=("two",)))
    assert to(directory) == "two"
    assert directory.rules.unusable == (lost,)
    assert {judged.route.label: judged.why for judged in routed(directory).rules} == {
        "*/44/night": Why.ZONE, "*/*": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="knows no time zone Europe/Nowhere"):
        route_of({"prefix": "44", "upstreams": ["one"], "zone": "Europe/Nowhere"})


def test_what_is_remembered_changes_with_the_time() -> None:
    day = Route(prefix="", upstreams=("one",), name="day", zone="UTC", from_minute=720, until_minute=721)
    directory = index(day, Route(prefix="", upstreams=("two",)))
    moments = (NOON - 1, NOON, NOON + 59_999, NOON + 60_000, NOON)
    assert [to(directory, now_ms=now_ms) for now_ms in moments] == ["two", "one", "one", "two", "one"]


def test_weights_are_kept_over_ids_that_follow_each_other() -> None:
    route = Route(prefix="", upstreams=("one", "two", "three"), choice="weighted", weights=(70, 30, 0))
    directory = index(route)
    first, step = 217_000_000_000 << 22, 4_096
    for ids in (range(first, first + 10_000), range(first, first + 10_000 * step, step)):
        counts = Counter(to(directory, id=id) for id in ids)
        assert set(counts) == {"one", "two"} and abs(counts["one"] - 7_000) < 250, "five standard deviations"
    assert [to(directory, id=first + n) for n in range(50)] == [to(index(route), id=first + n) for n in range(50)]
    assert {to(directory, id=id, closed=frozenset({"one"})) for id in range(200)} == {"two"}


def test_those_of_a_weighted_upstream_that_is_closed_go_to_the_others_by_their_weights() -> None:
    directory = index(Route(prefix="", upstreams=("one", "two", "three"), choice="weighted", weights=(2, 3, 1)))
    closed = frozenset({"one"})
    moved: Counter[str | Reason] = Counter()
    for id in range(12_000):
        before, after = to(directory, id=id), to(directory, id=id, closed=closed)
        assert before == "one" or after == before
        moved[after] += before == "one"
    assert moved["one"] == 0 and abs(moved["two"] - 3_000) < 250 and abs(moved["three"] - 1_000) < 250


def test_least_cost_has_those_of_unknown_cost_last_and_follows_the_dates_of_costs() -> None:
    def cost(upstream: str, micros: int, **dates: int) -> Cost:
        return Cost(upstream=upstream, currency="EUR", prefix="44", cost_micros=micros, **dates)

    costs = (cost("three", 5, valid_until_ms=NOON), cost("three", 9, valid_from_ms=NOON), cost("two", 7))
    directory = index(Route(prefix="", upstreams=("one", "two", "three"), choice="least_cost"), costs=costs)
    assert routed(directory, now_ms=NOON - 1).candidates == ("three", "two", "one")
    assert routed(directory).candidates == ("two", "three", "one")
    assert [to(directory, now_ms=now_ms) for now_ms in (NOON - 1, NOON, NOON - 1)] == ["three", "two", "three"]


def test_a_closed_upstream_is_passed_over_and_all_closed_wait_for_the_first() -> None:
    directory = index(Route(prefix="44", upstreams=("off", "one", "gone", "two"), in_doubt="hold"))
    for closed, expected in (((), "one"), (("one",), "two"), (("one", "two"), "one"), (("two",), "one")):
        assert to(directory, closed=frozenset(closed)) == expected
    passed = routed(directory, closed=frozenset({"one"})).passed
    assert passed == {"off": Why.DISABLED, "one": Why.CLOSED, "gone": Why.UNKNOWN}
    record = planned(directory)
    assert isinstance(record, MessageRecord) and record.in_doubt == 2
    assert others(record, directory) == ["two"]
    assert others(msgspec.structs.replace(record, account="z"), directory) == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"upstreams": ()}, "needs upstreams"),
        ({"upstreams": ("one", "one")}, "each once"),
        ({"account": "a", "tags": frozenset({"x"})}, "one account or for tags"),
        ({"choice": "weighted"}, "a weight for each"),
        ({"choice": "weighted", "weights": (0,)}, "above 0"),
        ({"weights": (1,)}, "and no other"),
        ({"from_minute": 5}, "needs a time zone"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Route(**({"prefix": "44", "upstreams": ("one",)} | wrong))


names = st.lists(st.sampled_from(["one", "two", "three", "off", "gone"]), min_size=1, unique=True).map(tuple)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    upstreams = draw(names)
    choice: RouteChoice = draw(st.sampled_from(["priority", "weighted", "least_cost"]))
    weights = draw(st.tuples(*(st.integers(1, 3) for _ in upstreams))) if choice == "weighted" else ()
    account = draw(st.sampled_from(["", "vip", "plain"]))
    return Route(
        prefix=draw(st.sampled_from(["", "4", "44", "447", "45"])),
        upstreams=upstreams,
        account=account,
        name=draw(st.sampled_from("abc")),
        source=draw(st.sampled_from(["", "A*", "ACME"])),
        tags=frozenset() if account else draw(st.frozensets(st.sampled_from(["gold", "uk", "other"]), max_size=2)),
        zone=draw(st.sampled_from(["", "UTC"])),
        choice=choice,
        weights=weights,
        in_doubt=draw(st.sampled_from(["", "hold"])),
    )


@settings(max_examples=200, deadline=None)
@given(
    rules=st.lists(routes(), max_size=8, unique_by=lambda route: (route.account, route.prefix, route.name)),
    asked=st.lists(
        st.tuples(
            st.sampled_from([VIP, PLAIN]), st.sampled_from([b"ACME", b"A", b"B"]), st.integers(0, 9),
            st.sampled_from([DEST, b"4511111111", b"4911111111"]), st.sets(st.sampled_from(["one", "two"])),
        ),
        min_size=1, max_size=8,
    ),
)  # fmt: skip
def test_what_is_explained_is_what_is_planned(rules: list[Route], asked: list[Any]) -> None:
    """By an index that remembers, whatever it was asked before."""
    costs = (Cost(upstream="two", currency="EUR", prefix="", cost_micros=3),)
    directory = index(*rules, costs=costs)
    for account, source, id, dest, names_closed in asked:
        closed = frozenset(names_closed)
        record = planned(directory, account, source, id, NOON, closed, dest)
        found = routed(directory, account, id, source=source, closed=closed, digits=dest)
        if isinstance(record, Reason):
            assert not found.candidates and (record is Reason.NO_ROUTE or found.route is not None)
            continue
        assert found.route is not None and record.in_doubt == (2 if found.route.in_doubt else 0)
        assert record.upstream in found.candidates and record.upstream not in found.passed
        assert set(found.passed) == set(found.route.upstreams) - {record.upstream}
        assert others(record, directory) == [name for name in found.candidates if name != record.upstream]


def test_a_hundred_thousand_prefixes_cost_at_most_a_microsecond_a_message() -> None:
    """CPU time of planning with them and with a single one, in rounds that alternate."""
    prefixes = [f"44{number:05d}" for number in range(100_000)]
    many = index(*(Route(prefix=prefix, upstreams=("one",)) for prefix in prefixes))
    one = index(Route(prefix="", upstreams=("one",)))
    chosen = random.Random(3).sample(prefixes, 5_000)
    asked = [
        Submission(PLAIN, Door.SMPP, b"ACME", f"{prefix}00000".encode(), content=b"x", source_ton=5, source_npi=0)
        for prefix in chosen
    ]

    def seconds(directory: DirectoryIndex) -> float:
        begun = time.process_time()
        for submission in asked:
            plan(submission, directory, 1, NOON)
        return time.process_time() - begun

    rounds = [(seconds(one), seconds(many)) for _ in range(16)][1:]
    added = median(with_many - with_one for with_one, with_many in rounds)
    assert added / len(asked) < 1e-6
