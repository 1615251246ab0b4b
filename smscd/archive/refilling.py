"""How much of each queue is brought back from PostgreSQL, pure: priority first, places in turn, memory bounded.

Redis has room for so many messages of an upstream. It is filled again when half of it is free, so that work comes in
batches. A place of which next to nothing waits in Redis gets a little whatever the others have there: neither a bulk
run of another account nor one of a lower priority keeps it waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from storage.redis.overflow import Place

TAKEN_AT_ONCE: Final = 500
BLOBS_SHORT: Final = 2
SHORT_MESSAGES: Final = 100


def shares(places: Sequence[Place], blobs: Mapping[Place, int], in_redis: int, in_redis_max: int) -> dict[Place, int]:
    """How many messages of each place of an upstream to bring now.

    places: those with anything that is due, highest priority first. blobs: how many are in the queue of each.
    in_redis: messages of the upstream that are there already.
    """
    room = in_redis_max - in_redis if 2 * in_redis <= in_redis_max else 0
    found: dict[Place, int] = {}
    for _, group in groupby(places, key=lambda place: place.priority):
        same = list(group)
        left = room
        for number, place in enumerate(same):
            share = min(-(-left // (len(same) - number)), TAKEN_AT_ONCE)
            left -= share
            found[place] = share if share or blobs[place] > BLOBS_SHORT else SHORT_MESSAGES
        room = left
    return found


def room_ahead(later: int, in_redis_max: int) -> int:
    """How many messages may be brought before their time: a quarter of the room is theirs, retries included."""
    return max(0, min(TAKEN_AT_ONCE, in_redis_max // 4 - later))
