"""`smscd account statement`: what a balance was, everything that changed it in a period, and what it became."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import click

from smscd.cli.account import account
from smscd.cli.output import find_instance, give_up, instance_options, run

if TYPE_CHECKING:
    from smscd.cli.statement_forms import Form, Tally
    from smscd.supervision.locate import Location
    from storage.postgres.account_entries import BookedEntry

END_MS: Final = 4_102_444_800_000
PROGRESS_FROM_ENTRIES: Final = 20_000
PROGRESS_EVERY_ENTRIES: Final = 1_000


@account.command()
@click.argument("name")
@instance_options
@click.option("--from", "begins", metavar="TIME", help="From this moment on: 2026-11-01 or 2026-11-01T12:00:00Z.")
@click.option("--until", "ends", metavar="TIME", help="Before this moment.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
def statement(
    name: str, config_file: Path | None, data_dir: Path | None, begins: str | None, ends: str | None, form: str | None
) -> None:
    """The ledger of an account: opening balance, entries, closing balance, and the sums by kind.

    It comes from the record in PostgreSQL, a piece at a time, however long it is. Exit status 1 when opening balance
    and entries do not make the closing balance.
    """
    as_json = form == "json"
    first_ms, end_ms = _moment_ms(begins, 0), _moment_ms(ends, END_MS)
    if first_ms >= end_ms:
        raise click.UsageError("--until must be later than --from.")
    location = find_instance(config_file, data_dir, as_json=as_json)
    found = run(lambda: _written(location, name, first_ms, end_ms, form, as_json=as_json), as_json=as_json)
    if found is None:
        return
    for fault in found.faults:
        click.echo(f"smscd: {fault}", err=True)
    if found.faults:
        sys.exit(1)


async def _written(
    location: Location, name: str, first_ms: int, end_ms: int, form: str | None, *, as_json: bool
) -> Tally | None:
    """Write the statement; None when its reader went away."""
    from smscd.cli.statement_forms import Tally
    from smscd.cli.storage import opened
    from smscd.core.ids import first_id
    from storage.postgres.account_entries import find_period, stream_period
    from storage.postgres.configuration import load_snapshot

    out = sys.stdout
    async with opened(location, command_seconds=None) as storage:
        database = storage.database
        snapshot = await load_snapshot(database, with_prices=False)
        currency = next((found.currency for found in snapshot.accounts if found.id == name), None)
        if currency is None:
            give_up(f"There is no account {name}: `smscd account list` shows all.", as_json=as_json)
        period = await find_period(database, name, first_id(first_ms), first_id(end_ms))
        tally = Tally(period.opening_micros, period.after_seq)
        with _progress(period.entries) as progress:
            try:
                entries = stream_period(database, period)
                await _write(_form(form, out, name, currency), tally, entries, period.entries, progress)
                out.flush()
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return None
    return tally


async def _write(
    form: Form, tally: Tally, entries: AsyncIterator[BookedEntry], period_entries: int, progress: Callable[[int], None]
) -> None:
    form.opening(tally.opening_micros)
    count = 0
    async for entry in entries:
        tally.add(entry)
        form.entry(entry)
        count += 1
        if not count % PROGRESS_EVERY_ENTRIES:
            progress(count)
    tally.finish(period_entries)
    form.closing(tally)


def _form(form: str | None, out: TextIO, name: str, currency: str) -> Form:
    from smscd.cli.statement_forms import Csv, Json, Table

    if form == "json":
        return Json(out, name, currency)
    return Csv(out, currency) if form == "csv" else Table(out, currency)


def _moment_ms(text: str | None, otherwise: int) -> int:
    from smscd.core.price_files import moment_ms

    if text is None:
        return otherwise
    found = moment_ms(text)
    if found is None:
        raise click.UsageError(f"{text} is not a time such as 2026-11-01 or 2026-11-01T12:00:00Z.")
    return found


@contextmanager
def _progress(entries: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error for a long statement that goes elsewhere than the terminal."""
    if entries < PROGRESS_FROM_ENTRIES or not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("entries", total=entries)

        def show(done: int) -> None:
            bars.update(task, completed=done)

        yield show
