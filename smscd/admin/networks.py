"""From where an account may ask over HTTP and bind over SMPP, as operators change it; told to every process at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from smscd.admin.keys import Tell
from smscd.admin.orders import Fault, Refusal, no_account, refused
from smscd.core.networks import parse_network
from storage.postgres import api_keys, operators
from storage.postgres.pool import Database, acquired
from storage.redis.errors import StorageUnavailable

NETWORKS_MAX: Final = 100
"""Of one door."""
Door: TypeAlias = Literal["smpp", "http"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The networks of each door; none: from everywhere. is_told: as of keys.KeyMade."""

    smpp: frozenset[str]
    http: frozenset[str]
    has_changed: bool = False
    is_told: bool = True


async def change(
    account: str,
    door: Door,
    added: Iterable[str],
    removed: Iterable[str],
    operator: str,
    database: Database,
    tell: Tell,
    *,
    clear: bool = False,
) -> Allowed | Refusal:
    """Add networks to a door and take others from it. clear: begin with none, and leave it open if none is added.

    The last one is not taken without `clear`: without any, everybody may come in.
    """
    plus, minus = _read(added, door), _read(removed, door)
    if isinstance(plus, Refusal):
        return plus
    if isinstance(minus, Refusal):
        return minus
    async with acquired(database) as connection, connection.transaction():
        before = await api_keys.networks_for_change(connection, account)
        if before is None:
            return no_account(account)
        held: dict[Door, frozenset[str]] = {"smpp": before[0], "http": before[1]}
        old = held[door]
        if missing := sorted(minus - {_form(text) for text in old}):
            return _invalid(
                f"{account} does not allow {missing[0]} over {door}: `smscd account allow {account}` shows."
            )
        base = frozenset() if clear else frozenset(_form(text) for text in old)
        new = (base | plus) - minus
        if len(new) > NETWORKS_MAX:
            return _invalid(f"An account allows at most {NETWORKS_MAX} networks over {door}: give larger ones.")
        if old and not new and not clear:
            return Refusal(
                "last_network",
                409,
                f"That is the last network of {account} over {door}; without any, everybody may come in. To do it "
                "nevertheless, clear the list.",
            )
        held[door] = new
        has_changed = new != old
        if has_changed:
            await api_keys.set_networks(connection, account, held["smpp"], held["http"])
            was, becomes = {"door": door, "networks": sorted(old)}, {"door": door, "networks": sorted(new)}
            await operators.log(connection, operator, "account.allow", account, old=was, new=becomes)
    try:
        await tell()
    except StorageUnavailable:
        return Allowed(held["smpp"], held["http"], has_changed, False)
    return Allowed(held["smpp"], held["http"], has_changed)


async def view(account: str, database: Database) -> Allowed | Refusal:
    """From where an account may come in."""
    async with acquired(database) as connection:
        found = await api_keys.networks(connection, account)
    return no_account(account) if found is None else Allowed(*found)


def shown(account: str, found: Allowed) -> dict[str, object]:
    """As JSON, the same by command and over HTTP. An empty list is everywhere."""
    return {"account": account, "smpp": sorted(found.smpp), "http": sorted(found.http)}


def _read(texts: Iterable[str], door: Door) -> frozenset[str] | Refusal:
    networks: set[str] = set()
    faults: list[Fault] = []
    for at, text in enumerate(texts):
        try:
            networks.add(str(parse_network(text)))
        except ValueError as error:
            faults.append((f"{door}/{at}", f"{text} is not a network: {error}."))
    return refused(faults) or frozenset(networks)


def _form(text: str) -> str:
    """A network as it is written now; what cannot be read stays, and allows nobody."""
    try:
        return str(parse_network(text))
    except ValueError:
        return text


def _invalid(detail: str) -> Refusal:
    return Refusal("validation_failed", 422, detail)
