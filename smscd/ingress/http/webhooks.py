"""/v1/webhooks: where a customer has his events sent, tests of that, and what became of the events."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Protocol

import msgspec
import structlog
from aiohttp import web
from msgspec.structs import replace

from protocols.webhooks import SECRET_BYTES_MIN, make_secret
from smscd.core.callback_records import CallbackRecord
from smscd.core.directory import Account, WebhookEndpoint
from smscd.core.directory_index import AccountEntry
from smscd.core.ids import ClockSteppedError, IdSource
from smscd.core.reasons import Reason
from smscd.core.webhook_events import ENDPOINTS_MAX, OLD_SECRETS_MAX
from smscd.ingress.http import webhook_bodies as bodies
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.bodies import BodyReader
from smscd.ingress.http.change_rates import CHANGES_AT_ONCE, ChangeRates
from smscd.ingress.http.problems import (
    BUSY,
    NOT_FOUND,
    TOO_MANY_SECRETS,
    TOO_MANY_WEBHOOKS,
    Problem,
    invalid,
    problem,
    refused,
    unavailable,
)
from smscd.ingress.http.queries import CURSOR, LIMIT, LIMIT_DEFAULT, Turns, read_query, write_cursor
from smscd.ingress.http.server import Route
from smscd.ingress.http.views import moment
from storage.postgres import webhooks as stored
from storage.postgres.account_entries import ID_MAX
from storage.postgres.pool import Pool
from storage.postgres.webhooks import Delivery, StoredEndpoint
from storage.redis.errors import StorageUnavailable

PATH: Final = "/v1/webhooks"
BODY_BYTES_MAX: Final = 16_384
PENDING_BYTES_MAX: Final = 1024 * 1024
BODY_SECONDS: Final = 8.0
SECRET_BYTES: Final = max(32, SECRET_BYTES_MIN)
READS_MAX: Final = 3
TESTS_MAX: Final = 16
TESTS_PER_ACCOUNT_MAX: Final = 2
PARAMETERS: Final = {"limit": LIMIT, "cursor": CURSOR}
_LATER: Final = (("Retry-After", "1"),)
_MISSING: Final = "The account has no webhook with this id."
_decode_record = msgspec.msgpack.Decoder(CallbackRecord).decode
_encode_record = msgspec.msgpack.Encoder().encode
_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class Tested(Protocol):
    """What became of an attempt: smscd.egress.webhooks.schedule.Posted."""

    @property
    def status(self) -> int: ...
    @property
    def failure(self) -> str: ...


Test = Callable[[str, Account, WebhookEndpoint], Awaitable[Tested]]
"""Sends an event of type webhook.test with this id: smscd.egress.webhooks.sending.Sender.test."""


class Webhooks:
    """The resource; routes() is what a server is made with.

    clock_ms: Redis TIME. tell: has all processes read the configuration again. push: queues encoded CallbackRecords.
    """

    def __init__(
        self,
        *,
        pool: Callable[[], Pool],
        ids: IdSource,
        clock_ms: Callable[[], int],
        tell: Callable[[], Awaitable[None]],
        push: Callable[[list[bytes]], Awaitable[None]],
        test: Test,
        changes_at_once: int = CHANGES_AT_ONCE,
    ) -> None:
        self._pool = pool
        self._ids = ids
        self._clock_ms = clock_ms
        self._tell = tell
        self._push = push
        self._test = test
        self._turns = Turns(READS_MAX)
        self._rates = ChangeRates(changes_at_once)
        self._testing: dict[str, int] = {}
        self._bodies = BodyReader(bytes_max=BODY_BYTES_MAX, pending_bytes_max=PENDING_BYTES_MAX, seconds=BODY_SECONDS)

    def routes(self) -> list[Route]:
        """The routes, as the document has them."""
        one = f"{PATH}/{{id}}"
        return [
            Route(PATH, keyed={"GET": self.all, "POST": self.create}),
            Route(one, keyed={"GET": self.get, "PATCH": self.change, "DELETE": self.delete}),
            Route(f"{one}/rotate", keyed={"POST": self.rotate}),
            Route(f"{one}/test", keyed={"POST": self.test}),
            Route(f"{one}/deliveries", keyed={"GET": self.deliveries}),
            Route(f"{one}/deliveries/{{event_id}}/replay", keyed={"POST": self.replay}),
        ]

    async def create(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """POST /v1/webhooks: 201 with the secret, which is not shown again."""
        asked = await self._read(request, bodies.CreateWebhook)
        if isinstance(asked, Problem):
            return asked
        if (busy := self._too_often(entry)) is not None:
            return busy
        now_ms = self._clock_ms()
        try:
            number = self._ids.take(now_ms, 1)[0]
        except ClockSteppedError:
            return unavailable("The clock of this node was set back; try again.")
        secret = make_secret(secrets.token_bytes(SECRET_BYTES))
        endpoint = WebhookEndpoint(
            id=number, account=entry.account.id, url=asked.url, events=frozenset(asked.events), secret=secret
        )
        made = await stored.add(self._pool(), endpoint, asked.description, ENDPOINTS_MAX)
        if made is None:
            return problem(TOO_MANY_WEBHOOKS)
        await self._changed("webhook.created", made)
        body = replace(self._shown(made), secret=secret)
        return Answer(201, _encode(body), {"Location": f"{PATH}/{number}", "Cache-Control": "no-store"})

    async def all(self, _: web.BaseRequest, entry: AccountEntry, __: str) -> Answer | Problem:
        """GET /v1/webhooks: all of the account."""
        found = await stored.endpoints(self._pool(), entry.account.id)
        return Answer(200, _encode(bodies.WebhookList(data=[self._shown(one) for one in found])))

    async def get(self, _: web.BaseRequest, entry: AccountEntry, number: str) -> Answer | Problem:
        """GET /v1/webhooks/{id}."""
        found = await self._find(entry, number)
        return problem(NOT_FOUND, _MISSING) if found is None else Answer(200, _encode(self._shown(found)))

    async def change(self, request: web.BaseRequest, entry: AccountEntry, number: str) -> Answer | Problem:
        """PATCH /v1/webhooks/{id}: url, events, description, enabled."""
        asked = await self._read(request, bodies.ChangeWebhook)
        if isinstance(asked, Problem):
            return asked
        if (busy := self._too_often(entry)) is not None:
            return busy
        changed = await self._change(entry, number, lambda before: _changed(before, asked))
        if changed is None:
            return problem(NOT_FOUND, _MISSING)
        await self._changed("webhook.changed", changed)
        return Answer(200, _encode(self._shown(changed)))

    async def delete(self, _: web.BaseRequest, entry: AccountEntry, number: str) -> Answer | Problem:
        """DELETE /v1/webhooks/{id}: what waits for it becomes dead letters."""
        if (busy := self._too_often(entry)) is not None:
            return busy
        found = _number(number)
        if found is None or not await stored.remove(self._pool(), entry.account.id, found):
            return problem(NOT_FOUND, _MISSING)
        _log.info("webhook.deleted", account=entry.account.id, endpoint=found)
        await self._told()
        return Answer(200, _encode(bodies.DeletedWebhook(id=str(found))))

    async def rotate(self, request: web.BaseRequest, entry: AccountEntry, number: str) -> Answer | Problem:
        """POST /v1/webhooks/{id}/rotate: a new secret, beside which the old ones sign for a while."""
        asked = await self._read(request, bodies.RotateSecret, may_be_empty=True)
        if isinstance(asked, Problem):
            return asked
        if (busy := self._too_often(entry)) is not None:
            return busy
        now_ms = self._clock_ms()
        secret = make_secret(secrets.token_bytes(SECRET_BYTES))
        is_full = False

        def rotated(before: StoredEndpoint) -> StoredEndpoint | None:
            nonlocal is_full
            endpoint = rotated_endpoint(before.endpoint, secret, now_ms, asked.overlap * 1000)
            is_full = endpoint is None
            return None if endpoint is None else dataclasses.replace(before, endpoint=endpoint)

        changed = await self._change(entry, number, rotated)
        if is_full:
            return problem(TOO_MANY_SECRETS)
        if changed is None:
            return problem(NOT_FOUND, _MISSING)
        await self._changed("webhook.rotated", changed)
        body = replace(self._shown(changed), secret=secret)
        return Answer(200, _encode(body), {"Cache-Control": "no-store"})

    async def test(self, request: web.BaseRequest, entry: AccountEntry, number: str) -> Answer | Problem:
        """POST /v1/webhooks/{id}/test: sends an event now, and says how it was taken."""
        found = await self._find(entry, number)
        if found is None:
            return problem(NOT_FOUND, _MISSING)
        account, testing = entry.account.id, self._testing
        if testing.get(account, 0) >= TESTS_PER_ACCOUNT_MAX or sum(testing.values()) >= TESTS_MAX:
            return problem(BUSY, "Too many webhooks are being tested; try again.", headers=_LATER)
        try:
            event_id = f"test_{self._ids.take(self._clock_ms(), 1)[0]}"
        except ClockSteppedError:
            return unavailable("The clock of this node was set back; try again.")
        testing[account] = testing.get(account, 0) + 1
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            tested = await self._test(event_id, entry.account, found.endpoint)
        finally:
            testing[account] -= 1
            if not testing[account]:
                del testing[account]
        body = bodies.WebhookTest(
            event_id=event_id,
            delivered=200 <= tested.status < 300,
            response_code=tested.status or None,
            milliseconds=round((clock() - began) * 1000),
            error=tested.failure or None,
        )
        return Answer(200, _encode(body), {"Cache-Control": "no-store"})

    async def deliveries(self, request: web.BaseRequest, entry: AccountEntry, number: str) -> Answer | Problem:
        """GET /v1/webhooks/{id}/deliveries: events of the last thirty days and their last attempts, by page."""
        values, errors = read_query(list(request.query.items()), PARAMETERS)
        if errors:
            return invalid(errors)
        found = await self._find(entry, number)
        if found is None:
            return problem(NOT_FOUND, _MISSING)
        limit = values.get("limit", LIMIT_DEFAULT)
        async with self._turns.take() as is_mine:
            if not is_mine:
                return problem(BUSY, "Too many lists are being read; try again.", headers=_LATER)
            before = values.get("cursor", ID_MAX)
            page = await stored.deliveries(self._pool(), found.endpoint.id, before=before, limit=limit)
        cursor = write_cursor(page[-1].id) if len(page) == limit else None
        return Answer(
            200, _encode(bodies.WebhookDeliveryPage(data=[_delivery(one) for one in page], next_cursor=cursor))
        )

    async def replay(self, _: web.BaseRequest, entry: AccountEntry, names: str) -> Answer | Problem:
        """POST /v1/webhooks/{id}/deliveries/{event_id}/replay: 202; it is tried again from the first attempt on."""
        number, _slash, event = names.partition("/")
        found = await self._find(entry, number)
        if found is None:
            return problem(NOT_FOUND, _MISSING)
        begun = None
        if bodies.EVENT_ID.fullmatch(event):
            begun = await stored.begin_replay(self._pool(), found.endpoint.id, event)
        if begun is None:
            return problem(NOT_FOUND, "Nothing is known of this event at this webhook.")
        delivery, record = begun
        await self._push([_encode_record(replace(_decode_record(record), attempt=0, is_replay=True))])
        return Answer(202, _encode(_delivery(delivery)))

    # --- what they have in common -------------------------------------------------------------------------------------

    async def _read(
        self, request: web.BaseRequest, kind: type[bodies.Body], *, may_be_empty: bool = False
    ) -> bodies.Body | Problem:
        if may_be_empty and not request.body_exists:
            return kind()
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        return body if isinstance(body, Problem) else bodies.read(body, kind)

    def _too_often(self, entry: AccountEntry) -> Problem | None:
        seconds = self._rates.take(entry.account.id, asyncio.get_running_loop().time())
        return refused(Reason.RATE_LIMITED, seconds) if seconds else None

    async def _find(self, entry: AccountEntry, number: str) -> StoredEndpoint | None:
        found = _number(number)
        return None if found is None else await stored.get(self._pool(), entry.account.id, found)

    async def _change(
        self, entry: AccountEntry, number: str, changed: Callable[[StoredEndpoint], StoredEndpoint | None]
    ) -> StoredEndpoint | None:
        found = _number(number)
        return None if found is None else await stored.change(self._pool(), entry.account.id, found, changed)

    async def _changed(self, what: str, endpoint: StoredEndpoint) -> None:
        _log.info(what, account=endpoint.endpoint.account, endpoint=endpoint.endpoint.id)
        await self._told()

    async def _told(self) -> None:
        """Where it is not told, every process finds out at its next look, within half a minute."""
        try:
            await self._tell()
        except StorageUnavailable as error:
            _log.warning("webhook.not_told", reason=str(error)[:200])

    def _shown(self, found: StoredEndpoint) -> bodies.Webhook:
        endpoint = found.endpoint
        return bodies.Webhook(
            id=str(endpoint.id),
            url=endpoint.url,
            events=sorted(endpoint.events),
            description=found.description,
            enabled=endpoint.is_enabled,
            disabled_reason=found.disabled_reason,
            secrets=len(endpoint.secrets(self._clock_ms())),
            created_at=_moment(found.created_at),
            changed_at=_moment(found.changed_at),
        )


def rotated_endpoint(before: WebhookEndpoint, secret: str, now_ms: int, overlap_ms: int) -> WebhookEndpoint | None:
    """An endpoint with a new secret; no old one signs longer than overlap_ms. None: too many would sign beside it."""
    until_ms = now_ms + overlap_ms
    old = [(before.secret, until_ms), *zip(before.old_secrets, before.old_until_ms, strict=True)]
    kept = [(one, min(end_ms, until_ms)) for one, end_ms in old if min(end_ms, until_ms) > now_ms]
    if len(kept) > OLD_SECRETS_MAX:
        return None
    return replace(
        before,
        secret=secret,
        old_secrets=tuple(one for one, _ in kept),
        old_until_ms=tuple(end_ms for _, end_ms in kept),
    )


def _changed(before: StoredEndpoint, asked: bodies.ChangeWebhook) -> StoredEndpoint:
    given = {
        name: value
        for name, value in (
            ("url", asked.url),
            ("events", frozenset(asked.events) if isinstance(asked.events, list) else asked.events),
            ("is_enabled", asked.enabled),
        )
        if value is not msgspec.UNSET
    }
    endpoint = replace(before.endpoint, **given)
    reason = None if endpoint.is_enabled else before.disabled_reason or "requested"
    description = asked.description if asked.description is not msgspec.UNSET else before.description
    return dataclasses.replace(before, endpoint=endpoint, description=description, disabled_reason=reason)


def _delivery(found: Delivery) -> bodies.WebhookDelivery:
    return bodies.WebhookDelivery(
        event_id=found.event,
        type=found.event_type,
        status=stored.DeliveryStatus(found.status).name.lower(),
        attempt=found.attempts,
        response_code=found.code or None,
        error=found.detail or None,
        created_at=_moment(found.created_at),
        attempted_at=_moment(found.at) if found.attempts else None,
        next_attempt_at=_moment(found.next_at) if found.next_at is not None else None,
    )


def _moment(at: datetime) -> str:
    return moment(int(at.timestamp() * 1000))


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= 19 and text[0] != "0"
    return int(text) if is_number and int(text) <= ID_MAX else None
