"""`smscd key`: the HTTP keys of a customer: made, listed, rotated and revoked; told to every worker at once."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

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
from smscd.core.scopes import NAMES

if TYPE_CHECKING:
    from smscd.admin.keys import KeyMade, KeyRevoked, Tell
    from smscd.admin.orders import Refusal
    from storage.postgres.pool import Connection

_T = TypeVar("_T")
_SPAN: Final = re.compile(r"([0-9]{1,4})([mhd])|0")
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class Span(click.ParamType[timedelta]):
    """A number of minutes, hours or days: 30m, 24h, 90d."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Text to a length of time."""
        if isinstance(value, timedelta):
            return value
        found = _SPAN.fullmatch(str(value))
        if found is None:
            self.fail(f"{value} is not a time such as 30m, 24h or 90d", param, ctx)
        return int(found[1]) * _UNITS[found[2]] if found[1] else timedelta()


class Moment(Span):
    """A length of time from now, or a date, or a date and time in UTC."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to a length of time, or to a moment."""
        from smscd.core.price_files import moment_ms

        at_ms = moment_ms(str(value))
        return super().convert(value, param, ctx) if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)


_expires = click.option("--expires", type=Moment(), metavar="SPAN|DATE", help="When it ends: 90d, or 2027-01-31.")
_key = click.argument("name", metavar="KEY")


@click.group()
def key() -> None:
    """The HTTP keys of a customer. A key is named by how it begins, as the list shows it."""


@key.command()
@click.argument("account")
@click.option("--label", default="", help="What it is for; for people.")
@click.option(
    "--scope", "scopes", type=click.Choice(NAMES), multiple=True, help="Repeatable; send and read if none is given."
)
@_expires
@instance_options
@json_option
def create(
    account: str,
    label: str,
    scopes: tuple[str, ...],
    expires: timedelta | datetime | None,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Make a key for a customer, beside those that he has; it is shown only now.

    send: send messages. read: look at what the account has. admin: change its webhooks and its keys.
    """
    from smscd.admin import keys
    from smscd.admin.orders import Refusal

    now = datetime.now(UTC)
    terms = keys.terms_of(label, scopes, _moment(expires, now), now)

    async def work(database: Connection, tell: Tell) -> KeyMade | Refusal:
        if isinstance(terms, Refusal):
            return terms
        return await keys.create(account, terms, operator_name(), database, tell, now)

    _print_made(_done(work, config_file, data_dir, as_json=as_json), as_json=as_json)


@key.command()
@click.argument("account")
@_key
@click.option(
    "--grace", type=Span(), default="24h", show_default=True, help="How long the old one stays valid too; 0 ends it."
)
@_expires
@instance_options
@json_option
def rotate(
    account: str,
    name: str,
    grace: timedelta,
    expires: timedelta | datetime | None,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Make a key in the place of KEY, with its label and scopes; it is shown only now.

    A key that was to expire has a successor that is valid for as long, unless --expires says otherwise.
    """
    from smscd.admin import keys

    now = datetime.now(UTC)
    seconds, until = int(grace.total_seconds()), _moment(expires, now)

    async def work(database: Connection, tell: Tell) -> KeyMade | Refusal:
        return await keys.rotate(account, name, seconds, until, operator_name(), database, tell, now)

    _print_made(_done(work, config_file, data_dir, as_json=as_json), as_json=as_json)


@key.command()
@click.argument("account")
@_key
@instance_options
@json_option
def revoke(account: str, name: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """End a key for good, at once."""
    from smscd.admin import keys

    async def work(database: Connection, tell: Tell) -> KeyRevoked | Refusal:
        return await keys.revoke(account, name, operator_name(), database, tell)

    found = _done(work, config_file, data_dir, as_json=as_json)
    if as_json:
        print_json(keys.shown_revoked(account, found))
        return
    click.echo("revoked" if found.has_changed else "revoked already")
    _say_told(found.is_told)


@key.command("list")
@click.argument("account")
@instance_options
@json_option
def list_keys(account: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """The keys of a customer; when each was last used is at most a minute behind."""
    from smscd.admin import keys

    async def work(database: Connection, _tell: Tell) -> list[dict[str, Any]] | Refusal:
        return await keys.listed(account, database, datetime.now(UTC))

    found = _done(work, config_file, data_dir, as_json=as_json)
    if as_json:
        print_json(found)
        return
    rows = [
        (row["key"], row["label"], " ".join(row["scopes"]), row["status"], row["created_at"],
         row["expires_at"] or "never", row["last_used_at"] or "never")
        for row in found
    ]  # fmt: skip
    print_table(["key", "label", "scopes", "", "made", "expires", "used"], rows)


def _moment(given: timedelta | datetime | None, now: datetime) -> datetime | None:
    return now + given if isinstance(given, timedelta) else given


def _done(
    work: Callable[[Connection, Tell], Awaitable[_T | Refusal]],
    config_file: Path | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> _T:
    """What became of an order; a refusal ends the command."""
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def ordered() -> _T | Refusal:
        async with opened(location) as storage:
            return await work(storage.database, storage.tell_of_change)

    found = run(ordered, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    return found


def _print_made(made: KeyMade, *, as_json: bool) -> None:
    from smscd.admin.keys import shown_made

    shown = shown_made(made)
    if as_json:
        print_json(shown)
        return
    told = shown.pop("told")
    scopes: Any = shown["scopes"]
    print_fields(shown | {"scopes": " ".join(scopes)})
    _say_told(bool(told))


def _say_told(is_told: bool) -> None:
    if not is_told:
        click.echo("Redis did not pass the notice on: every worker sees it within half a minute.")
