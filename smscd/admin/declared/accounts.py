"""The section `accounts` of a declaration: [accounts.NAME], with the terms of each; never money, keys or passwords."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from smscd.admin.declared.steps import Planning, Step, Verb, differences, read, tables
from smscd.core.directory import Account
from smscd.core.limits import countries_of
from smscd.core.networks import parse_network
from storage.postgres import configuration, operators
from storage.postgres.pool import Connection

SECTION = "accounts"
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
HIDDEN = frozenset({"id", "is_suspended", "webhook_secret", "outbind_password"})
_LEAST = {"rate_per_second": 0.1, "burst": 1, "window_size": 1, "binds_max": 1, "segments_max": 1}


def steps(declared: object, planning: Planning, new_secret: Callable[[], str]) -> list[Step]:
    """What makes the accounts those that are declared. None is ever removed: its money would be nobody's.

    new_secret: makes the webhook secret of a new account.
    """
    held = {account.id: account for account in planning.held.accounts}
    planned: list[Step] = []
    for name, table in tables(declared, SECTION, planning).items():
        where, before = f"{SECTION}.{name}", held.get(name)
        if not NAME.fullmatch(name):
            planning.refuse(where, "is called by 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with none of these")
            continue
        base = before or Account(id=name)
        made = read(Account, base, table, where, planning, hidden=HIDDEN)
        if made is None or not _is_possible(made, before, where, planning):
            continue
        found = differences(before, made, HIDDEN)
        if before is None or found:
            planned.append(_written(before, made, new_secret))
    return planned


def _is_possible(made: Account, before: Account | None, where: str, planning: Planning) -> bool:
    """Note what no account can have; True when there is nothing."""
    count = len(planning.faults)
    for name, least in _LEAST.items():
        if not getattr(made, name) >= least:
            planning.refuse(f"{where}.{name}", f"is no less than {least}")
    if before is not None and before.currency != made.currency:
        planning.refuse(f"{where}.currency", f"stays {before.currency}: its money is in that")
    currency = planning.plans.get(made.plan)
    if currency is None:
        planning.refuse(f"{where}.plan", f"there is no price plan {made.plan}: `smscd price import` makes it")
    elif currency != made.currency:
        planning.refuse(f"{where}.plan", f"the plan {made.plan} is in {currency}, not {made.currency}")
    try:
        countries_of(sorted(made.allowed_countries))
        for network in made.allowed_networks | made.http_networks:
            parse_network(network)
    except ValueError as error:
        planning.refuse(where, str(error))
    return len(planning.faults) == count


def _written(before: Account | None, made: Account, new_secret: Callable[[], str]) -> Step:
    found = differences(before, made, HIDDEN)

    async def write(connection: Connection, operator: str) -> None:
        account = made if before is not None else msgspec.structs.replace(made, webhook_secret=new_secret())
        await configuration.add_account(connection, account)
        if before is not None and before.tags != account.tags:
            await configuration.set_tags(connection, account.id, account.tags)
        old = None if before is None else {name: pair[0] for name, pair in found.items()}
        new = {name: pair[1] for name, pair in found.items()}
        action = "account.add" if before is None else "account.change"
        await operators.log(connection, operator, action, made.id, old=old, new=new)

    verb: Verb = "add" if before is None else "change"
    return Step(section=SECTION, name=made.id, verb=verb, differences=found, write=write)
