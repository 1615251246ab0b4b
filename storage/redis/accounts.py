"""Balances: what an account has in Redis, and the operator's changes to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from redis.exceptions import ResponseError

from smscd.core.records import LedgerRecord
from storage.redis import scripts
from storage.redis.blobs import pack_array
from storage.redis.journal import last_id_of
from storage.redis.keys import DAY_MS, ShardKeys
from storage.redis.link import Arg, RedisLink

_encode = msgspec.msgpack.Encoder().encode


class AmountOutOfRange(ValueError):
    """The balance would leave the range in which Redis counts exactly (2^53 micro-units)."""


@dataclass(slots=True)
class TopUp:
    """is_new: False when the reference was applied before. journal_id: where the ledger entry will come from."""

    is_new: bool
    balance_micros: int
    journal_id: str


class Balances:
    """The balances of one shard."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def balance(self, account: str) -> int | None:
        """Micro-units, or None for an account that never had any."""
        held = await self._link.command("HGET", self._keys.acct(account), "balance")
        return None if held is None else int(held)

    async def at_once(self, accounts: Sequence[str]) -> tuple[str, list[int]]:
        """The balances of some accounts (0 for one that never had any), and where the journal ended at that moment."""
        names = [("HGET", self._keys.acct(account), "balance") for account in accounts]
        commands = [("MULTI",), *names, ("XINFO", "STREAM", self._keys.journal), ("EXEC",)]
        *held, info = (await self._link.pipeline(commands))[-1]
        return last_id_of(info), [int(balance or 0) for balance in held]

    async def spent_today(self, account: str) -> int:
        """Micro-units that an account with a limit of spend was charged since midnight (UTC of Redis TIME)."""
        seconds, _ = await self._link.command("TIME")
        held = await self._link.command("HGET", self._keys.used(account, int(seconds) * 1000 // DAY_MS), "$")
        return int(held or 0)

    async def top_up(self, record: LedgerRecord) -> TopUp:
        """Add to (or take from) a balance, once for each reference; asking again is harmless.

        Raises AmountOutOfRange, StorageUnavailable.
        """
        keys = [self._keys.journal, self._keys.acct(record.account), self._keys.topups]
        args: list[Arg] = [record.reference, record.amount_micros, pack_array([_encode(record)])]
        try:
            reply = await self._link.evalsha(scripts.TOP_UP, keys, args)
        except ResponseError as refused:
            if str(refused).startswith("OUTOFRANGE"):
                raise AmountOutOfRange(str(refused)) from refused
            raise
        return TopUp(int(reply[0]) == 1, int(reply[1]), reply[2].decode())
