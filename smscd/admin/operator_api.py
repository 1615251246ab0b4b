"""Operators over the admin API: who may use it, and as what."""

from __future__ import annotations

from typing import Annotated

import msgspec
import structlog
from msgspec import Meta

from smscd.admin import operators
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, StructBody, answered
from smscd.ingress.http.problems import Problem
from storage.postgres.operators import OperatorRole
from storage.postgres.operators import operators as all_operators

_log = structlog.get_logger(__name__)


class NewOperator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is to be an operator, and as what. A name is given once, so that in the log it means one person."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_.-]{0,62}$")]
    role: OperatorRole = "read"


class OperatorResources:
    """Answers for /operators."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        return [
            Operation(
                method="GET",
                path="operators",
                id="listOperators",
                summary="All operators, the revoked ones as well.",
                call=self._list,
            ),
            Operation(
                method="POST",
                path="operators",
                id="addOperator",
                summary="A new operator, and the token, which is shown only now.",
                call=self._add,
                body=StructBody(NewOperator),
                statuses=(201,),
            ),
            Operation(
                method="DELETE",
                path="operators/{operator}",
                id="revokeOperator",
                summary="End an operator's token for good; it is refused within a second.",
                call=self._revoke,
            ),
        ]

    async def _list(self, _asked: Asked) -> Done | Problem:
        rows = await all_operators(self._desk.database)
        shown = [
            {"operator": row.name, "role": row.role, "created_at": row.created_at, "revoked_at": row.revoked_at}
            for row in rows
        ]
        return Done(200, {"operators": shown})

    async def _add(self, asked: Asked) -> Done | Problem:
        body: NewOperator = asked.body
        token = await operators.add(body.name, body.role, asked.operator.name, self._desk.database)
        if token is None:
            detail = f"There is, or was, an operator {body.name}: a name is given once, take another."
            return answered(Refusal("operator_exists", 409, detail))
        _log.info("operator.added", name=body.name, role=body.role, operator=asked.operator.name)
        return Done(201, {"operator": body.name, "role": body.role, "token": token})

    async def _revoke(self, asked: Asked) -> Done | Problem:
        name = asked.names["operator"]
        if not await operators.revoke(name, asked.operator.name, self._desk.database):
            return answered(Refusal("not_found", 404, f"There is no operator {name}, or the token is revoked."))
        _log.info("operator.revoked", name=name, operator=asked.operator.name)
        return Done(200, {"operator": name, "revoked": True})
