"""`smscd totals`: what a day's messages came to, by account, destination country and upstream."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from smscd.cli.account import shown_money
from smscd.cli.output import find_instance, give_up, instance_options, print_json, print_table, run

if TYPE_CHECKING:
    from smscd.core.totals import Counts
    from smscd.supervision.locate import Location
    from storage.postgres.pool import Connection
    from storage.postgres.totals import DayRow

DIMENSIONS: Final = ("day", "account", "country", "upstream")
MONEY: Final = ("charged", "refunded", "cost", "margin")


@dataclass(slots=True)
class Found:
    """What was found. as_of_ms: by day, when what was stored was added up; days that were added up now are not in it.
    changing: those of them of which something may still change."""

    rows: list[DayRow] = field(default_factory=list)
    as_of_ms: dict[date, int] = field(default_factory=dict)
    changing: set[date] = field(default_factory=set)


@click.command()
@instance_options
@click.option("--day", metavar="DATE", help="One day in UTC; today otherwise.")
@click.option("--from", "begins", metavar="DATE", help="From this day on.")
@click.option("--until", "ends", metavar="DATE", help="Up to, not including, this day; with today otherwise.")
@click.option("--account", "only", help="Of this account alone.")
@click.option(
    "--by", type=click.Choice(DIMENSIONS), multiple=True, help="What the rows are of; all of it otherwise. Repeatable."
)
@click.option("--live", is_flag=True, help="Add up the messages now, also of days that are stored.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
def totals(
    config_file: Path | None,
    data_dir: Path | None,
    day: str | None,
    begins: str | None,
    ends: str | None,
    only: str | None,
    by: tuple[str, ...],
    live: bool,
    form: str | None,
) -> None:
    """Messages, segments, what was charged, refunded and asked by upstreams for them, and the margin.

    A day has the messages that were admitted in it, with all that was refunded and asked for them since. Days that are
    over are stored and added up again for three weeks, ever more seldom; today is added up now, as is every day with
    --live.
    """
    as_json = form == "json"
    dimensions = tuple(name for name in DIMENSIONS if name in by) or DIMENSIONS
    asked = _days(day, begins, ends)
    location = find_instance(config_file, data_dir, as_json=as_json)
    with _progress(is_shown=not as_json) as progress:
        found = run(lambda: _found(location, asked, only, live, progress, as_json=as_json), as_json=as_json)
    rows = fold(found.rows, dimensions)
    if as_json:
        as_of = {str(day): _moment(ms) for day, ms in sorted(found.as_of_ms.items())}
        changing = [str(day) for day in sorted(found.changing)]
        print_json({"rows": [_fields(row) for row in rows], "stored_as_of": as_of, "changing": changing})
        return
    if form == "csv":
        _print_csv(dimensions, rows)
    else:
        _print_table(dimensions, rows)
    if found.changing:
        oldest = min(found.changing)
        click.echo(
            f"smscd: {len(found.changing)} stored day{'s' if len(found.changing) > 1 else ''} may still change "
            f"({oldest} is as of {_moment(found.as_of_ms[oldest])}): --live adds up now.",
            err=True,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the answer. names: of the dimensions asked for."""

    names: dict[str, str]
    currency: str
    counts: Counts


def fold(rows: Sequence[DayRow], dimensions: Sequence[str]) -> list[Line]:
    """Rows with the same names added up, never two currencies."""
    from smscd.core.totals import Counts

    sums: dict[tuple[tuple[str, ...], str], Counts] = {}
    for row in rows:
        names = {"day": str(row.day), **row.key._asdict()}
        key = tuple(names[name] for name in dimensions), row.currency
        sums[key] = sums.get(key, Counts()).plus(row.counts)
    return [
        Line(dict(zip(dimensions, names, strict=True)), currency, counts)
        for (names, currency), counts in sorted(sums.items())
    ]


async def _found(
    location: Location,
    asked: tuple[date, date] | None,
    account: str | None,
    live: bool,
    progress: Callable[[float], None],
    *,
    as_json: bool,
) -> Found:
    from smscd.archive.day_totals import day_begins_ms, day_of
    from smscd.cli.storage import opened
    from smscd.core.totals import DAY_MS, is_final
    from storage.postgres.totals import computed_days, stored_totals

    found = Found()
    async with opened(location, command_seconds=None) as storage:
        connection = storage.database
        seconds, micros = await storage.link.command("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        today = day_of(now_ms)
        first, end = asked or (today, today + timedelta(days=1))
        end = min(end, today + timedelta(days=1))
        await connection.execute("SET plan_cache_mode = force_custom_plan")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            currencies = await _currencies(connection, account, as_json=as_json)
            if not live:
                found.as_of_ms = await computed_days(connection, first, end)
                found.rows = await stored_totals(connection, first, end, account)
            days = [first + timedelta(days=number) for number in range((end - first).days)]
            unknown = [day for day in days if day not in found.as_of_ms]
            await _add_up(connection, unknown, account, now_ms, currencies, found, progress)
    found.changing = {
        day for day, computed_ms in found.as_of_ms.items() if not is_final(day_begins_ms(day) + DAY_MS, computed_ms)
    }
    return found


async def _add_up(
    connection: Connection,
    days: Sequence[date],
    account: str | None,
    now_ms: int,
    currencies: dict[str, str],
    found: Found,
    progress: Callable[[float], None],
) -> None:
    """Add up days from their messages; those before the oldest message are empty."""
    from smscd.archive.day_totals import add_up_day, day_of
    from smscd.core.ids import message_ms
    from storage.postgres.totals import DayRow, first_message

    oldest = await first_message(connection)
    wanted = [day for day in days if oldest is not None and day >= day_of(message_ms(oldest))]
    for number, day in enumerate(wanted):

        def share(of_day: float, number: int = number) -> None:
            progress((number + of_day) / len(wanted))

        sums = await add_up_day(connection, day, account=account, until_ms=now_ms + 60_000, progress=share)
        found.rows += [DayRow(day, key, currencies.get(key.account, ""), counts) for key, counts in sums.items()]


async def _currencies(connection: Connection, account: str | None, *, as_json: bool) -> dict[str, str]:
    from storage.postgres.totals import read_currencies

    currencies = await read_currencies(connection)
    if account is not None and account not in currencies:
        give_up(f"There is no account {account}: `smscd account list` shows all.", as_json=as_json)
    return currencies


def _days(day: str | None, begins: str | None, ends: str | None) -> tuple[date, date] | None:
    """The first day and the one after the last; None: today."""
    if day is not None and (begins or ends):
        raise click.UsageError("Give --day, or --from and --until.")
    if day is not None:
        return _date(day), _date(day) + timedelta(days=1)
    if begins is None and ends is None:
        return None
    if begins is None:
        raise click.UsageError("--until needs --from.")
    first, end = _date(begins), _date(ends) if ends is not None else date(2100, 1, 1)
    if first >= end:
        raise click.UsageError("--until must be later than --from.")
    return first, end


def _date(text: str) -> date:
    try:
        found = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise click.UsageError(f"{text} is not a day such as 2026-11-01.") from None
    if not 2020 <= found.year < 2100:
        raise click.UsageError(f"{text} is not a day from 2020 to 2099.")
    return found


def _money(counts: Counts) -> tuple[int, ...]:
    """In the order of MONEY."""
    return counts.charged_micros, counts.refunded_micros, counts.cost_micros, counts.margin_micros


def _fields(line: Line) -> dict[str, Any]:
    return {
        **line.names,
        "messages": line.counts.messages,
        "segments": line.counts.segments,
        **{f"{name}_micros": micros for name, micros in zip(MONEY, _money(line.counts), strict=True)},
        "messages_without_cost": line.counts.without_cost,
        "currency": line.currency,
    }


def _print_csv(dimensions: Sequence[str], lines: Sequence[Line]) -> None:
    write = csv.writer(sys.stdout, lineterminator="\n").writerow
    write((*dimensions, "messages", "segments", *MONEY, "messages_without_cost", "currency"))
    for line in lines:
        counts = line.counts
        money = [shown_money(micros, "") for micros in _money(counts)]
        write((*line.names.values(), counts.messages, counts.segments, *money, counts.without_cost, line.currency))


def _print_table(dimensions: Sequence[str], lines: Sequence[Line]) -> None:
    """With a line of sums for each currency."""
    sums: dict[str, Counts] = {}
    for line in lines:
        sums[line.currency] = sums[line.currency].plus(line.counts) if line.currency in sums else line.counts
    every = ("all", *([""] * (len(dimensions) - 1)))
    rows = [(_shown_names(line), line.currency, line.counts) for line in lines]
    rows += [(every, currency, counts) for currency, counts in sorted(sums.items())]
    print_table(
        [*dimensions, "messages", "segments", *MONEY, "cost not known"],
        [
            (
                *names,
                f"{counts.messages:,}",
                f"{counts.segments:,}",
                *(shown_money(micros, currency) for micros in _money(counts)),
                f"of {counts.without_cost:,}" if counts.without_cost else "",
            )
            for names, currency, counts in rows
        ],
    )


def _shown_names(line: Line) -> tuple[str, ...]:
    return tuple(name or "unknown" if dimension == "country" else name for dimension, name in line.names.items())


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[Callable[[float], None]]:
    """A bar on standard error, when somebody looks at it."""
    if not is_shown or not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("adding up messages", total=1.0)

        def show(share: float) -> None:
            bars.update(task, completed=share)

        yield show
