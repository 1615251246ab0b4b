"""Receivers take turns, within bounds for each, for each account, and for all."""

from __future__ import annotations

from yarl import URL

from smscd.egress.webhooks_endpoints import Endpoint, Endpoints, Group, Job
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
    endpoints = Endpoints(8, 10)
    first = fill(endpoints, "a", "one", 10)
    fill(endpoints, "b", "two", 10)
    assert drawn(endpoints) == ["one", "two", "one", "two"]
    fill(endpoints, "c", "three", 10)
    fill(endpoints, "d", "four", 10)
    fill(endpoints, "e", "five", 10)
    assert drawn(endpoints) == ["three", "four", "five", "three"]
    endpoints.ended(first)
    assert drawn(endpoints) == ["four"]


def test_another_port_or_account_is_another_receiver() -> None:
    endpoints = Endpoints(100, 1)
    same = endpoints.of("a", URL("https://one/x"))
    assert endpoints.of("a", URL("https://one:443/y?z")) is same
    assert endpoints.of("a", URL("http://one/x")) is not same
    assert endpoints.of("b", URL("https://one/x")) is not same


def test_a_slow_receiver_is_asked_less_at_once_and_recovers_one_by_one() -> None:
    endpoint = Endpoints(100, 10).of("a", URL("https://one/"))
    for _ in range(5):
        endpoint.answered(15.0, is_success=False, is_slow=True)
    assert (endpoint.limit, endpoint.is_failing) == (2, False)
    for _ in range(5):
        endpoint.answered(0.01, is_success=False, is_slow=False)
    assert (endpoint.limit, endpoint.is_failing) == (2, True)
    endpoint.answered(0.01, is_success=True, is_slow=False)
    assert (endpoint.limit, endpoint.is_failing) == (3, False)


def test_a_queue_is_as_long_as_the_pace_allows_and_what_is_too_much_is_shed_from_its_end() -> None:
    endpoints = Endpoints(100, 10)
    endpoint = fill(endpoints, "a", "one", 1_000)
    assert endpoint.has_room
    endpoint.mean_seconds = 5.0
    assert not endpoint.has_room
    shed = endpoints.shed(endpoint)
    assert (len(endpoint.queue), len(shed), endpoints.waiting) == (19, 981, 19)
    assert shed[0].record.id == 999
    endpoint.mean_seconds, endpoint.limit = 15.0, 2
    endpoints.shed(endpoint)
    assert len(endpoint.queue) == 3


def test_receivers_that_are_done_are_forgotten() -> None:
    endpoints = Endpoints(100, 10)
    for number in range(50):
        endpoint = fill(endpoints, "a", f"h{number}", 1)
        endpoints.next()
        endpoint.answered(0.1, is_success=False, is_slow=False)
        endpoints.ended(endpoint)
    assert len(endpoints) == 0
