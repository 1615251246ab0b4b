"""`smscd account tags`: words of an account that routes may ask for."""

from __future__ import annotations

import re
from pathlib import Path

import click

from smscd.cli.output import (
    find_instance,
    give_up,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    run,
)

TAG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


@click.command()
@click.argument("name")
@instance_options
@click.option("--add", "added", multiple=True, metavar="TAG", help="Give it a tag. Repeatable.")
@click.option("--remove", "removed", multiple=True, metavar="TAG", help="Take a tag from it. Repeatable.")
@json_option
def tags(
    name: str,
    config_file: Path | None,
    data_dir: Path | None,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the tags of a customer, which routes may ask for; with options, change them first."""
    from smscd.admin import account_parts
    from smscd.cli.storage import opened

    if wrong := [tag for tag in added if not TAG.fullmatch(tag)]:
        raise click.UsageError(f"{wrong[0]} is not a tag: 1 to 63 of a-z, 0-9, '.', '_' and '-'.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> frozenset[str] | None:
        async with opened(location) as storage:
            found = await account_parts.retag(storage.database, name, added, removed, operator_name())
            if found is None:
                return None
            held, wanted = found
            if wanted != held:
                await storage.tell_of_change()
            return wanted

    found = run(work, as_json=as_json)
    if found is None:
        give_up(f"There is no account {name}: `smscd account list` shows those that there are.", as_json=as_json)
    if as_json:
        print_json({"account": name, "tags": sorted(found)})
    else:
        print_fields({"account": name, "tags": " ".join(sorted(found)) or "none"})
