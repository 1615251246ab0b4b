"""What came in for one upstream since its last turn: answers, time-outs, lost binds, and what was withheld."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from smscd.egress.dispatch.blobs import Item
from smscd.egress.dispatch.gate import AnswerGate
from smscd.egress.dispatch.turn import Answers, Draft, Ref

ANSWERS_A_TURN: Final = 500
ANSWERS_GATHERED: Final = 100


class Intake:
    """Of one dispatcher. gate: for the receipts' side to wait at. wall_ms: milliseconds since the epoch."""

    __slots__ = ("_answered_ms", "_answers", "_late_refs", "_lost_refs", "_wall_ms", "_withheld", "gate")

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self.gate = AnswerGate()
        self._wall_ms = wall_ms
        self._answers: list[tuple[Ref, int, bytes]] = []
        self._answered_ms: int | None = None
        self._late_refs: list[Ref] = []
        self._lost_refs: list[Ref] = []
        self._withheld: list[Item] = []

    def answered(self, answers: Answers) -> None:
        """Keep answers for the next turn, dated by the first of them."""
        if not self._answers:
            self._answered_ms = self._wall_ms()
        self._answers += answers
        self.gate.come(len(answers))

    def timed_out(self, refs: list[Ref]) -> None:
        """These were not answered in time."""
        self._late_refs += refs

    def lost(self, refs: list[Ref]) -> None:
        """Nobody will answer these any more."""
        self._lost_refs += refs

    def withheld(self, items: list[Item]) -> None:
        """These were cancelled before their intent."""
        self._withheld += items

    @property
    def has_any(self) -> bool:
        """True while anything waits for its turn."""
        return bool(self._answers or self._late_refs or self._lost_refs or self._withheld)

    def has_enough(self, window_size: int) -> bool:
        """Half a window of answers, or any trouble, is worth a turn of its own."""
        if self._lost_refs or self._withheld:
            return True
        return len(self._answers) >= min(ANSWERS_GATHERED, window_size // 2)

    def give(self, draft: Draft) -> int:
        """Put it all into a draft, but for answers beyond ANSWERS_A_TURN; how many answers of all are in drafts now."""
        if self._lost_refs:
            refs, self._lost_refs = self._lost_refs, []
            # An answer that came before the loss counts, so that it is judged first.
            answers, self._answers = self._answers, []
            draft.answered(answers, self._answered_ms)
            draft.lost(refs)
        if self._answers:
            answers = self._answers[:ANSWERS_A_TURN]
            self._answers = self._answers[ANSWERS_A_TURN:]
            draft.answered(answers, self._answered_ms)
        if self._late_refs:
            refs, self._late_refs = self._late_refs, []
            draft.timed_out(refs)
        if self._withheld:
            items, self._withheld = self._withheld, []
            draft.withheld(items)
        return self.gate.seen - len(self._answers)
