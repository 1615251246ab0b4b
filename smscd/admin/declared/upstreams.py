"""The section `upstreams` of a declaration: [upstreams.NAME], with the fields of `smscd upstream show`."""

from __future__ import annotations

from smscd.admin import upstreams
from smscd.admin.declared.steps import Planning, Step, tables
from smscd.core.upstream import Upstream
from smscd.core.upstream_fields import FieldsInvalid, changed, differences, shown
from storage.postgres import configuration, operators
from storage.postgres.pool import Connection

SECTION = "upstreams"


def steps(declared: object, planning: Planning) -> list[Step]:
    """What makes the upstreams those that are declared."""
    held = {upstream.id: upstream for upstream in planning.held.upstreams}
    wanted = tables(declared, SECTION, planning)
    planned: list[Step] = []
    for name, table in wanted.items():
        before = held.get(name)
        try:
            made = changed(before, name, table)
        except FieldsInvalid as error:
            for field, rule in error.faults:
                planning.refuse(".".join(filter(None, (SECTION, name, field))), rule)
            continue
        if before is None:
            planned.append(_added(made, table))
        elif found := differences(before, made):
            planned.append(_changed(before, made, found))
    if planning.is_pruned:
        planned += [_removed(upstream) for name, upstream in held.items() if name not in wanted]
    return planned


def _added(made: Upstream, table: dict[str, object]) -> Step:
    async def write(connection: Connection, operator: str) -> None:
        await configuration.add_upstream(connection, made)
        await operators.log(connection, operator, "upstream.add", made.id, new=upstreams.logged(made))

    values = shown(made)
    fields = {name: (None, values.get(name, "(secret)")) for name in table}
    return Step(section=SECTION, name=made.id, verb="add", differences=fields, write=write)


def _changed(before: Upstream, made: Upstream, found: dict[str, tuple[object, object]]) -> Step:
    async def write(connection: Connection, operator: str) -> None:
        await upstreams.write(connection, operator, before, made)

    return Step(section=SECTION, name=made.id, verb="change", differences=found, write=write)


def _removed(upstream: Upstream) -> Step:
    async def write(connection: Connection, operator: str) -> None:
        await upstreams.delete(connection, operator, upstream)

    return Step(section=SECTION, name=upstream.id, verb="remove", differences={}, write=write)
