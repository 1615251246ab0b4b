"""Addresses in one form, and lists of networks."""

from __future__ import annotations

import pytest

from smscd.core.networks import Networks, normalised, parse_network, peer_group


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("@socket", "@socket"),
    ],
)
def test_an_address_has_one_form(address: str, expected: str) -> None:
    assert normalised(address) == expected


def test_ipv6_is_counted_by_its_site_and_ipv4_by_its_address() -> None:
    assert peer_group("2001:db8:1:2:3::4") == peer_group("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert peer_group("2001:db8:1:3::4") != peer_group("2001:db8:1:2::4")
    assert peer_group("::ffff:192.0.2.1") == peer_group("192.0.2.1") == "192.0.2.1"
    assert peer_group("192.0.2.2") != peer_group("192.0.2.1")
    assert peer_group("") == ""


@pytest.mark.parametrize(
    ("networks", "address", "expected"),
    [
        ((), "192.0.2.1", True),
        ((), "", True),
        (("192.0.2.0/24",), "192.0.2.255", True),
        (("192.0.2.0/24",), "192.0.3.0", False),
        (("192.0.2.0/24",), "::ffff:192.0.2.7", True),
        (("::ffff:192.0.2.0/120",), "192.0.2.7", True),
        (("192.0.2.7",), "192.0.2.7", True),
        (("192.0.2.7",), "192.0.2.8", False),
        (("2001:db8::/32",), "2001:db8:ffff::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("0.0.0.0/0",), "2001:db8::1", False),
        (("::/0",), "192.0.2.1", False),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::1", True),
        (("192.0.2.0/24",), "", False),
        (("nonsense",), "192.0.2.1", False),
    ],
)
def test_who_is_allowed(networks: tuple[str, ...], address: str, expected: bool) -> None:
    assert Networks(networks).allows(address) is expected


@pytest.mark.parametrize("text", ["", "192.0.2.1/24", "192.0.2.0/33", "host.example", "1"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_network(text)


def test_a_network_is_shown_in_its_shortest_form() -> None:
    assert str(parse_network(" 2001:DB8:0:0::/32 ")) == "2001:db8::/32"
    assert str(parse_network("192.0.2.1")) == "192.0.2.1/32"
