"""Balances: what an account has in Redis, and the operator's changes to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from redis.exceptions import ResponseError

from smscd.core.records import LedgerRecord
from storage.redis import scripts
from storage.redis.journal import last_id_of
from storage.redis.keys import DAY_MS, ShardKeys
from storage.redis.link import Arg, RedisLink

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LedgerRecord).decode


class AmountOutOfRange(ValueError):
    """The balance would leave the range in which Redis counts exactly (2^53 micro-units)."""


class BelowFloor(ValueError):
    """The balance would fall below what the order may leave behind. balance_micros: as it is, and stays."""

    def __init__(self, balance_micros: int) -> None:
        super().__init__(f"the balance is {balance_micros} micro-units")
        self.balance_micros = balance_micros


@dataclass(slots=True)
class TopUp:
    """is_new: False when the reference was applied before. journal_id: where the ledger entry will come from.

    record: the order that is known by this reference; None where an earlier release applied it.
    """

    is_new: bool
    balance_micros: int
    journal_id: str
    record: LedgerRecord | None = None


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

    async def applied(self, account: str, reference: str) -> TopUp | None:
        """What is known here of a reference, with the balance of `account`; None when there is nothing (any more)."""
        known, balance = await self._link.pipeline(
            [("HGET", self._keys.topups, reference), ("HGET", self._keys.acct(account), "balance")]
        )
        if known is None:
            return None
        journal_id, _, record = known.partition(b" ")
        return _known(balance or 0, journal_id, record)

    async def top_up(
        self, record: LedgerRecord, *, floor_micros: int | None = None, recorded_ms: int = 0, kept_ms: int = 0
    ) -> TopUp:
        """Add to (or take from) a balance, once for each reference; asking again is harmless.

        floor_micros: least balance that may be left. recorded_ms: PostgreSQL has every reference of before this time;
        those older than kept_ms need not be known here any more.
        Raises AmountOutOfRange, BelowFloor, StorageUnavailable.
        """
        names = self._keys
        keys = [names.journal, names.acct(record.account), names.topups, names.topups_order]
        floor: Arg = "" if floor_micros is None else floor_micros
        args: list[Arg] = [record.reference, record.amount_micros, _encode(record), floor, recorded_ms, kept_ms]
        try:
            reply = await self._link.evalsha(scripts.TOP_UP, keys, args)
        except ResponseError as refused:
            if str(refused).startswith("OUTOFRANGE"):
                raise AmountOutOfRange(str(refused)) from refused
            raise
        if int(reply[0]) < 0:
            raise BelowFloor(int(reply[1]))
        found = _known(reply[1], reply[2], reply[3])
        found.is_new = int(reply[0]) == 1
        return found


def _known(balance: bytes | int, journal_id: bytes, record: bytes) -> TopUp:
    return TopUp(False, int(balance), journal_id.decode(), _decode(record) if record else None)
