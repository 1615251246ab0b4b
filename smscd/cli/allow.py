"""`smscd account allow`: from where a customer may bind and send requests; told to every worker at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.output import (
    Failure,
    find_instance,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    run,
)

if TYPE_CHECKING:
    from smscd.admin.networks import Allowed, Door
    from smscd.admin.orders import Refusal


@click.command()
@click.argument("name")
@instance_options
@click.option("--door", type=click.Choice(["http", "smpp"]), help="Which list is changed: of requests, or of binds.")
@click.option("--add", "added", multiple=True, metavar="CIDR", help="Allow a network or an address. Repeatable.")
@click.option("--remove", "removed", multiple=True, metavar="CIDR", help="Allow it no longer. Repeatable.")
@click.option("--clear", is_flag=True, help="Begin with an empty list; without --add everybody may come in then.")
@json_option
def allow(
    name: str,
    config_file: Path | None,
    data_dir: Path | None,
    door: Door | None,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    clear: bool,
    as_json: bool,
) -> None:
    """Show from where a customer may come; with options, change that first. An empty list is everywhere.

    The list of http is for its keys, and for Kannel's and Jasmin's doors; that of smpp is for its binds.
    """
    from smscd.admin import networks
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    if (added or removed or clear) and door is None:
        raise click.UsageError("Say which list is to change: --door http or --door smpp.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> Allowed | Refusal:
        async with opened(location) as storage:
            if door is None or not (added or removed or clear):
                return await networks.view(name, storage.database)
            return await networks.change(
                name, door, added, removed, operator_name(), storage.database, storage.tell_of_change, clear=clear
            )

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        print_json(networks.shown(name, found) | {"changed": found.has_changed, "told": found.is_told})
        return
    print_fields(
        {
            "account": name,
            "http": " ".join(sorted(found.http)) or "everywhere",
            "smpp": " ".join(sorted(found.smpp)) or "everywhere",
        }
    )
    if not found.is_told:
        click.echo("Redis did not pass the notice on: every worker sees it within half a minute.")
