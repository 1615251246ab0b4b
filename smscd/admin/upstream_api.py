"""Upstreams over the admin API: the same orders as `smscd upstream` gives, with the same answers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

import structlog

from smscd.admin import queries, upstreams
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, FieldsBody, Operation, answered
from smscd.admin.upstreams import Changed
from smscd.core.upstream_fields import FIELDS, NAME, REQUIRED, FieldsInvalid, FieldSpec, shown
from smscd.ingress.http.problems import FieldError, Problem, invalid
from storage.postgres import configuration

_TYPES: Final = {
    "flag": "boolean", "integer": "integer", "number": "number", "statuses": "array", "delays": "object",
    "words": "object", "tlvs": "array",
}  # fmt: skip
_log = structlog.get_logger(__name__)


def schema_of(spec: FieldSpec) -> dict[str, Any]:
    """What the document says of a field."""
    found: dict[str, Any] = {"type": _TYPES.get(spec.kind, "string"), "description": spec.sentence}
    if spec.kind in ("integer", "number"):
        found |= {"minimum": spec.least, "maximum": spec.most}
    if spec.kind in ("text", "secret"):
        found["maxLength"] = int(spec.most)
    if spec.choices:
        found["enum"] = list(spec.choices)
    return found | ({"writeOnly": True} if spec.kind == "secret" else {})


_FIELDS: Final = {spec.name: schema_of(spec) for spec in FIELDS}
_CHANGE: Final = FieldsBody({"type": "object", "additionalProperties": False, "properties": _FIELDS})
_NEW: Final = FieldsBody(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", *REQUIRED],
        "properties": {"name": {"type": "string", "pattern": f"^{NAME.pattern}$"}, **_FIELDS},
    }
)


class UpstreamResources:
    """Answers for /upstreams and /upstreams/{upstream}."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        one = "upstreams/{upstream}"
        return [
            Operation(method="GET", path="upstreams", id="listUpstreams", summary="Every upstream.", call=self._all),
            Operation(
                method="POST",
                path="upstreams",
                id="addUpstream",
                summary="A new upstream.",
                call=self._add,
                body=_NEW,
                statuses=(201,),
            ),
            Operation(method="GET", path=one, id="getUpstream", summary="An upstream.", call=self._view),
            Operation(
                method="PATCH",
                path=one,
                id="changeUpstream",
                summary="Other values of some of its fields; followed at once.",
                call=self._change,
                body=_CHANGE,
            ),
            Operation(
                method="DELETE",
                path=one,
                id="removeUpstream",
                summary="Remove an upstream.",
                call=self._remove,
                query={"force": queries.flag("Although messages wait, or receipts may still come.")},
            ),
        ]

    async def _all(self, _asked: Asked) -> Done | Problem:
        found = await configuration.upstreams(self._desk.database)
        return Done(200, {"upstreams": [shown(one) for one in found]})

    async def _view(self, asked: Asked) -> Done | Problem:
        found = await upstreams.find(asked.names["upstream"], self._desk.database)
        return answered(found if isinstance(found, Refusal) else shown(found))

    async def _add(self, asked: Asked) -> Done | Problem:
        values = dict(asked.body)
        name = values.pop("name", "")
        work = upstreams.add(name if isinstance(name, str) else "", values, self._desk.admin(asked.operator.name))
        return await _answered(work, 201, asked.operator.name, "added")

    async def _change(self, asked: Asked) -> Done | Problem:
        work = upstreams.change(asked.names["upstream"], asked.body, self._desk.admin(asked.operator.name))
        return await _answered(work, 200, asked.operator.name, "changed")

    async def _remove(self, asked: Asked) -> Done | Problem:
        is_forced = asked.query.get("force") == "true"
        admin = self._desk.admin(asked.operator.name)
        work = upstreams.remove(asked.names["upstream"], admin, is_forced=is_forced)
        return await _answered(work, 200, asked.operator.name, "removed")


async def _answered(work: Awaitable[Changed | Refusal], status: int, operator: str, done: str) -> Done | Problem:
    try:
        found = await work
    except FieldsInvalid as error:
        return invalid([FieldError(f"/{name}" if name else "", rule) for name, rule in error.faults])
    if isinstance(found, Refusal):
        return answered(found)
    _log.info(f"upstream.{done}", upstream=found.upstream.id, operator=operator, fields=sorted(found.differences))
    return Done(status, upstreams.outcome(found, is_removed=done == "removed"))
