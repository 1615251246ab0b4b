"""`smscd account suspend|resume|show`: whether an account may send, told to every worker at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.account import account
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
    from smscd.admin.accounts import Suspension
    from smscd.admin.orders import Refusal


@account.command()
@click.argument("name")
@instance_options
@json_option
def suspend(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Refuse all that a customer submits, from now on, on every worker; what was admitted goes on."""
    _set(name, config_file, data_dir, is_suspended=True, as_json=as_json)


@account.command()
@click.argument("name")
@instance_options
@json_option
def resume(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Take a suspended customer's messages again."""
    _set(name, config_file, data_dir, is_suspended=False, as_json=as_json)


def _set(name: str, config_file: Path | None, data_dir: Path | None, *, is_suspended: bool, as_json: bool) -> None:
    from smscd.admin import accounts
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> Suspension | Refusal:
        async with opened(location) as storage:
            return await accounts.suspend(
                name, operator_name(), storage.database, storage.tell_of_change, is_suspended=is_suspended
            )

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        shown = {"account": name, "is_suspended": is_suspended, "changed": found.has_changed, "told": found.is_told}
        print_json(shown)
        return
    state = "suspended" if is_suspended else "resumed"
    click.echo(state if found.has_changed else f"{state} already")
    if not found.is_told:
        click.echo("Redis did not pass the notice on: every worker sees it within half a minute.")


@account.command()
@click.argument("name")
@instance_options
@json_option
def show(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """A customer's balance and limits."""
    from smscd.admin import accounts
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> dict[str, object] | Refusal:
        async with opened(location) as storage:
            return await accounts.view(name, storage.database, storage.balances)

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        print_json(found)
    else:
        print_fields(found)
