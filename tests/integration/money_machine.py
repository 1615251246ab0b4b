"""The operations on money that the machine of test_money_machine chooses from, and what has to hold after each."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from smscd.core.records import State, Tariff
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.valkey import EmbeddedValkey
from tests.integration.money_model import WAITING, Account, Asked, Message, Model, Place
from tests.integration.money_record import Record
from tests.integration.money_store import IN_REDIS_MAX, Shard
from tests.integration.money_view import UPSTREAM

ACCOUNTS_MAX = 3
DEPTH_MAX = 16
ENDS = (State.DELIVERED, State.UNDELIVERED, State.EXPIRED, State.REJECTED)

picks = st.integers(0, 999)
amounts = st.sampled_from([10_000, 20_000, 50_000, 90_000, 10**8, 10**15 + 1])
prices = st.sampled_from([10_000, 10_000, 20_000, 30_000, 2**25 + 1, 10**14 + 1])
keys = st.sampled_from([b"", b"k", b"l"])
bodies = st.sampled_from([b"one body", b"another body"])
requests = st.lists(st.tuples(picks, st.integers(1, 3), prices, keys, bodies), min_size=1, max_size=4)


def is_waiting(message: Message) -> bool:
    return message.place in WAITING


def is_apart(message: Message) -> bool:
    return message.place is Place.APART


def is_unbegun(message: Message) -> bool:
    return message.place is Place.QUEUED and not message.is_begun


def is_under_way(message: Message) -> bool:
    return message.is_begun and not message.is_cancel_asked


def is_known_to_the_carrier(message: Message) -> bool:
    return message.was_sent or message.is_begun


def is_queued(message: Message) -> bool:
    return message.place is Place.QUEUED


def is_later(message: Message) -> bool:
    return message.place is Place.LATER


def is_sent(message: Message) -> bool:
    return message.place is Place.SENT


def is_refunded(message: Message) -> bool:
    return message.is_refunded


def is_begun(message: Message) -> bool:
    return message.is_begun


def is_cancel_asked(message: Message) -> bool:
    return message.is_cancel_asked


def with_some(is_wanted: Callable[[Message], bool]) -> Callable[[Any], Any]:
    """For rules that need a message of a kind."""
    return precondition(lambda machine: machine.those(is_wanted))


def rarely(what: str, steps: int) -> Callable[[Any], Any]:
    """Of the rules with this name at most one in so many steps: Hypothesis would choose all rules equally often."""

    def is_due(machine: MoneyMachine) -> bool:
        return machine.step - machine.last.get(what, 0) >= steps

    def decorated(do: Any) -> Any:
        @wraps(do)
        def noted(machine: MoneyMachine, *args: Any, **kwargs: Any) -> None:
            machine.last[what] = machine.step
            do(machine, *args, **kwargs)

        return noted

    return lambda do: precondition(is_due)(decorated(do))


class MoneyMachine(RuleBasedStateMachine):
    """Everything but losses. server, directory: of the Valkey that all runs share. postgres, template: where a run
    makes its record, and from what. All four are set by the test."""

    server: EmbeddedValkey
    directory: Path
    postgres: EmbeddedPostgres
    template: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = Model(DEPTH_MAX, IN_REDIS_MAX)
        self.shard = self.new_shard()
        self.step = 0
        self.last: dict[str, int] = {}
        self.last_id = 0
        self.last_order = 1
        self.run(self.shard.open())

    def teardown(self) -> None:
        self.run(self.shard.close())
        self.loop.close()

    def new_shard(self) -> Shard:
        """One that nothing has happened on."""
        names = [f"account{number}" for number in range(ACCOUNTS_MAX)]
        return Shard(self.server, self.directory, Record(self.postgres, self.template, names, UPSTREAM))

    def run(self, work: Awaitable[Any]) -> Any:
        """Do something on the server."""
        return self.loop.run_until_complete(work)

    # --- what there is to choose from -------------------------------------------------------------------------------

    def those(self, is_wanted: Callable[[Message], bool]) -> list[int]:
        """The messages that something can happen to."""
        return [id for id, message in sorted(self.model.messages.items()) if is_wanted(message)]

    def pick(self, number: int, is_wanted: Callable[[Message], bool]) -> int:
        """One of them."""
        ids = self.those(is_wanted)
        return ids[number % len(ids)]

    def account(self, number: int) -> str:
        """One of the accounts."""
        names = list(self.model.accounts)
        return names[number % len(names)]

    def asked(self, batch: list[tuple[int, int, int, bytes, bytes]]) -> list[Asked]:
        """Submissions with new ids."""
        made = []
        for number, count, price, key, body in batch:
            ids = [self.last_id + n for n in range(1, count + 1)]
            self.last_id += count
            made.append(Asked(self.account(number), ids, price, key, body))
        return made

    # --- accounts ---------------------------------------------------------------------------------------------------

    @initialize(tariff=st.sampled_from(Tariff))
    def begin_in_the_middle(self, tariff: Tariff) -> None:
        """An account of each tariff with messages at every place: a run of few steps has something to happen to."""
        for account, kind in enumerate((tariff, Tariff(1 - tariff))):
            self.model.accounts[f"account{account}"] = Account(0, kind)
            self.pay(f"account{account}", f"order {account}", 100_000)
            self.admit([(account, 1, 10_000, b"", b"")] * 3, account)
        self.admit([(0, 1, 10_000, b"", b"")] * 4, 0)
        for _ in range(2):
            self.bring_back(0, 1)
        for _ in range(5):
            self.begin(0)
        for number in (0, 0):
            self.accept(number)

    @precondition(lambda self: len(self.model.accounts) < ACCOUNTS_MAX)
    @rule(tariff=st.sampled_from(Tariff), floor=st.sampled_from([0, -50_000]))
    @rarely("payment", 4)
    def open_account(self, tariff: Tariff, floor: int) -> None:
        self.model.accounts[f"account{len(self.model.accounts)}"] = Account(floor, tariff)

    @rule(number=picks, micros=amounts)
    @rarely("payment", 4)
    def top_up(self, number: int, micros: int) -> None:
        self.last_order += 1
        self.pay(self.account(number), f"order {self.last_order}", micros)

    @rule(number=picks, order=picks, micros=amounts)
    @rarely("payment", 4)
    def repeat_a_top_up(self, number: int, order: int, micros: int) -> None:
        self.pay(self.account(number), f"order {order % (1 + self.last_order)}", micros)

    def pay(self, account: str, order: str, micros: int) -> None:
        told = self.run(self.shard.top_up(account, order, micros))
        assert told == self.model.top_up(account, order, micros)

    # --- admission --------------------------------------------------------------------------------------------------

    @rule(batch=requests, node=st.sampled_from([0, 1]))
    def admit(self, batch: list[tuple[int, int, int, bytes, bytes]], node: int) -> None:
        asked = self.asked(batch)
        assert self.run(self.shard.admit(asked, self.model, node)) == self.model.admit(asked)

    @precondition(lambda self: self.model.keys)
    @rule(number=picks, count=st.integers(1, 3), body=bodies, copies=st.integers(1, 2), node=st.sampled_from([0, 1]))
    def replay(self, number: int, count: int, body: bytes, copies: int, node: int) -> None:
        account, key = sorted(self.model.keys)[number % len(self.model.keys)]
        asked = self.asked([(list(self.model.accounts).index(account), count, 10_000, key, body)] * copies)
        verdicts = self.run(self.shard.admit(asked, self.model, node))
        assert verdicts == self.model.admit(asked)
        assert all(verdict[0] == "D" for verdict in verdicts)

    @rule(first=requests, second=requests)
    @rarely("race", 4)
    def admit_two_at_a_time(self, first: list[Any], second: list[Any]) -> None:
        """Two nodes at once: what comes of it is what one of the two orders makes of it.

        Where the orders differ, the run goes on from the start: Hypothesis needs runs that can be repeated.
        """
        batches = [self.asked(first), self.asked(second)]

        async def both() -> list[list[str]]:
            return await asyncio.gather(*(self.shard.admit(batches[n], self.model, n) for n in (0, 1)))

        models = [copy.deepcopy(self.model) for _ in range(2)]
        expected = [models[0].admit(batches[0]), models[0].admit(batches[1])]
        expected_otherwise = [models[1].admit(batches[1]), models[1].admit(batches[0])][::-1]
        verdicts = self.run(both())
        possible = [
            model for model, told in zip(models, (expected, expected_otherwise), strict=True) if told == verdicts
        ]
        assert possible
        # Also with the same verdicts the first may have left the second no room in Redis.
        places = self.run(self.places())
        self.model = next((model for model in possible if model.places() == places), possible[0])
        self.run(self.compare())
        if models[0] != models[1]:
            self.start_again()

    def start_again(self) -> None:
        """Another shard in the middle of its life."""
        self.model = Model(DEPTH_MAX, IN_REDIS_MAX)
        self.run(self.shard.close())
        self.shard = self.new_shard()
        self.run(self.shard.open())
        self.begin_in_the_middle(Tariff.ON_ACCEPT)

    @with_some(is_waiting)
    @rule(number=picks)
    def cancel(self, number: int) -> None:
        id = self.pick(number, is_waiting)
        message = self.model.messages[id]
        key = next((key for (_, key), (first, _) in self.model.keys.items() if first == id), b"")
        kept = not self.run(self.shard.cancel(id, message, key))
        assert kept != self.model.cancel(id, key)

    @with_some(is_apart)
    @rule(number=picks, count=st.integers(1, 2))
    def bring_back(self, number: int, count: int) -> None:
        """What waits in PostgreSQL alone comes back, and what came before is passed over."""
        ids = self.first_apart(number, count)
        assert self.run(self.shard.bring(ids, self.model.messages)) == len(ids)
        self.model.bring(ids)

    def first_apart(self, number: int, count: int) -> list[int]:
        """The first of an account."""
        account = self.model.messages[self.pick(number, is_apart)].account
        return [id for id in self.those(is_apart) if self.model.messages[id].account == account][:count]

    # --- sending ----------------------------------------------------------------------------------------------------

    @with_some(is_unbegun)
    @rule(number=picks)
    def begin(self, number: int) -> None:
        id = self.pick(number, is_unbegun)
        is_to_be_sent = self.model.begin(id)
        assert self.run(self.shard.begin(id)) == is_to_be_sent
        if not is_to_be_sent:
            self.end_as(id, State.CANCELED)

    @with_some(is_begun)
    @rule(number=picks)
    def accept(self, number: int) -> None:
        id = self.pick(number, is_begun)
        message = self.model.messages[id]
        found = [State(parked.state) for parked in self.run(self.shard.accept(id, message))]
        self.model.accept(id)
        assert found == list(dict.fromkeys(message.early)), "what came too soon is handed over, each once"
        for state in found:
            self.tell(id, state, self.shard.apply)
        self.run(self.shard.unpark(id))
        message.early.clear()

    @with_some(is_begun)
    @rule(number=picks)
    def refuse_for_now(self, number: int) -> None:
        id = self.pick(number, is_begun)
        self.run(self.shard.retry(id, self.model.messages[id]))
        self.model.retry(id)

    @with_some(is_under_way)
    @rule(number=picks)
    def send_a_doubt_again(self, number: int) -> None:
        id = self.pick(number, is_under_way)
        self.run(self.shard.doubt(id, self.model.messages[id]))
        self.model.doubt(id)

    @with_some(is_later)
    @rule()
    def promote(self) -> None:
        assert self.run(self.shard.promote()) == self.model.promote()

    @with_some(is_begun)
    @rule(number=picks)
    def fail(self, number: int) -> None:
        self.end_as(self.pick(number, is_begun), State.FAILED)

    @with_some(is_queued)
    @rule(number=picks)
    def expire(self, number: int) -> None:
        self.end_as(self.pick(number, is_queued), State.EXPIRED)

    def end_as(self, id: int, state: State) -> None:
        told = self.run(self.shard.end(id, self.model.messages[id], state))
        assert told == self.model.end(id, state)

    @with_some(is_refunded)
    @rule(number=picks)
    def refund_again(self, number: int) -> None:
        id = self.pick(number, is_refunded)
        assert self.run(self.shard.refund(id, self.model.messages[id])) == self.model.refund(id) is False

    # --- receipts ---------------------------------------------------------------------------------------------------

    @with_some(is_known_to_the_carrier)
    @rule(number=picks, state=st.sampled_from(ENDS))
    def receipt(self, number: int, state: State) -> None:
        """In time, too early, late, or again."""
        id = self.pick(number, is_known_to_the_carrier)
        self.tell(id, state, self.shard.receipt)

    def tell(self, id: int, state: State, how: Callable[[int, Message, State, int], Awaitable[str]]) -> None:
        refund = self.model.proposed_refund(id, state)
        told = self.run(how(id, self.model.messages[id], state, refund))
        assert told == self.model.receipt(id, state)

    @with_some(is_sent)
    @rule(number=picks, state=st.sampled_from(ENDS))
    def refund_two_at_a_time(self, number: int, state: State) -> None:
        """A turn and a receipt would both give the price back: one of them does."""
        id = self.pick(number, is_sent)
        message = copy.deepcopy(self.model.messages[id])

        async def both() -> list[Any]:
            receipt = self.shard.apply(id, message, state, message.price)
            return await asyncio.gather(self.shard.refund(id, message), receipt)

        made, effect = self.run(both())
        assert effect == "final"
        assert made in (True, False)
        self.model.refund(id)
        assert self.model.receipt(id, state) == "final"

    # --- after each step --------------------------------------------------------------------------------------------

    @invariant()
    def everything_is_where_the_model_has_it(self) -> None:
        self.step += 1
        self.run(self.compare())

    async def places(self) -> dict[int, Place]:
        return await self.shard.places(await self.shard.spots())

    async def compare(self) -> None:
        model, shard = self.model, self.shard
        books = await shard.books()
        for name, account in model.accounts.items():
            held = await shard.balances.balance(name) or 0
            assert held == account.balance == books.balances[name], name
            assert held >= account.floor, name
        assert books.prices == {id: message.price for id, message in model.messages.items()}
        refunded = {id: [message.price] for id, message in model.messages.items() if message.is_refunded}
        assert books.refunds == refunded, "once, and the price"
        spots = await shard.spots()
        assert {id for id, spot in spots.items() if spot.is_begun} == set(self.those(is_begun))
        assert await shard.places(spots) == model.places()
        assert await shard.cancels() == set(self.those(is_cancel_asked))
        ended = {id: message.state for id, message in model.messages.items() if message.place is Place.ENDED}
        assert await shard.states() == ended
        assert await shard.dispatch.depth() == model.depth
        assert await shard.keys(model.accounts) == model.keys
