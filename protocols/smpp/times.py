"""The time formats of SMPP (3.4 section 7.1.1): absolute with a quarter-hour offset, and relative.

Read liberally: a relative time may have 24 hours or 90 minutes, and its tenths and offset are not looked at. Written
strictly.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_FORMAT = re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d)(\d\d)([-+R])")
_QUARTER_OFFSET_MAX = 48
_RELATIVE_DAYS_MAX = 31
_QUARTER_MS = 900_000
_YEARS = range(2000, 2100)
RELATIVE_SECONDS_MAX = (_RELATIVE_DAYS_MAX + 1) * 86_400 - 1


class ValidityForm(StrEnum):
    """How an upstream wants the validity: as a duration, as a moment, or not at all (its own default holds)."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"
    NONE = "none"


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


def format_absolute(at_ms: int, quarters: int = 0) -> bytes:
    """Milliseconds since the epoch as an absolute time, cut to tenths of a second.

    quarters: the offset of the local time to write, in quarter hours ahead of UTC (negative: behind).
    Raises ValueError for a year outside of 2000 to 2099 (the format has two digits) or more than 12 hours.
    """
    if abs(quarters) > _QUARTER_OFFSET_MAX:
        raise ValueError(f"an offset of {quarters} quarter hours")
    seconds, rest = divmod(at_ms + quarters * _QUARTER_MS, 1000)
    moment = datetime.fromtimestamp(seconds, UTC)
    if moment.year not in _YEARS:
        raise ValueError(f"the year {moment.year} does not fit two digits")
    sign = b"-" if quarters < 0 else b"+"
    return moment.strftime("%y%m%d%H%M%S").encode() + b"%d%02d%b" % (rest // 100, abs(quarters), sign)


def format_relative(seconds: int) -> bytes:
    """A duration as a relative time. Raises ValueError beyond 31 days: the units above are not of one length."""
    days, rest = divmod(seconds, 86_400)
    if not 0 <= days <= _RELATIVE_DAYS_MAX:
        raise ValueError(f"{seconds} seconds do not fit a relative time of at most {_RELATIVE_DAYS_MAX} days")
    return b"0000%02d%02d%02d%02d000R" % (days, rest // 3600, rest // 60 % 60, rest % 60)


def format_validity(until_ms: int, now_ms: int, form: ValidityForm) -> bytes:
    """validity_period for an upstream that gets a message at now_ms: the time that it spent queued is gone from it.

    A relative one is cut to whole seconds, at least one, and to the 31 days that the form has place for: who wants the
    message to end then ends it here (a message that is over by now_ms should not be sent at all).
    """
    if form is ValidityForm.NONE:
        return b""
    if form is ValidityForm.ABSOLUTE:
        return format_absolute(until_ms)
    return format_relative(min(max((until_ms - now_ms) // 1000, 1), RELATIVE_SECONDS_MAX))
