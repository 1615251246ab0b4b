"""`smscd account topup|adjust|correct`: orders of money, answered when they are in the ledger."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smscd.cli.account import Money, account, shown_money
from smscd.cli.output import (
    Failure,
    find_instance,
    instance_options,
    json_option,
    operator_name,
    print_json,
    run,
)

if TYPE_CHECKING:
    from smscd.admin.orders import Outcome, Refusal
    from smscd.cli.storage import Opened
    from smscd.core.records import LedgerRecord

F = TypeVar("F", bound=Callable[..., Any])


def _order_options(command: F) -> F:
    wait: Callable[[F], F] = click.option(
        "--wait",
        "wait_seconds",
        type=click.FloatRange(0, 600),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the ledger; then it is pending.",
    )
    reference: Callable[[F], F] = click.option(
        "--reference", help="Your own id of this order: it happens once, however often you repeat it."
    )
    return instance_options(reference(wait(json_option(command))))


_force: Callable[[F], F] = click.option("--force", is_flag=True, help="Also below what the account may owe.")


@account.command()
@click.argument("name")
@click.argument("amount", type=Money())
@click.option("--note", default="", help="For the ledger.")
@_order_options
def topup(name: str, amount: int, **options: Any) -> None:
    """Add AMOUNT to a customer's balance, once for each --reference."""
    _place("topup", name, amount, is_forced=False, corrects="", **options)


@account.command()
@click.argument("name")
@click.argument("amount", type=Money())
@click.option("--note", required=True, help="Why; for the ledger.")
@_force
@_order_options
def adjust(name: str, amount: int, force: bool, **options: Any) -> None:
    """Add AMOUNT to a customer's balance, or take it when it is negative (then write -- before NAME)."""
    _place("adjust", name, amount, is_forced=force, corrects="", **options)


@account.command()
@click.argument("name")
@click.argument("amount", type=Money())
@click.option("--of", "corrects", required=True, metavar="REFERENCE", help="Of the entry that this corrects.")
@click.option("--note", required=True, help="Why; for the ledger.")
@_force
@_order_options
def correct(name: str, amount: int, corrects: str, force: bool, **options: Any) -> None:
    """Correct an earlier entry of the ledger, which itself never changes (a negative AMOUNT: write -- before NAME)."""
    _place("correction", name, amount, is_forced=force, corrects=corrects, **options)


async def first_balance(storage: Opened, name: str, micros: int, *, as_json: bool) -> None:
    """Top up an account that was just made; the ledger is not waited for."""
    from smscd.admin import orders

    order = _order("topup", name, micros, f"add-{uuid.uuid4()}", "first balance")
    outcome = await orders.place(order, storage.database, storage.balances, wait_seconds=0.0)
    if isinstance(outcome, orders.Refusal):
        raise Failure(outcome.detail, as_json=as_json, code=outcome.code)


def _order(kind: str, name: str, micros: int, reference: str, note: str, corrects: str = "") -> LedgerRecord:
    from smscd.core.records import LedgerRecord

    return LedgerRecord(name, kind, micros, reference, int(time.time() * 1000), operator_name(), note, corrects)


def _place(
    kind: str,
    name: str,
    amount: int,
    *,
    config_file: Path | None,
    data_dir: Path | None,
    reference: str | None,
    wait_seconds: float,
    note: str,
    corrects: str,
    is_forced: bool,
    as_json: bool,
) -> None:
    from smscd.admin import orders
    from smscd.cli.storage import opened
    from storage.postgres.operators import find_account

    location = find_instance(config_file, data_dir, as_json=as_json)
    named = reference or f"{kind}-{uuid.uuid4()}"
    order = _order(kind, name, amount, named, note, corrects)

    async def work() -> tuple[Outcome | Refusal, str]:
        async with opened(location) as storage:
            outcome = await orders.place(
                order, storage.database, storage.balances, is_forced=is_forced, wait_seconds=wait_seconds
            )
            terms = await find_account(storage.database, name) if isinstance(outcome, orders.Outcome) else None
            return outcome, terms.currency if terms is not None else ""

    try:
        outcome, currency = run(work, as_json=as_json)
    except Failure as failure:
        said = failure.message.rstrip(".")
        sentence = f"{said}. Whether it was applied, the same command with --reference {named} tells."
        raise Failure(sentence, as_json=as_json, reference=named) from failure
    if isinstance(outcome, orders.Refusal):
        raise Failure(outcome.detail, as_json=as_json, code=outcome.code)
    if as_json:
        print_json(orders.shown(outcome, currency))
        return
    was = "applied" if outcome.is_new else "this reference was applied before; nothing changed"
    click.echo(f"{was}: {outcome.status}{_entry_text(outcome)}")
    click.echo(f"reference {named}")
    click.echo(f"balance {shown_money(outcome.balance_micros, currency)}")


def _entry_text(outcome: Outcome) -> str:
    if outcome.entry is not None:
        return f", entry {outcome.entry.seq} of the ledger"
    return "; the same command again tells when the ledger has it"
