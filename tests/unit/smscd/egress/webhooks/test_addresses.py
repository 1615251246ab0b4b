"""Webhooks go to the public internet only, unless the account may use private networks."""

from __future__ import annotations

import pytest

from smscd.egress.webhooks.addresses import is_allowed

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "fec0::1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "::7f00:1",
    "2001:db8::1",
    "",
    "localhost",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "/run/socket",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, allows_private=False)
    assert is_allowed(address, allows_private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_the_accounts_permission(address: str) -> None:
    assert not is_allowed(address, allows_private=False)
    assert is_allowed(address, allows_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_other_addresses_are_never_allowed(address: str) -> None:
    assert not is_allowed(address, allows_private=False)
    assert not is_allowed(address, allows_private=True)
