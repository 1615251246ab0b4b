"""What operators do with routes: make, change, remove and explain them; each change is in the audit log."""

from __future__ import annotations

from typing import Any

from smscd.admin.orders import Fault, Refusal, refused
from smscd.core.addresses import find_destination
from smscd.core.directory import Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.planning import plan
from smscd.core.reasons import Rejected
from smscd.core.records import Door, MessageRecord
from smscd.core.route_forms import RouteChanges, plan_changes, shown
from smscd.core.routing import NONE_CLOSED
from smscd.core.submission import DETECT, Submission
from storage.postgres import configuration, operators
from storage.postgres.pool import Database, acquired

TEXT = "One segment."
FAULTS_SAID_MAX = 20
"""Of an import: a file may name an upstream that is not there in each of its lines."""


async def change(
    database: Database,
    operator: str,
    wanted: list[Route],
    *,
    removes: tuple[str, str, str] | None = None,
    replace: bool = False,
    apply: bool = True,
    must_exist: bool | None = None,
) -> RouteChanges | Refusal:
    """Make or change routes, or remove one by account, prefix and name. must_exist: refuse the others; None: neither.

    Only with `apply` is anything written; all of it or nothing.
    """
    async with acquired(database) as connection, connection.transaction():
        if apply:
            await configuration.hold_routes(connection)
        current = await configuration.load_routes(connection)
        if removes is not None:
            gone = [route for route in current if (route.account, route.digits, route.name) == removes]
            if not gone:
                return no_route("/".join(part or "*" for part in removes[:2]))
            changes = RouteChanges([], [], gone, 0)
        else:
            changes = plan_changes(current, wanted, replace=replace)
        if must_exist is True and changes.added:
            return no_route(changes.added[0].label)
        if must_exist is False and not changes.added:
            return Refusal("route_exists", 409, f"{wanted[0].label} is there: `smscd route set` changes it.")
        if (refusal := await _unknown(connection, changes)) is not None or not apply:
            return refusal or changes
        await configuration.add_routes(connection, [*changes.added, *(new for _, new in changes.changed)])
        for route in changes.removed:
            await configuration.delete_route(connection, route.account, route.prefix, route.name)
            await operators.log(connection, operator, "route.remove", route.label, old=shown(route))
        for route in changes.added:
            await operators.log(connection, operator, "route.add", route.label, new=shown(route))
        for old, new in changes.changed:
            await operators.log(connection, operator, "route.set", new.label, old=shown(old), new=shown(new))
    return changes


def no_route(label: str) -> Refusal:
    """There is none of this name."""
    return Refusal("not_found", 404, f"There is no route {label}: `smscd route list` shows those that there are.")


async def _unknown(database: Database, changes: RouteChanges) -> Refusal | None:
    """A route to an upstream, or for an account, that is not there is a slip of the pen."""
    accounts, upstreams = await configuration.names(database)
    faults: list[Fault] = []
    for route in (*changes.added, *(new for _, new in changes.changed)):
        faults += [
            (f"upstreams/{at}", f"{route.label}: there is no upstream {name}.")
            for at, name in enumerate(route.upstreams)
            if name not in upstreams
        ]
        if route.account and route.account not in accounts:
            faults.append(("account", f"{route.label}: there is no account {route.account}."))
    return refused(faults[:FAULTS_SAID_MAX])


def explain(
    snapshot: Snapshot,
    account: str,
    number: str,
    sender: str | None,
    at_ms: int,
    id: int = 0,
    out: frozenset[str] = NONE_CLOSED,
) -> dict[str, Any] | Refusal:
    """Which rule, upstream, price and cost a message to the number has, and why not the others: as it is planned.

    id: of the message; it decides among the upstreams of a weighted route. out: Breakers.passed_over, which
    is of now; of another moment nobody knows it.
    """
    index = DirectoryIndex(snapshot)
    entry = index.entry(account)
    if entry is None:
        return Refusal("not_found", 404, f"There is no account {account}.")
    dest = find_destination(DETECT, DETECT, number.encode())
    if isinstance(dest, Rejected):
        return Refusal("validation_failed", 422, f"{number}: {dest.sentence}")
    source = (sender or next(iter(sorted(entry.account.senders)), "smscd")).encode()
    found = plan(Submission(entry.account, Door.HTTP, source, number.encode(), text=TEXT), index, id, at_ms, out)
    record = None if isinstance(found, Rejected) else found.record
    sent_as = source.removeprefix(b"+") if record is None else record.source
    routed = index.routed(entry, dest.digits, at_ms, sent_as, id, out)
    route = routed.route
    currency = entry.account.currency
    return {
        "account": account,
        "to": dest.digits.decode(),
        "from": sent_as.decode("latin-1"),
        "route": route.label if route is not None else None,
        "choice": route.choice if route is not None else None,
        "upstream": record.upstream if record is not None else None,
        "price_micros": record.price_micros if record is not None else None,
        "cost_micros": (record.cost_micros or None) if record is not None else None,
        "currency": currency,
        "refused": found.sentence if isinstance(found, Rejected) else None,
        "waits": _why_waits(record, index, at_ms, out) if record is not None else None,
        "candidates": list(routed.candidates),
        "upstreams_passed": {name: why.value for name, why in routed.passed.items()},
        "routes_passed": {judged.route.label: judged.why.value for judged in routed.rules if judged.why is not None},
    }


def _why_waits(record: MessageRecord, index: DirectoryIndex, at_ms: int, out: frozenset[str]) -> str | None:
    """Why it would be accepted and not be sent yet; None when it would be."""
    if record.upstream in out:
        return f"no upstream of its route can be used; {record.upstream} is out: `smscd upstream list` says why"
    if record.upstream in index.halts.paused_upstreams or index.is_paused(record, at_ms):
        return "an operator paused its upstream, route or account: `smscd halted` says which"
    return None
