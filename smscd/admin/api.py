"""The admin API: what operators do by command, over HTTP, each with a token of their own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog
from aiohttp import web

from smscd.admin.operators import Operators
from smscd.admin.permissions import NEEDED, may
from smscd.admin.problems import FORBIDDEN
from smscd.admin.resources import CSV, JSON, TOML, Asked, Body, Done, Operation
from smscd.core.networks import is_address, normalised
from smscd.ingress.http.bodies import BodyReader, is_json
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.problems import (
    BUSY,
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEM_JSON,
    TOO_LARGE,
    UNAUTHORIZED,
    UNSUPPORTED,
    FieldError,
    Problem,
    encode,
    invalid,
    problem,
    unavailable,
)
from smscd.ingress.http.queries import read_query
from storage.postgres.operators import ORIGIN
from storage.postgres.pool import UNAVAILABLE
from storage.redis.errors import StorageUnavailable

PREFIX: Final = "/admin/v1/"
BODY_BYTES_MAX: Final = 16_384
FILE_BYTES_MAX: Final = 8_000_000
TOML_BYTES_MAX: Final = 1_000_000
FILES_BYTES_MAX: Final = 3 * FILE_BYTES_MAX
BODY_SECONDS: Final = 10.0
REQUESTS_MAX: Final = 64
_CHALLENGE: Final = (("WWW-Authenticate", 'Bearer realm="smscd admin"'),)
_AWAY: Final[tuple[type[BaseException], ...]] = (StorageUnavailable, *UNAVAILABLE)
_encode_json = msgspec.json.Encoder(decimal_format="string").encode
_log = structlog.get_logger(__name__)


class AdminApi:
    """Everything under /admin/v1/. operations: what can be asked for; each has a row in the table of roles.

    addresses: whence a request comes, for the log; those of peers unless proxies are trusted.
    """

    def __init__(
        self, operators: Operators, operations: Iterable[Operation], addresses: ClientAddresses | None = None
    ) -> None:
        self._operators = operators
        self._addresses = addresses or ClientAddresses()
        self._under_way = 0
        self._readers = {
            JSON: BodyReader(
                bytes_max=BODY_BYTES_MAX, pending_bytes_max=REQUESTS_MAX * BODY_BYTES_MAX, seconds=BODY_SECONDS
            ),
            CSV: BodyReader(
                bytes_max=FILE_BYTES_MAX, pending_bytes_max=FILES_BYTES_MAX, seconds=3 * BODY_SECONDS, takes=_is_csv
            ),
            TOML: BodyReader(
                bytes_max=TOML_BYTES_MAX, pending_bytes_max=4 * TOML_BYTES_MAX, seconds=BODY_SECONDS, takes=_is_toml
            ),
        }
        self.operations = tuple(operations)
        if missing := [one.route for one in self.operations if one.route not in NEEDED]:
            raise ValueError(f"{missing[0]} has no row in the table of roles")
        self._paths: dict[str, tuple[re.Pattern[str], dict[str, Operation]]] = {}
        for one in self.operations:
            _, methods = self._paths.setdefault(one.path, (one.pattern(), {}))
            methods[one.method] = one

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        if self._under_way >= REQUESTS_MAX:
            return _refused(problem(BUSY, headers=(("Retry-After", "1"),)), request)
        self._under_way += 1
        ORIGIN.set(self._whence(request))
        try:
            found = await self._find(request)
        except _AWAY:
            found = unavailable()
        except Exception as error:  # noqa: BLE001 - the top of a request: logged, and answered with 500
            _log.error("admin.request_failed", error=type(error).__name__)
            found = problem(INTERNAL)
        finally:
            self._under_way -= 1
        if isinstance(found, Problem):
            return _refused(found, request)
        return web.Response(
            status=found.status,
            body=_encode_json(found.body),
            content_type="application/json",
            headers={"Cache-Control": "no-store", **found.headers},
        )

    def _whence(self, request: web.Request) -> str:
        """The address for the log: the proxy's own when what it passes on is none."""
        found = self._addresses.of(request)
        return found if is_address(found) else normalised(request.remote or "")

    async def _find(self, request: web.Request) -> Done | Problem:
        """Who asks comes first, so that nobody learns without a token what there is."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        operator = await self._operators.who(token.strip()) if scheme.lower() == "bearer" else None
        if operator is None:
            detail = "A token is needed: Authorization: Bearer TOKEN. `smscd operator add` makes one."
            return problem(UNAUTHORIZED, detail, headers=_CHALLENGE)
        path = request.path.removeprefix(PREFIX)
        for pattern, methods in self._paths.values():
            if (match := pattern.fullmatch(path)) is None:
                continue
            operation = methods.get(request.method)
            if operation is None:
                return problem(METHOD_NOT_ALLOWED, headers=(("Allow", ", ".join(methods)),))
            if not may(operator.role, operation.route):
                needed = NEEDED[operation.route]
                return problem(FORBIDDEN, f"This token has the role {operator.role}: this needs {needed}.")
            query, errors = read_query(
                list(request.query.items()), {name: one.parameter for name, one in operation.query.items()}
            )
            wanted = (name for name, one in operation.query.items() if one.is_required)
            errors += [FieldError("/" + name, "is required") for name in wanted if name not in query]
            if errors:
                return invalid(errors)
            body = None if operation.body is None else await self._body(request, operation.body)
            if isinstance(body, Problem):
                return body
            return await operation.call(Asked(operator, match.groupdict(), query, body))
        return problem(NOT_FOUND)

    async def _body(self, request: web.Request, kind: Body) -> object:
        """What the body says, or a Problem."""
        if kind.content_type != JSON and is_json(request.headers.get("Content-Type", "")):
            return _of_ours(problem(UNSUPPORTED, closes=True), kind)
        reader = self._readers[kind.content_type]
        body = reader.arrived(request)
        if body is None:
            body = await reader.read(request)
        return _of_ours(body, kind) if isinstance(body, Problem) else kind.read(body)


def _is_csv(content_type: str) -> bool:
    return _is_text(content_type, CSV)


def _is_toml(content_type: str) -> bool:
    return _is_text(content_type, TOML)


def _is_text(content_type: str, wanted: str) -> bool:
    kind, _, parameters = content_type.partition(";")
    return kind.strip().lower() == wanted and is_json(f"{JSON};{parameters}")


def _of_ours(found: Problem, kind: Body) -> Problem:
    """Bodies here have other bounds and types than customers' have."""
    if found.status == TOO_LARGE.status:
        most = {JSON: BODY_BYTES_MAX, TOML: TOML_BYTES_MAX, CSV: FILE_BYTES_MAX}[kind.content_type]
        return msgspec.structs.replace(found, detail=f"The body is larger than {most:,} bytes.")
    if found.detail == UNSUPPORTED.detail:
        return msgspec.structs.replace(found, detail=f"The body must be {kind.content_type}.")
    return found


def _refused(found: Problem, request: web.Request) -> web.StreamResponse:
    request_id = secrets.token_hex(8)
    response = web.Response(
        status=found.status,
        body=encode(found, request.path, request_id),
        content_type=PROBLEM_JSON,
        headers={"Cache-Control": "no-store", "X-Request-ID": request_id, **dict(found.headers)},
    )
    if found.closes:
        response.force_close()
    return response
