"""Submissions of ESMEs: submit_sm, data_sm and submit_multi, planned, admitted and answered by verdict.

What an ESME sends in one read is planned at once and handed over in one call; the answers are queued by batches of
verdicts. Nothing here happens once a message but the planning itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import structlog

from protocols.smpp.pdu import DataSm, DataSmResp, Response, SubmitMulti, SubmitMultiResp, SubmitSm
from protocols.smpp.state import SessionState
from protocols.smpp.validation import check_data, check_multi, check_submit
from smscd.core.directory import Account
from smscd.core.directory_index import DirectoryIndex
from smscd.core.esme import BoundEsme
from smscd.core.ids import ClockSteppedError, IdSource
from smscd.core.planning import Planned, plan
from smscd.core.reasons import REASONS, Reason, Rejected
from smscd.core.verdicts import Accepted, Admitter, Duplicate, Verdict
from smscd.ingress.smpp.figures import SmppFigures
from smscd.ingress.smpp.multi import plan_multi, submit_of_data
from smscd.ingress.smpp.replacing import Replacing, is_part
from smscd.ingress.smpp.submissions import submission_of
from smscd.transport.connection import SmppConnection

STATUSES: Final = {reason: int(answer.command_status) for reason, answer in REASONS.items()}
_KEY_REUSED: Final = STATUSES[Reason.IDEMPOTENCY_KEY_REUSED]

Respond: TypeAlias = Callable[..., Response]
"""Makes the response to one request, from its fields."""

_log = structlog.get_logger(__name__)


class Submits:
    """For all sessions of a process. answered(connection): called when answers were queued outside of a read.

    The other parameters are those of SmppServer.
    """

    def __init__(
        self,
        *,
        directory: Callable[[], DirectoryIndex],
        admitter: Admitter,
        replacing: Replacing,
        ids: IdSource,
        now_ms: Callable[[], int],
        request_key_tag: int,
        figures: SmppFigures,
        answered: Callable[[SmppConnection], None],
    ) -> None:
        self._directory = directory
        self._admitter = admitter
        self._replacing = replacing
        self._ids = ids
        self._now_ms = now_ms
        self._request_key_tag = request_key_tag
        self._figures = figures
        self._answered = answered
        self._is_without_ids = False

    def submit(self, connection: SmppConnection, pdus: list[SubmitSm]) -> None:
        """Plan a read's worth of submits, refuse what is to be refused, hand the rest over in one call."""
        now_ms = self._now_ms()
        taken = self._begin_submits(connection, len(pdus), now_ms)
        if isinstance(taken, Reason):
            self._refuse_all(connection, pdus, taken)
            return
        account, ids = taken
        directory, tag, version = self._directory(), self._request_key_tag, connection.session.interface_version
        planned: list[Planned] = []
        numbers: list[int] = []
        answers: list[tuple[int, int, bytes]] = []
        for pdu, message_id in zip(pdus, ids, strict=True):
            status = check_submit(pdu, version)
            if status is not None:
                self._figures.malformed += 1
                answers.append((pdu.sequence_number, int(status), b""))
                continue
            asked = submission_of(pdu, account, now_ms, tag)
            result = asked if isinstance(asked, Rejected) else plan(asked, directory, message_id, now_ms)
            if isinstance(result, Rejected):
                self._figures.rejected[result.reason] += 1
                answers.append((pdu.sequence_number, STATUSES[result.reason], b""))
            elif pdu.replace_if_present_flag:
                self._replace(connection, pdu, result)
            else:
                planned.append(result)
                numbers.append(pdu.sequence_number)
        if answers:
            connection.session.answer_submits(answers)
        if planned:
            self._admitter.submit(planned, partial(self._answer, connection, numbers))

    def _replace(self, connection: SmppConnection, pdu: SubmitSm, planned: Planned) -> None:
        """A message in place of what is pending; parts of a long one are refused, as replace_sm refuses them."""
        if is_part(pdu):
            self._refuse_all(connection, [pdu], Reason.INVALID_REPLACE_FLAG)
        else:
            self._replacing.begin(planned, partial(self._answer, connection, [pdu.sequence_number]))

    def _begin_submits(self, connection: SmppConnection, count: int, now_ms: int) -> tuple[Account, list[int]] | Reason:
        """The account and `count` fresh ids, or why nothing of it is taken."""
        self._figures.submits += count
        context = connection.context
        account = self._directory().account(context.account) if isinstance(context, BoundEsme) else None
        if account is None:
            return Reason.ACCOUNT_SUSPENDED
        if connection.session.state is SessionState.UNBIND_SENT:
            return Reason.QUEUE_FULL
        try:
            ids = self._ids.take(now_ms, count)
        except ClockSteppedError as error:
            if not self._is_without_ids:
                self._is_without_ids = True
                _log.error("ids.refused", error=str(error))
            return Reason.STORAGE_UNAVAILABLE
        self._is_without_ids = False
        return account, ids

    def data(self, connection: SmppConnection, pdus: list[DataSm]) -> None:
        """data_sm: planned as the submit_sm that asks for the same."""
        now_ms = self._now_ms()
        taken = self._begin_submits(connection, len(pdus), now_ms)
        planned: list[Planned] = []
        respond: list[Respond] = []
        for at, pdu in enumerate(pdus):
            answer = partial(DataSmResp, sequence_number=pdu.sequence_number)
            if isinstance(taken, Reason):
                self._refuse(connection, taken, answer)
                continue
            account, ids = taken
            status = check_data(pdu)
            if status is not None:
                self._figures.malformed += 1
                connection.session.answer([answer(command_status=int(status))])
                continue
            asked = submission_of(submit_of_data(pdu), account, now_ms, self._request_key_tag)
            result = asked if isinstance(asked, Rejected) else plan(asked, self._directory(), ids[at], now_ms)
            if isinstance(result, Rejected):
                self._refuse(connection, result.reason, answer)
            else:
                planned.append(result)
                respond.append(answer)
        if planned:
            self._admitter.submit(planned, partial(self._respond, connection, respond))

    def multis(self, connection: SmppConnection, pdus: list[SubmitMulti]) -> None:
        """submit_multi: the destinations that can be served are one group for the admitter.

        Deviation: replace_if_present_flag is refused. It would be a search for each destination.
        """
        now_ms = self._now_ms()
        planned: list[Planned] = []
        respond: list[Respond] = []
        for pdu in pdus:
            answer = partial(SubmitMultiResp, sequence_number=pdu.sequence_number)
            taken = self._begin_submits(connection, len(pdu.dest_address), now_ms)
            if isinstance(taken, Reason):
                self._refuse(connection, taken, answer)
                continue
            status = check_multi(pdu, connection.session.interface_version)
            if status is not None:
                self._figures.malformed += 1
                connection.session.answer([answer(command_status=int(status))])
                continue
            if pdu.replace_if_present_flag:
                self._refuse(connection, Reason.INVALID_REPLACE_FLAG, answer)
                continue
            multi = plan_multi(pdu, taken[0], self._directory(), taken[1], now_ms, self._request_key_tag)
            if multi.planned is None:
                self._figures.rejected[Reason.INVALID_DESTINATION] += 1
                connection.session.answer([answer(command_status=multi.status)])
            else:
                planned.append(multi.planned)
                respond.append(partial(answer, unsuccess_sme=multi.unsuccess_sme))
        if planned:
            self._admitter.submit(planned, partial(self._respond, connection, respond))

    def _refuse(self, connection: SmppConnection, reason: Reason, answer: Respond) -> None:
        self._figures.rejected[reason] += 1
        connection.session.answer([answer(command_status=STATUSES[reason])])

    def _respond(self, connection: SmppConnection, respond: list[Respond], start: int, verdicts: list[Verdict]) -> None:
        """The verdicts on data_sm and submit_multi from number `start` on, each in the response of its own kind."""
        responses: list[Response] = []
        for make, verdict in zip(respond[start : start + len(verdicts)], verdicts, strict=True):
            _, status, message_id = _answer_of(0, verdict)
            responses.append(make(command_status=status) if status else make(message_id=message_id))
        connection.session.answer(responses)
        self._answered(connection)

    def _refuse_all(self, connection: SmppConnection, pdus: list[SubmitSm], reason: Reason) -> None:
        self._figures.rejected[reason] += len(pdus)
        status = STATUSES[reason]
        connection.session.answer_submits([(pdu.sequence_number, status, b"") for pdu in pdus])

    def _answer(self, connection: SmppConnection, numbers: list[int], start: int, verdicts: list[Verdict]) -> None:
        """Queue the answers for verdicts from number `start` on; they are written with all others of this turn."""
        answers = [
            (number, 0, b"%d" % verdict.id) if type(verdict) is Accepted else _answer_of(number, verdict)
            for number, verdict in zip(numbers[start : start + len(verdicts)], verdicts, strict=True)
        ]
        connection.session.answer_submits(answers)
        self._answered(connection)


def _answer_of(number: int, verdict: Verdict) -> tuple[int, int, bytes]:
    if isinstance(verdict, Accepted):
        return number, 0, b"%d" % verdict.id
    if isinstance(verdict, Duplicate):
        return (number, 0, b"%d" % verdict.id) if verdict.same_body else (number, _KEY_REUSED, b"")
    return number, STATUSES[verdict.reason], b""
