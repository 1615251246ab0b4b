"""Which addresses a webhook may be sent to: the public internet, and private networks where the account is allowed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_EMBEDDING: Final = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible, deprecated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    )
)
"""IPv6 networks whose addresses lead to an IPv4 address that stands in them."""


def is_allowed(address: str, *, allows_private: bool) -> bool:
    """True when a connection may be made to this address, as getaddrinfo gives it (a literal, after resolution).

    allows_private: private networks and loopback too. Never link-local (cloud metadata), multicast, unspecified or
    reserved ones.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif not found.is_loopback and any(found in network for network in _EMBEDDING):
            return False
    if found.is_multicast or found.is_unspecified or found.is_link_local:
        return False
    if found.is_global and not _is_site_local(found):
        return True
    return allows_private and (found.is_loopback or _is_private(found))


_PRIVATE: Final = tuple(
    (IPv4Address(first), IPv4Address(last))
    for first, last in (
        ("10.0.0.0", "10.255.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("100.64.0.0", "100.127.255.255"),
    )
)
_UNIQUE_LOCAL: Final = IPv6Network("fc00::/7")


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    """RFC 1918, CGNAT (RFC 6598) and unique local (RFC 4193) addresses."""
    if isinstance(address, IPv6Address):
        return address in _UNIQUE_LOCAL
    return any(first <= address <= last for first, last in _PRIVATE)


def _is_site_local(address: IPv4Address | IPv6Address) -> bool:
    return isinstance(address, IPv6Address) and address.is_site_local
