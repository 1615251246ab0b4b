"""`smscd route`: by which upstreams messages go: rules made, changed, imported from CSV, and explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smscd.cli.output import (
    Failure,
    find_instance,
    give_up,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from smscd.core.directory import Route
    from smscd.core.route_forms import RouteChanges
    from smscd.supervision.locate import Location

F = TypeVar("F", bound=Callable[..., Any])
SHOWN_MAX = 20
FILE_BYTES_MAX = 100_000_000


@click.group()
def route() -> None:
    """By which upstreams messages go.

    A route is named account/prefix or account/prefix/name, with * for all: acme/4477, '*/*', '*/44/night'.

    Of those that fit a message one decides. Best first: the account's own, those for its tags, those for all; then
    the longest prefix; then one with a pattern of the sender, the longer first; one with a window of time; more tags;
    the name. It decides also when none of its upstreams can be used.
    """


def _terms(command: F) -> F:
    options: tuple[Callable[[F], F], ...] = (
        click.option("--upstream", "upstreams", multiple=True, help="A candidate. Repeatable, first choice first."),
        click.option("--source", metavar="GLOB", help="For senders like this, as they are sent: 'ACME*'. '' is any."),
        click.option("--tag", "tags", multiple=True, help="For accounts with this tag, or all of several. '' is any."),
        click.option("--zone", help="The time zone of the window: Europe/London. '' is always."),
        click.option("--day", "days", multiple=True, help="A day of the window: mon, tue, ... Repeatable. '' is all."),
        click.option("--from", "from", metavar="HH:MM", help="When the window opens; over midnight is its first day."),
        click.option("--until", "until", metavar="HH:MM", help="When it closes."),
        click.option("--choice", type=click.Choice(["priority", "weighted", "least_cost"])),
        click.option("--weight", "weights", multiple=True, type=int, help="Of each upstream, in their order."),
        click.option("--in-doubt", "in_doubt", help="resend, hold or fail; '' is what the upstream says."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@route.command()
@click.argument("label", metavar="ROUTE")
@instance_options
@_terms
@json_option
def add(label: str, config_file: Path | None, data_dir: Path | None, as_json: bool, **options: Any) -> None:
    """Make a route."""
    _put(label, find_instance(config_file, data_dir, as_json=as_json), options, must_exist=False, as_json=as_json)


@route.command("set")
@click.argument("label", metavar="ROUTE")
@instance_options
@_terms
@json_option
def set_route(label: str, config_file: Path | None, data_dir: Path | None, as_json: bool, **options: Any) -> None:
    """Change a route: what the options say, and nothing else of it. '' takes away what it had, tags and days too."""
    _put(label, find_instance(config_file, data_dir, as_json=as_json), options, must_exist=True, as_json=as_json)


@route.command("list")
@instance_options
@click.option("--account", help="Its own only.")
@json_option
def list_routes(config_file: Path | None, data_dir: Path | None, account: str | None, as_json: bool) -> None:
    """All routes."""
    from smscd.core.route_forms import shown

    found = _read(find_instance(config_file, data_dir, as_json=as_json), as_json=as_json)
    routes = [one for one in found if account is None or one.account == account]
    if as_json:
        print_json([shown(one) | {"unusable": _why_unusable(one) or None} for one in routes])
    else:
        print_table(["route", "upstreams", "choice", ""], [_line(one) for one in routes])


@route.command()
@click.argument("label", metavar="ROUTE")
@instance_options
@json_option
def show(label: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """One route."""
    from smscd.core.route_forms import shown

    fields = shown(_one(label, find_instance(config_file, data_dir, as_json=as_json), as_json=as_json))
    if as_json:
        print_json(fields)
    else:
        print_fields({name: _text(value) or None for name, value in fields.items()})


@route.command()
@click.argument("label", metavar="ROUTE")
@instance_options
@json_option
def remove(label: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Remove a route."""
    location = find_instance(config_file, data_dir, as_json=as_json)
    _change(location, [], as_json=as_json, removes=_key(label))
    print_json({"removed": label}) if as_json else click.echo(f"{label} is removed.")


@route.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@instance_options
@click.option("--replace", is_flag=True, help="Remove what is not in the file.")
@click.option("--apply", is_flag=True, help="Do it; otherwise it is only shown.")
@json_option
def import_routes(
    file: Path, config_file: Path | None, data_dir: Path | None, replace: bool, apply: bool, as_json: bool
) -> None:
    """Show what FILE changes of the routes, and with --apply change them, all or nothing.

    FILE is CSV. Its first line names the columns: prefix and upstreams, and where they are wanted account, name,
    source, tags, zone, days, from, until, choice, weights and in_doubt. Spaces separate several in one field.
    """
    from smscd.core.route_forms import read_routes, shown

    location = find_instance(config_file, data_dir, as_json=as_json)
    if file.stat().st_size > FILE_BYTES_MAX:
        give_up(f"{file} is larger than {FILE_BYTES_MAX // 1_000_000} MB: cut it into several.", as_json=as_json)
    routes, errors = read_routes(file.read_bytes())
    if errors:
        for line, sentence in errors if not as_json else ():
            click.echo(f"{file.name}: line {line} {sentence}" if line else f"{file.name}: {sentence}", err=True)
        told = [{"line": line, "error": sentence} for line, sentence in errors]
        raise Failure(f"Nothing was changed: {len(errors):,} wrong in {file.name}.", as_json=as_json, errors=told)
    changes = _change(location, list(routes.values()), as_json=as_json, replace=replace, apply=apply)
    if as_json:
        print_json(
            {
                "applied": apply,
                "added": [shown(one) for one in changes.added],
                "changed": [{"old": shown(old), "new": shown(new)} for old, new in changes.changed],
                "removed": [shown(one) for one in changes.removed],
                "unchanged": changes.unchanged,
            }
        )
        return
    changed = [new for _, new in changes.changed]
    for name, found in (("added", changes.added), ("changed", changed), ("removed", changes.removed)):
        click.echo(f"{name:<9} {len(found):,}")
        for one in found[:SHOWN_MAX]:
            click.echo("  " + "  ".join(filter(None, _line(one))))
        if len(found) > SHOWN_MAX:
            click.echo(f"  and {len(found) - SHOWN_MAX:,} more: --json shows all")
    click.echo(f"unchanged {changes.unchanged:,}")
    click.echo("Applied." if apply else "Nothing was written: --apply does it.")


@route.command()
@click.argument("number")
@instance_options
@click.option("--account", required=True, help="Whose message it would be.")
@click.option("--from", "sender", help="The sender; one that the account may use otherwise.")
@click.option("--at", metavar="TIME", help="At another moment than now: 2026-12-01 or 2026-12-01T00:00:00Z.")
@click.option("--id", "message_id", type=int, default=0, help="Of the message: it draws among weighted upstreams.")
@json_option
def explain(
    number: str,
    config_file: Path | None,
    data_dir: Path | None,
    account: str,
    sender: str | None,
    at: str | None,
    message_id: int,
    as_json: bool,
) -> None:
    """Which route, upstream, price and cost a message to NUMBER has, and why not each other whose prefix fits.

    As things are now, upstreams that are out left out, unless --at asks for another moment.
    """
    import time

    from smscd.admin import routes
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened
    from smscd.core.price_files import moment_ms
    from smscd.core.routing import NONE_CLOSED
    from storage.postgres.configuration import load_snapshot
    from storage.redis.breakers import Breakers
    from storage.redis.keys import ShardKeys

    at_ms = moment_ms(at) if at is not None else int(time.time() * 1000)
    if at_ms is None:
        raise click.UsageError(f"{at} is not a time such as 2026-12-01 or 2026-12-01T00:00:00Z.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> dict[str, Any] | Refusal:
        async with opened(location) as storage:
            out = NONE_CLOSED if at is not None else await Breakers(ShardKeys(0), storage.link).passed_over()
            snapshot = await load_snapshot(storage.database)
        return routes.explain(snapshot, account, number, sender, at_ms, message_id, out)

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        give_up(found.detail, as_json=as_json)
    if as_json:
        print_json(found)
        return
    print_fields({name: _text(value) for name, value in found.items() if value and not isinstance(value, dict)})
    for name in ("upstreams_passed", "routes_passed"):
        for passed, why in found[name].items():
            click.echo(f"not {passed}: {why}")


def _key(label: str) -> tuple[str, str, str]:
    from smscd.core.route_forms import key_of

    try:
        return key_of(label)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error


def _put(label: str, location: Location, options: dict[str, Any], *, must_exist: bool, as_json: bool) -> None:
    from smscd.core.route_forms import route_of, shown

    account, prefix, name = _key(label)
    given = {key: value for key, value in options.items() if value not in (None, ())}
    changes = {key: _several(value) if isinstance(value, tuple) else value for key, value in given.items()}
    before = shown(_one(label, location, as_json=as_json)) if must_exist else {}
    if changes.get("zone") == "":
        before |= {"days": [], "from": "", "until": ""}
    if "choice" in changes and changes["choice"] != "weighted":
        before |= {"weights": []}
    try:
        wanted = route_of(before | changes | {"account": account, "prefix": prefix, "name": name})
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    _change(location, [wanted], as_json=as_json, must_exist=must_exist)
    print_json(shown(wanted)) if as_json else click.echo("  ".join(filter(None, _line(wanted))))


def _several(values: tuple[Any, ...]) -> list[Any]:
    """The values of a repeatable option; '' alone is none."""
    return [] if values == ("",) else list(values)


def _one(label: str, location: Location, *, as_json: bool) -> Route:
    from smscd.admin.routes import no_route

    key = _key(label)
    routes = _read(location, as_json=as_json)
    found = next((one for one in routes if (one.account, one.digits, one.name) == key), None)
    if found is None:
        give_up(no_route(label).detail, as_json=as_json)
    return found


def _read(location: Location, *, as_json: bool) -> tuple[Route, ...]:
    from smscd.cli.storage import opened
    from storage.postgres.configuration import load_routes

    async def work() -> tuple[Route, ...]:
        async with opened(location) as storage, storage.database.transaction():
            return await load_routes(storage.database)

    return run(work, as_json=as_json)


def _change(location: Location, wanted: list[Route], *, as_json: bool, **how: Any) -> RouteChanges:
    from smscd.admin import routes
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    async def work() -> RouteChanges | Refusal:
        async with opened(location, command_seconds=None) as storage:
            found = await routes.change(storage.database, operator_name(), wanted, **how)
            if not isinstance(found, Refusal) and how.get("apply", True):
                await storage.tell_of_change()
            return found

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        give_up(found.detail, as_json=as_json)
    return found


def _line(one: Route) -> tuple[str, str, str, str]:
    from smscd.core.route_forms import shown

    fields = shown(one)
    terms = [
        f"{name} {_text(fields[name])}"
        for name in ("source", "tags", "weights", "zone", "days", "from", "until", "in_doubt")
        if fields[name]
    ]
    if why := _why_unusable(one):
        terms.append(f"never used: {why}")
    return one.label, " ".join(one.upstreams), one.choice, ", ".join(terms)


def _why_unusable(one: Route) -> str:
    """Why nothing ever goes by a route; empty when that is not so."""
    from smscd.core.routing import Why, is_zone

    return Why.ZONE.value if one.zone and not is_zone(one.zone) else ""


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
