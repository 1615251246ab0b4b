"""The time formats of SMPP (3.4 section 7.1.1): absolute with a quarter-hour offset, and relative."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

_FORMAT = re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d)(\d\d)([-+R])")
_QUARTER_OFFSET_MAX = 48
_RELATIVE_DAYS_MAX = 31


class TimeFormatError(ValueError):
    """A time that no one can mean: answer ESME_RINVSCHED or ESME_RINVEXPIRY, whichever field it came in."""


def parse_time(value: bytes, now_ms: int) -> int:
    """YYMMDDhhmmsstnnp as milliseconds since the epoch; a relative time counts from now_ms.

    The empty string (immediately, or the default validity) is not a time: look for it first.
    Raises TimeFormatError.
    """
    match = _FORMAT.fullmatch(value)
    if match is None:
        raise TimeFormatError("not YYMMDDhhmmsstnnp")
    year, month, day, hour, minute, second, tenth, quarters = (int(part) for part in match.groups()[:8])
    sign = match[9]
    if sign == b"R":
        return _add(now_ms, year * 12 + month, timedelta(days=day, hours=hour, minutes=minute, seconds=second))
    if quarters > _QUARTER_OFFSET_MAX:
        raise TimeFormatError(f"an offset of {quarters} quarter hours")
    try:
        local = datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise TimeFormatError(str(error)) from None
    offset = timedelta(minutes=15 * quarters)
    return to_ms(local - offset if sign == b"+" else local + offset) + 100 * tenth


def _add(now_ms: int, months: int, rest: timedelta) -> int:
    """Months first, by the calendar (31 January and a month is the end of February), then the rest."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    year, month = divmod(now.year * 12 + now.month - 1 + months, 12)
    month += 1
    day = min(now.day, calendar.monthrange(year, month)[1])
    return to_ms(now.replace(year=year, month=month, day=day) + rest) + now_ms % 1000


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since the epoch of a moment that knows its zone."""
    return round(moment.timestamp() * 1000)


def format_absolute(at_ms: int) -> bytes:
    """Milliseconds since the epoch as an absolute time in UTC, cut to tenths of a second."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return moment.strftime("%y%m%d%H%M%S").encode() + b"%d00+" % (at_ms % 1000 // 100)


def format_relative(seconds: int) -> bytes:
    """A duration as a relative time. Raises ValueError beyond 31 days: the units above are not of one length."""
    days, rest = divmod(seconds, 86_400)
    if not 0 <= days <= _RELATIVE_DAYS_MAX:
        raise ValueError(f"{seconds} seconds do not fit a relative time of at most {_RELATIVE_DAYS_MAX} days")
    return b"0000%02d%02d%02d%02d000R" % (days, rest // 3600, rest // 60 % 60, rest % 60)
