"""Keys of accounts, and from where accounts may come, over HTTP: resources of the admin API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from smscd.admin import keys, networks
from smscd.admin.api import BODY_BYTES_MAX, BODY_SECONDS, REQUESTS_MAX
from smscd.admin.orders import Refusal
from smscd.admin.resources import Done, Resource, problem_of
from smscd.core.scopes import ScopeName
from smscd.ingress.http.account_keys import GRACE_SECONDS, RULES
from smscd.ingress.http.bodies import BodyReader
from smscd.ingress.http.problems import FieldError, Problem, invalid
from smscd.ingress.http.strict_bodies import read_strict
from storage.postgres.operators import Token
from storage.postgres.pool import Database

_KEYS: Final = "accounts/(?P<account>[^/]+)/keys"
_Moment = Annotated[datetime, Meta(tz=True)]
_Networks = Annotated[list[str], Meta(max_length=networks.NETWORKS_MAX)]
_LIST: Final = f"must be a list of at most {networks.NETWORKS_MAX} networks, or null"
_RULES: Final = {**RULES, "http": _LIST, "smpp": _LIST}
_log = structlog.get_logger(__name__)


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that is to be made. No scopes: send and read."""

    label: str = ""
    scopes: list[ScopeName] = []
    expires_at: _Moment | None = None


class RotationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a key is rotated: for how many seconds the old one stays valid, and until when the new one is."""

    grace_seconds: int = GRACE_SECONDS
    expires_at: _Moment | None = None


class NetworksRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole list of a door, which is changed; null stays as it is, and an empty one lets everybody in."""

    http: _Networks | None = None
    smpp: _Networks | None = None


_Body = TypeVar("_Body", KeyRequest, RotationRequest, NetworksRequest)


class KeyResources:
    """What is added to the admin API by routes(). tell: has all processes read the configuration again."""

    def __init__(self, database: Database, tell: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._tell = tell
        self._bodies = BodyReader(
            bytes_max=BODY_BYTES_MAX, pending_bytes_max=REQUESTS_MAX * BODY_BYTES_MAX, seconds=BODY_SECONDS
        )

    def routes(self) -> list[tuple[str, Mapping[str, Resource]]]:
        """Paths below /admin/v1/, as patterns, with their methods."""
        return [
            (_KEYS, {"GET": self._list, "POST": self._create}),
            (f"{_KEYS}/(?P<key>[^/]+)", {"DELETE": self._revoke}),
            (f"{_KEYS}/(?P<key>[^/]+)/rotate", {"POST": self._rotate}),
            ("accounts/(?P<account>[^/]+)/networks", {"GET": self._networks, "PUT": self._set_networks}),
        ]

    async def _list(self, _request: web.Request, _operator: Token, names: dict[str, str]) -> Done | Problem:
        found = await keys.listed(names["account"], self._database, _now())
        return problem_of(found) if isinstance(found, Refusal) else Done(200, {"keys": found})

    async def _create(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        asked = await self._read(request, KeyRequest)
        if isinstance(asked, Problem):
            return asked
        terms = keys.terms_of(asked.label, asked.scopes, asked.expires_at, _now())
        if isinstance(terms, Refusal):
            return problem_of(terms)
        made = await keys.create(names["account"], terms, operator.name, self._database, self._tell, _now())
        return _made(made, "key.created", operator)

    async def _rotate(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        asked = await self._read(request, RotationRequest)
        if isinstance(asked, Problem):
            return asked
        made = await keys.rotate(
            names["account"],
            names["key"],
            asked.grace_seconds,
            asked.expires_at,
            operator.name,
            self._database,
            self._tell,
            _now(),
        )
        return _made(made, "key.rotated", operator)

    async def _revoke(self, _request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        account = names["account"]
        found = await keys.revoke(account, names["key"], operator.name, self._database, self._tell)
        if isinstance(found, Refusal):
            return problem_of(found)
        _log.info("key.revoked", account=account, key=found.key, operator=operator.name)
        return Done(200, keys.shown_revoked(account, found))

    async def _networks(self, _request: web.Request, _operator: Token, names: dict[str, str]) -> Done | Problem:
        found = await networks.view(names["account"], self._database)
        return problem_of(found) if isinstance(found, Refusal) else Done(200, networks.shown(names["account"], found))

    async def _set_networks(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        asked = await self._read(request, NetworksRequest)
        if isinstance(asked, Problem):
            return asked
        if (asked.http is None) == (asked.smpp is None):
            return invalid([FieldError("", "has the list of one door, http or smpp")])
        account, door, wanted = names["account"], *_door_of(asked)
        found = await networks.change(account, door, wanted, (), operator.name, self._database, self._tell, clear=True)
        if isinstance(found, Refusal):
            return problem_of(found)
        _log.info("account.networks_changed", account=account, door=door, operator=operator.name)
        told = {"changed": found.has_changed, "told": found.is_told}
        return Done(200, networks.shown(account, found) | told)

    async def _read(self, request: web.Request, kind: type[_Body]) -> _Body | Problem:
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        if isinstance(body, Problem):
            return body
        return read_strict(body, kind, _RULES)


def _door_of(asked: NetworksRequest) -> tuple[networks.Door, list[str]]:
    return ("http", asked.http) if asked.http is not None else ("smpp", asked.smpp or [])


def _made(made: keys.KeyMade | Refusal, event: str, operator: Token) -> Done | Problem:
    if isinstance(made, Refusal):
        return problem_of(made)
    _log.info(event, account=made.row.account, key=made.row.prefix, operator=operator.name)
    return Done(201, keys.shown_made(made))


def _now() -> datetime:
    return datetime.now(UTC)
