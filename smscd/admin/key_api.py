"""Keys of accounts, and from where accounts may come, over the admin API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta

from smscd.admin import keys, networks
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, StructBody, answered
from smscd.core.scopes import ScopeName
from smscd.ingress.http.account_keys import GRACE_SECONDS, RULES
from smscd.ingress.http.problems import FieldError, Problem, invalid

_KEYS: Final = "accounts/{account}/keys"
_NETWORKS: Final = "accounts/{account}/networks"
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


class KeyResources:
    """Answers for /accounts/{account}/keys and /networks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        return [
            Operation(
                method="GET", path=_KEYS, id="listKeys", summary="Its keys, without what they are.", call=self._list
            ),
            Operation(
                method="POST",
                path=_KEYS,
                id="createKey",
                summary="A new key, which is shown only now.",
                call=self._create,
                body=StructBody(KeyRequest, _RULES),
                statuses=(201,),
            ),
            Operation(
                method="POST",
                path=_KEYS + "/{key}/rotate",
                id="rotateKey",
                summary="A new key in its place, which is shown only now; the old one stays valid for a while.",
                call=self._rotate,
                body=StructBody(RotationRequest, _RULES),
                statuses=(201,),
            ),
            Operation(
                method="DELETE",
                path=_KEYS + "/{key}",
                id="revokeKey",
                summary="Refuse a key from now on, on every worker.",
                call=self._revoke,
            ),
            Operation(
                method="GET",
                path=_NETWORKS,
                id="getNetworks",
                summary="From where its requests and its ESMEs may come.",
                call=self._networks,
            ),
            Operation(
                method="PUT",
                path=_NETWORKS,
                id="setNetworks",
                summary="The whole list of one door.",
                call=self._set_networks,
                body=StructBody(NetworksRequest, _RULES),
            ),
        ]

    async def _list(self, asked: Asked) -> Done | Problem:
        found = await keys.listed(asked.names["account"], self._desk.database, _now())
        return answered(found) if isinstance(found, Refusal) else Done(200, {"keys": found})

    async def _create(self, asked: Asked) -> Done | Problem:
        body: KeyRequest = asked.body
        terms = keys.terms_of(body.label, body.scopes, body.expires_at, _now())
        if isinstance(terms, Refusal):
            return answered(terms)
        desk, account = self._desk, asked.names["account"]
        made = await keys.create(account, terms, asked.operator.name, desk.database, desk.tell, _now())
        return _made(made, "key.created", asked)

    async def _rotate(self, asked: Asked) -> Done | Problem:
        body: RotationRequest = asked.body
        desk, names = self._desk, asked.names
        made = await keys.rotate(
            names["account"],
            names["key"],
            body.grace_seconds,
            body.expires_at,
            asked.operator.name,
            desk.database,
            desk.tell,
            _now(),
        )
        return _made(made, "key.rotated", asked)

    async def _revoke(self, asked: Asked) -> Done | Problem:
        desk, account, operator = self._desk, asked.names["account"], asked.operator.name
        found = await keys.revoke(account, asked.names["key"], operator, desk.database, desk.tell)
        if isinstance(found, Refusal):
            return answered(found)
        _log.info("key.revoked", account=account, key=found.key, operator=operator)
        return Done(200, keys.shown_revoked(account, found))

    async def _networks(self, asked: Asked) -> Done | Problem:
        account = asked.names["account"]
        found = await networks.view(account, self._desk.database)
        return answered(found) if isinstance(found, Refusal) else Done(200, networks.shown(account, found))

    async def _set_networks(self, asked: Asked) -> Done | Problem:
        body: NetworksRequest = asked.body
        if (body.http is None) == (body.smpp is None):
            return invalid([FieldError("", "has the list of one door, http or smpp")])
        desk, account, operator = self._desk, asked.names["account"], asked.operator.name
        door, wanted = _door_of(body)
        found = await networks.change(account, door, wanted, (), operator, desk.database, desk.tell, clear=True)
        if isinstance(found, Refusal):
            return answered(found)
        _log.info("account.networks_changed", account=account, door=door, operator=operator)
        return Done(200, networks.shown(account, found) | {"changed": found.has_changed, "told": found.is_told})


def _door_of(asked: NetworksRequest) -> tuple[networks.Door, list[str]]:
    return ("http", asked.http) if asked.http is not None else ("smpp", asked.smpp or [])


def _made(made: keys.KeyMade | Refusal, event: str, asked: Asked) -> Done | Problem:
    if isinstance(made, Refusal):
        return answered(made)
    _log.info(event, account=made.row.account, key=made.row.prefix, operator=asked.operator.name)
    return Done(201, keys.shown_made(made))


def _now() -> datetime:
    return datetime.now(UTC)
