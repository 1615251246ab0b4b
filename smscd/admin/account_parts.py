"""What is changed of an account part by part, or written anew as a whole, by command; each change is in the log."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from msgspec.structs import asdict, replace

from smscd.admin import account_terms, keys
from smscd.admin.orders import Refusal
from smscd.core.directory import Account, Credential
from smscd.core.limits import Limits
from storage.postgres import configuration, operators
from storage.postgres.api_keys import networks_for_change
from storage.postgres.pool import Connection


async def put(
    connection: Connection, made: Account, limited: Callable[[Limits], Limits], operator: str, new: Limits
) -> Account | Refusal:
    """Write an account, a new one or one that is there, in the transaction of the caller; as it is now.

    One that is there keeps what `made` says nothing of: whether it is suspended, its tags, its list of http. Its
    currency stays what it is: its ledger is in that. limited: what its limits become, from those that it has, or `new`.
    """
    held, networks = (
        await configuration.limits_for_change(connection, made.id),
        await networks_for_change(connection, made.id),
    )
    made = replace(made, **asdict(limited(new if held is None else held)))
    if networks is not None:
        made = replace(made, http_networks=networks[1])
    before = await configuration.find_account(connection, made.id)
    if before is None:
        await operators.log(connection, operator, "account.add", made.id, new=account_terms.shown(made))
    elif before.currency != made.currency:
        detail = (
            f"{made.id} has its money in {before.currency}, and keeps it in that: make another account for "
            f"{made.currency}."
        )
        return Refusal("account_exists", 409, detail)
    else:
        made = replace(made, is_suspended=before.is_suspended, tags=before.tags)
        found = account_terms.differences(before, made)
        old, becomes = ({name: pair[side] for name, pair in found.items()} for side in (0, 1))
        await operators.log(connection, operator, "account.change", made.id, old=old, new=becomes)
    await configuration.add_account(connection, made)
    return made


async def let_in(connection: Connection, credential: Credential, key: str, now: datetime) -> Refusal | None:
    """Give an account what it binds with, and its first key, in the transaction of the caller that wrote it."""
    await configuration.add_credential(connection, credential)
    return await keys.add_first(connection, credential.account, key, now)


async def limit(
    connection: Connection, account: str, limited: Callable[[Limits], Limits], operator: str
) -> tuple[Limits, Limits] | None:
    """Change what an account is held to: from what, to what; None when there is no such account."""
    async with connection.transaction():
        held = await configuration.limits_for_change(connection, account)
        if held is None:
            return None
        wanted = limited(held)
        if wanted != held:
            await configuration.set_limits(connection, account, wanted)
            await operators.log(connection, operator, "account.change", account, old=_logged(held), new=_logged(wanted))
    return held, wanted


async def retag(
    connection: Connection, account: str, added: Collection[str], removed: Collection[str], operator: str
) -> tuple[frozenset[str], frozenset[str]] | None:
    """Give an account tags, and take some from it: from what, to what; None when there is no such account."""
    async with connection.transaction():
        held = await configuration.tags_for_change(connection, account)
        if held is None:
            return None
        wanted = (held | set(added)) - set(removed)
        if wanted != held:
            await configuration.set_tags(connection, account, wanted)
            old, new = {"tags": sorted(held)}, {"tags": sorted(wanted)}
            await operators.log(connection, operator, "account.tags", account, old=old, new=new)
    return held, wanted


async def make_durable(connection: Connection, account: str, wanted: str, operator: str) -> None:
    """Change when an account's messages are accepted, where there is such an account."""
    async with connection.transaction():
        await configuration.limits_for_change(connection, account)
        before = await configuration.find_account(connection, account)
        if before is not None and before.durability != wanted:
            await configuration.set_durability(connection, account, wanted)
            old, new = {"durability": before.durability}, {"durability": wanted}
            await operators.log(connection, operator, "account.change", account, old=old, new=new)


def _logged(limits: Limits) -> dict[str, object]:
    return asdict(limits) | {"allowed_countries": sorted(limits.allowed_countries)}
