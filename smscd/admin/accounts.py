"""What operators look at and change of accounts: their terms, and whether they may send; each change is in the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from msgspec.structs import asdict, replace

from smscd.admin import account_terms
from smscd.admin.account_terms import AccountTerms, NewAccount, TermsInvalid
from smscd.admin.orders import Refusal, no_account
from smscd.core.directory import Account
from smscd.core.limits import Limits
from smscd.supervision.seed import new_webhook_secret
from storage.postgres import configuration, operators
from storage.postgres.operators import AccountTerms as Terms
from storage.postgres.pool import Connection, Database, acquired
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of an order to make or change an account. differences: of each term, before and after.

    secret: of the webhooks of a new one, which nobody can be shown again.
    """

    account: Account
    differences: Mapping[str, tuple[object, object]]
    secret: str = ""


async def create(asked: NewAccount, limits: Limits, operator: str, database: Database) -> Made | Refusal:
    """Make an account. limits: of one for which nothing else is said. Raises TermsInvalid."""
    secret = new_webhook_secret()
    base = Account(id=asked.name, currency=asked.currency, webhook_secret=secret)
    made = account_terms.applied(replace(base, **asdict(limits)), asked)
    async with acquired(database) as connection, connection.transaction():
        await configuration.lock(connection)
        if await configuration.find_account(connection, asked.name) is not None:
            return Refusal("account_exists", 409, f"There is an account {asked.name} already: take another name.")
        await write(connection, operator, None, made)
    return Made(account=made, differences={}, secret=secret)


async def change(name: str, terms: AccountTerms, operator: str, database: Database) -> Made | Refusal:
    """Change terms of an account. Raises TermsInvalid."""
    async with acquired(database) as connection, connection.transaction():
        await configuration.lock(connection)
        await configuration.limits_for_change(connection, name)  # so that nobody suspends it meanwhile
        before = await configuration.find_account(connection, name)
        if before is None:
            return no_account(name)
        made = account_terms.applied(before, terms)
        await write(connection, operator, before, made)
    return Made(account=made, differences=account_terms.differences(before, made))


async def write(connection: Connection, operator: str, before: Account | None, made: Account) -> None:
    """Write an account, and down who changed what, in the transaction of the caller. Raises TermsInvalid."""
    if faults := account_terms.plan_faults(made, await configuration.price_plans(connection)):
        raise TermsInvalid(faults)
    if before is None:
        await configuration.add_account(connection, made)
        await configuration.set_tags(connection, made.id, made.tags)
        await operators.log(connection, operator, "account.add", made.id, new=account_terms.shown(made))
        return
    found = account_terms.differences(before, made)
    if not found:
        return
    await configuration.add_account(connection, made)
    await configuration.set_tags(connection, made.id, made.tags)
    old, new = ({name: pair[side] for name, pair in found.items()} for side in (0, 1))
    await operators.log(connection, operator, "account.change", made.id, old=old, new=new)


async def page(database: Database, balances: Balances, *, after: str, limit: int) -> list[dict[str, object]]:
    """Up to `limit` accounts whose names come after this one, each with its balance."""
    found = await configuration.account_page(database, after, limit)
    return [_with_terms(account, await balances.balance(account.id) or 0) for account in found]


async def view(account: str, database: Database, balances: Balances) -> dict[str, object] | Refusal:
    """An account as JSON: its balance and all its terms."""
    async with acquired(database) as connection:
        found = await configuration.find_account(connection, account)
    if found is None:
        return no_account(account)
    return _with_terms(found, await balances.balance(account) or 0)


def _with_terms(account: Account, balance_micros: int) -> dict[str, object]:
    return shown(account, balance_micros) | account_terms.shown(account)


def shown(terms: Terms | Account, balance_micros: int) -> dict[str, object]:
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
