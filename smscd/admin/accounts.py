"""What operators look at and change of an account: suspended or not, told to every process at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from smscd.admin.orders import Refusal, no_account
from storage.postgres import operators
from storage.postgres.operators import AccountTerms
from storage.postgres.pool import Database, acquired
from storage.redis.accounts import Balances
from storage.redis.errors import StorageUnavailable


@dataclass(frozen=True, slots=True)
class Suspension:
    """What became of an order to suspend or resume. has_changed: it was otherwise before.

    is_told: Redis has passed the notice on; otherwise every process finds out at its next look, within half a minute.
    """

    is_suspended: bool
    has_changed: bool
    is_told: bool


async def suspend(
    account: str, operator: str, database: Database, tell: Callable[[], Awaitable[None]], *, is_suspended: bool
) -> Suspension | Refusal:
    """Suspend an account, or resume it. tell: has all processes read the configuration again.

    They are told also when nothing changed, so that who doubts that a notice arrived may repeat it.
    """
    async with acquired(database) as connection, connection.transaction():
        before = await operators.set_suspended(connection, account, is_suspended=is_suspended)
        if before is None:
            return no_account(account)
        if before != is_suspended:
            action = "account.suspend" if is_suspended else "account.resume"
            old, new = {"is_suspended": before}, {"is_suspended": is_suspended}
            await operators.log(connection, operator, action, account, old=old, new=new)
    try:
        await tell()
    except StorageUnavailable:
        return Suspension(is_suspended, before != is_suspended, False)
    return Suspension(is_suspended, before != is_suspended, True)


async def view(account: str, database: Database, balances: Balances) -> dict[str, object] | Refusal:
    """An account as JSON: its balance and what limits it."""
    terms = await operators.find_account(database, account)
    if terms is None:
        return no_account(account)
    return shown(terms, await balances.balance(account) or 0)


def shown(terms: AccountTerms, balance_micros: int) -> dict[str, object]:
    """The same of what was read already. available_micros: what may still be spent; not below 0."""
    return {
        "account": terms.id,
        "currency": terms.currency,
        "plan": terms.plan,
        "balance_micros": balance_micros,
        "credit_limit_micros": terms.credit_limit_micros,
        "available_micros": max(0, balance_micros + terms.credit_limit_micros),
        "low_balance_micros": terms.low_balance_micros,
        "is_low": terms.low_balance_micros is not None and balance_micros < terms.low_balance_micros,
        "is_suspended": terms.is_suspended,
        "rate_per_second": terms.rate_per_second,
        "burst": terms.burst,
        "binds_max": terms.binds_max,
    }
