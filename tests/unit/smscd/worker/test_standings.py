"""Which upstreams this process plans around."""

from __future__ import annotations

from smscd.worker.standings import Standings
from storage.redis.breakers import UpstreamStanding
from storage.redis.errors import StorageUnavailable


def standing(name: str, until_ms: int, *, takes_new: bool = False) -> UpstreamStanding:
    return UpstreamStanding(upstream=name, state="open", since_ms=1, takes_new=takes_new, until_ms=until_ms)


async def test_what_is_out_is_told_once_and_ends_with_its_owner() -> None:
    now, told, is_away = [0], [], [False]
    known = [standing("one", 3000), standing("probing", 3000, takes_new=True)]

    async def read() -> list[UpstreamStanding]:
        if is_away[0]:
            raise StorageUnavailable("away")
        return known

    standings = Standings(read, lambda: now[0], told.append)
    await standings.look()
    await standings.look()
    assert told == [frozenset({"one"})]
    is_away[0] = True
    now[0] = 2999
    await standings.look()
    assert len(told) == 1, "Redis is away: what was read is believed until it runs out"
    now[0] = 3000
    await standings.look()
    assert told == [frozenset({"one"}), frozenset()]
