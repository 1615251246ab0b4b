"""What operators pause, drain and resume: an upstream, a route or an account, told to every process at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from smscd.admin.orders import Refusal
from smscd.core.directory import HaltState
from storage.postgres import halts, operators
from storage.postgres.halts import HaltRow, Subject
from storage.postgres.pool import Database, acquired
from storage.redis.errors import StorageUnavailable

ACTIONS: dict[HaltState | None, str] = {"paused": "pause", "drained": "drain", None: "resume"}


@dataclass(frozen=True, slots=True)
class Halted:
    """What became of an order to pause, drain or resume. state: None: it runs. has_changed: it was otherwise before.

    is_told: Redis has passed the notice on; otherwise every process finds out at its next look, within half a minute.
    note: what the operator may have forgotten.
    """

    subject: Subject
    state: HaltState | None
    has_changed: bool
    is_told: bool
    note: str = ""


async def halt(
    subject: Subject,
    state: HaltState | None,
    operator: str,
    database: Database,
    tell: Callable[[], Awaitable[None]],
) -> Halted | Refusal:
    """Pause or drain, or with None resume. tell: has all processes read the configuration again.

    What is gone can still be resumed: its halt would wait for another of that name.
    """
    if subject.kind == "account" and state == "drained":
        return Refusal(
            "not_drainable",
            422,
            f"An account is drained by suspending it: `smscd account suspend {subject.name}` refuses all that it "
            "submits, and sends what waits.",
        )
    note = ""
    async with acquired(database) as connection, connection.transaction():
        if state is not None and not await halts.is_known(connection, subject):
            return Refusal("not_found", 404, f"There is no {described(subject)}.")
        before = await halts.set_state(connection, subject, state, operator)
        if before != state:
            action = f"{subject.kind}.{ACTIONS[state]}"
            name = subject.name if subject.kind != "route" else described(subject).removeprefix("route ")
            await operators.log(connection, operator, action, name, old={"state": before}, new={"state": state})
        if subject.kind == "account" and state is None:
            terms = await operators.find_account(connection, subject.name)
            if terms is not None and terms.is_suspended:
                note = f"It is suspended: `smscd account resume {subject.name}` takes its messages again."
    try:
        await tell()
    except StorageUnavailable:
        return Halted(subject, state, before != state, False, note)
    return Halted(subject, state, before != state, True, note)


def described(subject: Subject) -> str:
    """A subject in words."""
    if subject.kind != "route":
        return f"{subject.kind} {subject.name}"
    return f"route {subject.name or '*'}" + (f" of account {subject.account}" if subject.account else "")


def shown(found: Halted) -> dict[str, object]:
    """An outcome as JSON, the same by command and over HTTP."""
    told = {"state": found.state or "running", "changed": found.has_changed, "told": found.is_told}
    return _named(found.subject) | told | ({"note": found.note} if found.note else {})


def listed(row: HaltRow) -> dict[str, object]:
    """A halt as JSON."""
    subject = Subject(row.kind, row.name, row.account)
    return {**_named(subject), "state": row.state, "since": row.since.isoformat(), "operator": row.operator}


def _named(subject: Subject) -> dict[str, object]:
    if subject.kind != "route":
        return {subject.kind: subject.name}
    return {"route": subject.name or "*", "account": subject.account or None}
