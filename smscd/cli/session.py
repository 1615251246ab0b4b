"""`smscd session`: SMPP sessions that are bound now, of ESMEs and of upstreams, on all workers."""

from __future__ import annotations

import time
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
    from smscd.admin.sessions import Sessions
    from smscd.core.live_sessions import LiveSession


@click.group()
def session() -> None:
    """SMPP sessions that are bound now."""


@session.command("list")
@click.option("--side", type=click.Choice(["esme", "upstream"]), help="Only of ESMEs, or only of upstreams.")
@click.option("--name", metavar="NAME", help="Of this account or upstream.")
@instance_options
@json_option
def list_(side: str | None, name: str | None, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Who is bound: as what, from where, since when, with how much under way."""
    import msgspec

    from smscd.admin.sessions import LiveSessions
    from smscd.cli.storage import opened
    from storage.redis.keys import ShardKeys

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> Sessions:
        async with opened(location) as storage:
            return await LiveSessions(storage.database, ShardKeys(0), storage.link).listed(side=side, name=name)

    found = run(work, as_json=as_json)
    if as_json:
        print_json({"sessions": msgspec.to_builtins(found.found), "silent": found.silent})
        return
    now_ms = int(time.time() * 1000)
    print_table(
        ("session", "side", "name", "system_id", "mode", "address", "version", "for s", "window", "worker"),
        [
            (
                one.id,
                one.side,
                one.name,
                one.system_id,
                one.mode,
                one.address,
                one.interface_version,
                max(0, now_ms - one.since_ms) // 1000,
                f"{one.in_flight} of {one.window}",
                one.worker,
            )
            for one in found.found
        ],
    )
    for worker in found.silent:
        click.echo(f"smscd: {worker} did not answer: its sessions are missing.", err=True)


@session.command()
@click.argument("session_id", metavar="SESSION")
@instance_options
@json_option
def disconnect(session_id: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """End a session in good order. An ESME may bind again (see `smscd account suspend`); an upstream is bound anew."""
    import msgspec

    from smscd.admin.orders import Refusal
    from smscd.admin.sessions import LiveSessions
    from smscd.cli.storage import opened
    from storage.redis.keys import ShardKeys

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> LiveSession | Refusal:
        async with opened(location) as storage:
            sessions = LiveSessions(storage.database, ShardKeys(0), storage.link)
            return await sessions.disconnect(session_id, operator_name())

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        click.echo(f"disconnected {found.system_id} of {found.name}")
