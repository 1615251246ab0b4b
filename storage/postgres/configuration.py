"""Loads the configuration that changes while running, and writes it: accounts, keys, upstreams, routes, prices.

Every add_* is an upsert. Whoever changes something publishes the notification afterwards (`smscd:config`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar

import asyncpg
import msgspec

from smscd.core.directory import (
    Account,
    ApiKey,
    Cost,
    Credential,
    Halt,
    MoNumber,
    Price,
    Route,
    Snapshot,
    WebhookEndpoint,
)
from smscd.core.limits import Limits
from smscd.core.records import State
from smscd.core.upstream import Upstream
from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.statements import load

_SQL = load("configuration")
PIECE_ROWS = 500
_JSON_COLUMNS = frozenset({"vendor_tlvs", "receipt_stats", "status_delays"})
_Row = TypeVar("_Row", Account, ApiKey, Credential, Halt, MoNumber, Route, Upstream, WebhookEndpoint)


class ConfigurationInvalid(Exception):
    """A row of the configuration has a value that this release does not know; says which row and value."""


async def load_snapshot(database: Database, known: Snapshot | None = None, *, with_prices: bool = True) -> Snapshot:
    """Everything, as it stood at one moment, or as the transaction sees it that is open. Raises ConfigurationInvalid.

    known: an earlier one; its routes, and its prices and costs, are taken over when they have not changed since. They
    are read in pieces in any case: there may be a hundred thousand. with_prices: False for who does not want them.
    """
    async with acquired(database) as connection, _at_one_moment(connection):
        version = await connection.fetchval(_SQL["prices_version"]) if with_prices else 0
        prices: tuple[Price, ...] = ()
        costs: tuple[Cost, ...] = ()
        if known is not None and known.prices_version == version:
            prices, costs = known.prices, known.costs
        elif with_prices:
            prices = tuple([Price(**row) async for row in _in_pieces(connection, "load_prices")])
            costs = tuple([Cost(**row) async for row in _in_pieces(connection, "load_costs")])
        routes_version = await connection.fetchval(_SQL["routes_version"])
        has_routes = known is not None and known.routes_version == routes_version
        return Snapshot(
            prices_version=version,
            accounts=await _rows(connection, "load_accounts", Account),
            credentials=await _rows(connection, "load_credentials", Credential),
            api_keys=await _rows(connection, "load_api_keys", ApiKey),
            upstreams=await _rows(connection, "load_upstreams", Upstream),
            routes=known.routes if known is not None and has_routes else await load_routes(connection),
            prices=prices,
            costs=costs,
            mo_numbers=await _rows(connection, "load_mo_numbers", MoNumber),
            halts=await _rows(connection, "load_halts", Halt),
            routes_version=routes_version,
            webhook_endpoints=await _rows(connection, "load_webhook_endpoints", WebhookEndpoint),
        )


async def load_routes(connection: Connection) -> tuple[Route, ...]:
    """All routes, read in pieces; only in a transaction. Raises ConfigurationInvalid."""
    return tuple([_struct(dict(row), Route) async for row in _in_pieces(connection, "load_routes")])


async def add_account(database: Database, account: Account) -> None:
    """Make or change an account. Its plan must be there (`add_price_plan`; "default" always is).

    The tags of one that is there stay: set_tags changes them.
    """
    await _execute(database, "add_account", *_values(account))


async def find_account(database: Database, account: str) -> Account | None:
    """All terms of an account; None when there is none."""
    found = await account_page(database, account, 1, is_from=True)
    return found[0] if found and found[0].id == account else None


async def account_page(database: Database, after: str, limit: int, *, is_from: bool = False) -> tuple[Account, ...]:
    """Accounts by name, those after this one; is_from: from it on."""
    async with acquired(database) as connection:
        return await _rows(connection, "account_page", Account, after, limit, is_from)


async def limits_for_change(database: Database, account: str) -> Limits | None:
    """The limits of an account, for nobody else to change until the transaction ends; None without an account."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["limits_for_change"], account)
        return None if row is None else msgspec.convert(dict(row), Limits)


async def set_limits(database: Database, account: str, limits: Limits) -> None:
    """Change the limits of an account."""
    await _execute(database, "set_limits", account, *_values(limits))


async def tags_for_change(database: Database, account: str) -> frozenset[str] | None:
    """The tags of an account, for nobody else to change until the transaction ends; None without an account."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["tags_for_change"], account)
        return None if row is None else frozenset(row["tags"])


async def set_tags(database: Database, account: str, tags: Iterable[str]) -> None:
    """Change the tags of an account."""
    await _execute(database, "set_tags", account, sorted(tags))


async def set_durability(database: Database, account: str, durability: str) -> bool:
    """Say when the messages of an account are accepted; False when there is no such account."""
    return await _execute(database, "set_durability", account, durability) == "UPDATE 1"


async def add_credential(database: Database, credential: Credential) -> None:
    """Make or change what an ESME binds with."""
    await _execute(database, "add_credential", *_values(credential))


async def credentials(database: Database, account: str) -> list[Credential]:
    """What the ESMEs of an account bind with."""
    async with acquired(database) as connection:
        return list(await _rows(connection, "credentials_of_account", Credential, account))


async def find_credential(database: Database, system_id: str) -> Credential | None:
    """A credential by its system_id; None when there is none."""
    async with acquired(database) as connection:
        return next(iter(await _rows(connection, "find_credential", Credential, system_id)), None)


async def delete_credential(database: Database, system_id: str) -> bool:
    """Let nobody bind with it any more; False when there was none."""
    return await _execute(database, "delete_credential", system_id) == "DELETE 1"


async def add_api_key(database: Database, key: ApiKey) -> None:
    """Make or change an HTTP key."""
    await _execute(database, "add_api_key", *_values(key))


async def upstream_ids(database: Database) -> list[str]:
    """The ids of all upstreams, enabled or not."""
    async with acquired(database) as connection:
        return [row["id"] for row in await connection.fetch(_SQL["upstream_ids"])]


async def add_upstream(database: Database, upstream: Upstream) -> None:
    """Make or change an upstream."""
    await _execute(database, "add_upstream", *_values(upstream))


async def lock(database: Database) -> None:
    """Let nobody else change what is administered until the transaction ends."""
    await _execute(database, "lock")


async def upstreams(database: Database) -> tuple[Upstream, ...]:
    """All of them."""
    async with acquired(database) as connection:
        return await _rows(connection, "load_upstreams", Upstream)


async def routes_of_upstream(database: Database, upstream: str) -> list[str]:
    """The first of the routes that name it, by their labels."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["routes_of_upstream"], upstream)
    return [
        Route(prefix=row["prefix"], upstreams=(upstream,), account=row["account"], name=row["name"]).label
        for row in rows
    ]


async def has_open_messages(database: Database, upstream: str, since_id: int) -> bool:
    """True while messages of an upstream have not come to an end; looks at those with an id from since_id on."""
    states = [int(state) for state in State if not state.is_final]
    async with acquired(database) as connection:
        return bool(await connection.fetchval(_SQL["has_open_messages"], upstream, since_id, states))


async def delete_upstream(database: Database, upstream: str) -> bool:
    """Delete an upstream and what it asks for; False when there is none. In a transaction."""
    await _execute(database, "delete_costs", upstream)
    return await _execute(database, "delete_upstream", upstream) == "DELETE 1"


async def names(database: Database) -> tuple[frozenset[str], frozenset[str]]:
    """The accounts and the upstreams that there are."""
    async with acquired(database) as connection:
        found = [await connection.fetch(_SQL[statement]) for statement in ("account_names", "upstream_names")]
    accounts, upstreams = (frozenset(row["id"] for row in rows) for rows in found)
    return accounts, upstreams


async def hold_routes(connection: Connection) -> None:
    """Let nobody else change routes until the end of the transaction."""
    await connection.execute(_SQL["hold_routes"])


async def add_route(database: Database, route: Route) -> None:
    """Make a route, or change the one of its account, prefix and name."""
    await add_routes(database, [route])


async def add_routes(database: Database, routes: Sequence[Route]) -> None:
    """Make or change any number of routes, each once."""
    for start in range(0, len(routes), PIECE_ROWS):
        await _execute(database, "add_routes", msgspec.json.encode(routes[start : start + PIECE_ROWS]).decode())


async def delete_route(database: Database, account: str, prefix: str, name: str = "") -> bool:
    """Delete a route; False when there was none."""
    return await _execute(database, "delete_route", account, prefix, name) == "DELETE 1"


async def price_plans(database: Database) -> dict[str, str]:
    """The currency of each price plan."""
    async with acquired(database) as connection:
        return {row["id"]: row["currency"] for row in await connection.fetch(_SQL["price_plans"])}


async def add_price_plan(database: Database, plan: str, currency: str = "EUR") -> None:
    """Make a price plan, or change its currency."""
    await _execute(database, "add_price_plan", plan, currency)


async def add_prices(database: Database, prices: Iterable[Price]) -> None:
    """Make or change prices, any number at once. Their plans must be there. The last one of a prefix counts."""
    last = {(price.plan, price.prefix): price.price_micros for price in prices}
    plans, prefixes = [plan for plan, _ in last], [prefix for _, prefix in last]
    await _execute(database, "add_prices", plans, prefixes, list(last.values()))


async def add_mo_number(database: Database, number: MoNumber) -> None:
    """Give a number of ours to an account."""
    await _execute(database, "add_mo_number", *_values(number))


async def _execute(database: Database, statement: str, *arguments: object) -> str:
    async with acquired(database) as connection:
        return await connection.execute(_SQL[statement], *arguments)


def _at_one_moment(connection: Connection) -> AbstractAsyncContextManager[object]:
    if connection.is_in_transaction():
        return nullcontext()
    return connection.transaction(isolation="repeatable_read", readonly=True)


async def _in_pieces(connection: Connection, statement: str, *arguments: object) -> AsyncIterator[asyncpg.Record]:
    """Rows of a long answer; other tasks have their turn after each piece. Only in a transaction."""
    cursor = await connection.cursor(_SQL[statement], *arguments)
    while rows := await cursor.fetch(PIECE_ROWS):
        for row in rows:
            yield row


async def _rows(connection: Connection, statement: str, kind: type[_Row], *arguments: object) -> tuple[_Row, ...]:
    """Rows as structs; arrays become the tuples or frozensets that the struct declares."""
    rows = await connection.fetch(_SQL[statement], *arguments)
    return tuple(_struct(dict(row), kind) for row in rows)


def _struct(values: dict[str, Any], kind: type[_Row]) -> _Row:
    try:
        for name in _JSON_COLUMNS & values.keys():
            values[name] = msgspec.json.decode(values[name])
        return msgspec.convert(values, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConfigurationInvalid(f"{kind.__name__.lower()} {next(iter(values.values()))}: {error}") from error


def _values(struct: msgspec.Struct) -> list[Any]:
    """A struct's values in the order of its fields, as PostgreSQL takes them."""
    return [_value(name, getattr(struct, name)) for name in struct.__struct_fields__]


def _value(name: str, value: Any) -> Any:
    if name in _JSON_COLUMNS:
        return msgspec.json.encode(value).decode()
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
