"""`smscd callback`: callbacks to URLs that were given up, listed and sent once more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
    from smscd.admin.dead_callbacks import DeadCallbacks
    from smscd.supervision.locate import Location

DAYS = 7
F = TypeVar("F", bound=Callable[..., Any])


def _which(command: F) -> F:
    """Which dead letters."""
    for option in (
        click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000)),
        click.option("--message", "message_id", type=click.IntRange(1, 2**63 - 1), help="Only those of this message."),
        click.option("--account", help="Only those of this account."),
        click.option(
            "--since", type=click.DateTime(), help=f"Only those given up since then (UTC); {DAYS} days by default."
        ),
    ):
        command = option(command)
    return command


@click.group()
def callback() -> None:
    """Callbacks to URLs that were given up: after ten attempts, or because nobody is there any more (410)."""


@callback.command("list")
@_which
@instance_options
@json_option
def list_(
    since: datetime | None,
    account: str | None,
    message_id: int | None,
    limit: int,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Those that were given up, oldest first. Of a URL only the host is shown."""
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[dict[str, object]]:
        async with _dead(location) as dead:
            found = await dead.listed(_since(since), account=account, message_id=message_id, limit=limit)
            return [one.shown() for one in found]

    found = run(work, as_json=as_json)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no callback was given up")
    else:
        print_table(tuple(found[0]), [tuple(one.values()) for one in found])


@callback.command()
@_which
@click.option("--all", "is_all", is_flag=True, help="All that `list` shows with the same options.")
@instance_options
@json_option
def replay(
    since: datetime | None,
    account: str | None,
    message_id: int | None,
    limit: int,
    is_all: bool,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Send them once more, from the first attempt on, with the ids that they had."""
    if not (is_all or account or message_id):
        raise click.UsageError("Say which: --message, --account, or --all.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> int:
        async with _dead(location) as dead:
            found = await dead.listed(_since(since), account=account, message_id=message_id, limit=limit)
            return await dead.replay(found, operator_name())

    count = run(work, as_json=as_json)
    if not count and message_id is not None:
        raise Failure(f"No callback of message {message_id} was given up.", as_json=as_json, code="not_found")
    if as_json:
        print_json({"replayed": count})
    else:
        click.echo(f"{count} replayed")


def _since(given: datetime | None) -> datetime:
    return given.replace(tzinfo=UTC) if given is not None else datetime.now(UTC) - timedelta(days=DAYS)


@asynccontextmanager
async def _dead(location: Location) -> AsyncIterator[DeadCallbacks]:
    from smscd.admin.dead_callbacks import DeadCallbacks
    from smscd.cli.storage import opened
    from storage.redis.keys import ShardKeys
    from storage.redis.outbox import HookFeed

    async with opened(location) as storage:
        yield DeadCallbacks(storage.database, HookFeed(ShardKeys(0), storage.link))
