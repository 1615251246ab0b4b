"""`smscd dead-letter esmes|redrive`: what no ESME took, listed and sent once more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smscd.cli.dead_letter import dead_letter
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
    from smscd.admin.dead_esme import DeadToEsmes
    from smscd.supervision.locate import Location
    from storage.postgres.messages import DeadToEsme

F = TypeVar("F", bound=Callable[..., Any])


def _which(command: F) -> F:
    """Which of them."""
    for option in (
        click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000)),
        click.option("--message", "message_id", type=click.IntRange(1, 2**63 - 1), help="Only that of this message."),
        click.option("--account", metavar="NAME", help="Only those of this account."),
        click.option("--since", type=click.DateTime(), help="Given up since then (UTC); a week ago by default."),
    ):
        command = option(command)
    return command


@dead_letter.command()
@_which
@instance_options
@json_option
def esmes(config_file: Path | None, data_dir: Path | None, as_json: bool, **which: Any) -> None:
    """Receipts and messages from phones that no ESME took: refused for good, or nobody was bound for a week."""
    import msgspec

    from smscd.admin.dead_esme import shown

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[DeadToEsme]:
        async with _dead(location) as dead:
            return await dead.listed(**_in_utc(which))

    found = [msgspec.to_builtins(shown(one)) for one in run(work, as_json=as_json)]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("nothing was given up")
    else:
        print_table(tuple(found[0]), [tuple(one.values()) for one in found])


@dead_letter.command()
@_which
@click.option("--all", "is_all", is_flag=True, help="All that `esmes` shows with the same options.")
@instance_options
@json_option
def redrive(config_file: Path | None, data_dir: Path | None, is_all: bool, as_json: bool, **which: Any) -> None:
    """Send what `esmes` shows once more, to whichever ESME of its account is bound. Asked twice, it is sent twice."""
    if not (is_all or which["account"] or which["message_id"]):
        raise click.UsageError("Say which: --message, --account, or --all.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> int:
        async with _dead(location) as dead:
            return await dead.redrive(await dead.listed(**_in_utc(which)), operator_name())

    count = run(work, as_json=as_json)
    if not count and which["message_id"] is not None:
        detail = f"Nothing of message {which['message_id']} to an ESME was given up since then: see --since."
        raise Failure(detail, as_json=as_json, code="not_found")
    if as_json:
        print_json({"redriven": count})
    else:
        click.echo(f"{count} redriven")


def _in_utc(which: dict[str, Any]) -> dict[str, Any]:
    since: datetime | None = which["since"]
    return which | {"since": since.replace(tzinfo=UTC) if since is not None else None}


@asynccontextmanager
async def _dead(location: Location) -> AsyncIterator[DeadToEsmes]:
    from smscd.admin.dead_esme import DeadToEsmes
    from smscd.cli.storage import opened
    from storage.redis.keys import ShardKeys
    from storage.redis.outbox import OutFeed

    async with opened(location) as storage:
        yield DeadToEsmes(storage.database, OutFeed(ShardKeys(0), storage.link))
