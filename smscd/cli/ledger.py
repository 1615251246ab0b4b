"""`smscd ledger verify`: shows that the money adds up, or where it does not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.output import Failure, find_instance, instance_options, json_option, print_json, progress_bars, run

if TYPE_CHECKING:
    from smscd.admin.orders import Refusal
    from smscd.archive.audit import Audit

NAMES = {"balances": "balances in Redis", "chains": "chains", "entries": "entries from their messages"}


@click.group()
def ledger() -> None:
    """The ledger: verify."""


@ledger.command()
@instance_options
@click.option("--account", "accounts", multiple=True, help="Only this account: its chain and its balance. Repeatable.")
@json_option
def verify(config_file: Path | None, data_dir: Path | None, accounts: tuple[str, ...], as_json: bool) -> None:
    """Recompute every entry from its messages, every chain, and every balance in Redis, while traffic flows.

    Exit status 1 when anything does not add up.
    """
    import msgspec

    from smscd.admin import ledger_audit
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened
    from storage.redis.journal import JournalReader
    from storage.redis.keys import ShardKeys

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work(progress: Callable[[str, float], None]) -> Audit | Refusal:
        async with opened(location, command_seconds=None) as storage:
            journal = JournalReader(ShardKeys(0), storage.link)
            return await ledger_audit.verify(storage.database, storage.balances, journal, accounts, progress)

    with progress_bars(NAMES, as_json=as_json) as progress:
        found = run(lambda: work(progress), as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        print_json(msgspec.to_builtins(ledger_audit.shown(found)))
    else:
        _print(found, is_whole=not accounts)
    sys.exit(1 if found.differences else 0)


def _print(found: Audit, *, is_whole: bool) -> None:
    click.echo(f"accounts  {found.accounts:,}, {found.entries:,} entries in their chains")
    if is_whole:
        old = f"; of {found.old_entries:,} older ones the record is gone, only their chain" if found.old_entries else ""
        click.echo(f"record    every charge and refund made again from its messages{old}")
    click.echo(f"redis     balances against the ledger and {found.tail_entries:,} journal entries after it")
    for difference in found.differences:
        click.echo(f"{difference.kind:<8}  {difference.account}: {difference.what}")
    click.echo(f"{len(found.differences)} difference{'' if len(found.differences) == 1 else 's'}")
