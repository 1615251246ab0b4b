"""`smscd price`: what customers pay and upstreams ask, imported from CSV; and what a message would be charged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.account import shown_money
from smscd.cli.output import (
    Failure,
    find_instance,
    give_up,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    run,
)

if TYPE_CHECKING:
    from smscd.core.directory import PriceRow
    from smscd.core.planning import Planned
    from smscd.core.price_changes import PriceChanges
    from smscd.core.price_files import LineError
    from smscd.core.reasons import Rejected
    from smscd.supervision.locate import Location
    from storage.postgres.price_lists import PlanPrices, UpstreamCosts

SHOWN_MAX = 20
FILE_BYTES_MAX = 100_000_000
TEXT = "One segment."


@click.group()
def price() -> None:
    """What customers pay and what upstreams ask."""


@price.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@instance_options
@click.option("--plan", help="The price plan that these are the prices of; --apply makes it where it is new.")
@click.option("--upstream", help="The upstream that asks these, in place of --plan.")
@click.option("--currency", metavar="CODE", help="Of a new plan, or of what the upstream asks; EUR otherwise.")
@click.option("--replace", is_flag=True, help="Remove what is not in the file.")
@click.option("--apply", is_flag=True, help="Do it; otherwise it is only shown.")
@json_option
def import_prices(
    file: Path,
    config_file: Path | None,
    data_dir: Path | None,
    plan: str | None,
    upstream: str | None,
    currency: str | None,
    replace: bool,
    apply: bool,
    as_json: bool,
) -> None:
    """Show what FILE changes of a price list, and with --apply change it, all or nothing.

    FILE is CSV. Its first line names the columns: prefix and price (of a segment), and where they are wanted
    valid_from, valid_until and description. The prefix * is all destinations. A price that begins later than one
    without an end ends that one.
    """
    from smscd.admin import prices
    from smscd.core.price_files import read_prices
    from storage.postgres.price_lists import PlanPrices, UpstreamCosts

    if (plan is None) == (upstream is None):
        raise click.UsageError("Give --plan NAME for prices, or --upstream NAME for costs.")
    location = find_instance(config_file, data_dir, as_json=as_json)
    if file.stat().st_size > FILE_BYTES_MAX:
        give_up(f"{file} is larger than {FILE_BYTES_MAX // 1_000_000} MB: cut it into several.", as_json=as_json)
    found = read_prices(file.read_bytes())
    if found.errors:
        _refuse(file, found.errors, as_json=as_json)
    owner = PlanPrices(plan) if plan is not None else UpstreamCosts(upstream or "", currency or "EUR")
    changes, unit = run(
        lambda: _import(location, owner, currency, found.rows, replace=replace, apply=apply, as_json=as_json),
        as_json=as_json,
    )
    if changes.errors:
        _refuse(file, changes.errors, as_json=as_json)
    if as_json:
        print_json(prices.as_json(changes, unit, is_applied=apply))
    else:
        _print(changes, unit, is_applied=apply)


async def _import(
    location: Location,
    owner: PlanPrices | UpstreamCosts,
    currency: str | None,
    rows: dict[int, PriceRow],
    *,
    replace: bool,
    apply: bool,
    as_json: bool,
) -> tuple[PriceChanges, str]:
    """What changes, and the currency; changed when it is to be applied and nothing is wrong."""
    from smscd.admin import prices
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    async with opened(location, command_seconds=None) as storage:
        found = await prices.bring(
            owner, currency, rows, operator_name(), storage.database, replace=replace, apply=apply
        )
        if isinstance(found, Refusal):
            give_up(found.detail, as_json=as_json)
        if apply and not (found[0].errors or found[0].is_nothing):
            await storage.tell_of_change()
    return found


def _refuse(file: Path, errors: Sequence[LineError], *, as_json: bool) -> None:
    lines = [f"line {line} {sentence}" if line else f"the file {sentence}" for line, sentence in errors]
    count = f"{len(lines):,} error{'s' if len(lines) > 1 else ''}"
    if not as_json:
        for line in lines:
            click.echo(f"{file.name}: {line}", err=True)
    shown = [{"line": line, "error": sentence} for line, sentence in errors]
    raise Failure(f"Nothing was changed: {count} in {file.name}.", as_json=as_json, errors=shown)


def _print(changes: PriceChanges, currency: str, *, is_applied: bool) -> None:
    added = [_line(row, currency) for row in changes.added]
    changed = [f"{_line(old, currency)} -> {_terms(new, currency)}" for old, new in changes.changed]
    removed = [_line(row, currency) for row in changes.removed]
    for name, lines in (("added", added), ("changed", changed), ("removed", removed)):
        click.echo(f"{name:<9} {len(lines):,}")
        for line in lines[:SHOWN_MAX]:
            click.echo(f"  {line}")
        if len(lines) > SHOWN_MAX:
            click.echo(f"  and {len(lines) - SHOWN_MAX:,} more: --json shows all")
    click.echo(f"unchanged {changes.unchanged:,}")
    if changes.is_nothing:
        click.echo("Everything is so already.")
    else:
        click.echo("Applied." if is_applied else "Nothing was written: --apply does it.")


def _line(row: PriceRow, currency: str) -> str:
    return f"{row.prefix or '*'}  {_terms(row, currency)}"


def _terms(row: PriceRow, currency: str) -> str:
    from smscd.admin.prices import moment

    begins = f" from {moment(row.from_ms)}" if row.from_ms is not None else ""
    ends = f" until {moment(row.until_ms)}" if row.until_ms is not None else ""
    return shown_money(row.micros, currency) + begins + ends


@price.command()
@click.argument("number")
@instance_options
@click.option("--account", required=True, help="Whose message it would be.")
@click.option("--text", default=TEXT, help="The text; one of a single segment otherwise.")
@click.option("--encoding", type=click.Choice(["auto", "gsm7", "ucs2"]), default="auto", show_default=True)
@click.option("--from", "sender", help="The sender; one that the account may use otherwise.")
@click.option("--at", metavar="TIME", help="At another moment than now: 2026-12-01 or 2026-12-01T00:00:00Z.")
@json_option
def quote(
    number: str,
    config_file: Path | None,
    data_dir: Path | None,
    account: str,
    text: str,
    encoding: str,
    sender: str | None,
    at: str | None,
    as_json: bool,
) -> None:
    """What a message to NUMBER is charged, what the upstream asks for it, and what is left.

    It is planned as one that is sent. Exit status 1 when it would be refused.
    """
    from smscd.core.callbacks import encoding_name
    from smscd.core.price_files import moment_ms
    from smscd.core.reasons import Rejected

    at_ms = moment_ms(at) if at is not None else None
    if at is not None and at_ms is None:
        raise click.UsageError(f"{at} is not a time such as 2026-12-01 or 2026-12-01T00:00:00Z.")
    location = find_instance(config_file, data_dir, as_json=as_json)
    planned, currency = run(lambda: _quoted(location, account, number, text, encoding, sender, at_ms), as_json=as_json)
    if planned is None:
        give_up(f"There is no account {account}.", as_json=as_json)
    if isinstance(planned, Rejected):
        pointer = f"{planned.pointer.removeprefix('/')} " if planned.pointer else ""
        give_up(pointer + planned.sentence, as_json=as_json)
    record = planned.record
    cost = record.cost_micros or None
    margin = record.price_micros - cost if cost is not None else None
    if as_json:
        print_json(
            {
                "account": account,
                "to": record.dest.decode(),
                "encoding": encoding_name(record.data_coding),
                "segments": record.parts,
                "price_micros": record.price_micros,
                "currency": currency,
                "upstream": record.upstream,
                "cost_micros": cost,
                "margin_micros": margin,
            }
        )
        return
    print_fields(
        {
            "price": shown_money(record.price_micros, currency),
            "segments": f"{record.parts} ({encoding_name(record.data_coding)})",
            "upstream": record.upstream,
            "cost": shown_money(cost, currency) if cost is not None else "not known",
            "margin": shown_money(margin, currency) if margin is not None else None,
        }
    )


async def _quoted(
    location: Location, account: str, number: str, text: str, encoding: str, sender: str | None, at_ms: int | None
) -> tuple[Planned | Rejected | None, str]:
    """The message as planning has it, at that moment or by the clock of the daemon; None without such an account."""
    from smscd.cli.storage import opened
    from smscd.core.directory_index import DirectoryIndex
    from smscd.core.planning import plan
    from smscd.core.records import Door
    from smscd.core.submission import Encoding, Submission
    from storage.postgres.configuration import load_snapshot

    async with opened(location) as storage:
        snapshot = await load_snapshot(storage.database)
        if at_ms is None:
            seconds, micros = await storage.link.command("TIME")
            at_ms = int(seconds) * 1000 + int(micros) // 1000
    index = DirectoryIndex(snapshot)
    known = index.account(account)
    if known is None:
        return None, ""
    source = sender or next(iter(sorted(known.senders)), "smscd")
    asked = Submission(known, Door.HTTP, source.encode(), number.encode(), text=text, encoding=Encoding(encoding))
    return plan(asked, index, 0, at_ms), known.currency
