"""Receivers take turns, within bounds for each, for each account, and for all."""

from __future__ import annotations

import heapq
from collections import Counter

import pytest
from yarl import URL

from smscd.egress.webhooks.endpoints import QUEUE_MIN, Endpoint, Endpoints, Group, Job
from tests.unit.smscd.egress.webhook_fixture import callback


def fill(endpoints: Endpoints, account: str, host: str, count: int) -> Endpoint:
    """Queue callbacks for a receiver."""
    url = URL(f"https://{host}/x")
    endpoint = endpoints.of(account, url)
    for number in range(count):
        endpoints.add(endpoint, Job(callback(number, account), Group(1), url))
    return endpoint


def drawn(endpoints: Endpoints) -> list[str]:
    """The hosts that may be asked now, in turn."""
    hosts = []
    while (found := endpoints.next()) is not None:
        hosts.append(found[0].key[2])
    return hosts


def test_receivers_take_turns_within_their_own_limit() -> None:
    endpoints = Endpoints(100, 2)
    fill(endpoints, "a", "one", 3)
    fill(endpoints, "a", "two", 3)
    assert drawn(endpoints) == ["one", "two", "one", "two"]
    assert (endpoints.active, endpoints.waiting) == (4, 2)


def test_the_bound_for_all_holds_and_a_freed_request_goes_to_who_waits_longest() -> None:
    endpoints = Endpoints(4, 10)
    first = fill(endpoints, "a", "one", 10)
    fill(endpoints, "b", "two", 10)
    assert drawn(endpoints) == ["one", "two"]
    for account, host in (("c", "three"), ("d", "four"), ("e", "five"), ("f", "six")):
        fill(endpoints, account, host, 10)
    assert drawn(endpoints) == ["three", "four"]
    endpoints.ended(first)
    assert drawn(endpoints) == ["five"]


def test_an_account_never_has_more_requests_than_are_left_free() -> None:
    endpoints = Endpoints(100, 100)
    for account in "abcd":
        fill(endpoints, account, "one", 100)
    assert Counter(drawn(endpoints)) == {"one": 80}
    assert {found.active for found in endpoints._endpoints.values()} == {20}
    fill(endpoints, "e", "late", 100)
    assert drawn(endpoints) == ["late"] * 10


def test_another_port_or_account_is_another_receiver() -> None:
    endpoints = Endpoints(100, 1)
    same = endpoints.of("a", URL("https://one/x"))
    assert endpoints.of("a", URL("https://one:443/y?z")) is same
    assert endpoints.of("a", URL("http://one/x")) is not same
    assert endpoints.of("b", URL("https://one/x")) is not same


def test_a_slow_receiver_is_asked_less_at_once_and_recovers_one_by_one() -> None:
    endpoint = Endpoints(100, 10).of("a", URL("https://one/"))
    for _ in range(5):
        endpoint.answered(15.0, 15.0, is_success=False, is_slow=True)
    assert (endpoint.limit, endpoint.is_failing) == (2, False)
    for _ in range(5):
        endpoint.answered(15.0, 0.1, is_success=False, is_slow=False)
    assert (endpoint.limit, endpoint.is_failing) == (2, True)
    endpoint.answered(15.0, 0.1, is_success=True, is_slow=False)
    assert (endpoint.limit, endpoint.is_failing) == (3, False)


def test_a_queue_that_stands_still_is_cut_to_what_ten_seconds_bring() -> None:
    endpoints = Endpoints(100, 10)
    endpoint = fill(endpoints, "a", "one", 500)
    endpoint.answered(5.0, 5.0, is_success=True, is_slow=False)
    assert not endpoint.has_room
    assert endpoints.shed(9.9) == []
    shed = endpoints.shed(10.0)
    assert (len(endpoint.queue), len(shed), endpoints.waiting) == (20, 480, 20)
    assert shed[0][1].record.id == 499


def test_a_receiver_that_never_answered_gets_room_for_ten_seconds_and_then_next_to_none() -> None:
    endpoints = Endpoints(100, 10)
    endpoint = fill(endpoints, "a", "one", 3_000)
    assert endpoint.has_room
    endpoints.shed(10.0)
    assert len(endpoint.queue) == QUEUE_MIN


def test_the_pace_is_what_it_can_take_and_not_what_it_was_given() -> None:
    endpoint = Endpoints(100, 10).of("a", URL("https://one/"))
    for tick in range(1, 21):
        endpoint.answered(tick * 60.0, 0.5, is_success=True, is_slow=False)
    assert endpoint.pace == pytest.approx(20.0)
    endpoint.beyond = 100
    assert endpoint.wait_seconds() == pytest.approx(5.0)
    endpoint.answered(1_200.1, 9.0, is_success=True, is_slow=False)
    assert endpoint.pace == pytest.approx(20.0)


def test_receivers_that_are_done_are_forgotten() -> None:
    endpoints = Endpoints(100, 10)
    for number in range(50):
        endpoint = fill(endpoints, "a", f"h{number}", 1)
        endpoints.next()
        endpoint.answered(0.1, 0.1, is_success=False, is_slow=False)
        endpoints.ended(endpoint)
    assert len(endpoints) == 0


def test_endpoints_that_hang_do_not_take_all_that_their_account_may_have() -> None:
    endpoints = Endpoints(200, 32)
    url = URL("https://one.example/x")
    for number in range(1, 16):
        for job in range(40):
            endpoints.add(endpoints.of("a", url, number), Job(callback(job), Group(1), url))
    assert len(drawn(endpoints)) == 50
    late = endpoints.of("a", url, 16)
    for job in range(5):
        endpoints.add(late, Job(callback(job), Group(1), url))
    assert [found[0].number for found in iter(endpoints.next, None) if found is not None] == [16, 16]
    by_url = fill(endpoints, "a", "other.example", 5)
    assert (endpoints.next(), by_url.active) == (None, 0)
    endpoints.ended(late)
    assert (endpoints.next() or (late,))[0] is late
    late.answered(1.0, 0.01, is_success=True, is_slow=False)
    assert late.limit == 5


@pytest.mark.parametrize("hanging", [0, 4, 12])
def test_accounts_whose_endpoints_all_hang_hold_up_few_deliveries_of_others(hanging: int) -> None:
    endpoints, url = Endpoints(200, 10), URL("https://one.example/x")
    for account in range(hanging):
        for number in range(1, 17):
            for job in range(40):
                endpoints.add(endpoints.of(f"bad{account}", url, number), Job(callback(job), Group(1), url))
    waited, busiest = healthy_waits(endpoints, seconds=20.0)
    late = sum(seconds > 0.1 for seconds in waited)
    assert len(waited) == 2_000
    assert late <= len(waited) // 10
    assert busiest < 200


def healthy_waits(endpoints: Endpoints, *, seconds: float) -> tuple[list[float], int]:
    """How long each of 100 callbacks a second waits whose receiver answers in 50 ms; what else waits hangs for 15 s.

    On virtual time. Also the most requests that were under way.
    """
    url, waited, busiest = URL("https://good.example/x"), [], 0
    ends: list[tuple[float, int, Endpoint]] = []
    began = 0
    for tick in range(int(seconds * 100)):
        now = tick / 100
        while ends and ends[0][0] <= now:
            _, _, endpoint = heapq.heappop(ends)
            is_good = endpoint.account == "good"
            endpoint.answered(now, 0.05 if is_good else 15.0, is_success=is_good, is_slow=not is_good)
            endpoints.ended(endpoint)
        endpoints.add(endpoints.of("good", url, 99), Job(callback(tick, "good"), Group(1), url, now))
        while (found := endpoints.next()) is not None:
            began += 1
            endpoint, job = found
            if endpoint.account == "good":
                waited.append(now - job.since)
            heapq.heappush(ends, (now + (0.05 if endpoint.account == "good" else 15.0), began, endpoint))
        busiest = max(busiest, endpoints.active)
    return waited, busiest
