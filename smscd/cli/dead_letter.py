"""`smscd dead-letter`: what PostgreSQL refused to store of the journal."""

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
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from smscd.admin.orders import Refusal
    from storage.postgres.dead_letters import JournalLetter


@click.group("dead-letter")
def dead_letter() -> None:
    """Records of the journal that PostgreSQL refused (list, discard), and what no ESME took (esmes, redrive).

    What a record charged is in the ledger all the same.
    """


@dead_letter.command("list")
@click.option("--account", metavar="NAME", help="Of this account.")
@click.option("--closed", is_flag=True, help="Those as well that somebody has seen to.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@instance_options
@json_option
def list_(
    account: str | None, closed: bool, limit: int, config_file: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    """What could not be stored, and why; newest first."""
    import msgspec

    from smscd.admin.dead_letters import shown
    from smscd.cli.storage import opened
    from storage.postgres.dead_letters import read_page

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[JournalLetter]:
        async with opened(location) as storage:
            return await read_page(storage.database, limit=limit, account=account, with_closed=closed)

    found = run(work, as_json=as_json)
    if as_json:
        print_json([msgspec.to_builtins(shown(letter)) for letter in found])
        return
    print_table(
        ("number", "at", "kind", "message", "account", "closed by", "error"),
        [
            (one.id, f"{one.at:%Y-%m-%d %H:%M:%S}", one.kind, one.message_id, one.account, one.closed_by, one.error)
            for one in found
        ],
    )


@dead_letter.command()
@click.argument("number", type=click.IntRange(1, 2**63 - 1))
@instance_options
@json_option
def discard(number: int, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Say that one has been seen to: it is not listed any more, and stays for the proof of the ledger."""
    import msgspec

    from smscd.admin import dead_letters
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> JournalLetter | Refusal:
        async with opened(location) as storage:
            return await dead_letters.discard(number, operator_name(), storage.database)

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        print_json(msgspec.to_builtins(dead_letters.shown(found)))
    else:
        click.echo("discarded")


from smscd.cli import dead_esme  # noqa: E402, F401  # its commands
