"""Where a request comes from: its peer, or who a proxy that is trusted says that it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from aiohttp import web

from smscd.core.networks import Networks, normalised

FORWARDED: Final = "X-Forwarded-For"


class ClientAddresses:
    """trusted: networks of the proxies whose X-Forwarded-For is believed; none: nobody's is."""

    __slots__ = ("_trusted",)

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        networks = Networks(trusted)
        self._trusted = None if networks.is_open else networks

    def of(self, request: web.BaseRequest) -> str:
        """The address of whoever asks, as networks.normalised() gives it; empty when it cannot be known."""
        peer = normalised(request.remote or "")
        trusted = self._trusted
        if trusted is None or not trusted.allows(peer):
            return peer
        return nearest_stranger(request.headers.getall(FORWARDED, ()), trusted, peer)


def nearest_stranger(forwarded: Sequence[str], trusted: Networks, peer: str) -> str:
    """The last address of X-Forwarded-For that is no trusted proxy: what stands before it, anybody may have written.

    peer: the proxy that asks; it is the answer when it forwards for nobody else. What cannot be read is answered as it
    stands there, and no network has it.
    """
    nearest = peer
    for hop in reversed([part.strip() for line in forwarded for part in line.split(",")]):
        nearest = normalised(_without_port(hop))
        if not trusted.allows(nearest):
            return nearest
    return nearest


def _without_port(hop: str) -> str:
    """Some proxies write the port too: 192.0.2.1:4711, [2001:db8::1]:4711."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
