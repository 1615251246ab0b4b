"""`smscd account durability`: when an account's messages are accepted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    pass


@click.command()
@click.argument("name")
@click.argument("wanted", metavar="[normal|strict]", type=click.Choice(["normal", "strict"]), required=False)
@instance_options
@json_option
def durability(name: str, wanted: str | None, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Show when a customer's messages are accepted, or change it.

    normal: when Redis has them on disk. strict: when PostgreSQL has them too, some tenths of a second later; they are
    refused while PostgreSQL is away or behind, and sent after it has them.
    """
    from smscd.admin import account_parts
    from smscd.cli.storage import opened
    from storage.postgres import configuration

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> str | None:
        async with opened(location) as storage:
            if wanted is not None:
                await account_parts.make_durable(storage.database, name, wanted, operator_name())
                await storage.tell_of_change()
            account = await configuration.find_account(storage.database, name)
            return account.durability if account is not None else None

    found = run(work, as_json=as_json)
    if found is None:
        give_up(f"There is no account {name}: `smscd account list` shows those that there are.", as_json=as_json)
    shown = {"account": name, "durability": found}
    if as_json:
        print_json(shown)
    else:
        print_fields(shown)
