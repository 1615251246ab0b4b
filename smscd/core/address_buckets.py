"""Rates by the address of a peer: a token bucket for each, of a bounded number of addresses."""

from __future__ import annotations

from collections import OrderedDict

from smscd.core.networks import peer_group
from smscd.core.pacing import TokenBucket


class AddressBuckets:
    """At most `per_second` on average and `burst` at once for each address (an IPv6 peer is its /64).

    per_second 0: no limit. Of more than addresses_max addresses the one that was seen longest ago is forgotten.
    """

    def __init__(self, per_second: float, burst: int, addresses_max: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = burst
        self._addresses_max = addresses_max
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now: float) -> bool:
        """True when one more from this address is within its rate. now: monotonic seconds."""
        if self._per_second <= 0:
            return True
        group = peer_group(address)
        bucket = self._buckets.get(group)
        if bucket is None:
            if len(self._buckets) >= self._addresses_max:
                self._buckets.popitem(last=False)
            bucket = self._buckets[group] = TokenBucket(self._per_second, self._burst, now)
        else:
            self._buckets.move_to_end(group)
        return bucket.take(1, now) == 1
