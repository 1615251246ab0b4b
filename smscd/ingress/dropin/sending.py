"""Sends what these doors were asked for: the same planning and admission as everybody's, with one answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.grouping import grouped
from smscd.core.ids import ClockSteppedError, IdSource
from smscd.core.planning import Planned, plan
from smscd.core.reasons import Reason, Rejected
from smscd.core.submission import Submission
from smscd.core.verdicts import Accepted, Admitter, Duplicate, Refused
from smscd.ingress.http.messages import CALLBACK_URL_MAX, is_callback_url
from smscd.ingress.http.verdicts import Verdicts


class Said(NamedTuple):
    """An answer of either door: status and text."""

    status: int
    text: str


class Taken(msgspec.Struct, frozen=True):
    """Admitted, now or when the same request came first. upstream: of the first message."""

    id: int
    upstream: str


Outcome: TypeAlias = Taken | Refused | Rejected


def only_sender(entry: AccountEntry) -> bytes:
    """Who sends when a request does not say: the one sender that the account has, if it has one."""
    senders = entry.account.senders
    return next(iter(senders)).encode() if len(senders) == 1 else b""


def is_report_url(text: str) -> bool:
    """True for a dlr-url that can be asked."""
    return len(text) <= CALLBACK_URL_MAX and text.isascii() and is_callback_url(text)


class Sender:
    """Plans and admits for the doors of one process. seconds: the longest wait for a verdict."""

    def __init__(
        self,
        *,
        admitter: Admitter,
        directory: Callable[[], DirectoryIndex],
        ids: IdSource,
        clock_ms: Callable[[], int],
        seconds: float,
    ) -> None:
        self._verdicts = Verdicts(admitter, seconds)
        self._directory = directory
        self._ids = ids
        self._clock_ms = clock_ms

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, by Redis TIME."""
        return self._clock_ms()

    def estimate(self, submission: Submission) -> Planned | Rejected:
        """What would become of a submission at this moment; nothing is kept of it."""
        return plan(submission, self._directory(), 0, self._clock_ms())

    async def send(self, submissions: Sequence[Submission]) -> Outcome:
        """Send one message or several of one request, all of them or none."""
        first = submissions[0]
        account, key = first.account.id, first.request_key
        if key is not None and self._verdicts.is_undecided(account, key):
            return Refused(Reason.IDEMPOTENCY_IN_PROGRESS, 1.0)
        now_ms = self._clock_ms()
        try:
            ids = self._ids.take(now_ms, len(submissions))
        except ClockSteppedError:
            return Refused(Reason.STORAGE_UNAVAILABLE, 1.0)
        directory = self._directory()
        planned: list[Planned] = []
        for submission, message_id in zip(submissions, ids, strict=True):
            found = plan(submission, directory, message_id, now_ms)
            if isinstance(found, Rejected):
                return found
            planned.append(found)
        asked = planned[0] if len(planned) == 1 else grouped(planned)
        verdict = await self._verdicts.ask(asked)
        if isinstance(verdict, Accepted) or (isinstance(verdict, Duplicate) and verdict.same_body):
            return Taken(verdict.id, asked.record.upstream)
        if isinstance(verdict, Duplicate):
            return Refused(Reason.IDEMPOTENCY_KEY_REUSED)
        if verdict is None:
            return Refused(Reason.STORAGE_UNAVAILABLE if key is None else Reason.IDEMPOTENCY_IN_PROGRESS, 1.0)
        return verdict
