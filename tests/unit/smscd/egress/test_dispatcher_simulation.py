"""Dispatchers under everything that can happen to them, by seed: no message lost, none doubled without a word.

A carrier in memory keeps its own record of what was written to it; at the end it is compared with the journal.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from smscd.core.breaker import Breaker
from smscd.core.records import MessageRecord, Outcome, ResultRecord, State, Tariff
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.dispatcher import Dispatcher
from smscd.egress.dispatch.turn import Ref
from smscd.egress.figures import UpstreamFigures
from storage.redis.dispatch import Turn, TurnReply
from storage.redis.errors import StorageUnavailable
from tests.unit.smscd.egress.doubles import (
    FIRST_ID,
    Clock,
    FakeLink,
    FakeParkedSink,
    FakeSenders,
    FakeSession,
    message,
    profile,
)
from tests.unit.smscd.egress.redis_double import FakeDispatchStore, FakeRedis

STATUSES = (0, 0, 0, 0, 0, 0x0B, 0x08, 0x58, 0x14)
ENDS = (Outcome.FAILED, Outcome.EXPIRED, Outcome.CANCELED, Outcome.UNKNOWN)
STEPS = 250


class Killed(Exception):
    """The process dies here."""


class MortalStore(FakeDispatchStore):
    """Dies before or after the next turn, or takes so long that the lease runs out, when it is told to."""

    def __init__(self, redis: FakeRedis, session: FakeSession) -> None:
        super().__init__(redis)
        self.session = session
        self.dies: str | None = None
        self.is_slow = False

    async def turn(self, turn: Turn) -> TurnReply:
        if self.dies == "before":
            raise Killed
        reply = await super().turn(turn)
        if self.dies == "after":
            raise Killed
        if self.is_slow:
            self.is_slow = False
            self.session.deadline = 0.0
        return reply


class RecordingLink(FakeLink):
    """A bind that tells the carrier's record what was written, and keeps what timed out."""

    def __init__(self, window: int, record: Counter[tuple[int, int]], session: FakeSession) -> None:
        super().__init__(window)
        self.late: list[Ref] = []
        self.record = record
        self.session = session

    def send(self, items: Any, now: float) -> None:
        assert now < self.session.deadline, "written past the deadline"
        super().send(items, now)
        self.record.update((item.record.id, segment) for _, (item, segment) in items)


class World:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.redis = FakeRedis()
        self.clock = Clock()
        self.upstream: Upstream = profile(in_doubt=self.random.choice(("resend", "resend", "hold", "fail")))
        self.written: Counter[tuple[int, int]] = Counter()
        self.taken: Counter[tuple[int, int]] = Counter()
        self.messages: dict[int, MessageRecord] = {}
        self.cancelled: set[int] = set()
        self.ids = 0
        self.start()

    def start(self) -> None:
        """A process, after another one or as the first."""
        self.session = FakeSession()
        self.store = MortalStore(self.redis, self.session)
        windows = [self.random.choice((1, 3, 8)) for _ in range(3)]
        self.links = [RecordingLink(window, self.written, self.session) for window in windows]
        self.is_new = True
        self.dispatcher = Dispatcher(
            self.upstream,
            store=self.store,  # type: ignore[arg-type]  # the double
            session=self.session,  # type: ignore[arg-type]  # the double
            senders=FakeSenders(*self.links),  # type: ignore[arg-type]  # the double
            parked=FakeParkedSink(),
            figures=UpstreamFigures("carrier"),
            breaker=Breaker(),
            clock=self.clock.seconds,
            wall_ms=self.clock.wall_ms,
            chance=self.random.random,
        )

    async def work(self) -> None:
        try:
            if self.is_new:
                await self.dispatcher.take_rest_over()
                self.is_new = False
            for _ in range(self.random.randrange(1, 6)):
                if await self.dispatcher.cycle():
                    break
        except (Killed, StorageUnavailable):
            self.start()

    # --- what can happen --------------------------------------------------------------------------------------------

    def admit(self) -> None:
        records = []
        for _ in range(self.random.choice((1, 1, 2, 7))):
            self.ids += 1
            record = message(
                self.ids,
                segments=[b"part"] * self.random.choice((1, 1, 1, 2, 3)),
                valid_until_ms=self.clock.now_ms + self.random.choice((500, 20_000, 3_600_000)),
                tariff=self.random.choice((0, 1)),
            )
            self.messages[record.id] = record
            records.append(record)
        account = self.random.choice(("acme", "beta"))
        self.redis.admit(*records, queue=f"{{s00}}:q:carrier:{self.random.choice((0, 1))}:{account}")
        self.dispatcher.wake()

    def answer(self) -> None:
        link = self.random.choice(self.links)
        source = link.late if link.late and self.random.random() < 0.3 else link.pending
        count = min(len(source), self.random.choice((1, 2, 8)))
        answers = []
        for _ in range(count):
            item, segment = source.pop(self.random.randrange(len(source)))
            status = self.random.choice(STATUSES)
            if not status:
                self.taken[(item.record.id, segment)] += 1
            answers.append(((item, segment), status, b"%d.%d" % (item.record.id, segment) if not status else b""))
        if answers:
            self.dispatcher.answered(link, answers, self.clock.now)  # type: ignore[arg-type]  # the double

    def time_out(self) -> None:
        link = self.random.choice(self.links)
        count = self.random.randrange(len(link.pending) + 1)
        refs, link.pending = link.pending[:count], link.pending[count:]
        link.late += refs
        if refs:
            self.dispatcher.timed_out(refs)

    def lose(self) -> None:
        link = self.random.choice(self.links)
        refs, link.late, link.pending = link.late + link.pending, [], []
        for item, segment in refs:
            if self.random.random() < 0.5:
                self.taken[(item.record.id, segment)] += 1
        link.can_send = False
        self.dispatcher.lost(link, refs)  # type: ignore[arg-type]  # the double

    def come_back(self) -> None:
        self.random.choice(self.links).can_send = True
        self.dispatcher.links_changed()

    def cancel(self) -> None:
        fresh = [message_id for message_id in self.messages if not self.written[(message_id, 0)]]
        if fresh:
            message_id = self.random.choice(fresh)
            self.redis.changes.add(message_id)
            self.cancelled.add(message_id)

    def pass_time(self) -> None:
        self.clock.advance(self.random.choice((0.1, 1.0, 5.0, 15.0)))

    def lapse(self) -> None:
        self.session.deadline = self.clock.now + self.random.choice((-1.0, 1e9))

    def renew(self) -> None:
        self.session.deadline = 1e12

    def slow_down(self) -> None:
        self.store.is_slow = True

    def go_away(self) -> None:
        self.redis.unavailable = self.random.choice((1, 2))

    def die(self) -> None:
        self.store.dies = self.random.choice(("before", "after"))

    async def live(self) -> None:
        """Let it all happen, then heal everything and let it end."""
        happenings = [self.admit] * 4 + [self.answer] * 10 + [self.pass_time] * 3 + [self.come_back] * 3
        happenings += [self.time_out, self.time_out, self.lose, self.cancel, self.die, self.go_away]
        happenings += [self.lapse, self.renew, self.renew, self.slow_down]
        for _ in range(STEPS):
            self.random.choice(happenings)()
            await self.work()
        self.store.dies, self.store.is_slow, self.redis.unavailable = None, False, 0
        await self.heal(rounds=200, seconds=3.0)
        self.check_prompt()
        await self.heal(rounds=80, seconds=60.0)

    async def heal(self, *, rounds: int, seconds: float) -> None:
        """All is well: everything is answered with ESME_ROK as soon as it is sent."""
        for _ in range(rounds):
            self.session.deadline = 1e12
            for link in self.links:
                link.can_send = True
                refs, link.pending = link.pending, []
                for item, segment in refs:
                    self.taken[(item.record.id, segment)] += 1
                answers = [(ref, 0, b"%d.%d" % (ref[0].record.id, ref[1])) for ref in refs]
                if answers:
                    self.dispatcher.answered(link, answers, self.clock.now)  # type: ignore[arg-type]  # the double
            self.dispatcher.wake()
            await self.work()
            self.clock.advance(seconds)
            if not (self.redis.queues or self.redis.later or self.redis.rest):
                break

    # --- what must hold ---------------------------------------------------------------------------------------------

    def check_prompt(self) -> None:
        """What could be sent was sent, and did not have to wait for the end of its validity."""
        seen = {result.id for result in self.redis.results()} | {message_id for message_id, _ in self.written}
        waiting = [record for record in self.messages.values() if record.valid_until_ms > self.clock.now_ms]
        assert [record.id for record in waiting if record.id not in seen] == []

    def check(self) -> None:
        redis = self.redis
        assert not (redis.queues or redis.later or redis.rest or redis.open), "something is left"
        assert redis.depth == 0
        results = redis.results()
        by_message: dict[int, list[ResultRecord]] = {message_id: [] for message_id in self.messages}
        for result in results:
            by_message[result.id].append(result)
        for message_id, record in self.messages.items():
            self.check_message(record, by_message[message_id])
        assert set(redis.refunded) <= set(self.messages)

    def check_message(self, record: MessageRecord, results: list[ResultRecord]) -> None:
        ends = [result for result in results if result.outcome in ENDS]
        accepted = {result.segment for result in results if result.outcome == Outcome.ACCEPTED}
        is_sent = any(result.state == State.SENT for result in results)
        assert len(ends) + is_sent == 1, f"{record.id} ended {len(ends) + is_sent} times: {results}"
        if is_sent:
            assert accepted == set(range(len(record.segments)))
            assert record.id not in self.redis.refunded and record.id not in self.redis.states
        else:
            self.check_end(record, ends[0], accepted)
        doubts = Counter(result.segment for result in results if result.outcome == Outcome.DOUBTED)
        retries = sum(result.outcome == Outcome.RETRIED for result in results)
        for segment in range(len(record.segments)):
            written = self.written[(record.id, segment)]
            assert written <= 1 + doubts[segment] + retries, f"{record.id}.{segment} written {written} times"
            assert self.taken[(record.id, segment)] <= 1 + doubts[segment], "a double that nobody announced"

    def check_end(self, record: MessageRecord, end: ResultRecord, accepted: set[int]) -> None:
        assert self.redis.states[record.id] == end.state
        is_refunded = record.id in self.redis.refunded
        assert (end.outcome == Outcome.CANCELED) <= (record.id in self.cancelled)
        match end.outcome:
            case Outcome.UNKNOWN:
                assert not is_refunded
            case Outcome.CANCELED:
                assert is_refunded
            case _ if record.tariff == Tariff.ON_DELIVERY:
                assert is_refunded
            case _:
                assert not (is_refunded and accepted), "paid back although a segment was accepted before"


@pytest.mark.parametrize("seed", range(24))
async def test_nothing_is_lost_doubled_in_silence_or_paid_back_wrongly(seed: int) -> None:
    world = World(seed)
    await world.live()
    world.check()
    assert len(world.messages) > 20 and min(world.messages) > FIRST_ID
