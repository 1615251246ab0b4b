"""query_sm, cancel_sm and replace_sm of an ESME: answered from the record and by the owner of the upstream.

They are no part of the hot path: a task for the requests of a read about one message, in their order. A session's
window bounds how many there can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog

from protocols.smpp.constants import CommandStatus, InterfaceVersion, MessageState
from protocols.smpp.pdu import CancelSm, CancelSmResp, QuerySm, QuerySmResp, ReplaceSm, ReplaceSmResp, Response
from protocols.smpp.times import format_absolute
from protocols.smpp.validation import check_replace
from smscd.core.addresses import find_destination, find_source
from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.lifecycle import message_state_of
from smscd.core.reasons import Rejected
from smscd.core.records import State
from smscd.ingress.changes import Change, MessageChanges
from smscd.ingress.record import RecordBehind
from smscd.ingress.smpp.replace import replacement
from storage.postgres import pool as postgres
from storage.postgres.messages import StoredMessage
from storage.redis.errors import StorageUnavailable

MESSAGE_ID_DIGITS: Final = 19
PENDING_MAX: Final = 1_000
ERROR_CODE_MAX: Final = 255

AWAY: Final[tuple[type[BaseException], ...]] = (StorageUnavailable, RecordBehind, *postgres.UNAVAILABLE)
STATUS_OF_CHANGE: Final = {
    Change.DONE: int(CommandStatus.ESME_ROK),
    Change.LATE: int(CommandStatus.ESME_RCANCELFAIL),
    Change.NOT_FOUND: int(CommandStatus.ESME_RINVMSGID),
    Change.NOT_ANSWERED: int(CommandStatus.ESME_RSYSERR),
}
_RSYSERR: Final = int(CommandStatus.ESME_RSYSERR)
_RINVMSGID: Final = int(CommandStatus.ESME_RINVMSGID)
_RCANCELFAIL: Final = int(CommandStatus.ESME_RCANCELFAIL)
_RREPLACEFAIL: Final = int(CommandStatus.ESME_RREPLACEFAIL)

P = TypeVar("P", QuerySm, CancelSm, ReplaceSm)
_log = structlog.get_logger(__name__)


class Operations:
    """Answers operations for all sessions of a process. changes: the messages and who may change them.

    now_ms: milliseconds since the Unix epoch, by Redis TIME.
    """

    def __init__(
        self, changes: MessageChanges, directory: Callable[[], DirectoryIndex], now_ms: Callable[[], int]
    ) -> None:
        self.changes = changes
        self._directory = directory
        self._now_ms = now_ms
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self,
        pdus: Sequence[P],
        work: Callable[[P], Awaitable[Response]],
        refuse: Callable[[P, int], Response],
        answer: Callable[[Sequence[Response]], None],
    ) -> None:
        """Do `work` for each request, those of one message in order; answer(responses) is called as they are done.

        Returns at once.
        """
        by_message: dict[bytes, list[P]] = {}
        for pdu in pdus:
            by_message.setdefault(pdu.message_id, []).append(pdu)
        for of_one in by_message.values():
            task = asyncio.create_task(self._serve(of_one, work, refuse, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(
        self,
        pdus: Sequence[P],
        work: Callable[[P], Awaitable[Response]],
        refuse: Callable[[P, int], Response],
        answer: Callable[[Sequence[Response]], None],
    ) -> None:
        for pdu in pdus:
            try:
                response = await work(pdu)
            except AWAY as error:
                _log.info("operation.unavailable", error=str(error) or type(error).__name__)
                response = refuse(pdu, _RSYSERR)
            except Exception:  # noqa: BLE001  # the top of a task: the ESME must have its answer
                _log.exception("operation.crashed")
                response = refuse(pdu, _RSYSERR)
            answer([response])

    # --- query_sm ---------------------------------------------------------------------------------------------------

    def query(
        self,
        entry: AccountEntry,
        pdus: Sequence[QuerySm],
        answer: Callable[[Sequence[Response]], None],
        *,
        interface_version: int,
    ) -> None:
        """What became of messages (SMPP 3.4 section 4.8). interface_version: what both ends speak."""
        self.begin(pdus, lambda pdu: self._query(entry, pdu, interface_version), query_refused, answer)

    async def _query(self, entry: AccountEntry, pdu: QuerySm, interface_version: int) -> QuerySmResp:
        messages = await self._messages(entry, pdu.message_id)
        if not messages or not is_source(entry, messages[0], pdu):
            return query_refused(pdu, _RINVMSGID)
        return query_answer(pdu, messages, interface_version)

    async def _messages(self, entry: AccountEntry, text: bytes) -> list[StoredMessage]:
        """The message of an id that a customer gives, or all messages of a submit_multi; empty for none of his."""
        message_id = parse_message_id(text)
        if message_id is None:
            return []
        account = entry.account.id
        found = await self.changes.find(account, message_id)
        if found is None:
            return []
        return [found] if found.group_id != found.id else await self.changes.group(account, found.id)

    # --- cancel_sm --------------------------------------------------------------------------------------------------

    def cancel(
        self, entry: AccountEntry, pdus: Sequence[CancelSm], answer: Callable[[Sequence[Response]], None]
    ) -> None:
        """Take messages back that were not sent (SMPP 3.4 section 4.9)."""
        self.begin(pdus, lambda pdu: self._cancel(entry, pdu), cancel_answer, answer)

    async def _cancel(self, entry: AccountEntry, pdu: CancelSm) -> CancelSmResp:
        account = entry.account.id
        if pdu.message_id:
            messages = [message for message in await self._messages(entry, pdu.message_id) if is_dest(message, pdu)]
            if not messages or not is_source(entry, messages[0], pdu):
                return cancel_answer(pdu, _RINVMSGID)
            ids = [message.id for message in messages]
        else:
            source, dest = _bytes_of_source(entry, pdu), _bytes_of_dest(pdu)
            ids = await self.changes.pending(account, source, dest, pdu.service_type, self._now_ms(), PENDING_MAX)
            if not ids:
                return cancel_answer(pdu, _RCANCELFAIL)
        outcomes = [await self.changes.cancel(account, message_id) for message_id in ids]
        worst = next((change for change in outcomes if change is not Change.DONE), Change.DONE)
        return cancel_answer(pdu, STATUS_OF_CHANGE[worst])

    # --- replace_sm -------------------------------------------------------------------------------------------------

    def replace(
        self, entry: AccountEntry, pdus: Sequence[ReplaceSm], answer: Callable[[Sequence[Response]], None]
    ) -> None:
        """Exchange the texts of messages that were not sent (SMPP 3.4 section 4.10)."""
        self.begin(pdus, lambda pdu: self._replace(entry, pdu), replace_answer, answer)

    async def _replace(self, entry: AccountEntry, pdu: ReplaceSm) -> ReplaceSmResp:
        status = check_replace(pdu)
        if status is not None:
            return replace_answer(pdu, int(status))
        messages = await self._messages(entry, pdu.message_id)
        if not messages or not is_source(entry, messages[0], pdu):
            return replace_answer(pdu, _RINVMSGID)
        made = replacement(pdu, messages[0], entry, self._directory(), self._now_ms())
        if isinstance(made, int):
            return replace_answer(pdu, made)
        change = await self.changes.replace(entry.account.id, made.id, lambda _: made)
        return replace_answer(pdu, _RREPLACEFAIL if change is Change.LATE else STATUS_OF_CHANGE[change])


def parse_message_id(text: bytes) -> int | None:
    """A message id as we give it to ESMEs: decimal, at most 19 digits. None for anything else."""
    if not text.isdigit() or len(text) > MESSAGE_ID_DIGITS:
        return None
    value = int(text)
    return value if 0 < value < 1 << 63 else None


def is_source(entry: AccountEntry, message: StoredMessage, pdu: QuerySm | CancelSm | ReplaceSm) -> bool:
    """True when the source is the submitted one, written as it was or as it was normalised.

    Deviation: a source left out fits every message of the account. The account is who owns a message; many ESMEs do
    not send the address again.
    """
    return not pdu.source_addr or message.source in (pdu.source_addr, _bytes_of_source(entry, pdu))


def is_dest(message: StoredMessage, pdu: CancelSm) -> bool:
    """True when the destination is left out, or the submitted one."""
    return not pdu.destination_addr or message.dest in (pdu.destination_addr, _bytes_of_dest(pdu))


def _bytes_of_source(entry: AccountEntry, pdu: QuerySm | CancelSm | ReplaceSm) -> bytes:
    found = find_source(entry, pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr)
    return pdu.source_addr if isinstance(found, Rejected) else found.address


def _bytes_of_dest(pdu: CancelSm) -> bytes:
    found = find_destination(pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr)
    return pdu.destination_addr if isinstance(found, Rejected) else found.digits


def query_answer(pdu: QuerySm, messages: Sequence[StoredMessage], interface_version: int) -> QuerySmResp:
    """The state of a message; of a submit_multi that of a message that is not over, else of one that failed.

    SCHEDULED is of SMPP 5.0: before, it is ENROUTE, and 0 is no state (SMPP 3.4 section 5.2.28).
    """
    shown = min(messages, key=lambda message: (message.state.is_final, message.state == State.DELIVERED))
    state = message_state_of(shown.state)
    if state is MessageState.SCHEDULED and interface_version < InterfaceVersion.V5_0:
        state = MessageState.ENROUTE
    final_date = b""
    if shown.state.is_final and shown.done_at is not None:
        final_date = format_absolute(round(shown.done_at.timestamp() * 1000))
    return QuerySmResp(
        sequence_number=pdu.sequence_number,
        message_id=pdu.message_id,
        final_date=final_date,
        message_state=int(state),
        error_code=error_code(shown.error_code),
    )


def error_code(stored: str | None) -> int:
    """What the record says of an error as one octet: a receipt's err, or the carrier's command_status; 0 for none.

    What does not fit an octet, or is no number, is 255.
    """
    if not stored:
        return 0
    try:
        value = int(stored, 16 if stored.startswith("0x") else 10)
    except ValueError:
        return ERROR_CODE_MAX
    return value if 0 <= value <= ERROR_CODE_MAX else ERROR_CODE_MAX


def query_refused(pdu: QuerySm, status: int) -> QuerySmResp:
    """A query_sm_resp that says no."""
    return QuerySmResp(sequence_number=pdu.sequence_number, command_status=status)


def cancel_answer(pdu: CancelSm, status: int) -> CancelSmResp:
    """The answer to a cancel_sm."""
    return CancelSmResp(sequence_number=pdu.sequence_number, command_status=status)


def replace_answer(pdu: ReplaceSm, status: int) -> ReplaceSmResp:
    """The answer to a replace_sm."""
    return ReplaceSmResp(sequence_number=pdu.sequence_number, command_status=status)
