"""What a recovery does, or would do, in figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from storage.redis.recovery import Restored


@dataclass(slots=True)
class Report:
    """recorded: the journal entry up to which PostgreSQL has everything; what came after it is lost with Redis.

    accounts: how many have a balance. faults: whose ledger cannot be believed, and why. waiting: messages to send, by
    upstream; doubtful: those of them that may have been sent already; apart: those that wait in PostgreSQL
    alone. later: those that wait for a time of their own.
    parts: of messages from phones, that wait for others. parked: receipts that wait for their message.
    """

    recorded: str
    accounts: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    waiting: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    apart: Counter[str] = field(default_factory=Counter)
    later: int = 0
    cancels: int = 0
    answers: int = 0
    callbacks_esme: int = 0
    callbacks_webhook: int = 0
    correlations: int = 0
    parts: int = 0
    parked: int = 0

    def add(self, page: Restored) -> None:
        """Count what a page gives."""
        self.waiting += page.waiting
        self.doubtful += page.doubtful
        self.apart += page.apart
        self.later += len(page.later) + len(page.rest)
        self.cancels += len(page.cancels)
        self.answers += len(page.answers)
        self.callbacks_esme += sum(map(len, page.out.values()))
        self.callbacks_webhook += len(page.hooks) + len(page.hooks_later)
        self.correlations += sum(map(len, page.sent.values()))
        self.parts += sum(map(len, page.held.values()))
