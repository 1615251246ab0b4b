"""What PostgreSQL and Redis hold, as the checker needs it: read with its own queries, not with the daemon's."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg
import redis.asyncio

from tools.record import token_of

OUTBOUND = 1
TOKEN_OCTETS = 64

MESSAGES = """
SELECT id, account, state, price_micros, refunded_micros, maybe_duplicate, esm_class, data_coding,
       substring(body FROM 1 FOR $1) AS body
  FROM messages WHERE direction = $2
"""
SEGMENTS = "SELECT message_id, upstream_message_id FROM segments"
DOUBLE_MESSAGES = "SELECT id::text AS what FROM messages GROUP BY id HAVING count(*) > 1"
DOUBLE_SEGMENTS = """
SELECT message_id || ' segment ' || segment || ' as ' || upstream_message_id AS what
  FROM segments GROUP BY message_id, segment, upstream_message_id HAVING count(*) > 1
"""
DOUBLE_EVENTS = """
SELECT message_id || ' event ' || kind || ' of ' || at AS what
  FROM message_events GROUP BY message_id, segment, kind, at, attempt, stat, err, detail, raw HAVING count(*) > 1
"""
LEDGER = """
SELECT account, sum(amount_micros)::bigint AS entries,
       coalesce(sum(amount_micros) FILTER (WHERE kind IN ('topup', 'adjust')), 0)::bigint AS paid_in,
       (array_agg(balance_micros ORDER BY seq DESC))[1] AS balance
  FROM ledger_entries GROUP BY account
"""
DEAD_LETTERS = """
SELECT account, sum(price_micros - refunded_micros)::bigint AS owed
  FROM journal_dead_letters WHERE account IS NOT NULL GROUP BY account
"""


class StoredMessage(NamedTuple):
    """One outbound row of `messages`."""

    id: int
    account: str
    state: int
    price_micros: int
    refunded_micros: int
    maybe_duplicate: bool
    token: bytes


@dataclass(slots=True)
class Stored:
    """Everything that is stored about a run. Money is micro-units, by account."""

    messages: dict[int, StoredMessage] = field(default_factory=dict)
    by_token: dict[bytes, list[StoredMessage]] = field(default_factory=lambda: defaultdict(list))
    upstream_ids: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    doubles: list[str] = field(default_factory=list)
    balances: dict[str, int] = field(default_factory=dict)
    ledger_balances: dict[str, int] = field(default_factory=dict)
    ledger_sums: dict[str, int] = field(default_factory=dict)
    paid_in: dict[str, int] = field(default_factory=dict)
    dead_letters_micros: dict[str, int] = field(default_factory=dict)
    left_in_redis: Counter[str] = field(default_factory=Counter)
    orphans: int = 0

    def add(self, message: StoredMessage) -> None:
        """Take one row of `messages`."""
        self.messages[message.id] = message
        self.by_token[message.token].append(message)


async def read_stored(redis_url: str, postgres_dsn: str) -> Stored:
    """Read both servers once. The caller waits until nothing moves any more."""
    stored = Stored()
    connection = await asyncpg.connect(postgres_dsn)
    try:
        await _read_postgres(connection, stored)
    finally:
        await connection.close()
    store = redis.asyncio.Redis.from_url(redis_url)
    try:
        await _read_redis(store, stored)
    finally:
        await store.aclose()
    return stored


async def _read_postgres(connection: asyncpg.Connection[asyncpg.Record], stored: Stored) -> None:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for row in await connection.fetch(MESSAGES, TOKEN_OCTETS, OUTBOUND):
            token = token_of(row["body"], row["esm_class"], row["data_coding"])
            stored.add(
                StoredMessage(
                    row["id"],
                    row["account"],
                    row["state"],
                    row["price_micros"],
                    row["refunded_micros"],
                    row["maybe_duplicate"],
                    token,
                )
            )
        for row in await connection.fetch(SEGMENTS):
            stored.upstream_ids[row["message_id"]].add(row["upstream_message_id"].encode())
        known = {one for ids in stored.upstream_ids.values() for one in ids}
        for row in await connection.fetch("SELECT upstream_message_id FROM orphans WHERE matched_at IS NULL"):
            if row["upstream_message_id"].encode() in known:
                stored.left_in_redis["orphans"] += 1
            else:
                stored.orphans += 1
        for query in (DOUBLE_MESSAGES, DOUBLE_SEGMENTS, DOUBLE_EVENTS):
            stored.doubles += [row["what"] for row in await connection.fetch(query)]
        for row in await connection.fetch(LEDGER):
            stored.ledger_sums[row["account"]] = row["entries"]
            stored.ledger_balances[row["account"]] = row["balance"]
            stored.paid_in[row["account"]] = row["paid_in"]
        for row in await connection.fetch(DEAD_LETTERS):
            stored.dead_letters_micros[row["account"]] = row["owed"]


async def _read_redis(store: redis.asyncio.Redis, stored: Stored) -> None:
    """Balances, and how much work is left under each kind of key.

    A parked receipt is left work when `segments` knows its message; else it is of a copy whose answer was lost. So is
    one that was parked for so long that it is an orphan of the record.
    """
    known = {id for ids in stored.upstream_ids.values() for id in ids}
    async for name in store.scan_iter(match="*", count=1000):
        _tag, _, rest = name.decode().partition("}:")
        kind, _, subject = rest.partition(":")
        if kind == "acct":
            balance = await store.hget(name, "balance")
            stored.balances[subject] = int(balance or 0)
        elif kind in ("q", "out") or rest == "hooks":
            stored.left_in_redis[kind] += await store.xlen(name)
        elif rest == "park":
            parked = await store.hkeys(name)
            stored.left_in_redis[kind] += sum(id in known for id in parked)
            stored.orphans += sum(id not in known for id in parked)
        elif kind in ("open", "rest"):
            stored.left_in_redis[kind] += await store.hlen(name)
        elif kind == "later" or rest == "hooks:later":
            stored.left_in_redis[rest if kind == "hooks" else kind] += await store.zcard(name)
    stored.left_in_redis = +stored.left_in_redis
