"""SMPP credentials over the admin API."""

from __future__ import annotations

from typing import Annotated

import msgspec
import structlog
from msgspec import Meta

from smscd.admin import credentials
from smscd.admin.credentials import Made
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, StructBody, answered
from smscd.ingress.http.problems import Problem

_log = structlog.get_logger(__name__)


class NewCredential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an ESME shall bind with; the password is made here. client_certificate: its SHA-256, or CN=NAME."""

    system_id: Annotated[str, Meta(pattern="^[!-~]{1,15}$")]
    client_certificate: Annotated[str, Meta(pattern="^([0-9a-f]{64}|CN=.{1,200})?$")] = ""


class CredentialResources:
    """Answers for /accounts/{account}/credentials. Who may bind, and how often, is in the account's terms."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        path = "accounts/{account}/credentials"
        return [
            Operation(
                method="GET",
                path=path,
                id="listCredentials",
                summary="What its ESMEs bind with, without the passwords.",
                call=self._list,
            ),
            Operation(
                method="POST",
                path=path,
                id="addCredential",
                summary="A new system_id, and its password, which is shown only now.",
                call=self._add,
                body=StructBody(NewCredential),
                statuses=(201,),
            ),
            Operation(
                method="POST",
                path=path + "/{system_id}/rotate",
                id="rotateCredential",
                summary="Another password, which is shown only now; sessions that are bound stay.",
                call=self._rotate,
            ),
            Operation(
                method="DELETE",
                path=path + "/{system_id}",
                id="revokeCredential",
                summary="Let nobody bind with it any more; sessions that are bound stay until they are disconnected.",
                call=self._revoke,
            ),
        ]

    async def _list(self, asked: Asked) -> Done | Problem:
        found = await credentials.listed(asked.names["account"], self._desk.database)
        if isinstance(found, Refusal):
            return answered(found)
        return Done(200, {"credentials": [credentials.shown(one) for one in found]})

    async def _add(self, asked: Asked) -> Done | Problem:
        body: NewCredential = asked.body
        desk, account = self._desk, asked.names["account"]
        found = await credentials.add(
            account, body.system_id, body.client_certificate, asked.operator.name, desk.database, desk.pepper
        )
        return await self._made(found, asked, 201, "added")

    async def _rotate(self, asked: Asked) -> Done | Problem:
        desk, names = self._desk, asked.names
        found = await credentials.rotate(
            names["account"], names["system_id"], asked.operator.name, desk.database, desk.pepper
        )
        return await self._made(found, asked, 200, "rotated")

    async def _revoke(self, asked: Asked) -> Done | Problem:
        account, system_id = asked.names["account"], asked.names["system_id"]
        found = await credentials.revoke(account, system_id, asked.operator.name, self._desk.database)
        if isinstance(found, Refusal):
            return answered(found)
        _log.info("credential.revoked", account=account, operator=asked.operator.name)
        return Done(200, credentials.shown(found) | {"revoked": True, "told": await self._desk.told()})

    async def _made(self, found: Made | Refusal, asked: Asked, status: int, done: str) -> Done | Problem:
        if isinstance(found, Refusal):
            return answered(found)
        _log.info(f"credential.{done}", account=asked.names["account"], operator=asked.operator.name)
        shown = credentials.shown(found.credential) | {"password": found.password, "told": await self._desk.told()}
        return Done(status, shown)
