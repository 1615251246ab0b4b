"""`smscd upstream`: the carriers that we bind to. What is changed reaches running workers at once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smscd.cli.output import (
    Failure,
    find_instance,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    print_table,
    run,
)
from smscd.cli.upstream_options import given, profile_options

if TYPE_CHECKING:
    from smscd.admin.orders import Refusal
    from smscd.admin.upstreams import Admin, Changed
    from smscd.cli.storage import Opened
    from smscd.core.upstream import Upstream
    from storage.redis.breakers import UpstreamStanding


@click.group()
def upstream() -> None:
    """Carriers that we bind to: their profiles.

    A change is followed by running workers at once. What a bind cannot change while it is up (address, credentials,
    TLS, version, time-outs) has it bound anew, once what is under way on it is answered.
    """


def admin_of(storage: Opened) -> Admin:
    """What orders of this command need."""
    from smscd.admin.upstreams import Admin
    from storage.redis.depths import waiting
    from storage.redis.keys import ShardKeys

    return Admin(
        operator=operator_name(),
        database=storage.database,
        tell=storage.tell_of_change,
        waiting=partial(waiting, storage.link, ShardKeys(0)),
        now_ms=lambda: int(time.time() * 1000),
    )


@upstream.command()
@click.argument("name")
@instance_options
@profile_options
@json_option
def add(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool, **options: Any) -> None:
    """Make an upstream. It needs --host, --port and --system-id; routes lead to it when they name it."""
    from smscd.admin import upstreams

    values = given(options)
    found = _order(config_file, data_dir, lambda admin: upstreams.add(name, values, admin), as_json=as_json)
    _print(found, "made", as_json=as_json)


@upstream.command("set")
@click.argument("name")
@instance_options
@profile_options
@json_option
def set_fields(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool, **options: Any) -> None:
    """Change what the options name, and nothing else."""
    values = given(options)
    if not values:
        raise click.UsageError("Say what to change: `smscd upstream set --help` lists the fields.")
    _change(name, values, config_file, data_dir, as_json=as_json)


@upstream.command()
@click.argument("name")
@instance_options
@json_option
def enable(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Bind to an upstream again."""
    _change(name, {"is_enabled": True}, config_file, data_dir, as_json=as_json)


@upstream.command()
@click.argument("name")
@instance_options
@json_option
def disable(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Unbind from an upstream once what is under way is answered; routes pass it over, what waits for it waits."""
    _change(name, {"is_enabled": False}, config_file, data_dir, as_json=as_json)


@upstream.command()
@click.argument("name")
@click.option("--force", "is_forced", is_flag=True, help="Although messages wait for it, or receipts may still come.")
@instance_options
@json_option
def remove(name: str, is_forced: bool, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Remove an upstream and its costs. Refused while a route names it, messages wait, or receipts may still come."""
    from smscd.admin import upstreams

    found = _order(
        config_file, data_dir, lambda admin: upstreams.remove(name, admin, is_forced=is_forced), as_json=as_json
    )
    if as_json:
        print_json(upstreams.outcome(found, is_removed=True))
    else:
        click.echo(f"{name} is removed")
        _warn_untold(found)


@upstream.command()
@click.argument("name")
@instance_options
@json_option
def show(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """An upstream's profile; of its passwords only whether there are any."""
    from smscd.admin import upstreams
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened
    from smscd.core.upstream_fields import shown, to_text

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> tuple[Upstream | Refusal, int]:
        async with opened(location) as storage:
            found = await upstreams.find(name, storage.database)
            return found, await admin_of(storage).waiting(name)

    found, waiting = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    fields = {**shown(found), "waiting": waiting}
    if as_json:
        print_json(fields)
    else:
        print_fields({field: to_text(value) for field, value in fields.items()})


@upstream.command("list")
@instance_options
@json_option
def list_upstreams(config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """All upstreams, how many messages wait for each, and which are out: new messages go around those."""
    from smscd.cli.storage import opened
    from smscd.core.upstream_fields import shown
    from storage.postgres import configuration
    from storage.redis.breakers import Breakers
    from storage.redis.keys import ShardKeys

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[tuple[Upstream, int, str]]:
        async with opened(location) as storage:
            waiting = admin_of(storage).waiting
            out = {name: why_out(one) for name, one in (await Breakers(ShardKeys(0), storage.link).believed()).items()}
            held = await configuration.upstreams(storage.database)
            return [(found, await waiting(found.id), out.get(found.id, "")) for found in held]

    found = run(work, as_json=as_json)
    if as_json:
        print_json([{**shown(row), "waiting": waiting, "out": out} for row, waiting, out in found])
        return
    rows = [
        (
            row.id,
            f"{'smpps' if row.uses_tls else 'smpp'}://{row.host}:{row.port}",
            row.system_id,
            f"{row.binds} {row.bind_mode}",
            row.window_size,
            f"{row.rate_per_second:g}" if row.rate_per_second else "any",
            waiting,
            (f"out: {out}" if out else "") if row.is_enabled else "disabled",
        )
        for row, waiting, out in found
    ]
    print_table(["upstream", "address", "system_id", "binds", "window", "rate", "waiting", ""], rows)


def why_out(standing: UpstreamStanding) -> str:
    """Why new messages go around an upstream, in words for operators."""
    from storage.redis.breakers import THROTTLED

    reasons = {"closed": "no bind", THROTTLED: "only throttles"}
    return reasons.get(standing.state, f"breaker {standing.state.replace('_', ' ')}")


def _change(
    name: str, values: dict[str, object], config_file: Path | None, data_dir: Path | None, *, as_json: bool
) -> None:
    from smscd.admin import upstreams

    found = _order(config_file, data_dir, lambda admin: upstreams.change(name, values, admin), as_json=as_json)
    _print(found, "nothing changed", as_json=as_json)


def _order(
    config_file: Path | None,
    data_dir: Path | None,
    order: Callable[[Admin], Awaitable[Changed | Refusal]],
    *,
    as_json: bool,
) -> Changed:
    """Give an order to the instance that is meant; a refusal ends the command."""
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened
    from smscd.core.upstream_fields import FieldsInvalid

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> Changed | Refusal:
        async with opened(location) as storage:
            return await order(admin_of(storage))

    try:
        found = run(work, as_json=as_json)
    except FieldsInvalid as error:
        faults = dict(error.faults)
        sentence = "; ".join(f"{name} {rule}" if name else rule for name, rule in error.faults)
        raise Failure(f"{sentence}.", as_json=as_json, code="validation_failed", fields=faults) from error
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    return found


def _print(found: Changed, otherwise: str, *, as_json: bool) -> None:
    from smscd.admin.upstreams import outcome
    from smscd.core.upstream_fields import to_text

    if as_json:
        print_json(outcome(found))
        return
    for name, (before, after) in found.differences.items():
        click.echo(f"{name}: {to_text(before)} -> {to_text(after)}")
    if not found.differences:
        click.echo(otherwise)
    _warn_untold(found)


def _warn_untold(found: Changed) -> None:
    if not found.is_told:
        click.echo("Redis did not pass the notice on: every worker sees it within half a minute.")


from smscd.cli import upstream_test  # noqa: E402, F401  # its command
