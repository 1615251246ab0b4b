"""The resources of both doors: read a request, find out who sends, and answer in the other gateway's words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from smscd.core.directory_index import AccountEntry
from smscd.core.reasons import Rejected
from smscd.core.scopes import READ, SEND, name_of
from smscd.ingress.dropin import jasmin, kannel
from smscd.ingress.dropin.fields import FORM, Fields, media_type, parse_fields, query_of
from smscd.ingress.dropin.gatekeeper import Denied, Gatekeeper
from smscd.ingress.dropin.sending import Said, Sender, Taken
from smscd.ingress.http.answers import JSON, Answer
from smscd.ingress.http.bodies import BodyReader
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.messages import BODY_BYTES_MAX
from smscd.ingress.http.problems import METHOD_NOT_ALLOWED, FieldError, Problem, problem
from smscd.ingress.http.request_keys import request_key
from smscd.ingress.http.server import Route

HTML, TEXT = "text/html", "text/plain"
RETRY_SECONDS: Final = "1"


def _takes_all(_: str) -> bool:
    """Which types are taken is each door's to say, in its own words."""
    return True


class _Door:
    """What both doors have. request_seconds: for a body to come in. addresses: where requests come from."""

    def __init__(
        self, sender: Sender, gatekeeper: Gatekeeper, addresses: ClientAddresses, *, request_seconds: float
    ) -> None:
        self._sender = sender
        self._gatekeeper = gatekeeper
        self._addresses = addresses
        self._bodies = BodyReader(
            bytes_max=BODY_BYTES_MAX,
            pending_bytes_max=8 * 1024 * 1024,
            seconds=request_seconds * 0.8,
            takes=_takes_all,
        )

    async def _body(self, request: web.BaseRequest) -> bytes | Problem:
        body = self._bodies.arrived(request)
        return await self._bodies.read(request) if body is None else body

    def _entry(self, request: web.BaseRequest, user: bytes, password: bytes, scope: int) -> AccountEntry | Denied:
        return self._gatekeeper.account(self._addresses.of(request), user, password, scope)


class KannelDoor(_Door):
    """Kannel's sendsms. is_upstream_bound: says whether an upstream has a bind at this moment, as far as is known."""

    def __init__(
        self,
        sender: Sender,
        gatekeeper: Gatekeeper,
        addresses: ClientAddresses,
        is_upstream_bound: Callable[[str], Awaitable[bool]],
        *,
        request_seconds: float,
    ) -> None:
        super().__init__(sender, gatekeeper, addresses, request_seconds=request_seconds)
        self._is_upstream_bound = is_upstream_bound

    def routes(self) -> list[Route]:
        """The routes of the listener."""
        return [Route("/cgi-bin/sendsms", open={"GET": self.get, "POST": self.post})]

    async def get(self, request: web.BaseRequest) -> Answer | Problem:
        """GET /cgi-bin/sendsms."""
        if request.method == "HEAD":
            return _not_by_head()
        return await self._send(request, query_of(request))

    async def post(self, request: web.BaseRequest) -> Answer | Problem:
        """POST /cgi-bin/sendsms: a form, or the text with the rest in headers X-Kannel-*."""
        body = await self._body(request)
        if isinstance(body, Problem):
            return body
        kind, charset = media_type(request)
        if kind == FORM:
            return await self._send(request, query_of(request) | parse_fields(body))
        if kind in ("text/plain", "application/octet-stream"):
            fields = kannel.fields_of_headers(request.headers.get, body, charset)
            if kind != TEXT:
                fields.setdefault("coding", b"1")
            elif "udh" in fields:
                fields.setdefault("coding", b"0")
            return await self._send(request, fields)
        if not body:
            return await self._send(request, query_of(request))
        return _kannel_answer(Said(400, "Invalid content-type"))

    async def _send(self, request: web.BaseRequest, fields: Fields) -> Answer:
        user, password = kannel.credentials_of(fields)
        entry = self._entry(request, user, password, SEND)
        if isinstance(entry, Denied):
            return _kannel_answer(Said(*kannel.UNAUTHORIZED))
        errors: list[FieldError] = []
        key = request_key(request.headers, errors)
        if errors:
            return _kannel_answer(Said(400, f"{errors[0].detail}, rejected"))
        submissions = kannel.submissions_of(fields, entry, user, key)
        if isinstance(submissions, Said):
            return _kannel_answer(submissions)
        outcome = await self._sender.send(submissions)
        is_bound = not isinstance(outcome, Taken) or await self._is_upstream_bound(outcome.upstream)
        return _kannel_answer(kannel.said_of(outcome, is_upstream_bound=is_bound))


class JasminDoor(_Door):
    """Jasmin's /send, /rate, /balance and /ping. balance: micro-units in Redis, None for never any."""

    def __init__(
        self,
        sender: Sender,
        gatekeeper: Gatekeeper,
        addresses: ClientAddresses,
        balance: Callable[[str], Awaitable[int | None]],
        *,
        request_seconds: float,
    ) -> None:
        super().__init__(sender, gatekeeper, addresses, request_seconds=request_seconds)
        self._balance = balance

    def routes(self) -> list[Route]:
        """The routes of the listener."""
        return [
            Route("/send", open={"GET": self.send, "POST": self.send}),
            Route("/rate", open={"GET": self.rate, "POST": self.rate}),
            Route("/balance", open={"GET": self.balance, "POST": self.balance}),
            Route("/ping", open={"GET": self.ping, "POST": self.ping}),
        ]

    async def send(self, request: web.BaseRequest) -> Answer | Problem:
        """/send: 200 when the message is on disk and paid for."""
        if request.method == "HEAD":
            return _not_by_head()
        try:
            found = await self._asked(request, jasmin.SEND)
            if isinstance(found, Problem):
                return found
            fields, entry = found
            errors: list[FieldError] = []
            key = request_key(request.headers, errors)
            if errors:
                raise jasmin.Wrong(errors[0].detail)
            submission = jasmin.submission_of(fields, entry, key, self._sender.now_ms())
        except jasmin.Wrong as wrong:
            return _refusal(wrong)
        return _jasmin_answer(jasmin.said_of(await self._sender.send([submission])))

    async def rate(self, request: web.BaseRequest) -> Answer | Problem:
        """/rate: what the same message would be charged now; nothing is kept of it."""
        try:
            found = await self._asked(request, jasmin.RATE)
            if isinstance(found, Problem):
                return found
            fields, entry = found
            now_ms = self._sender.now_ms()
            planned = self._sender.estimate(jasmin.submission_of(fields, entry, None, now_ms, is_estimate=True))
        except jasmin.Wrong as wrong:
            return _refusal(wrong)
        if isinstance(planned, Rejected):
            return _jasmin_answer(jasmin.said_of_refusal(planned))
        return Answer(200, jasmin.rate_of(planned))

    async def balance(self, request: web.BaseRequest) -> Answer | Problem:
        """/balance: what may still be spent, credit included."""
        try:
            found = await self._asked(request, jasmin.BALANCE)
        except jasmin.Wrong as wrong:
            return _refusal(wrong)
        if isinstance(found, Problem):
            return found
        account = found[1].account
        micros = await self._balance(account.id) or 0
        return Answer(200, jasmin.balance_of(micros + account.credit_limit_micros))

    async def ping(self, _: web.BaseRequest) -> Answer | Problem:
        """/ping."""
        return Answer(200, b"Jasmin/PONG", content_type=TEXT)

    async def _asked(self, request: web.BaseRequest, known: frozenset[str]) -> tuple[Fields, AccountEntry] | Problem:
        """The arguments and who sends. Raises Wrong."""
        fields = query_of(request)
        if request.method == "POST":
            body = await self._body(request)
            if isinstance(body, Problem):
                return body
            kind = media_type(request)[0]
            if kind == JSON:
                fields |= jasmin.fields_of_json(body)
            elif kind == FORM:
                fields |= parse_fields(body)
            elif body:
                raise jasmin.Wrong(f"The body must be {FORM} or {JSON}.")
        jasmin.check_names(fields, known)
        scope = READ if known is jasmin.BALANCE else SEND
        entry = self._entry(request, fields["username"], fields["password"], scope)
        shown = jasmin.shown(fields["username"])
        if entry is Denied.CREDENTIALS:
            raise jasmin.Wrong(f"Authentication failure for username:{shown}", 403)
        if entry is Denied.SCOPE:
            raise jasmin.Wrong(f"Authorization failed for username:{shown} (its key needs {name_of(scope)})", 403)
        return fields, entry


def _not_by_head() -> Problem:
    """Whoever asks for no answer wants to look, not to send."""
    return problem(METHOD_NOT_ALLOWED, headers=(("Allow", "GET, POST"),))


def _kannel_answer(said: Said) -> Answer:
    headers = {"Retry-After": RETRY_SECONDS} if said.status == 503 else {}
    return Answer(said.status, said.text.encode(), {"Cache-Control": "no-cache", **headers}, HTML)


def _jasmin_answer(said: Said) -> Answer:
    headers = {"Retry-After": RETRY_SECONDS} if said.status == 503 else {}
    return Answer(said.status, said.text.encode(), headers, TEXT)


def _refusal(wrong: jasmin.Wrong) -> Answer:
    return _jasmin_answer(jasmin.error(str(wrong), wrong.status))
