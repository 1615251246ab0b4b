"""The options of `smscd upstream add` and `set`: one for each field of a profile, from the table of fields."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from smscd.core.upstream_fields import CHOICE, FIELDS, FLAG, INTEGER, NUMBER, SECRET, FieldSpec, from_text

F = TypeVar("F", bound=Callable[..., Any])
FROM_STANDARD_INPUT = "-"
_METAVARS = {INTEGER: "INTEGER", NUMBER: "NUMBER", "version": "3.3|3.4|5.0", "statuses": "STATUS,..."}


def profile_options(command: F) -> F:
    """An option for each field; None where it is not given."""
    for spec in reversed(FIELDS):
        command = _option(spec)(command)
    return command


def _option(spec: FieldSpec) -> Callable[[F], F]:
    if spec.kind == FLAG:
        return click.option(f"--{spec.option}/--no-{spec.option}", spec.name, default=None, help=spec.sentence)
    if spec.kind == CHOICE:
        return click.option(f"--{spec.option}", spec.name, type=click.Choice(spec.choices), help=spec.sentence)
    return click.option(f"--{spec.option}", spec.name, metavar=_METAVARS.get(spec.kind, "TEXT"), help=spec.sentence)


def given(options: Mapping[str, Any]) -> dict[str, object]:
    """The values of the fields that were given. Raises click.UsageError."""
    values: dict[str, object] = {}
    for spec in FIELDS:
        value = options[spec.name]
        if value is None:
            continue
        if spec.kind == SECRET and value == FROM_STANDARD_INPUT:
            value = sys.stdin.readline().rstrip("\r\n")
        try:
            values[spec.name] = from_text(spec, value) if isinstance(value, str) else value
        except ValueError as error:
            raise click.UsageError(f"--{spec.option} {error}.") from error
    return values
