"""Orders of money by an operator: top-ups, adjustments and corrections, checked, applied once, and waited for.

An order goes to Redis, from there through the journal to the ledger, and is answered when the writer has committed it.
Its reference names it in the whole installation: the same again tells what became of it, whoever asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from smscd.archive.accounting import ORDER_KINDS
from smscd.core.records import LedgerRecord
from storage.postgres import operators
from storage.postgres.ledger import LedgerEntry, entry_of
from storage.postgres.messages import recorded_id
from storage.postgres.operators import AccountTerms
from storage.postgres.pool import UNAVAILABLE, Database
from storage.redis.accounts import AmountOutOfRange, Balances, BelowFloor, TopUp
from storage.redis.journal import entry_order

WAIT_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05
POLL_SECONDS_MAX: Final = 0.4
REFERENCE_CHARACTERS_MAX: Final = 128
NOTE_CHARACTERS_MAX: Final = 500
AMOUNT_MICROS_MAX: Final = 2**53 - 1
KEPT_MS: Final = 30 * 86_400_000
"""How long Redis keeps references; of older ones PostgreSQL tells."""
Fault: TypeAlias = tuple[str, str]
"""Where something stands in a body, and what is wrong with it, as a sentence."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order is not carried out. status: of HTTP. detail: a sentence that says what to do.

    faults: of each field that is wrong, where it stands in the body (a/b) and what is wrong with it.
    """

    code: str
    status: int
    detail: str
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order. is_new: it was applied by this call. entry: of the ledger; None: not committed yet.

    balance_micros: of the account now, in Redis.
    """

    order: LedgerRecord
    is_new: bool
    balance_micros: int
    entry: LedgerEntry | None

    @property
    def status(self) -> str:
        """committed, or pending: applied to the balance, and not in the ledger yet."""
        return "pending" if self.entry is None else "committed"


def check(order: LedgerRecord) -> Refusal | None:
    """What is wrong with an order by itself."""
    reference, note = order.reference, order.note
    faults: list[Fault] = []
    if order.kind not in ORDER_KINDS:
        faults.append(("kind", f"An order is one of {', '.join(ORDER_KINDS)}, not {order.kind}."))
    if not 1 <= len(reference) <= REFERENCE_CHARACTERS_MAX or not reference.isprintable() or "/" in reference:
        rule = f"A reference has 1 to {REFERENCE_CHARACTERS_MAX} printable characters and no slash."
        faults.append(("reference", rule))
    if len(note) > NOTE_CHARACTERS_MAX or not note.isprintable():
        faults.append(("note", f"A note has at most {NOTE_CHARACTERS_MAX} printable characters."))
    if order.amount_micros == 0 or abs(order.amount_micros) > AMOUNT_MICROS_MAX:
        rule = "An amount is neither zero nor beyond what a balance can hold (2^53 micro-units)."
        faults.append(("amount", rule))
    elif order.kind == "topup" and order.amount_micros < 0:
        rule = "A top-up is positive: to take money, order an adjust or a correction, with a note."
        faults.append(("amount", rule))
    if order.kind != "topup" and not note.strip():
        faults.append(("note", f"Every {order.kind} needs a note that says why."))
    if (order.kind == "correction") != bool(order.corrects):
        rule = "A correction, and nothing else, names the reference of the entry that it corrects."
        faults.append(("corrects", rule))
    return refused(faults)


def refused(faults: Sequence[Fault]) -> Refusal | None:
    """The refusal of what has these faults; None when there are none."""
    return refusal_of(faults) if faults else None


def refusal_of(faults: Sequence[Fault]) -> Refusal:
    """A refusal with all of these faults."""
    return Refusal("validation_failed", 422, " ".join(rule for _, rule in faults), tuple(faults))


async def place(
    order: LedgerRecord,
    database: Database,
    balances: Balances,
    *,
    is_forced: bool = False,
    wait_seconds: float = WAIT_SECONDS,
) -> Outcome | Refusal:
    """Carry out an order once, and wait until the ledger has it, at most wait_seconds.

    is_forced: it may leave the balance below what the account may owe.
    Raises StorageUnavailable, or what PostgreSQL raises when it is away; the same order again tells what became of it.
    """
    if refusal := check(order):
        return refusal
    terms = await operators.find_account(database, order.account)
    if terms is None:
        return no_account(order.account)
    # First how far the record goes, then what it says: a reference that Redis may forget by this is in the answer.
    recorded = await recorded_id(database, 0) or "0-0"
    entry = await entry_of(database, order.reference)
    if entry is not None:
        return _clash(order, _record_of(entry)) or await _committed(entry, balances)
    known = await balances.applied(order.account, order.reference)
    if known is not None:
        return await _answer(order, known, database, balances, wait_seconds)
    if order.corrects:
        corrected = await entry_of(database, order.corrects)
        if corrected is None or corrected.account != order.account:
            detail = f"The ledger has no entry {order.corrects} of {order.account}, so nothing can be corrected."
            return Refusal("unknown_entry", 422, detail)
    recorded_ms = entry_order(recorded)[0]
    applied = await _apply(order, terms, database, balances, is_forced=is_forced, recorded_ms=recorded_ms)
    return applied if isinstance(applied, Refusal) else await _answer(order, applied, database, balances, wait_seconds)


async def _answer(
    order: LedgerRecord, applied: TopUp, database: Database, balances: Balances, wait_seconds: float
) -> Outcome | Refusal:
    """What became of an order that Redis knows, by now or by an earlier call."""
    # An order that an earlier release applied a moment ago is known by its reference alone: the ledger tells the rest.
    if applied.record is not None and (refusal := _clash(order, applied.record)):
        return refusal
    outcome = await _settled(order, applied, database, balances, wait_seconds)
    return outcome if isinstance(outcome, Refusal) else _clash(order, outcome.order) or outcome


async def find(reference: str, account: str, database: Database, balances: Balances) -> Outcome | Refusal | None:
    """What became of an order of an account; None when there is none."""
    entry = await entry_of(database, reference)
    if entry is not None:
        return await _committed(entry, balances) if entry.account == account else None
    applied = await balances.applied(account, reference)
    if applied is None or applied.record is None or applied.record.account != account:
        return None
    return await _settled(applied.record, applied, database, balances, 0.0)


def no_account(account: str) -> Refusal:
    """What is said of an account that is not there."""
    return Refusal("not_found", 404, f"There is no account {account}.")


async def _apply(
    order: LedgerRecord,
    terms: AccountTerms,
    database: Database,
    balances: Balances,
    *,
    is_forced: bool,
    recorded_ms: int,
) -> TopUp | Refusal:
    """Write the order down, then move the balance: no money moves that the log does not know of."""
    action = f"account.{order.kind}"
    wanted = {
        "amount_micros": order.amount_micros,
        "reference": order.reference,
        "note": order.note,
        **({"corrects": order.corrects} if order.corrects else {}),
        **({"is_forced": True} if is_forced else {}),
    }
    before = {"balance_micros": await balances.balance(order.account) or 0}
    await operators.log(database, order.operator, action, order.account, old=before, new=wanted)
    is_free = is_forced or order.amount_micros > 0
    floor = -terms.credit_limit_micros
    try:
        return await balances.top_up(
            order, floor_micros=None if is_free else floor, recorded_ms=recorded_ms, kept_ms=KEPT_MS
        )
    except BelowFloor as error:
        detail = (
            f"This would leave {error.balance_micros + order.amount_micros} micro-units, and the account may not go "
            f"below {floor}. To do it nevertheless, force it."
        )
        refusal = Refusal("below_floor", 409, detail)
    except AmountOutOfRange:
        refusal = _invalid("The balance would go beyond what it can hold (2^53 micro-units): nothing was changed.")
    await operators.log(
        database, order.operator, f"{action}.refused", order.account, old=before, new={**wanted, "code": refusal.code}
    )
    return refusal


async def _settled(
    order: LedgerRecord, applied: TopUp, database: Database, balances: Balances, wait_seconds: float
) -> Outcome | Refusal:
    """Wait for the ledger. A PostgreSQL that goes away meanwhile is waited for like a writer that is behind."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait_seconds
    known = applied.record or order
    pause = POLL_SECONDS
    while True:
        try:
            recorded = await recorded_id(database, 0) or "0-0"
            if entry_order(recorded) >= entry_order(applied.journal_id):
                entry = await entry_of(database, order.reference)
                if entry is None:
                    return Refusal(
                        "set_aside",
                        409,
                        f"The order {order.reference} moved the balance, but the ledger could not take it as it is: "
                        "look for it in journal_dead_letters.",
                    )
                return await _committed(entry, balances, is_new=applied.is_new)
        except UNAVAILABLE:
            pass
        if clock() >= end:
            return Outcome(known, applied.is_new, applied.balance_micros, None)
        await asyncio.sleep(pause)
        pause = min(2 * pause, POLL_SECONDS_MAX)


async def _committed(entry: LedgerEntry, balances: Balances, *, is_new: bool = False) -> Outcome:
    return Outcome(_record_of(entry), is_new, await balances.balance(entry.account) or 0, entry)


def _clash(order: LedgerRecord, known: LedgerRecord) -> Refusal | None:
    """Why the reference is not this order's, when it is another's."""
    if all(getattr(order, name) == getattr(known, name) for name in _COMPARED):
        return None
    return Refusal(
        "reference_reused",
        409,
        f"The reference {order.reference} is of another order ({known.kind} of {known.amount_micros} micro-units "
        f"for {known.account}): nothing was changed. Give this one a reference of its own.",
    )


_COMPARED: Final = ("account", "kind", "amount_micros", "corrects")


def _record_of(entry: LedgerEntry) -> LedgerRecord:
    return LedgerRecord(
        account=entry.account,
        kind=entry.kind,
        amount_micros=entry.amount_micros,
        reference=entry.reference or "",
        at_ms=entry.at_ms,
        operator=entry.operator or "",
        note=entry.note or "",
        corrects=entry.corrects or "",
    )


def _invalid(detail: str) -> Refusal:
    return Refusal("validation_failed", 422, detail)


def shown(outcome: Outcome, currency: str) -> dict[str, object]:
    """An outcome as JSON, the same by command and over HTTP."""
    order, entry = outcome.order, outcome.entry
    return {
        "account": order.account,
        "reference": order.reference,
        "kind": order.kind,
        "amount_micros": order.amount_micros,
        "note": order.note,
        "corrects": order.corrects or None,
        "operator": order.operator,
        "status": outcome.status,
        "applied": outcome.is_new,
        "balance_micros": outcome.balance_micros,
        "currency": currency,
        "ledger_entry": None if entry is None else entry.seq,
    }
