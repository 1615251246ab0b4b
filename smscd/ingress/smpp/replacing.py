"""submit_sm with replace_if_present_flag: admitted like any other, then what it replaces is cancelled.

The new message has an id, a price and a request key of its own, and what it replaces is paid back as cancel_sm pays
it back. What was sent, or may have been, stays: then the submit was an ordinary one. SMPP 3.4 section 5.2.18.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from protocols.gsm import udh
from protocols.smpp import tlv
from protocols.smpp.constants import EsmClass, TlvTag
from protocols.smpp.pdu import SubmitSm
from smscd.core.planning import Planned
from smscd.core.reasons import Reason
from smscd.core.verdicts import Accepted, Admitter, Duplicate, Refused, Verdict, VerdictSink
from smscd.ingress.changes import Change, MessageChanges
from smscd.ingress.smpp.operations import AWAY

REPLACED_MAX: Final = 100
CONCURRENCY_MAX: Final = 20
SEARCH_SECONDS: Final = 3.0
_UNAVAILABLE: Final = Refused(Reason.STORAGE_UNAVAILABLE, 1.0)

_log = structlog.get_logger(__name__)


class Replacing:
    """For all sessions of a process; at most CONCURRENCY_MAX searches are under way, the others wait.

    now_ms: milliseconds since the Unix epoch, by Redis TIME.
    """

    def __init__(self, changes: MessageChanges, admitter: Admitter, now_ms: Callable[[], int]) -> None:
        self._changes = changes
        self._admitter = admitter
        self._now_ms = now_ms
        self._room = asyncio.Semaphore(CONCURRENCY_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, planned: Planned, on_verdicts: VerdictSink) -> None:
        """Admit a message and cancel what it replaces; return at once. on_verdicts is called once, after all of it."""
        task = asyncio.create_task(self._serve(planned, on_verdicts))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, planned: Planned, on_verdicts: VerdictSink) -> None:
        verdict: Verdict = _UNAVAILABLE
        try:
            # While the record cannot be searched nothing is admitted: a no that is answered later would be untrue.
            async with asyncio.timeout(SEARCH_SECONDS):
                await self._changes.catch_up()
            verdict = await self._admit(planned)
            if isinstance(verdict, Accepted) or (isinstance(verdict, Duplicate) and verdict.same_body):
                await self._cancel_older(planned, verdict.id)
        except AWAY as error:
            is_admitted = verdict is not _UNAVAILABLE
            _log.warning("replacement.unavailable", error=str(error) or type(error).__name__, is_admitted=is_admitted)
        except Exception:  # noqa: BLE001  # the top of a task: the ESME must have its answer
            _log.exception("replacement.crashed")
        on_verdicts(0, [verdict])

    async def _admit(self, planned: Planned) -> Verdict:
        decided: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._admitter.submit([planned], partial(_set_verdict, decided))
        return await decided

    async def _cancel_older(self, planned: Planned, message_id: int) -> None:
        """Cancel what is older than message_id, so that two that replace the same do not cancel each other."""
        record = planned.record
        async with self._room, asyncio.timeout(SEARCH_SECONDS):
            ids = await self._changes.replaced_by(record, message_id, self._now_ms(), REPLACED_MAX)
        changes = await asyncio.gather(*(self._changes.cancel(record.account, older) for older in ids))
        undecided = sum(change is Change.NOT_ANSWERED for change in changes)
        if undecided:
            _log.warning("replacement.undecided", account=record.account, message_id=message_id, count=undecided)


def _set_verdict(decided: asyncio.Future[Verdict], start: int, verdicts: list[Verdict]) -> None:
    if not decided.done():
        decided.set_result(verdicts[0])


def is_part(pdu: SubmitSm) -> bool:
    """True for one part of a long message, which would replace the parts before it."""
    if pdu.tlvs and tlv.find(pdu.tlvs, TlvTag.SAR_MSG_REF_NUM) is not None:
        return True
    if not pdu.esm_class & EsmClass.UDHI:
        return False
    try:
        return (
            udh.parse(pdu.short_message or tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD) or b"").concatenation is not None
        )
    except udh.UdhError:
        return True
