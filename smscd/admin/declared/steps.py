"""What the sections of a declaration have in common: the steps of a plan, what they are planned with, and structs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from smscd.core.directory import Snapshot
from storage.postgres.pool import Connection

Verb: TypeAlias = Literal["add", "change", "remove"]
Write: TypeAlias = Callable[[Connection, str], Awaitable[None]]
"""Carries a step out, and writes down who did it: the connection, in a transaction, and the operator."""
Differences: TypeAlias = Mapping[str, tuple[object, object]]
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change. differences: of each field, before and after; before is None for what is new.

    Two steps are equal when they say the same, whoever planned them.
    """

    section: str
    name: str
    verb: Verb
    differences: Differences
    write: Write = field(compare=False)


@dataclass(slots=True, kw_only=True)
class Planning:
    """What sections are planned with, and where they put what is wrong: where it stands, and a sentence.

    held: what there is. accounts, upstreams: what there will be, by name. plans: the currency of each price plan.
    is_pruned: what a section of the file does not declare is removed.
    """

    held: Snapshot
    accounts: set[str]
    upstreams: set[str]
    plans: Mapping[str, str]
    is_pruned: bool
    faults: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, where: str, sentence: str) -> None:
        """Note that the file cannot be applied."""
        self.faults.append((where, sentence))


def tables(declared: object, where: str, planning: Planning) -> dict[str, dict[str, Any]]:
    """The tables of a section that has one for each name."""
    if isinstance(declared, dict) and all(isinstance(table, dict) for table in declared.values()):
        return declared
    planning.refuse(where, f"is written [{where}.NAME], with fields below")
    return {}


def read(
    kind: type[_Struct],
    before: _Struct | None,
    table: Mapping[str, Any],
    where: str,
    planning: Planning,
    *,
    hidden: Collection[str] = (),
) -> _Struct | None:
    """A struct with the fields of a table, the others as they were; None, and noted, when it cannot be.

    hidden: fields that a file does not declare.
    """
    known = {info.name for info in msgspec.structs.fields(kind)} - set(hidden)
    unknown = [name for name in table if name not in known]
    for name in unknown:
        planning.refuse(f"{where}.{name}", "there is no such field")
    if unknown:
        return None
    held = {} if before is None else msgspec.to_builtins(before, builtin_types=(bytes,))
    try:
        return msgspec.convert({**held, **table}, kind)
    except ValueError as error:
        planning.refuse(where, f"{error}")
        return None


def differences(before: msgspec.Struct | None, after: msgspec.Struct, hidden: Collection[str] = ()) -> Differences:
    """The fields that differ; of a new struct those that are not what they are by default."""
    found: dict[str, tuple[object, object]] = {}
    for info in msgspec.structs.fields(type(after)):
        new = shown(getattr(after, info.name))
        if before is None:
            default = info.default if info.default is not msgspec.NODEFAULT else None
            old: object = None
            is_equal = new == shown(default)
        else:
            old = shown(getattr(before, info.name))
            is_equal = old == new
        if not is_equal and info.name not in hidden:
            found[info.name] = old, new
    return found


def shown(value: object) -> object:
    """A value as JSON has it, sets in order."""
    if isinstance(value, frozenset):
        return sorted(value)
    plain = msgspec.to_builtins(value)
    return list(plain) if isinstance(plain, tuple) else plain
