"""Adds up one day from its messages, a slice of time at a time, so that no statement takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime

from smscd.core.ids import first_id
from smscd.core.totals import DAY_MS, SLICE_MS_FIRST, Totals, add_groups, next_width_ms
from storage.postgres.pool import Connection
from storage.postgres.totals import read_dead_letters, read_slice


async def _go_on(seconds: float) -> None:
    """No pause."""


async def add_up_day(
    connection: Connection,
    day: date,
    *,
    account: str | None = None,
    until_ms: int | None = None,
    pause: Callable[[float], Awaitable[None]] = _go_on,
    progress: Callable[[float], None] = lambda share: None,
) -> Totals:
    """The totals of the messages whose ids are of this day in UTC.

    account: only of this one. until_ms: nothing of it is later. pause: awaited after each slice with the seconds that
    it took. Within a repeatable-read transaction all of it is of one moment.
    """
    begin_ms, end_ms = day_begins_ms(day), day_begins_ms(day) + DAY_MS
    end_ms = min(end_ms, max(begin_ms, until_ms)) if until_ms is not None else end_ms
    loop = asyncio.get_running_loop()
    totals: Totals = {}
    at_ms, width_ms = begin_ms, SLICE_MS_FIRST
    while at_ms < end_ms:
        slice_end_ms = min(at_ms + width_ms, end_ms)
        began = loop.time()
        groups = await read_slice(connection, first_id(at_ms), first_id(slice_end_ms), account)
        rows = add_groups(totals, groups)
        width_ms = next_width_ms(slice_end_ms - at_ms, rows)
        at_ms = slice_end_ms
        progress((at_ms - begin_ms) / (end_ms - begin_ms))
        await pause(loop.time() - began)
    add_groups(totals, await read_dead_letters(connection, first_id(begin_ms), first_id(end_ms), account))
    return totals


def day_begins_ms(day: date) -> int:
    """Midnight UTC, milliseconds since the Unix epoch."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def day_of(at_ms: int) -> date:
    """The day of a moment in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()
