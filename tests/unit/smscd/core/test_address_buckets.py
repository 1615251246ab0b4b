"""Rates by address."""

from __future__ import annotations

from smscd.core.address_buckets import AddressBuckets


def test_each_address_has_its_burst_and_then_its_rate() -> None:
    buckets = AddressBuckets(2.0, 3)
    assert [buckets.take("192.0.2.1", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert buckets.take("192.0.2.2", 0.0)
    assert [buckets.take("192.0.2.1", 1.0) for _ in range(3)] == [True, True, False]


def test_a_rate_of_zero_is_no_limit_and_remembers_nobody() -> None:
    buckets = AddressBuckets(0.0, 1)
    assert all(buckets.take("192.0.2.1", 0.0) for _ in range(1_000))
    assert len(buckets) == 0


def test_an_ipv6_peer_does_not_get_a_bucket_for_each_of_its_addresses() -> None:
    buckets = AddressBuckets(1.0, 1)
    assert buckets.take("2001:db8::1", 0.0)
    assert not buckets.take("2001:db8::2", 0.0)


def test_addresses_are_bounded_and_the_longest_unseen_is_forgotten() -> None:
    buckets = AddressBuckets(0.001, 1, addresses_max=3)
    for number in range(3):
        assert buckets.take(f"192.0.2.{number}", 0.0)
    assert not buckets.take("192.0.2.0", 0.0)
    assert buckets.take("192.0.2.9", 0.0)
    assert len(buckets) == 3
    assert not buckets.take("192.0.2.0", 0.0)
    assert buckets.take("192.0.2.1", 0.0)
