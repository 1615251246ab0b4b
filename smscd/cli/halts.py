"""`smscd pause|drain|resume`: an upstream, a route or an account; told to every worker at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
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
    run,
)

if TYPE_CHECKING:
    from smscd.admin.halts import Halted
    from smscd.admin.orders import Refusal
    from smscd.core.directory import HaltKind, HaltState
    from smscd.supervision.locate import Location

LOOK_SECONDS = 0.5


@click.group()
def pause() -> None:
    """Let what is accepted wait, until it is resumed. Messages that wait may end as EXPIRED: their validity goes on."""


@click.group()
def drain() -> None:
    """Accept nothing new, and send what waits."""


@click.group()
def resume() -> None:
    """End a pause or a drain."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    return json_option(instance_options(command))


def _route_options(command: Callable[..., None]) -> Callable[..., None]:
    account = click.option("--account", default="", metavar="NAME", help="The account whose route it is.")
    return click.argument("prefix")(account(_options(command)))


@pause.command("upstream")
@click.argument("name")
@_options
def pause_upstream(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Send nothing more to an upstream; its binds stay, and what is on the way is finished.

    New messages for it are accepted and queued, not sent by the next upstream of their route: drain it for that.
    """
    _halt("upstream", name, "", "paused", config_file, data_dir, as_json=as_json)


@pause.command("account")
@click.argument("name")
@_options
def pause_account(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Accept a customer's messages and let them wait; receipts and what was begun go on."""
    _halt("account", name, "", "paused", config_file, data_dir, as_json=as_json)


@pause.command("route")
@_route_options
def pause_route(prefix: str, account: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Let messages wait whose route is the one of PREFIX; * is the route of all destinations.

    Behind more than 20,000 of them at one upstream, other messages of their accounts may wait too.
    """
    _halt("route", _prefix(prefix), account, "paused", config_file, data_dir, as_json=as_json)


@drain.command("upstream")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Return when nothing waits for it any more.")
@_options
def drain_upstream(name: str, wait: bool, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Give an upstream no new messages: they go to the next one of their route, or are refused (no_route_available)."""
    _halt("upstream", name, "", "drained", config_file, data_dir, as_json=as_json, wait=wait)


@drain.command("route")
@_route_options
def drain_route(prefix: str, account: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Refuse what would go by the route of PREFIX (no_route_available); what was accepted is sent."""
    _halt("route", _prefix(prefix), account, "drained", config_file, data_dir, as_json=as_json)


@drain.command("account")
@click.argument("name")
@_options
def drain_account(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """What `smscd account suspend` does, which says so to the customer; refused here."""
    _halt("account", name, "", "drained", config_file, data_dir, as_json=as_json)


@resume.command("upstream")
@click.argument("name")
@_options
def resume_upstream(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Send to an upstream again."""
    _halt("upstream", name, "", None, config_file, data_dir, as_json=as_json)


@resume.command("account")
@click.argument("name")
@_options
def resume_account(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Send a customer's messages again; one that is suspended stays so."""
    _halt("account", name, "", None, config_file, data_dir, as_json=as_json)


@resume.command("route")
@_route_options
def resume_route(prefix: str, account: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Send by the route of PREFIX again."""
    _halt("route", _prefix(prefix), account, None, config_file, data_dir, as_json=as_json)


@click.command()
@_options
def halted(config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """What is paused or drained, since when, and by whom."""
    from smscd.admin.halts import described, listed
    from smscd.cli.output import print_table
    from smscd.cli.storage import opened
    from storage.postgres.halts import HaltRow, Subject, halts

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[HaltRow]:
        async with opened(location) as storage:
            return await halts(storage.database)

    rows = run(work, as_json=as_json)
    if as_json:
        print_json([listed(row) for row in rows])
        return
    if not rows:
        click.echo("nothing is paused or drained")
        return
    named = [(described(Subject(row.kind, row.name, row.account)), row) for row in rows]
    print_table(
        ["what", "state", "since", "by"],
        [(name, row.state, f"{row.since:%Y-%m-%d %H:%M} UTC", row.operator) for name, row in named],
    )


def _prefix(given: str) -> str:
    return "" if given == "*" else given


def _halt(
    kind: HaltKind,
    name: str,
    account: str,
    state: HaltState | None,
    config_file: Path | None,
    data_dir: Path | None,
    *,
    as_json: bool,
    wait: bool = False,
) -> None:
    from smscd.admin import halts
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened
    from storage.postgres.halts import Subject

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> Halted | Refusal:
        async with opened(location) as storage:
            return await halts.halt(
                Subject(kind, name, account), state, operator_name(), storage.database, storage.tell_of_change
            )

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    waited = _wait_until_empty(name, location, as_json=as_json) if wait else None
    if as_json:
        print_json(halts.shown(found) | ({} if waited is None else {"empty_after_seconds": waited}))
        return
    word = state or "running"
    click.echo(word if found.has_changed else f"{word} already")
    if found.note:
        click.echo(found.note)
    if not found.is_told:
        click.echo("Redis did not pass the notice on: every worker sees it within half a minute.")
    if waited is not None:
        click.echo("nothing waits for it any more")


def _wait_until_empty(upstream: str, location: Location, *, as_json: bool) -> float:
    """Seconds until nothing waited for an upstream."""
    from smscd.cli.storage import opened
    from storage.redis.keys import ShardKeys
    from storage.redis.monitor import read_depths

    began = time.monotonic()

    async def work() -> None:
        async with opened(location) as storage:
            while True:
                if (await read_depths(storage.link, ShardKeys(0))).get(upstream, 0) <= 0:
                    return
                await asyncio.sleep(LOOK_SECONDS)

    run(work, as_json=as_json)
    return round(time.monotonic() - began, 1)
