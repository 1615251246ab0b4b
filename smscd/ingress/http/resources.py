"""The resources of the HTTP interface: messages, balance, health, and the document that describes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Protocol

import msgspec
from aiohttp import web

from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.ids import ClockSteppedError, IdSource
from smscd.core.planning import Planned, plan
from smscd.core.reasons import Reason, Rejected
from smscd.core.verdicts import Accepted, Admitter, Duplicate, Refused, Verdict
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.batches import Batches
from smscd.ingress.http.bodies import BodyReader
from smscd.ingress.http.field_errors import problem_of
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.http.messages import BODY_BYTES_MAX, decode, estimated_message, queued_message, submission_of
from smscd.ingress.http.openapi import document
from smscd.ingress.http.problems import (
    NOT_FOUND,
    VALIDATION_FAILED,
    FieldError,
    Problem,
    invalid,
    problem,
    refused,
    rejected,
    unavailable,
)
from smscd.ingress.http.queries import read_id
from smscd.ingress.http.rates import RateHints
from smscd.ingress.http.request_keys import request_key
from smscd.ingress.http.server import Route
from smscd.ingress.http.verdicts import Verdicts
from smscd.ingress.http.views import UNHEALTHY, Balance, Health, MessageDetail, Money, money
from storage.redis.journal import entry_order

HEALTH_SECONDS: Final = 0.25
RECORD_WAIT_SECONDS: Final = 1.0
RECORD_POLL_SECONDS: Final = 0.02


class MessageReader(Protocol):
    """What the record says of messages."""

    async def find(self, account: str, message_id: int) -> MessageDetail | None:
        """A message of this account with its timeline; None when the record does not have it (yet)."""

    async def recorded_until(self, account: str) -> str:
        """The journal id up to which the account's shard is recorded."""

    async def journalled_until(self, account: str) -> str:
        """The id of the last journal entry of the account's shard."""


_encode = msgspec.json.Encoder().encode


class Resources:
    """All resources; routes() is what a server is made with.

    clock_ms: Redis TIME as this process follows it. balance: micro-units in Redis, None for never any.
    verdict_seconds: how long an answer of the admitter is awaited, which itself refuses after a second.
    """

    def __init__(
        self,
        *,
        admitter: Admitter,
        directory: Callable[[], DirectoryIndex],
        ids: IdSource,
        clock_ms: Callable[[], int],
        messages: MessageReader,
        balance: Callable[[str], Awaitable[int | None]],
        health: Callable[[], Awaitable[Health]],
        figures: HttpFigures,
        version: str,
        request_seconds: float = 10.0,
        pending_bytes_max: int = 8 * 1024 * 1024,
    ) -> None:
        self._verdicts = Verdicts(admitter, request_seconds)
        self._directory = directory
        self._ids = ids
        self._clock_ms = clock_ms
        self._messages = messages
        self._balance = balance
        self._health = health
        self._figures = figures
        self._bodies = BodyReader(
            bytes_max=BODY_BYTES_MAX, pending_bytes_max=pending_bytes_max, seconds=request_seconds * 0.8
        )
        self._loop = asyncio.get_running_loop()
        self._rates = RateHints()
        self._batches = Batches(
            verdicts=self._verdicts,
            rates=self._rates,
            directory=directory,
            ids=ids,
            clock_ms=clock_ms,
            figures=figures,
            request_seconds=request_seconds,
        )
        self._openapi = document(version)
        self._health_found: Health | None = None
        self._health_at = 0.0
        self._health_asked: asyncio.Future[Health] | None = None

    def routes(self) -> list[Route]:
        """The routes, as http_openapi documents them."""
        return [
            Route("/v1/messages", keyed={"POST": self.send}),
            *self._batches.routes(),
            Route("/v1/messages/estimate", keyed={"POST": self.estimate}),
            Route("/v1/messages/{id}", keyed={"GET": self.message}),
            Route("/v1/balance", keyed={"GET": self.balance}),
            Route("/health/", open={"GET": self.health}),
            Route("/api/openapi.json", open={"GET": self.openapi}),
        ]

    async def send(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """POST /v1/messages: 202 when the message is on disk and paid for."""
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        if isinstance(body, Problem):
            return body
        errors: list[FieldError] = []
        key = request_key(request.headers, errors)
        asked = decode(body)
        if asked is None:
            return problem_of(body, entry, self._directory(), errors, self._clock_ms())
        if errors:
            return invalid(errors)
        if key is not None and self._verdicts.is_undecided(entry.account.id, key):
            return refused(Reason.IDEMPOTENCY_IN_PROGRESS, 1.0)
        now_ms = self._clock_ms()
        try:
            message_id = self._ids.take(now_ms, 1)[0]
        except ClockSteppedError:
            return unavailable("The clock of this node was set back; try again.")
        directory = self._directory()
        planned = plan(submission_of(asked, entry, key), directory, message_id, now_ms)
        if isinstance(planned, Rejected):
            if planned.answer.code == VALIDATION_FAILED:
                return problem_of(body, entry, directory, [], now_ms, planned)
            return rejected(planned)
        verdict = await self._verdicts.ask(planned)
        if verdict is None:
            if key is not None:
                return refused(Reason.IDEMPOTENCY_IN_PROGRESS, 1.0)
            return unavailable("Whether the message was accepted is not known yet.")
        return self._answer_of(planned, verdict, entry, asked.send_at)

    async def estimate(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """POST /v1/messages/estimate: what the same body would be charged now; nothing is kept of it."""
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        if isinstance(body, Problem):
            return body
        directory, now_ms = self._directory(), self._clock_ms()
        asked = decode(body)
        if asked is None:
            return problem_of(body, entry, directory, [], now_ms)
        planned = plan(submission_of(asked, entry, None), directory, 0, now_ms)
        if isinstance(planned, Rejected):
            if planned.answer.code == VALIDATION_FAILED:
                return problem_of(body, entry, directory, [], now_ms, planned)
            return rejected(planned)
        return Answer(200, estimated_message(planned, entry.account.currency))

    def _answer_of(
        self, planned: Planned, verdict: Verdict, entry: AccountEntry, send_at: datetime | None
    ) -> Answer | Problem:
        account = entry.account
        now = self._loop.time()
        if isinstance(verdict, Accepted):
            policy, rate = self._rates.admitted(account, now)
            body = queued_message(
                planned,
                verdict.id,
                verdict.price_micros,
                verdict.segments,
                planned.record.data_coding,
                account.currency,
                send_at,
            )
            headers = {"Location": f"/v1/messages/{verdict.id}", "RateLimit-Policy": policy, "RateLimit": rate}
            return Answer(202, body, headers)
        if isinstance(verdict, Duplicate):
            if not verdict.same_body:
                return self._with_rate(refused(Reason.IDEMPOTENCY_KEY_REUSED), self._rates.unchanged(account, now))
            self._figures.replayed += 1
            policy, rate = self._rates.unchanged(account, now)
            body = queued_message(
                planned,
                verdict.id,
                verdict.price_micros,
                verdict.segments,
                verdict.data_coding,
                account.currency,
                send_at,
            )
            headers = {"Location": f"/v1/messages/{verdict.id}", "RateLimit-Policy": policy, "RateLimit": rate}
            headers["Idempotent-Replayed"] = "true"
            return Answer(202, body, headers)
        return self._refusal(verdict, entry, now)

    def _refusal(self, verdict: Refused, entry: AccountEntry, now: float) -> Problem:
        if verdict.reason is Reason.RATE_LIMITED:
            rate = self._rates.throttled(entry.account, verdict.retry_after_seconds, now)
        else:
            rate = self._rates.unchanged(entry.account, now)
        return self._with_rate(refused(verdict.reason, verdict.retry_after_seconds), rate)

    @staticmethod
    def _with_rate(found: Problem, rate: tuple[str, str]) -> Problem:
        headers = (*found.headers, ("RateLimit-Policy", rate[0]), ("RateLimit", rate[1]))
        return msgspec.structs.replace(found, headers=headers)

    async def message(self, _: web.BaseRequest, entry: AccountEntry, message_id: str) -> Answer | Problem:
        """GET /v1/messages/{id}: the message with its timeline; waits for the writer before it says 404."""
        number = read_id(message_id)
        if number is None:
            return problem(NOT_FOUND)
        found = await self._recorded(entry.account.id, number)
        if isinstance(found, Problem):
            return found
        return Answer(200, _encode(found))

    async def _recorded(self, account: str, message_id: int) -> MessageDetail | Problem:
        found = await self._messages.find(account, message_id)
        if found is not None:
            return found
        ends = self._loop.time() + RECORD_WAIT_SECONDS
        journalled = entry_order(await self._messages.journalled_until(account))
        while True:
            recorded = entry_order(await self._messages.recorded_until(account))
            found = await self._messages.find(account, message_id)
            if found is not None:
                return found
            if recorded >= journalled:
                return problem(NOT_FOUND, "The account has no message with this id.")
            if self._loop.time() >= ends:
                return unavailable("The record is behind; whether this message exists is not known yet. Ask again.")
            await asyncio.sleep(RECORD_POLL_SECONDS)

    async def balance(self, _: web.BaseRequest, entry: AccountEntry, __: str) -> Answer | Problem:
        """GET /v1/balance: from Redis, so that it has every charge that was acknowledged."""
        account = entry.account
        micros = await self._balance(account.id)
        return Answer(
            200,
            _encode(
                Balance(
                    account=account.id,
                    balance=Money(money(micros or 0), account.currency),
                    credit_limit=Money(money(account.credit_limit_micros), account.currency),
                )
            ),
        )

    async def health(self, _: web.BaseRequest) -> Answer | Problem:
        """GET /health/: asked of the servers at most four times a second, however often it is asked here."""
        now = self._loop.time()
        if self._health_found is not None and now - self._health_at < HEALTH_SECONDS:
            return _health_answer(self._health_found)
        if self._health_asked is None:
            self._health_asked = asyncio.ensure_future(self._health())
            self._health_asked.add_done_callback(self._health_came)
        found = await asyncio.shield(self._health_asked)
        return _health_answer(found)

    def _health_came(self, asked: asyncio.Future[Health]) -> None:
        self._health_asked = None
        if not asked.cancelled() and asked.exception() is None:
            self._health_found = asked.result()
            self._health_at = self._loop.time()

    async def openapi(self, _: web.BaseRequest) -> Answer | Problem:
        """GET /api/openapi.json."""
        return Answer(200, self._openapi)


def _health_answer(found: Health) -> Answer:
    status = 503 if found.status == UNHEALTHY else 200
    return Answer(status, _encode(found), {"Cache-Control": "no-store"})
