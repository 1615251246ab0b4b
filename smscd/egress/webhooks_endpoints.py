"""Endpoints and fairness: what waits for each receiver, and whose turn it is when requests are scarce.

A receiver is an account's scheme, host and port. Its queue in memory is at most some seconds long at the pace that it
answers; what would wait longer goes back to storage, so that a slow one fills its own small queue and nothing more.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

import msgspec
from yarl import URL

from smscd.core.records import CallbackRecord

QUEUE_SECONDS_MAX: Final = 10.0
QUEUE_MIN: Final = 4
CONCURRENCY_MIN: Final = 2
FAILING_AFTER: Final = 10
SMOOTHING: Final = 0.2

EndpointKey: TypeAlias = tuple[str, str, str, int]


class Group:
    """Callbacks that are settled together: those of one stream entry, or one member of the later set.

    entry_id, member: one of the two. What became of each is collected and handed to storage when none is left, so
    that a crash finds all of them or none.
    """

    __slots__ = ("entry_id", "later", "member", "results", "size", "unsettled")

    def __init__(self, size: int, *, entry_id: str = "", member: bytes = b"") -> None:
        self.size = size
        self.unsettled = size
        self.entry_id = entry_id
        self.member = member
        self.results: list[bytes] = []
        self.later: list[tuple[int, bytes]] = []


class Job(msgspec.Struct, gc=False):
    """One callback that waits for its attempt."""

    record: CallbackRecord
    group: Group
    url: URL


class Endpoint:
    """One receiver. mean_seconds: how long its answers take, smoothed. limit: requests at once, fewer when it is slow.

    beyond: how many of its callbacks were sent back to storage and have not come again.
    """

    __slots__ = ("active", "beyond", "failures", "key", "limit", "limit_max", "mean_seconds", "queue", "queued_in_ring")

    def __init__(self, key: EndpointKey, limit_max: int) -> None:
        self.key = key
        self.queue: deque[Job] = deque()
        self.active = 0
        self.beyond = 0
        self.failures = 0
        self.limit = self.limit_max = limit_max
        self.mean_seconds = 0.05
        self.queued_in_ring = False

    @property
    def account(self) -> str:
        """Whose receiver it is."""
        return self.key[0]

    @property
    def is_failing(self) -> bool:
        """True when nothing got through for a while."""
        return self.failures >= FAILING_AFTER

    @property
    def is_unused(self) -> bool:
        """True when it may be forgotten."""
        return not self.queue and not self.active and not self.beyond

    def wait_seconds(self) -> float:
        """How long a callback that came now would wait."""
        return (len(self.queue) + self.beyond) * self.mean_seconds / self.limit

    @property
    def has_room(self) -> bool:
        """False when one more would make the queue too long for the pace."""
        queued = len(self.queue)
        return queued < QUEUE_MIN or queued * self.mean_seconds / self.limit < QUEUE_SECONDS_MAX

    def answered(self, seconds: float, *, is_success: bool, is_slow: bool) -> None:
        """Learn from an attempt that has ended."""
        self.mean_seconds += (seconds - self.mean_seconds) * SMOOTHING
        if is_success:
            self.failures = 0
            self.limit = min(self.limit + 1, self.limit_max)
        else:
            self.failures += 1
            if is_slow:
                self.limit = max(self.limit // 2, min(CONCURRENCY_MIN, self.limit_max))


class Endpoints:
    """All receivers for which something waits, and the turns of those that may be asked.

    requests_max: at once in all; one account gets a quarter of them. per_endpoint_max: at once of one receiver.
    """

    def __init__(self, requests_max: int, per_endpoint_max: int) -> None:
        self._requests_max = requests_max
        self._per_account_max = max(1, requests_max // 4)
        self._per_endpoint_max = max(1, min(per_endpoint_max, requests_max))
        self._endpoints: dict[EndpointKey, Endpoint] = {}
        self._ring: deque[Endpoint] = deque()
        self._by_account: dict[str, int] = {}
        self.active = 0
        self.waiting = 0

    def of(self, account: str, url: URL) -> Endpoint:
        """The receiver of a URL."""
        key = (account, url.scheme, url.host or "", url.port or 0)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            endpoint = self._endpoints[key] = Endpoint(key, self._per_endpoint_max)
        return endpoint

    def __len__(self) -> int:
        return len(self._endpoints)

    def add(self, endpoint: Endpoint, job: Job) -> None:
        """A callback waits for its turn."""
        endpoint.queue.append(job)
        self.waiting += 1
        self._line_up(endpoint)

    def next(self) -> tuple[Endpoint, Job] | None:
        """The next attempt to make, whose request counts as begun; None when none may be made now."""
        for _ in range(len(self._ring)):
            if self.active >= self._requests_max:
                return None
            endpoint = self._ring.popleft()
            endpoint.queued_in_ring = False
            if not endpoint.queue or endpoint.active >= endpoint.limit:
                continue
            account = endpoint.account
            if self._by_account.get(account, 0) >= self._per_account_max:
                self._line_up(endpoint)
                continue
            job = endpoint.queue.popleft()
            self.waiting -= 1
            self.active += 1
            endpoint.active += 1
            self._by_account[account] = self._by_account.get(account, 0) + 1
            self._line_up(endpoint)
            return endpoint, job
        return None

    def ended(self, endpoint: Endpoint) -> None:
        """A request that next() gave has ended."""
        self.active -= 1
        endpoint.active -= 1
        account = endpoint.account
        self._by_account[account] -= 1
        if not self._by_account[account]:
            del self._by_account[account]
        self._line_up(endpoint)
        if endpoint.is_unused:
            self._endpoints.pop(endpoint.key, None)

    def shed(self, endpoint: Endpoint) -> list[Job]:
        """Take out of a queue, from its end, what has become too much for the pace."""
        shed: list[Job] = []
        while not endpoint.has_room:
            shed.append(endpoint.queue.pop())
        self.waiting -= len(shed)
        return shed

    def take_all(self) -> list[Job]:
        """Take out everything that waits."""
        jobs = [job for endpoint in self._endpoints.values() for job in endpoint.queue]
        for endpoint in self._endpoints.values():
            endpoint.queue.clear()
        self.waiting = 0
        return jobs

    def _line_up(self, endpoint: Endpoint) -> None:
        """Give it a turn if it could use one."""
        if endpoint.queue and endpoint.active < endpoint.limit and not endpoint.queued_in_ring:
            endpoint.queued_in_ring = True
            self._ring.append(endpoint)
