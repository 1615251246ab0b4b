"""What the SMPP server counts."""

from __future__ import annotations

from collections import Counter

from smscd.core.reasons import Reason
from smscd.ingress.smpp.auth import BindOutcome


class SmppFigures:
    """What the server counts: plain numbers, added to once a batch.

    rejected: submits refused before admission, by reason. malformed: those with a field that the specification forbids.
    unreadable: requests of closed connections that could not be read, by command. closed: ends of connections by
    reason. outbinds: calls to ESMEs, "sent" or "failed".
    """

    __slots__ = ("binds", "closed", "malformed", "outbinds", "rejected", "submits", "unreadable")

    def __init__(self) -> None:
        self.binds: Counter[BindOutcome] = Counter()
        self.closed: Counter[str] = Counter()
        self.rejected: Counter[Reason] = Counter()
        self.outbinds: Counter[str] = Counter()
        self.unreadable: Counter[int] = Counter()
        self.malformed = 0
        self.submits = 0
