"""The desk that decides on binds, with a Redis of the test's own: counts, locks, limits, and what it does alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from protocols.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter
from smscd.core.directory import Account, Credential, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.ingress.smpp import binds as smpp_binds
from smscd.ingress.smpp.auth import Authenticator, BindOutcome, password_hmac
from smscd.ingress.smpp.binds import Ask, BindDesk, BindLimits
from storage.redis.binds import AccountBinds
from storage.redis.errors import StorageUnavailable

PEPPER = b"pepper"
HASHED = password_hmac(PEPPER, b"s3cret")


def directory(**account: Any) -> DirectoryIndex:
    return DirectoryIndex(
        Snapshot(
            accounts=(Account(**({"id": "acme", "binds_max": 3} | account)), Account(id="late", is_suspended=True)),
            credentials=(
                Credential(system_id="esme", account="acme", password_hmac=HASHED),
                Credential(system_id="late", account="late", password_hmac=HASHED),
            ),
        )
    )


class Connection:
    """What the desk looks at."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        self.peer = (address, 1)
        self.certificate = None
        self.is_open = True

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()


class Store:
    """Redis as all workers see it: the others' binds, and the guesses of everybody."""

    def __init__(self) -> None:
        self.is_away = False
        self.elsewhere = [0, 0, 0]
        self.guesses: dict[tuple[str, bytes], int] = {}
        self.told: dict[str, tuple[int, int, int]] = {}
        self.calls = 0
        self.gone = False

    async def guess(self, guesses: Sequence[tuple[str, bytes]]) -> list[tuple[int, float]]:
        self._answer()
        counts = []
        for pair in guesses:
            self.guesses[pair] = min(self.guesses.get(pair, 0) + 1, 11)
            counts.append((self.guesses[pair], 900.0))
        return counts

    async def settle(self, accounts: Sequence[AccountBinds]) -> list[str]:
        self._answer()
        await asyncio.sleep(0)
        replies = []
        for account in accounts:
            here, letters = list(account.here), ""
            for request in account.requests:
                total = sum(here) + sum(self.elsewhere)
                kind = request.kind - 1
                limit = account.limits[request.kind]
                if self.guesses.get((request.peer, request.system_id), 0) >= 10:
                    letters += "L"
                elif total >= account.limits[0]:
                    letters += "T"
                elif 0 <= limit <= here[kind] + self.elsewhere[kind]:
                    letters += "K"
                else:
                    here[kind] += 1
                    letters += "A"
            self.told[account.account] = (here[0], here[1], here[2])
            replies.append(letters)
        return replies

    async def leave(self) -> None:
        self._answer()
        self.gone = True

    def _answer(self) -> None:
        self.calls += 1
        if self.is_away:
            raise StorageUnavailable("away")


class Rig:
    """A desk, its store, and what was decided."""

    def __init__(self, limits: BindLimits, **account: Any) -> None:
        self.directory = directory(**account)
        self.store = Store()
        self.desk = BindDesk(Authenticator(PEPPER), lambda: self.directory, limits, self.store)  # type: ignore[arg-type]
        self.decided: list[tuple[Connection, BindOutcome, float]] = []

    def ask(
        self, kind: type[Bind] = BindTransceiver, system_id: bytes = b"esme", password: bytes = b"s3cret",
        connection: Connection | None = None,
    ) -> Connection:  # fmt: skip
        asked = connection or Connection()
        self.desk.ask(asked, kind(system_id=system_id, password=password), self._decided)  # type: ignore[arg-type]
        return asked

    def _decided(self, ask: Ask, outcome: BindOutcome) -> None:
        connection: Any = ask.connection
        self.decided.append((connection, outcome, ask.connection.now - ask.at))

    async def outcomes(self, count: int) -> list[BindOutcome]:
        """The last `count` outcomes, once as many have been decided since the last call."""
        async with asyncio.timeout(5):
            while len(self.decided) < count:
                await asyncio.sleep(0.001)
        decided, self.decided = self.decided, []
        assert len(decided) == count
        return [outcome for _, outcome, _ in decided]


@asynccontextmanager
async def running(limits: BindLimits | None = None, **account: Any) -> AsyncIterator[Rig]:
    rig = Rig(limits or BindLimits(), **account)
    task = asyncio.create_task(rig.desk.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_batch_is_one_call_and_binds_of_other_workers_count() -> None:
    async with running() as rig:
        rig.store.elsewhere = [1, 0, 0]
        for _ in range(4):
            rig.ask()
        found = await rig.outcomes(4)
        assert found == [BindOutcome.ACCEPTED] * 2 + [BindOutcome.TOO_MANY] * 2
        assert rig.store.told["acme"] == (0, 0, 2)
        assert rig.store.calls <= 2


async def test_a_session_that_ends_makes_room_once_however_often_it_is_told() -> None:
    async with running(binds_max=1) as rig:
        first = rig.ask()
        assert await rig.outcomes(1) == [BindOutcome.ACCEPTED]
        rig.ask()
        assert await rig.outcomes(1) == [BindOutcome.TOO_MANY]
        rig.desk.release(first)  # type: ignore[arg-type]
        rig.desk.release(first)  # type: ignore[arg-type]
        await until(lambda: rig.store.told["acme"] == (0, 0, 0))
        rig.ask()
        assert await rig.outcomes(1) == [BindOutcome.ACCEPTED]
        assert rig.desk.held("acme") == (0, 0, 1)


async def test_types_have_limits_of_their_own_and_may_be_forbidden() -> None:
    """Quirk 22: limits by account and by type."""
    async with running(binds_tx_max=1, binds_rx_max=0) as rig:
        rig.ask(BindTransmitter)
        rig.ask(BindTransmitter)
        rig.ask(BindReceiver)
        rig.ask(BindTransceiver)
        assert await rig.outcomes(4) == [
            BindOutcome.ACCEPTED,
            BindOutcome.TOO_MANY_OF_TYPE,
            BindOutcome.TYPE_NOT_ALLOWED,
            BindOutcome.ACCEPTED,
        ]


async def test_ten_guesses_of_all_workers_lock_the_pair_and_nobody_else() -> None:
    async with running() as rig:
        rig.store.guesses[("192.0.2.1", b"esme")] = 8
        found = []
        for _ in range(4):
            rig.ask(password=b"wrong")
            found += await rig.outcomes(1)
        assert found == [BindOutcome.WRONG] * 2 + [BindOutcome.LOCKED] * 2
        rig.ask()
        assert await rig.outcomes(1) == [BindOutcome.LOCKED]
        rig.ask(connection=Connection("192.0.2.2"))
        assert await rig.outcomes(1) == [BindOutcome.ACCEPTED]


async def test_a_pair_that_others_locked_is_refused_with_the_right_password_too() -> None:
    async with running() as rig:
        rig.store.guesses[("192.0.2.1", b"esme")] = 10
        rig.store.guesses[("192.0.2.1", b"late")] = 10
        rig.ask()
        rig.ask(system_id=b"late")
        assert await rig.outcomes(2) == [BindOutcome.LOCKED] * 2
        assert rig.desk.held("acme") == (0, 0, 0)


async def test_once_locked_a_pair_costs_redis_nothing() -> None:
    async with running() as rig:
        rig.store.guesses[("192.0.2.1", b"esme")] = 10
        rig.ask(password=b"wrong")
        await rig.outcomes(1)
        calls = rig.store.calls
        for _ in range(1_000):
            rig.ask(password=b"wrong")
        assert await rig.outcomes(1_000) == [BindOutcome.LOCKED] * 1_000
        assert rig.store.calls <= calls + 1
        assert rig.store.guesses[("192.0.2.1", b"esme")] == 11


async def test_a_suspended_account_is_told_so_and_holds_nothing() -> None:
    async with running() as rig:
        rig.ask(system_id=b"late")
        assert await rig.outcomes(1) == [BindOutcome.SUSPENDED]
        assert rig.store.told["late"] == (0, 0, 0)


async def test_who_is_gone_before_the_decision_holds_nothing() -> None:
    async with running() as rig:
        connection = rig.ask()
        connection.is_open = False
        assert await rig.outcomes(1) == [BindOutcome.ABANDONED]
        await until(lambda: rig.store.told.get("acme") == (0, 0, 0))


async def test_bind_requests_of_one_address_have_a_rate() -> None:
    async with running(BindLimits(per_second_per_address=0.001, burst_per_address=2)) as rig:
        for _ in range(3):
            rig.ask(password=b"wrong")
        rig.ask(connection=Connection("192.0.2.2"))
        found = await rig.outcomes(4)
        assert sorted(outcome.value for outcome in found) == [
            "accepted", "too_fast", "wrong_credentials", "wrong_credentials",
        ]  # fmt: skip


# --- without Redis --------------------------------------------------------------------------------------------------


async def test_without_redis_a_worker_counts_its_own_and_tells_it_afterwards() -> None:
    async with running(binds_max=2) as rig:
        rig.store.is_away = True
        for _ in range(3):
            rig.ask()
        found = await rig.outcomes(3)
        assert found == [BindOutcome.ACCEPTED] * 2 + [BindOutcome.TOO_MANY]
        assert rig.desk.without_redis == 3
        rig.store.is_away = False
        rig.ask()
        assert await rig.outcomes(1) == [BindOutcome.TOO_MANY]
        assert rig.store.told["acme"] == (0, 0, 2)


async def test_a_redis_that_comes_back_is_told_of_everybody_who_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smpp_binds, "RENEW_SECONDS", 0.01)
    async with running() as rig:
        rig.ask()
        assert await rig.outcomes(1) == [BindOutcome.ACCEPTED]
        rig.store.is_away = True
        calls = rig.store.calls
        await until(lambda: rig.store.calls > calls + 1)
        rig.store.told.clear()
        rig.store.is_away = False
        await until(lambda: rig.store.told.get("acme") == (0, 0, 1))


async def test_without_redis_a_worker_evaluates_its_share_of_guesses() -> None:
    async with running(BindLimits(guesses_alone_max=2)) as rig:
        rig.store.is_away = True
        found = []
        for password in (b"one", b"two", b"three", b"s3cret"):
            rig.ask(password=password)
            found += await rig.outcomes(1)
        assert found == [BindOutcome.WRONG] * 2 + [BindOutcome.LOCKED] * 2


async def test_a_worker_without_a_share_evaluates_nothing_without_redis() -> None:
    async with running(BindLimits(guesses_alone_max=0)) as rig:
        rig.store.is_away = True
        rig.ask()
        assert await rig.outcomes(1) == [BindOutcome.LOCKED]
        rig.store.is_away = False
        rig.ask()
        assert await rig.outcomes(1) == [BindOutcome.ACCEPTED]


async def test_the_door_is_renewed_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smpp_binds, "RENEW_SECONDS", 0.01)
    async with running() as rig:
        await until(lambda: rig.store.calls > 3)
        await rig.desk.leave()
        assert rig.store.gone
        rig.store.is_away = True
        await rig.desk.leave()


# --- the moment of the answer ---------------------------------------------------------------------------------------


async def test_whatever_is_secretly_wrong_is_answered_at_the_same_moment_and_the_rest_at_once() -> None:
    async with running(BindLimits(refusal_seconds=0.1), allowed_networks=frozenset({"192.0.2.0/24"})) as rig:
        rig.store.guesses[("192.0.2.7", b"esme")] = 10
        rig.ask(password=b"wrong")
        rig.ask(system_id=b"nobody")
        rig.ask(connection=Connection("192.0.2.7"))
        rig.ask(connection=Connection("198.51.100.1"))
        rig.ask(system_id=b"late")
        await until(lambda: len(rig.decided) == 5)
        seconds = {outcome: after for _, outcome, after in rig.decided}
        assert set(seconds) == {
            BindOutcome.WRONG, BindOutcome.LOCKED, BindOutcome.ADDRESS, BindOutcome.SUSPENDED,
        }  # fmt: skip
        assert seconds.pop(BindOutcome.SUSPENDED) < 0.1
        assert min(seconds.values()) >= 0.1
