"""Decides on bind requests: rate, credentials, guesses, and numbers of binds over all workers, in batches.

While Redis does not answer, a worker decides by what it knows itself: its share of the guesses, and the binds that it
has. Nothing is lost by it, because submits are refused meanwhile; what was bound is told as soon as Redis is back.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from protocols.smpp.constants import CommandId
from protocols.smpp.pdu import Bind
from smscd.core.address_buckets import AddressBuckets
from smscd.core.directory_index import DirectoryIndex
from smscd.core.networks import peer_group
from smscd.ingress.smpp.auth import GUESSED, SECRET, Authenticator, BindOutcome, FailureLimiter, accepts, bind_limits
from smscd.transport.connection import SmppConnection
from storage.redis.binds import NO_LIMIT, RX, TRX, TX, AccountBinds, BindRequest, BindStore
from storage.redis.errors import StorageUnavailable

BATCH_MAX: Final = 200
RENEW_SECONDS: Final = 1.5
_KINDS: Final = {
    int(CommandId.BIND_TRANSMITTER): TX,
    int(CommandId.BIND_RECEIVER): RX,
    int(CommandId.BIND_TRANSCEIVER): TRX,
}
_LETTERS: Final = {
    "A": BindOutcome.ACCEPTED,
    "L": BindOutcome.LOCKED,
    "T": BindOutcome.TOO_MANY,
    "K": BindOutcome.TOO_MANY_OF_TYPE,
}
_NOBODY: Final = (0, NO_LIMIT, NO_LIMIT, NO_LIMIT)
_log = structlog.get_logger(__name__)

Decided = Callable[["Ask", BindOutcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindLimits:
    """guesses_max: wrong passwords of a pair in a window, over all workers. guesses_alone_max: this worker's share.

    refusal_seconds: how long after its arrival a bind with wrong credentials is answered, whatever was wrong.
    """

    guesses_max: int = 10
    guesses_alone_max: int = 10
    window_seconds: float = 900.0
    per_second_per_address: float = 0.0
    burst_per_address: int = 200
    addresses_max: int = 10_000
    refusal_seconds: float = 0.0


class Ask(NamedTuple):
    """A bind request that waits to be decided. outcome, account: what the credentials alone are worth."""

    connection: SmppConnection
    pdu: Bind
    at: float
    peer: str
    kind: int
    outcome: BindOutcome
    account: str


class BindDesk:
    """The binds of one process. decided(ask, outcome) is called once for each, at once or later.

    store: None decides alone, without Redis. run() is a task of the process when there is a store.
    without_redis: decisions that Redis did not take part in though it should have.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        directory: Callable[[], DirectoryIndex],
        limits: BindLimits | None = None,
        store: BindStore | None = None,
    ) -> None:
        self.without_redis = 0
        self._authenticator = authenticator
        self._directory = directory
        self._limits = limits or BindLimits()
        self._store = store
        self._guesses = FailureLimiter(self._limits.window_seconds)
        self._rates = AddressBuckets(
            self._limits.per_second_per_address, self._limits.burst_per_address, self._limits.addresses_max
        )
        self._held: dict[str, list[int]] = {}
        self._kinds: dict[SmppConnection, tuple[str, int]] = {}
        self._untold: set[str] = set()
        self._asks: list[tuple[Ask, Decided]] = []
        self._wake = asyncio.Event()

    # --- what the server asks ---------------------------------------------------------------------------------------

    def ask(self, connection: SmppConnection, pdu: Bind, decided: Decided) -> None:
        """Decide on a bind request."""
        now = connection.now
        address = connection.peer[0]
        peer = peer_group(address)
        worth = self._authenticator.evaluate(
            self._directory(), address, pdu.system_id, pdu.password, connection.certificate
        )
        ask = Ask(connection, pdu, now, peer, _KINDS[int(pdu.command_id)], worth.outcome, worth.account)
        if not self._rates.take(address, now):
            decided(ask, BindOutcome.RATE_LIMITED)
        elif self._guesses.count(peer, pdu.system_id, now) >= self._limits.guesses_max:
            self._refuse(ask, BindOutcome.LOCKED, decided)
        elif self._store is None:
            self._decide_alone(ask, decided, self._limits.guesses_max)
        else:
            self._asks.append((ask, decided))
            self._wake.set()

    def release(self, connection: SmppConnection) -> None:
        """A session is over. One that was not bound, or was released before, is nothing new."""
        account, kind = self._kinds.pop(connection, ("", 0))
        if account:
            held = self._held[account]
            held[kind - 1] -= 1
            if not any(held):
                del self._held[account]
            self._tell_soon(account)

    def held(self, account: str) -> tuple[int, int, int]:
        """The account's binds here: tx, rx, trx."""
        tx, rx, trx = self._held.get(account, (0, 0, 0))
        return tx, rx, trx

    # --- with Redis -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Decide on what has come in, and renew the door, until cancelled."""
        is_away = False
        while True:
            if not self._asks and (is_away or not self._untold):
                self._wake.clear()
                try:
                    async with asyncio.timeout(RENEW_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            asks, self._asks = self._asks[:BATCH_MAX], self._asks[BATCH_MAX:]
            guesses = [asked for asked in asks if asked[0].outcome in GUESSED]
            rights = [asked for asked in asks if asked[0].outcome not in GUESSED]
            if guesses:
                await self._count_guesses(guesses)
            was_away, is_away = is_away, not await self._settle(rights)
            if was_away and not is_away:
                self._untold |= set(self._held)  # a Redis that was away may have come back without them

    async def leave(self) -> None:
        """Let no bind of this worker count any more; for its end in good order."""
        if self._store is not None:
            try:
                await self._store.leave()
            except StorageUnavailable:
                pass  # they stop counting with the lease

    async def _count_guesses(self, guesses: list[tuple[Ask, Decided]]) -> None:
        assert self._store is not None
        try:
            counts = await self._store.guess([(ask.peer, ask.pdu.system_id) for ask, _ in guesses])
        except StorageUnavailable:
            self._all_alone(guesses)
            return
        for (ask, decided), (count, seconds) in zip(guesses, counts, strict=True):
            self._guesses.learned(ask.peer, ask.pdu.system_id, count, seconds, ask.connection.now)
            if count == self._limits.guesses_max:
                _log_locked(ask)
            is_locked = count > self._limits.guesses_max
            self._refuse(ask, BindOutcome.LOCKED if is_locked else ask.outcome, decided)

    async def _settle(self, rights: list[tuple[Ask, Decided]]) -> bool:
        """Tell and ask about accounts; False when Redis did not answer."""
        assert self._store is not None
        directory = self._directory()
        books: dict[tuple[str, bool], AccountBinds] = {}
        waiting: dict[tuple[str, bool], list[tuple[Ask, Decided]]] = {}
        told = set(self._untold) if len(self._untold) <= BATCH_MAX else set(list(self._untold)[:BATCH_MAX])
        self._untold -= told
        for ask, decided in rights:
            name = (ask.account, ask.outcome is BindOutcome.ACCEPTED)
            waiting.setdefault(name, []).append((ask, decided))
        for name in [*waiting, *((account, True) for account in told if (account, True) not in waiting)]:
            account = directory.account(name[0]) if name[1] else None
            book = AccountBinds(name[0], self.held(name[0]), bind_limits(account) if account is not None else _NOBODY)
            book.requests += [BindRequest(ask.kind, ask.peer, ask.pdu.system_id) for ask, _ in waiting.get(name, ())]
            books[name] = book
        try:
            replies = await self._store.settle(list(books.values()))
        except StorageUnavailable:
            self._untold |= told | {account for account, _ in waiting}
            self._all_alone(rights)
            return False
        for name, letters in zip(books, replies, strict=True):
            for (ask, decided), letter in zip(waiting.get(name, ()), letters, strict=True):
                self._decided(ask, _LETTERS[letter], decided)
        return True

    def _decided(self, ask: Ask, outcome: BindOutcome, decided: Decided) -> None:
        """What Redis says of a bind with the right password."""
        if outcome is BindOutcome.LOCKED:
            self._guesses.learned(
                ask.peer, ask.pdu.system_id, self._limits.guesses_max, RENEW_SECONDS, ask.connection.now
            )
            self._refuse(ask, outcome, decided)
            return
        self._guesses.succeeded(ask.peer, ask.pdu.system_id)
        if ask.outcome is BindOutcome.SUSPENDED:
            decided(ask, BindOutcome.SUSPENDED)
        elif outcome is BindOutcome.ACCEPTED:
            self._accept(ask, decided)
        elif not accepts(self._directory().account(ask.account), ask.kind):
            decided(ask, BindOutcome.TYPE_NOT_ALLOWED)
        else:
            decided(ask, outcome)

    # --- without ----------------------------------------------------------------------------------------------------

    def _all_alone(self, asks: list[tuple[Ask, Decided]]) -> None:
        self.without_redis += len(asks)
        for ask, decided in asks:
            self._decide_alone(ask, decided, self._limits.guesses_alone_max)

    def _decide_alone(self, ask: Ask, decided: Decided, guesses_max: int) -> None:
        now, peer, system_id = ask.connection.now, ask.peer, ask.pdu.system_id
        if self._guesses.count(peer, system_id, now) >= guesses_max:
            self._refuse(ask, BindOutcome.LOCKED, decided)
        elif ask.outcome in GUESSED:
            if self._guesses.failed(peer, system_id, now) == guesses_max:
                _log_locked(ask)
            self._refuse(ask, ask.outcome, decided)
        else:
            account = self._directory().account(ask.account)
            limits = bind_limits(account) if account is not None else _NOBODY
            held = self.held(ask.account)
            if sum(held) >= limits[0]:
                self._decided(ask, BindOutcome.TOO_MANY, decided)
            elif limits[ask.kind] != NO_LIMIT and held[ask.kind - 1] >= limits[ask.kind]:
                self._decided(ask, BindOutcome.TOO_MANY_OF_TYPE, decided)
            else:
                self._decided(ask, BindOutcome.ACCEPTED, decided)

    # --- the answer -------------------------------------------------------------------------------------------------

    def _accept(self, ask: Ask, decided: Decided) -> None:
        if not ask.connection.is_open:
            self._tell_soon(ask.account)
            decided(ask, BindOutcome.ABANDONED)
            return
        self._held.setdefault(ask.account, [0, 0, 0])[ask.kind - 1] += 1
        self._kinds[ask.connection] = (ask.account, ask.kind)
        decided(ask, BindOutcome.ACCEPTED)

    def _refuse(self, ask: Ask, outcome: BindOutcome, decided: Decided) -> None:
        """Tell at the fixed moment after the request came, or a whole number of times as late."""
        assert outcome in SECRET
        seconds = self._limits.refusal_seconds
        if not seconds:
            decided(ask, outcome)
            return
        times = max(1, math.ceil((ask.connection.now - ask.at) / seconds))
        asyncio.get_running_loop().call_at(ask.at + times * seconds, decided, ask, outcome)

    def _tell_soon(self, account: str) -> None:
        if self._store is not None:
            self._untold.add(account)
            self._wake.set()


def _log_locked(ask: Ask) -> None:
    system_id = ask.pdu.system_id.decode("ascii", "backslashreplace")
    _log.warning("session.locked", system_id=system_id, peer=ask.peer)
