"""Addresses of peers: one form for each, the group that limits count it in, and lists of networks that are allowed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

SITE_PREFIX_LENGTH: Final = 64
# A connection asks several times about its peer, and peers come again.
_REMEMBERED: Final = 4_096
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


@lru_cache(_REMEMBERED)
def normalised(address: str) -> str:
    """An address as it is shown and compared: IPv4 that came in over IPv6 as IPv4, without a zone.

    What is no IP address (the empty string of a socket without one) stays as it is.
    """
    found = _parsed(address)
    return str(found) if found is not None else address


@lru_cache(_REMEMBERED)
def peer_group(address: str) -> str:
    """What limits by address count together: one IPv4 address, or the /64 that one IPv6 peer can choose from."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found) >> 64 << 64, SITE_PREFIX_LENGTH)))
    return str(found) if found is not None else address


def is_address(text: str) -> bool:
    """True for an IP address."""
    return _parsed(text) is not None


def parse_network(text: str) -> Network:
    """A CIDR network or a single address; IPv4 in its IPv6 form becomes IPv4. Raises ValueError."""
    network = ip_network(text.strip())
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.subnet_of(_MAPPED):
        return ip_network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


class Networks:
    """Networks that an account may come from. None given: from everywhere. One that cannot be read allows nobody."""

    __slots__ = ("_four", "_six", "is_open")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        given = list(texts)
        self.is_open = not given
        self._four: list[IPv4Network] = []
        self._six: list[IPv6Network] = []
        for text in given:
            try:
                network = parse_network(text)
            except ValueError:
                continue
            if isinstance(network, IPv4Network):
                self._four.append(network)
            else:
                self._six.append(network)

    def allows(self, address: str) -> bool:
        """True when who comes from this address is let in."""
        found = _parsed(address)
        if isinstance(found, IPv4Address):
            return self.is_open or any(found in network for network in self._four)
        if isinstance(found, IPv6Address):
            return self.is_open or any(found in network for network in self._six)
        return self.is_open


@lru_cache(_REMEMBERED)
def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
