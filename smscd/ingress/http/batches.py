"""POST /v1/messages/batch: up to 1,000 messages in one request, admitted together, each with a result of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.ids import ClockSteppedError, IdSource
from smscd.core.planning import Planned, plan
from smscd.core.reasons import Reason, Rejected
from smscd.core.verdicts import Accepted, Duplicate, Refused, Verdict
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.batch_types import (
    BATCH_BYTES_MAX,
    MESSAGES_MAX,
    BatchAnswer,
    BatchItem,
    BatchProblem,
    BatchRequest,
    item_problem,
)
from smscd.ingress.http.bodies import BodyReader
from smscd.ingress.http.field_errors import pointer, problem_of
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.http.messages import SendRequest, accepted_message, decode, is_callback_url, submission_of
from smscd.ingress.http.problems import (
    BATCH_REFUSED,
    MALFORMED_JSON,
    PROBLEM_JSON,
    TYPE_BASE,
    VALIDATION_FAILED,
    FieldError,
    Problem,
    invalid,
    problem,
    refused,
    rejected,
    unavailable,
)
from smscd.ingress.http.rates import RateHints
from smscd.ingress.http.request_keys import is_request_key, request_key
from smscd.ingress.http.server import Route
from smscd.ingress.http.verdicts import Verdicts

PATH: Final = "/v1/messages/batch"
PENDING_BYTES_MAX: Final = 16 * BATCH_BYTES_MAX
ERRORS_MAX: Final = 5_000
"""Field errors in one answer: where there are more, each further message has its first one alone."""
FAULTS_AT_ONCE: Final = 50
"""Messages at fault that are looked at before others have a turn of the loop."""

_NOT_KNOWN: Final = "Whether the message was accepted is not known yet."
_RULE: Final = f"must be an array of 1 to {MESSAGES_MAX:,} messages"
_decoder = msgspec.json.Decoder(BatchRequest)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class Batches:
    """The resource; routes() is what a server is made with. verdicts, rates: those of single messages."""

    def __init__(
        self,
        *,
        verdicts: Verdicts,
        rates: RateHints,
        directory: Callable[[], DirectoryIndex],
        ids: IdSource,
        clock_ms: Callable[[], int],
        figures: HttpFigures,
        request_seconds: float,
    ) -> None:
        self._verdicts = verdicts
        self._rates = rates
        self._directory = directory
        self._ids = ids
        self._clock_ms = clock_ms
        self._figures = figures
        self._bodies = BodyReader(
            bytes_max=BATCH_BYTES_MAX, pending_bytes_max=PENDING_BYTES_MAX, seconds=request_seconds * 0.8
        )
        self._clock = asyncio.get_running_loop().time

    def routes(self) -> list[Route]:
        """The routes, as the document has them."""
        return [Route(PATH, keyed={"POST": self.send})]

    async def send(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """Answered when all that is accepted is on disk and paid for."""
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        if isinstance(body, Problem):
            return body
        errors: list[FieldError] = []
        key = request_key(request.headers, errors)
        asked, raws = _decode_batch(body), None
        if asked is None:
            found = _raw_items(body, errors)
            if isinstance(found, Problem):
                return found
            asked, raws = [decode(raw) for raw in found], found
        if errors:
            return invalid(errors)
        work = _Batch(entry, self._directory(), asked, body, raws, key)
        now_ms = self._clock_ms()
        try:
            ids = self._ids.take(now_ms, len(asked))
        except ClockSteppedError:
            return unavailable("The clock of this node was set back; try again.")
        work.plan(ids, now_ms, self._verdicts.is_undecided)
        await work.explain(now_ms)
        if work.planned:
            work.settle(await self._verdicts.ask_all(work.planned))
        self._figures.replayed += work.replayed
        return self._answer(work, request.headers)

    def _answer(self, work: _Batch, headers: Mapping[str, str]) -> Answer:
        account, now = work.entry.account, self._clock()
        if work.throttled_seconds:
            policy, rate = self._rates.throttled(account, work.throttled_seconds, now)
        elif fresh := work.accepted - work.replayed:
            policy, rate = self._rates.admitted(account, now, fresh)
        else:
            policy, rate = self._rates.unchanged(account, now)
        said = {"RateLimit-Policy": policy, "RateLimit": rate}
        if work.retry_after:
            said["Retry-After"] = str(work.retry_after)
        results = [item for item in work.results if item is not None]
        if work.accepted:
            if work.replayed == work.accepted:
                said["Idempotent-Replayed"] = "true"
            count = len(results)
            return Answer(
                202, _encode(BatchAnswer(accepted=work.accepted, refused=count - work.accepted, results=results)), said
            )
        given = headers.get("X-Request-ID", "")
        said["X-Request-ID"] = given if is_request_key(given) else secrets.token_hex(8)
        found = _problem_of_all(results, said["X-Request-ID"])
        return Answer(found.status, _encode(found), said, PROBLEM_JSON)


class _Batch:
    """One request on its way: what was asked, what was planned, and the results as they come.

    asked: None for a message that does not validate by itself. raws: the messages as they stand in `body`, where they
    were cut out already. places: of each planned message, which one of the request it is.
    """

    __slots__ = (
        "accepted", "asked", "body", "directory", "entry", "key", "places", "planned", "raws", "rejections", "replayed",
        "results", "retry_after", "throttled_seconds",
    )  # fmt: skip

    def __init__(
        self,
        entry: AccountEntry,
        directory: DirectoryIndex,
        asked: list[SendRequest | None],
        body: bytes,
        raws: list[msgspec.Raw] | None,
        key: bytes | None,
    ) -> None:
        self.entry = entry
        self.directory = directory
        self.asked = asked
        self.body = body
        self.raws = raws
        self.key = key
        self.results: list[BatchItem | None] = [None] * len(asked)
        self.planned: list[Planned] = []
        self.places: list[int] = []
        self.rejections: dict[int, Rejected | None] = {}
        self.accepted = self.replayed = self.retry_after = 0
        self.throttled_seconds = 0.0

    def plan(self, ids: list[int], now_ms: int, is_undecided: Callable[[str, bytes], bool]) -> None:
        """Plan each message; what cannot be admitted is left for explain()."""
        entry, directory, key = self.entry, self.directory, self.key
        account, item_key = entry.account.id, None
        for place, asked in enumerate(self.asked):
            if asked is None:
                self.rejections[place] = None
                continue
            if key is not None:
                item_key = b"%b#%d" % (key, place)
                if is_undecided(account, item_key):
                    self.refuse(place, refused(Reason.IDEMPOTENCY_IN_PROGRESS, 1.0))
                    continue
            found = plan(submission_of(asked, entry, item_key), directory, ids[place], now_ms)
            if isinstance(found, Rejected):
                self.rejections[place] = found
            else:
                self.planned.append(found)
                self.places.append(place)

    async def explain(self, now_ms: int) -> None:
        """Say of each message that planning refused what is wrong with it."""
        room = ERRORS_MAX
        for count, (place, rejection) in enumerate(self.rejections.items(), 1):
            if rejection is not None and rejection.answer.code != VALIDATION_FAILED:
                found = rejected(rejection)
            else:
                if self.raws is None:
                    self.raws = _items_decoder.decode(_fields_decoder.decode(self.body)["messages"])
                found = problem_of(bytes(self.raws[place]), self.entry, self.directory, [], now_ms, rejection)
            self.refuse(place, found, max(1, room))
            room -= len(found.errors)
            if count % FAULTS_AT_ONCE == 0:
                await asyncio.sleep(0)

    def refuse(self, place: int, found: Problem, errors_max: int = ERRORS_MAX) -> BatchItem:
        """The result of a message that was refused."""
        item = item_problem(found, errors_max)
        self.results[place] = item
        self._wait(item)
        return item

    def _wait(self, item: BatchItem) -> None:
        if item.problem is not UNSET and item.problem.retry_after:
            self.retry_after = max(self.retry_after, item.problem.retry_after)

    def settle(self, verdicts: list[Verdict | None]) -> None:
        """The results of the planned messages. Refusals that say the same are one object."""
        same: dict[Verdict | None, BatchItem] = {}
        currency, asked, results = self.entry.account.currency, self.asked, self.results
        for place, planned, verdict in zip(self.places, self.planned, verdicts, strict=True):
            if isinstance(verdict, Accepted):
                data_coding, is_replayed = planned.record.data_coding, False
            elif isinstance(verdict, Duplicate) and verdict.same_body:
                data_coding, is_replayed = verdict.data_coding, True
                self.replayed += 1
            else:
                item = same.get(verdict)
                if item is None:
                    item = same[verdict] = self.refuse(place, self._refusal(verdict))
                results[place] = item
                continue
            self.accepted += 1
            sent = asked[place]
            message = accepted_message(
                planned,
                verdict.id,
                verdict.price_micros,
                verdict.segments,
                data_coding,
                currency,
                sent.send_at if sent is not None else None,
            )
            results[place] = BatchItem(message=message, is_replayed=is_replayed)

    def _refusal(self, verdict: Duplicate | Refused | None) -> Problem:
        if verdict is None:
            return unavailable(_NOT_KNOWN) if self.key is None else refused(Reason.IDEMPOTENCY_IN_PROGRESS, 1.0)
        if isinstance(verdict, Duplicate):
            return refused(Reason.IDEMPOTENCY_KEY_REUSED)
        if verdict.reason is Reason.RATE_LIMITED:
            self.throttled_seconds = max(self.throttled_seconds, verdict.retry_after_seconds, 0.001)
        return refused(verdict.reason, verdict.retry_after_seconds)


def _decode_batch(body: bytes) -> list[SendRequest | None] | None:
    """The messages, when each of them validates by itself; None when the body must be looked at one by one."""
    try:
        messages: list[Any] = _decoder.decode(body).messages
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for asked in messages:
        if asked.callback_url is not None and not is_callback_url(asked.callback_url):
            return None
    return messages


def _raw_items(body: bytes, errors: list[FieldError]) -> list[msgspec.Raw] | Problem:
    """The messages as they stand in a body of which something is wrong.

    What is wrong outside of them is added to `errors`.
    """
    try:
        if body.lstrip()[:1] != b"{":
            msgspec.json.decode(body)
            errors.append(FieldError("", "must be a JSON object"))
            return []
        fields = _fields_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return problem(MALFORMED_JSON)
    errors += [FieldError(pointer(name), "unknown field") for name in fields if name != "messages"][:50]
    raw = fields.get("messages")
    if raw is None:
        errors.append(FieldError("/messages", "is required"))
        return []
    try:
        items = _items_decoder.decode(raw)
    except msgspec.DecodeError:
        items = []
    if not 1 <= len(items) <= MESSAGES_MAX:
        errors.append(FieldError("/messages", _RULE))
        return []
    return items


def _problem_of_all(results: list[BatchItem], request_id: str) -> BatchProblem:
    """The problem of a batch of which nothing was accepted: what all its messages share, or that they differ."""
    problems = [item.problem for item in results if item.problem is not UNSET]
    first = problems[0]
    if any(found.code != first.code for found in problems):
        kind = BATCH_REFUSED
        code, status, title, detail = kind.code, kind.status, kind.title, kind.detail
    else:
        code, status, title = first.code, first.status, first.title
        detail = f"No message of the batch was accepted. {first.detail}" if len(problems) > 1 else first.detail
    return BatchProblem(
        kind=TYPE_BASE + code,
        title=title,
        status=status,
        code=code,
        detail=detail,
        instance=PATH,
        request_id=request_id,
        results=results,
    )
