"""The section `mo_numbers` of a declaration: [mo_numbers.NUMBER], whose messages from phones are whose.

Rules by keyword or by the beginning of a number are `smscd mo`'s, and stay as they are.
"""

from __future__ import annotations

import re

import msgspec

from smscd.admin.declared.steps import Planning, Step, Verb, differences, read, tables
from smscd.core.directory import MoNumber
from storage.postgres import configuration, mo_rules, operators
from storage.postgres.pool import Connection

SECTION = "mo_numbers"
NUMBER = re.compile(r"[0-9A-Za-z]{1,20}")


def steps(declared: object, planning: Planning) -> list[Step]:
    """What makes the numbers those that are declared."""
    held = {rule.number: rule for rule in planning.held.mo_numbers if not rule.keyword and not rule.is_prefix}
    wanted = tables(declared, SECTION, planning)
    planned: list[Step] = []
    for name, table in wanted.items():
        where, before = f"{SECTION}.{name}", held.get(name)
        if not NUMBER.fullmatch(name):
            planning.refuse(where, "is a number of up to 20 digits or letters, without +")
        if "keyword" in table or "is_prefix" in table:
            planning.refuse(where, "is a rule by keyword or prefix: `smscd mo add` makes it")
        number = read(MoNumber, before, {**table, "number": name}, where, planning)
        if number is None:
            continue
        if number.account not in planning.accounts:
            planning.refuse(f"{where}.account", f"there is no account {number.account}: declare it, or make it first")
        if number.via not in ("smpp", "webhook"):
            planning.refuse(f"{where}.via", "is smpp or webhook")
        if before is None or differences(before, number):
            planned.append(_written(before, number))
    if planning.is_pruned:
        planned += [_removed(number) for name, number in held.items() if name not in wanted]
    return planned


def _written(before: MoNumber | None, number: MoNumber) -> Step:
    async def write(connection: Connection, operator: str) -> None:
        await configuration.add_mo_number(connection, number)
        old = None if before is None else msgspec.to_builtins(before)
        await operators.log(connection, operator, "number.set", number.number, old=old, new=msgspec.to_builtins(number))

    found = differences(before, number, hidden=("number",))
    verb: Verb = "add" if before is None else "change"
    return Step(section=SECTION, name=number.number, verb=verb, differences=found, write=write)


def _removed(number: MoNumber) -> Step:
    async def write(connection: Connection, operator: str) -> None:
        await mo_rules.remove(connection, number.number, "", is_prefix=False)
        await operators.log(connection, operator, "number.remove", number.number, old=msgspec.to_builtins(number))

    return Step(section=SECTION, name=number.number, verb="remove", differences={}, write=write)
