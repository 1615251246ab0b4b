"""The HTTP keys of an account as they are listed and changed, when they were used, and from where that may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.statements import load

_SQL = load("api_keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key, to be shown. last_used_at: at most a minute behind."""

    key_hash: bytes
    prefix: str
    account: str
    label: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    is_revoked: bool

    def is_valid(self, now: datetime) -> bool:
        """Whether a request may be made with it."""
        return not self.is_revoked and (self.expires_at is None or self.expires_at > now)


async def hold(connection: Connection, account: str) -> bool:
    """Let nobody else change the keys of an account until the transaction ends; False when there is no such account."""
    return await connection.fetchval(_SQL["hold"], account) is not None


async def keys(database: Database, account: str) -> list[KeyRow]:
    """All keys of an account, oldest first, those that are no longer valid as well."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["keys"], account)
    return [KeyRow(**{**dict(row), "scopes": tuple(row["scopes"])}) for row in rows]


async def expire(connection: Connection, key_hash: bytes, at: datetime) -> None:
    """End a key at this moment, unless it ends before."""
    await connection.execute(_SQL["expire"], key_hash, at)


async def revoke(connection: Connection, key_hash: bytes) -> None:
    """End a key for good."""
    await connection.execute(_SQL["revoke"], key_hash)


async def forget(connection: Connection, account: str, kept: int) -> None:
    """Delete what is not valid any more but for the youngest so many; the log still has them."""
    await connection.execute(_SQL["forget"], account, kept)


async def used(database: Database, uses: Mapping[bytes, datetime]) -> None:
    """Write down when keys, by their hashes, were used last."""
    async with acquired(database) as connection:
        await connection.execute(_SQL["used"], list(uses), list(uses.values()))


async def networks(connection: Connection, account: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """From where an account may bind and ask; None without an account."""
    return await _networks(connection, "networks", account)


async def networks_for_change(connection: Connection, account: str) -> tuple[frozenset[str], frozenset[str]] | None:
    """The same, for nobody else to change until the transaction ends."""
    return await _networks(connection, "networks_for_change", account)


async def _networks(
    connection: Connection, statement: str, account: str
) -> tuple[frozenset[str], frozenset[str]] | None:
    row = await connection.fetchrow(_SQL[statement], account)
    return None if row is None else (frozenset(row["allowed_networks"]), frozenset(row["http_networks"]))


async def set_networks(connection: Connection, account: str, smpp: Iterable[str], http: Iterable[str]) -> None:
    """Say from where an account may bind and ask; none is from everywhere."""
    await connection.execute(_SQL["set_networks"], account, sorted(smpp), sorted(http))
