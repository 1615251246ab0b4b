"""What operators do with upstreams: add, change, look at, remove; each change is written down and told to every worker.

The workers' owners follow a changed profile by themselves, so nothing here knows of binds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from smscd.admin.orders import Refusal
from smscd.core.ids import first_id
from smscd.core.upstream import Upstream
from smscd.core.upstream_fields import SECRETS, changed, differences, shown
from storage.postgres import configuration, operators
from storage.postgres.pool import Connection, Database, acquired
from storage.redis.errors import StorageUnavailable

RECEIPTS_AWAITED_MS: Final = 9 * 86_400_000
"""How old a message without an end may be for its receipt to be awaited: the longest usual validity and a week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What became of an order. differences: of each field, before and after; none when nothing changed.

    is_told: Redis has passed the notice on; otherwise every worker finds out at its next look, within half a minute.
    """

    upstream: Upstream
    differences: Mapping[str, tuple[object, object]]
    is_told: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """What an order needs. tell: has all processes read the configuration again.

    waiting: how many messages Redis has for an upstream. now_ms: milliseconds since the Unix epoch.
    """

    operator: str
    database: Database
    tell: Callable[[], Awaitable[None]]
    waiting: Callable[[str], Awaitable[int]]
    now_ms: Callable[[], int]

    async def told(self) -> bool:
        """Tell; False when Redis did not pass it on."""
        try:
            await self.tell()
        except StorageUnavailable:
            return False
        return True


async def find(name: str, database: Database) -> Upstream | Refusal:
    """An upstream by its name."""
    return _named(name, await configuration.upstreams(database)) or no_upstream(name)


async def add(name: str, values: Mapping[str, object], admin: Admin) -> Changed | Refusal:
    """Make an upstream. Raises FieldsInvalid."""
    made = changed(None, name, values)
    async with acquired(admin.database) as connection, connection.transaction():
        await configuration.lock(connection)
        if _named(name, await configuration.upstreams(connection)) is not None:
            return Refusal("upstream_exists", 409, f"There is an upstream {name} already: take another name.")
        await configuration.add_upstream(connection, made)
        await operators.log(connection, admin.operator, "upstream.add", name, new=logged(made))
    return Changed(upstream=made, differences={}, is_told=await admin.told())


async def change(name: str, values: Mapping[str, object], admin: Admin) -> Changed | Refusal:
    """Change fields of an upstream. Raises FieldsInvalid.

    The workers are told also when nothing changed, so that who doubts that a notice arrived may repeat it.
    """
    async with acquired(admin.database) as connection, connection.transaction():
        await configuration.lock(connection)
        before = _named(name, await configuration.upstreams(connection))
        if before is None:
            return no_upstream(name)
        made = changed(before, name, values)
        await write(connection, admin.operator, before, made)
    return Changed(upstream=made, differences=differences(before, made), is_told=await admin.told())


async def write(connection: Connection, operator: str, before: Upstream, made: Upstream) -> None:
    """Write a changed upstream, and down who changed what, in the transaction of the caller."""
    found = differences(before, made)
    if not found:
        return
    await configuration.add_upstream(connection, made)
    action = "upstream.set"
    if set(found) == {"is_enabled"}:
        action = "upstream.enable" if made.is_enabled else "upstream.disable"
    old, new = ({name: pair[side] for name, pair in found.items()} for side in (0, 1))
    await operators.log(connection, operator, action, made.id, old=old, new=new)


async def remove(name: str, admin: Admin, *, is_forced: bool) -> Changed | Refusal:
    """Remove an upstream, and what it asks for. is_forced: although messages wait or receipts may still come.

    A route that names it is refused in any case. What waits then waits for an upstream of this name.
    """
    async with acquired(admin.database) as connection, connection.transaction():
        await configuration.lock(connection)
        before = _named(name, await configuration.upstreams(connection))
        if before is None:
            return no_upstream(name)
        refusal = await _why_not(connection, name, admin, is_forced=is_forced)
        if refusal is not None:
            return refusal
        await delete(connection, admin.operator, before)
    return Changed(upstream=before, differences={}, is_told=await admin.told())


async def delete(connection: Connection, operator: str, upstream: Upstream) -> None:
    """Delete an upstream and write that down, in the transaction of the caller."""
    await configuration.delete_upstream(connection, upstream.id)
    await operators.log(connection, operator, "upstream.remove", upstream.id, old=logged(upstream))


async def why_not_empty(connection: Connection, name: str, admin: Admin) -> Refusal | None:
    """Why an upstream should not go yet: something waits for it, or receipts of it."""
    if count := await admin.waiting(name):
        return Refusal(
            "upstream_has_messages",
            409,
            f"{count} messages wait for {name}: let them go out first, or remove it with force, which leaves them "
            "waiting for an upstream of this name.",
        )
    if await configuration.has_open_messages(connection, name, first_id(admin.now_ms() - RECEIPTS_AWAITED_MS)):
        return Refusal(
            "upstream_has_receipts_due",
            409,
            f"Receipts of {name} may still come for messages of the last nine days: leave it bound, with no route to "
            "it, until they have; or remove it with force, and these messages never learn more.",
        )
    return None


def logged(upstream: Upstream) -> dict[str, object]:
    """An upstream for the log of what operators do: without secrets."""
    return {name: value for name, value in shown(upstream).items() if name.removeprefix("has_") not in SECRETS}


def outcome(found: Changed, *, is_removed: bool = False) -> dict[str, object]:
    """What an order came to, as JSON."""
    if is_removed:
        return {"name": found.upstream.id, "removed": True, "told": found.is_told}
    changes = {name: {"before": before, "after": after} for name, (before, after) in found.differences.items()}
    return {**shown(found.upstream), "changed": changes, "told": found.is_told}


def no_upstream(name: str) -> Refusal:
    """There is none of this name."""
    return Refusal(
        "no_upstream", 404, f"There is no upstream {name}: `smscd upstream list` shows those that there are."
    )


async def _why_not(connection: Connection, name: str, admin: Admin, *, is_forced: bool) -> Refusal | None:
    routes = await configuration.routes_of_upstream(connection, name)
    if routes:
        named = ", ".join(routes)
        return Refusal("upstream_has_routes", 409, f"Routes lead to {name} ({named}): take it out of them first.")
    return None if is_forced else await why_not_empty(connection, name, admin)


def _named(name: str, upstreams: tuple[Upstream, ...]) -> Upstream | None:
    return next((upstream for upstream in upstreams if upstream.id == name), None)
