"""Endpoints and fairness: what waits for each receiver, and whose turn it is when requests are scarce.

A receiver is an account's endpoint, or else its scheme, host and port. Its queue in memory is as long as what it takes
in ten seconds; what is too much goes back to storage, so that a slow one fills its own small queue and nothing more.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

import msgspec
from yarl import URL

from smscd.core.callback_records import CallbackRecord

QUEUE_MIN: Final = 4
QUEUE_SECONDS_MAX: Final = 10.0
ANSWER_SECONDS_FIRST: Final = 0.1
WINDOW_SECONDS: Final = 1.0
CONCURRENCY_MIN: Final = 2
CONCURRENCY_FIRST: Final = 4
"""Of an endpoint of which nothing is known yet: several that hang do not take all that their account may have."""
FAILING_AFTER: Final = 10

EndpointKey: TypeAlias = tuple[str, str, str, int, int]


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
    """One callback that waits for its attempt. since: when it came, monotonic seconds."""

    record: CallbackRecord
    group: Group
    url: URL
    since: float = 0.0


class Endpoint:
    """One receiver. limit: requests at once, fewer when it is slow. answer_seconds: how long it takes, measured.

    beyond: how many of its callbacks were sent back to storage and have not come again. now: monotonic seconds.
    """

    __slots__ = (
        "_counted", "_counted_seconds", "_counted_since", "active", "answer_seconds", "beyond", "failures",
        "is_in_ring", "is_measured", "key", "limit", "limit_max", "queue",
    )  # fmt: skip

    def __init__(self, key: EndpointKey, limit_max: int) -> None:
        self.key = key
        self.queue: deque[Job] = deque()
        self.active = 0
        self.beyond = 0
        self.failures = 0
        self.limit = self.limit_max = limit_max
        self.answer_seconds = ANSWER_SECONDS_FIRST
        self.is_measured = False
        self.is_in_ring = False
        self._counted = 0
        self._counted_seconds = 0.0
        self._counted_since = 0.0

    @property
    def account(self) -> str:
        """Whose receiver it is."""
        return self.key[0]

    @property
    def number(self) -> int:
        """Of a WebhookEndpoint; 0 for a receiver that is known by its URL alone."""
        return self.key[4]

    @property
    def is_failing(self) -> bool:
        """True when nothing got through for a while."""
        return self.failures >= FAILING_AFTER

    @property
    def is_unused(self) -> bool:
        """True when it may be forgotten."""
        return not self.queue and not self.active and not self.beyond

    @property
    def pace(self) -> float:
        """Callbacks that it can take in a second."""
        return self.limit / self.answer_seconds

    @property
    def room(self) -> int:
        """The longest queue that it may have."""
        return max(QUEUE_MIN, int(self.pace * QUEUE_SECONDS_MAX))

    @property
    def has_room(self) -> bool:
        """False when one more would be too many. A receiver that nothing is known of gets the benefit of the doubt."""
        return not self.is_measured or len(self.queue) < self.room

    def wait_seconds(self) -> float:
        """How long a callback that came now would wait."""
        return (len(self.queue) + self.beyond) / self.pace

    def excess(self, now: float) -> int:
        """How many callbacks at the end of the queue are too many, judged by how long the first has waited."""
        if not self.queue or now - self.queue[0].since < QUEUE_SECONDS_MAX:
            return 0
        return max(0, len(self.queue) - (self.room if self.is_measured else QUEUE_MIN))

    def answered(self, now: float, seconds: float, *, is_success: bool, is_slow: bool) -> None:
        """Learn from an attempt that has ended and took `seconds`; one that takes long counts for much."""
        self._counted += 1
        self._counted_seconds += seconds
        if now - self._counted_since >= WINDOW_SECONDS:
            mean = max(self._counted_seconds / self._counted, 1e-4)
            self.answer_seconds = (self.answer_seconds + mean) / 2 if self.is_measured else mean
            self.is_measured = True
            self._counted, self._counted_seconds, self._counted_since = 0, 0.0, now
        if is_success:
            self.failures = 0
            self.limit = min(self.limit + 1, self.limit_max)
        else:
            self.failures += 1
            if is_slow:
                self.limit = max(self.limit // 2, min(CONCURRENCY_MIN, self.limit_max))


class Endpoints:
    """All receivers for which something waits, and the turns of those that may be asked.

    requests_max: at once in all. One account gets a quarter of them, and never more than are left free: k accounts
    whose receivers hang leave 1/(k + 1) of all to the next. Each of its endpoints, which are not many, gets
    CONCURRENCY_MIN beyond that while a quarter of all is free. per_endpoint_max: at once of one receiver.
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

    def of(self, account: str, url: URL, number: int = 0) -> Endpoint:
        """The receiver of a URL. number: of the endpoint that it belongs to, 0 for none."""
        key = (account, url.scheme, url.host or "", url.port or 0, number)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            endpoint = self._endpoints[key] = Endpoint(key, self._per_endpoint_max)
            if number:
                endpoint.limit = min(endpoint.limit, CONCURRENCY_FIRST)
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
            endpoint.is_in_ring = False
            if not endpoint.queue or endpoint.active >= endpoint.limit:
                continue
            account = endpoint.account
            free = self._requests_max - self.active
            is_owed = endpoint.number and endpoint.active < CONCURRENCY_MIN and free > self._per_account_max
            if self._by_account.get(account, 0) >= min(self._per_account_max, free) and not is_owed:
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

    def shed(self, now: float) -> list[tuple[Endpoint, Job]]:
        """Take out of all queues, from their ends, what has become too much for the pace."""
        shed = [
            (endpoint, endpoint.queue.pop())
            for endpoint in self._endpoints.values()
            for _ in range(endpoint.excess(now))
        ]
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
        if endpoint.queue and endpoint.active < endpoint.limit and not endpoint.is_in_ring:
            endpoint.is_in_ring = True
            self._ring.append(endpoint)
