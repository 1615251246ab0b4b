"""How upstreams stand, as every worker reads it: only those that are not closed, and only while their owner says so."""

from __future__ import annotations

from dataclasses import dataclass

from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

BELIEVED_MS = 3_000
THROTTLED = "throttled"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamStanding:
    """An upstream that is out. takes_new: it wants a probe.

    state: of its breaker; when that is closed, "throttled" when it does nothing but throttle, else no bind is up.
    until_ms: not believed after that, in Redis time, unless its owner says it again.
    """

    upstream: str
    state: str
    since_ms: int
    takes_new: bool
    until_ms: int


def encode_standing(state: str, since_ms: int, takes_new: bool) -> str:
    """What breaker.lua is given."""
    return f"{state} {since_ms} {int(takes_new)}"


class Breakers:
    """Reads how the upstreams stand."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def read(self) -> list[UpstreamStanding]:
        """Every upstream that is out. Raises StorageUnavailable."""
        reply = await self._link.command("HGETALL", self._keys.breakers)
        found = []
        for upstream, value in zip(reply[::2], reply[1::2], strict=True):
            until_ms, state, since_ms, takes_new = value.decode().split(" ")
            found.append(
                UpstreamStanding(
                    upstream=upstream.decode(),
                    state=state,
                    since_ms=int(since_ms),
                    takes_new=takes_new == "1",
                    until_ms=int(until_ms),
                )
            )
        return found

    async def believed(self) -> dict[str, UpstreamStanding]:
        """The same by upstream, without what its owner has ceased to say. Raises StorageUnavailable."""
        seconds, microseconds = await self._link.command("TIME")
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
        return {standing.upstream: standing for standing in await self.read() if standing.until_ms > now_ms}

    async def passed_over(self) -> frozenset[str]:
        """The upstreams that new messages go around now. Raises StorageUnavailable."""
        return frozenset(name for name, standing in (await self.believed()).items() if not standing.takes_new)
