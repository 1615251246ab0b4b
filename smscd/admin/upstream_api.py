"""Upstreams over the admin API: the same orders as `smscd upstream` gives, with the same answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec
import structlog

from smscd.admin import upstreams
from smscd.admin.orders import Refusal
from smscd.admin.upstreams import Admin, Changed
from smscd.core.upstream_fields import FieldsInvalid, shown
from smscd.ingress.http.problems import MALFORMED_JSON, FieldError, Problem, invalid, problem
from storage.postgres import configuration
from storage.postgres.pool import Database

Answer: TypeAlias = tuple[int, dict[str, object]]
_fields: Final = msgspec.json.Decoder(dict[str, object])
_log = structlog.get_logger(__name__)


class UpstreamResources:
    """Answers for /upstreams and /upstreams/{name}; bodies are those that came, not read yet.

    admin_of: what an order of an operator needs, by the operator's name.
    """

    def __init__(self, database: Database, admin_of: Callable[[str], Admin]) -> None:
        self._database = database
        self._admin_of = admin_of

    async def all(self) -> Answer:
        """Every upstream."""
        return 200, {"upstreams": [shown(found) for found in await configuration.upstreams(self._database)]}

    async def view(self, name: str) -> Answer | Refusal:
        """One of them."""
        found = await upstreams.find(name, self._database)
        return found if isinstance(found, Refusal) else (200, shown(found))

    async def add(self, body: bytes, operator: str) -> Answer | Refusal | Problem:
        """A new one: its fields, and `name`."""
        values = _values_of(body)
        if isinstance(values, Problem):
            return values
        name = values.pop("name", None)
        if not isinstance(name, str):
            return invalid([FieldError("/name", "is required, a string")])
        return await _answered(upstreams.add(name, values, self._admin_of(operator)), 201, operator, "added")

    async def change(self, name: str, body: bytes, operator: str) -> Answer | Refusal | Problem:
        """Other values of some of its fields."""
        values = _values_of(body)
        if isinstance(values, Problem):
            return values
        return await _answered(upstreams.change(name, values, self._admin_of(operator)), 200, operator, "changed")

    async def remove(self, name: str, operator: str, *, is_forced: bool) -> Answer | Refusal | Problem:
        """Remove it."""
        work = upstreams.remove(name, self._admin_of(operator), is_forced=is_forced)
        return await _answered(work, 200, operator, "removed")


def _values_of(body: bytes) -> dict[str, object] | Problem:
    try:
        return _fields.decode(body)
    except msgspec.ValidationError:
        return invalid([FieldError("", "must be a JSON object")])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return problem(MALFORMED_JSON)


async def _answered(
    work: Awaitable[Changed | Refusal], status: int, operator: str, done: str
) -> Answer | Refusal | Problem:
    try:
        found = await work
    except FieldsInvalid as error:
        return invalid([FieldError(f"/{name}" if name else "", rule) for name, rule in error.faults])
    if isinstance(found, Refusal):
        return found
    _log.info(f"upstream.{done}", upstream=found.upstream.id, operator=operator, fields=sorted(found.differences))
    return status, upstreams.outcome(found, is_removed=done == "removed")
