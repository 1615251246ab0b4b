"""Money under every order of events: the same operations on a small model and on a real Valkey with the real scripts.

Hypothesis chooses the operations, and prints the steps of the shortest run that fails. After each step everything that
the server holds is compared with the model, and the books are added up from the journal. Where Redis is lost, the real
writer and the real recovery bring it back from a real PostgreSQL. In CI few runs, the same
each time; with SMSCD_FAULTS=full many, other ones each time.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from smscd.core.records import State
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.process import unprivileged_user
from storage.embedded.valkey import EmbeddedValkey
from storage.postgres.migrate import migrate
from tests.integration.money_machine import (
    ENDS,
    MoneyMachine,
    amounts,
    is_apart,
    is_begun,
    is_sent,
    picks,
    rarely,
    requests,
    with_some,
)
from tests.integration.money_model import Model
from tests.integration.postgres_databases import create_database

IS_FULL = os.environ.get("SMSCD_FAULTS") == "full"
WITHOUT_SHRINKING = (Phase.explicit, Phase.generate)
PROFILE = settings(
    max_examples=200 if IS_FULL else 20,
    stateful_step_count=60 if IS_FULL else 50,
    derandomize=not IS_FULL,
    deadline=None,
    database=None,
    phases=WITHOUT_SHRINKING if os.environ.get("SMSCD_SHRINKING") == "off" else tuple(Phase),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

BEHIND_MAX = 3
behinds = st.integers(0, BEHIND_MAX)
batches = st.sampled_from([4, 20_000])
shares = st.sampled_from([0.0, 0.3, 0.7, 0.999, 1.0])


class LossMachine(MoneyMachine):
    """And any call may be the last before the power is gone, and Redis may be lost with it.

    history: the model at each of the last ends of the journal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: list[tuple[str, Model]] = []

    @rule(survives=st.booleans())
    @rarely("loss", 8)
    def kill(self, survives: bool) -> None:
        """kill -9 of the server between two calls, or of the daemon too, whose roles another takes: nothing is lost."""
        self.run(self.shard.crash())
        if not survives:
            self.run(self.shard.take())

    @rule(behind=behinds, batch_records=batches)
    @rarely("recovery", 4)
    def lose_redis_and_recover(self, behind: int, batch_records: int) -> None:
        """The writer was behind: what it had not recorded never was, and all else is as it was."""
        self.recover(behind, batch_records, is_gone=True)

    @rule(behind=behinds, batch_records=batches)
    @rarely("recovery", 4)
    def build_redis_anew(self, behind: int, batch_records: int) -> None:
        """The same over a Redis that has everything, which counts for nothing."""
        self.recover(behind, batch_records, is_gone=False)

    def recover(self, behind: int, batch_records: int, *, is_gone: bool) -> None:
        """Go back to an end of the journal, so many before the last."""
        recorded_id, model = self.history[-1 - min(behind, len(self.history) - 1)]
        self.run(self.shard.lose(recorded_id, batch_records, is_gone=is_gone))
        self.model = copy.deepcopy(model)
        self.model.recover(self.shard.brought)
        self.history.clear()

    def start_again(self) -> None:
        self.history.clear()
        super().start_again()

    @invariant()
    def what_the_record_can_go_back_to_is_remembered(self) -> None:
        position = self.run(self.shard.position())
        self.history = [known for known in self.history if known[0] != position][-BEHIND_MAX:]
        self.history.append((position, copy.deepcopy(self.model)))

    @rule(batch=requests, share=shares, survives=st.booleans())
    @rarely("loss", 8)
    def lose_power_while_admitting(self, batch: list[Any], share: float, survives: bool) -> None:
        asked = self.asked(batch)
        node = self.shard.nodes[0]
        link, place = node._session.link, node.place
        expected = copy.deepcopy(self.model)
        verdicts = expected.admit(asked)
        told = self.run(self.shard.torn(link, lambda: self.shard.admit(asked, self.model), share, survives))
        if survives:
            assert told == verdicts
            self.model = expected
        else:
            self.settle(told, expected)
            place = (place[0], place[1] + 1)
            known = self.shard.nodes[0].verdicts_at(place).decode()
            assert known == ("".join(verdict[0] for verdict in verdicts) if told else "")

    def settle(self, is_whole: bool, expected: Model) -> None:
        """The next daemon takes over; it finds all of the call or nothing of it."""
        self.run(self.shard.take())
        if is_whole:
            self.model = expected

    @with_some(is_apart)
    @rule(number=picks, share=shares, survives=st.booleans())
    @rarely("loss", 8)
    def lose_power_while_bringing_back(self, number: int, share: float, survives: bool) -> None:
        ids = self.first_apart(number, 3)
        expected = copy.deepcopy(self.model)
        expected.bring(ids)
        link, messages = self.shard.overflow._session.link, self.model.messages
        told = self.run(self.shard.torn(link, lambda: self.shard.bring(ids, messages), share, survives))
        if survives:
            assert told == len(ids)
            self.model = expected
        else:
            if told:
                self.shard.brought.update(ids)
            self.settle(told, expected)

    @rule(number=picks, micros=amounts, share=shares, survives=st.booleans())
    @rarely("loss", 8)
    def lose_power_while_paying(self, number: int, micros: int, share: float, survives: bool) -> None:
        self.last_order += 1
        order = (self.account(number), f"order {self.last_order}", micros)
        expected = copy.deepcopy(self.model)
        balance = expected.top_up(*order)
        told = self.run(self.shard.torn(self.shard.raw, lambda: self.shard.top_up(*order), share, survives))
        if survives:
            assert told == balance
            self.model = expected
        else:
            self.settle(told, expected)

    @with_some(is_begun)
    @rule(number=picks, state=st.sampled_from([State.FAILED, State.EXPIRED]), share=shares, survives=st.booleans())
    @rarely("loss", 8)
    def lose_power_while_settling(self, number: int, state: State, share: float, survives: bool) -> None:
        id = self.pick(number, is_begun)
        expected = copy.deepcopy(self.model)
        ended = expected.end(id, state)
        link = self.shard.dispatch._session.link
        message = self.model.messages[id]
        told = self.run(self.shard.torn(link, lambda: self.shard.end(id, message, state), share, survives))
        if survives:
            assert told == ended
            self.model = expected
        else:
            self.settle(told, expected)

    @with_some(is_sent)
    @rule(number=picks, state=st.sampled_from(ENDS), share=shares, survives=st.booleans())
    @rarely("loss", 8)
    def lose_power_while_taking_a_receipt(self, number: int, state: State, share: float, survives: bool) -> None:
        id = self.pick(number, is_sent)
        message, refund = self.model.messages[id], self.model.proposed_refund(id, state)
        expected = copy.deepcopy(self.model)
        effect = expected.receipt(id, state)
        link = self.shard.receipts._session.link
        told = self.run(self.shard.torn(link, lambda: self.shard.apply(id, message, state, refund), share, survives))
        if survives:
            assert told == effect
            self.model = expected
        else:
            self.settle(told, expected)


@pytest.fixture(scope="module")
def server_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedValkey, Path]]:
    """A Valkey that may be killed."""
    directory = tmp_path_factory.mktemp("money") / "valkey"
    server = EmbeddedValkey(directory)
    asyncio.run(server.start())
    yield server, directory
    asyncio.run(server.stop())


@pytest.fixture(scope="module")
def record_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A PostgreSQL with a migrated database: one kind of servers, because this is long and the scripts are the same."""
    directory = tmp_path_factory.mktemp("record")
    if unprivileged_user() is not None:
        directory.chmod(0o711)
    server = EmbeddedPostgres(directory / "postgres")

    async def start() -> str:
        await server.start()
        database = await create_database(server, "migrated")
        await migrate(database.owner_dsn)
        return database.name

    yield server, asyncio.run(start())
    asyncio.run(server.stop())


@pytest.mark.timeout(0 if IS_FULL else 120)
def test_money_is_where_the_model_has_it_after_every_step(
    server_of_its_own: tuple[EmbeddedValkey, Path], record_of_its_own: tuple[EmbeddedPostgres, str]
) -> None:
    class Machine(LossMachine):
        server, directory = server_of_its_own
        postgres, template = record_of_its_own

    run_state_machine_as_test(Machine, settings=PROFILE)  # type: ignore[no-untyped-call]  # Hypothesis has no types there
