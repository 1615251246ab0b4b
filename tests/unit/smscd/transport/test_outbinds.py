"""Who may call with outbind."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from smscd.transport.outbinds import OutbindLimits

LIMITS = OutbindLimits(host="", networks=tuple(map(ip_network, ("192.0.2.7/32", "198.51.100.0/24", "2001:db8::/32"))))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("198.51.100.200", True),
        ("::ffff:192.0.2.7", True),
        ("::ffff:192.0.2.8", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("memory", False),
    ],
)
def test_only_addresses_of_the_list_may_call(address: str, allowed: bool) -> None:
    assert LIMITS.allows(address) is allowed


def test_nobody_may_call_without_a_list() -> None:
    assert not OutbindLimits(host="", networks=()).allows("127.0.0.1")
