"""Routes as operators write and read them, pure: as JSON and as CSV, and what an import changes."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from types import NoneType
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from smscd.core.directory import Route, RouteInvalid, zone_of
from smscd.core.price_files import LineError

ROWS_MAX: Final = 200_000
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LISTS: Final = frozenset(("upstreams", "tags", "days", "weights"))
FIELDS: Final = (
    "account", "prefix", "name", "upstreams", "source", "tags", "zone", "days", "from", "until", "choice", "weights",
    "in_doubt",
)  # fmt: skip
_PREFIX: Final = re.compile(r"\+?([0-9]{1,15})")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class RouteChanges(NamedTuple):
    """What an import would do. changed: the old and the new. removed: with replace, what the file does not have."""

    added: list[Route]
    changed: list[tuple[Route, Route]]
    removed: list[Route]
    unchanged: int


def key_of(label: str) -> tuple[str, str, str]:
    """account/prefix or account/prefix/name, with * for all, as account, prefix and name. Raises ValueError."""
    parts = label.split("/")
    if len(parts) not in (2, 3) or not parts[0] or not parts[1]:
        raise ValueError(f"{label} is not a route: write account/prefix or account/prefix/name, with * for all")
    account, prefix, name = (*parts, "")[:3]
    return "" if account == "*" else account, _prefix(prefix), name


def shown(route: Route) -> dict[str, Any]:
    """A route as JSON; route_of reads it."""
    has_hours = route.from_minute or route.until_minute
    return {
        "account": route.account,
        "prefix": route.prefix,
        "name": route.name,
        "upstreams": list(route.upstreams),
        "source": route.source,
        "tags": sorted(route.tags),
        "zone": route.zone,
        "days": [DAYS[day - 1] for day in sorted(route.days)],
        "from": _clock(route.from_minute) if has_hours else "",
        "until": _clock(route.until_minute) if has_hours else "",
        "choice": route.choice,
        "weights": list(route.weights),
        "in_doubt": route.in_doubt,
    }


def route_of(fields: Mapping[str, Any]) -> Route:
    """A route from JSON, in which all but prefix and upstreams may be missing. Raises RouteInvalid with all faults."""
    faults: list[tuple[str, str]] = []
    values: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            key, read = _READ[name]
            values[key] = read(value)
        except KeyError:
            faults.append((name, f"a route has no {name}: it has {', '.join(FIELDS)}"))
        except ValueError as error:
            faults.append((name, str(error)))
    for name in ("prefix", "upstreams"):
        if name not in fields:
            faults.append((name, f"{name} is required"))
    if faults:
        raise RouteInvalid(faults)
    return Route(**values)


def read_routes(data: bytes) -> tuple[dict[int, Route], list[LineError]]:
    """The routes of a CSV file by line, or what is wrong with it. Its first line names the columns (FIELDS)."""
    routes: dict[int, Route] = {}
    errors: list[LineError] = []
    lines: dict[tuple[str, str, str], int] = {}
    try:
        reader = csv.DictReader(StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        for row in reader:
            line = reader.line_num
            if len(routes) + len(errors) >= ROWS_MAX:
                errors.append(LineError(line, f"is one too many: a file has at most {ROWS_MAX:,} routes"))
                break
            try:
                route = route_of(_fields(row))
                first = lines.setdefault((route.account, route.prefix, route.name), line)
                if first != line:
                    raise ValueError(f"is the same route as line {first}: give it another name")
                routes[line] = route
            except ValueError as error:
                errors.append(LineError(line, str(error)))
    except UnicodeDecodeError:
        errors.append(LineError(0, "is not UTF-8: save the file as UTF-8"))
    except csv.Error as error:
        errors.append(LineError(0, f"is not CSV: {error}"))
    if not routes and not errors:
        errors.append(LineError(0, "has no routes"))
    return routes, errors


def plan_changes(current: Iterable[Route], wanted: Iterable[Route], *, replace: bool) -> RouteChanges:
    """What makes the routes what a file says; with replace, those that it does not have go."""
    before = {(route.account, route.digits, route.name): route for route in current}
    changes = RouteChanges([], [], [], 0)
    unchanged = 0
    for route in wanted:
        old = before.pop((route.account, route.digits, route.name), None)
        if old is None:
            changes.added.append(route)
        elif old != route:
            changes.changed.append((old, msgspec.structs.replace(route, prefix=old.prefix)))
        else:
            unchanged += 1
    if replace:
        changes.removed.extend(before.values())
    return changes._replace(unchanged=unchanged if replace else unchanged + len(before))


def _fields(row: Mapping[str | None, Any]) -> dict[str, Any]:
    if None in row or None in row.values():
        raise ValueError("does not have as many fields as the first line")
    fields: dict[str, Any] = {}
    for name, value in row.items():
        text = value.strip()
        if text:
            fields[str(name)] = text.split() if name in _LISTS else text
    if "weights" in fields:
        if not all(weight.isascii() and weight.isdigit() for weight in fields["weights"]):
            raise ValueError("has weights that are not whole numbers")
        fields["weights"] = [int(weight) for weight in fields["weights"]]
    fields["account"] = fields.get("account", "").replace("*", "")
    return fields


def _prefix(prefix: object) -> str:
    if prefix in ("", "*"):
        return ""
    digits = _PREFIX.fullmatch(prefix) if isinstance(prefix, str) else None
    if digits is None:
        raise ValueError(f"prefix {prefix!r} is not 1 to 15 digits; * is all destinations")
    return digits[1]


def _days(days: object) -> frozenset[int]:
    if not isinstance(days, list | NoneType):
        raise ValueError(f"days are a list of {' '.join(DAYS)}")
    if wrong := [day for day in days or () if day not in DAYS]:
        raise ValueError(f"{wrong[0]} is not a day: they are {' '.join(DAYS)}")
    return frozenset(DAYS.index(day) + 1 for day in days or ())


def _minute(time: object) -> int:
    found = _TIME.fullmatch(time) if isinstance(time, str) else None
    if found is None:
        raise ValueError(f"{time!r} is not a time of day such as 08:30")
    return int(found[1]) * 60 + int(found[2])


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _clock_or_none(time: object) -> int:
    return _minute(time or "00:00")


def _as(name: str) -> Callable[[object], Any]:
    """Reads what the type of a route's field says."""
    hint = get_type_hints(Route, include_extras=True)[name]

    def read(value: object) -> Any:
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error

    return read


_zone_text: Final = _as("zone")


def _zone(zone: object) -> str:
    name: str = _zone_text(zone)
    if name:
        zone_of(name)
    return name


_READ: Final[dict[str, tuple[str, Callable[[object], Any]]]] = {
    **{name: (name, _as(name)) for name in FIELDS if name not in ("prefix", "zone", "days", "from", "until")},
    "prefix": ("prefix", _prefix),
    "zone": ("zone", _zone),
    "days": ("days", _days),
    "from": ("from_minute", _clock_or_none),
    "until": ("until_minute", _clock_or_none),
}
"""By the name of a field in JSON: which field of a route it is, and what reads it. Raises ValueError."""
