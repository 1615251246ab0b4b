"""`smscd operator`: who may use the admin API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smscd.cli.output import (
    find_instance,
    give_up,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from storage.postgres.operators import OperatorRole


@click.group()
def operator() -> None:
    """Who may use the admin API, and as what."""


@operator.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["admin", "support", "read"]),
    default="read",
    show_default=True,
    help="read looks; support helps messages and sessions along as well; admin does everything.",
)
@instance_options
@json_option
def add(name: str, role: OperatorRole, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Make an operator; prints its token, which is shown only now."""
    from smscd.admin import operators
    from smscd.cli.storage import opened

    if not operators.NAME.fullmatch(name):
        raise click.UsageError(
            "An operator's name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with none of these signs."
        )
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> str | None:
        async with opened(location) as storage:
            return await operators.add(name, role, operator_name(), storage.database)

    token = run(work, as_json=as_json)
    if token is None:
        give_up(f"There is, or was, an operator {name}: a name is given once, take another.", as_json=as_json)
    shown = {"operator": name, "role": role, "token": token}
    if as_json:
        print_json(shown)
    else:
        print_fields(shown)


@operator.command("list")
@instance_options
@json_option
def list_operators(config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """All operators, the revoked ones as well."""
    from smscd.cli.storage import opened
    from storage.postgres.operators import OperatorRow, operators

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[OperatorRow]:
        async with opened(location) as storage:
            return await operators(storage.database)

    found: list[dict[str, Any]] = [
        {"operator": row.name, "role": row.role, "created_at": row.created_at, "revoked_at": row.revoked_at}
        for row in run(work, as_json=as_json)
    ]
    if as_json:
        print_json(found)
        return
    rows = [
        (row["operator"], row["role"], f"{row['created_at']:%Y-%m-%d}", "revoked" if row["revoked_at"] else "")
        for row in found
    ]
    print_table(["operator", "role", "since", ""], rows)


@operator.command()
@click.argument("name")
@instance_options
@json_option
def revoke(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """End an operator's token for good; it is refused within a second."""
    from smscd.admin import operators
    from smscd.cli.storage import opened

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> bool:
        async with opened(location) as storage:
            return await operators.revoke(name, operator_name(), storage.database)

    if not run(work, as_json=as_json):
        give_up(f"There is no operator {name}, or it is revoked: `smscd operator list` shows all.", as_json=as_json)
    if as_json:
        print_json({"operator": name, "revoked": True})
    else:
        click.echo("revoked")
