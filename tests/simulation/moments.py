"""Moments between two steps of a turn, which seeds seldom meet: small worlds, in each of which one of them comes.

Two workers, a message or two, and only by chance who owns its upstream and how long things take.
"""

from __future__ import annotations

import asyncio

from protocols.smpp.constants import CommandId
from smscd.core.records import Outcome
from smscd.core.upstream import Upstream
from tests.simulation.carrier import GOOD
from tests.simulation.esme import wish
from tests.simulation.gateway import KEYS, Gateway
from tests.simulation.loop import NOBODY, Host, VirtualLoop
from tests.simulation.network import Wire
from tests.simulation.store import Connection, Server
from tests.simulation.world import UPSTREAMS, World

UPSTREAM, PREFIX = "north", b"44"
DEAD_SECONDS = 0.5
CUT_SECONDS = 6.0
STOPPED_SECONDS = 12.0
LATE_SECONDS = 9.0
ON_ACCEPTANCE, ON_DELIVERY = "acme", "beta"
"""The accounts of a world, by what they pay for."""


def begins_with(data: bytes, command_id: CommandId) -> bool:
    """Whether this is the first of the PDUs in what is written."""
    return data[4:8] == command_id.to_bytes(4, "big")


class Moment(World):
    """A world with so many messages, a second apart. is_met: whether the moment has come."""

    account = ON_ACCEPTANCE
    mood = GOOD
    in_doubt = "resend"
    messages = 1

    def __init__(self, seed: int, loop: VirtualLoop, server: Server, bells: set[bytes]) -> None:
        super().__init__(seed, loop, server, bells)
        self.is_met = False
        self.profiles.update((name, self._plain(name)) for name in UPSTREAMS)
        self.directory = self._directory()
        self.carrier = self.carriers[UPSTREAM]
        self.carrier.mood = self.mood
        self.carrier.delay_max = 0.5
        self.network.opened = self._opened

    def _plain(self, name: str) -> Upstream:
        return Upstream(
            id=name, host=name, port=2775, system_id="us", password="secret", window_size=10,
            response_timeout_seconds=3.0, enquire_link_seconds=4.0, in_doubt=self.in_doubt,
        )  # fmt: skip

    def _opened(self, wire: Wire) -> None:
        self.watch.opened(wire)

    async def live(self) -> None:
        """The messages, the moment, and a while for whoever goes on; then as ever."""
        await self.come_up()
        [esme] = [each for each in self.esmes if each.account == self.account]
        while not esme.is_bound:
            await asyncio.sleep(0.1)
        for number in range(self.messages):
            await asyncio.sleep(1.0)
            esme.wishes.append(wish(number, PREFIX, b"text", b"key-%d" % number, 600))
            esme.submit(esme.wishes[-1:])
        for _ in range(40):
            await asyncio.sleep(0.5)
            self.watch.check()
        await self.come_to_rest()

    def _ran(self, host: Host, script: str) -> None:
        if not self.is_met and self._is_it(script):
            self.is_met = True
            self._happens(self.workers[host.name])

    def _is_it(self, script: str) -> bool:
        """Asked after each script that has run for a worker, and is not answered yet."""
        return False

    def _happens(self, worker: Gateway) -> None:
        self._replace(worker, DEAD_SECONDS)


class AdmissionIsNotAnswered(Moment):
    """The worker does not reach Redis any more when the message is admitted, and refuses it after a while."""

    def _is_it(self, script: str) -> bool:
        return script == "admit"

    def _happens(self, worker: Gateway) -> None:
        self._cut_off(worker.name, CUT_SECONDS)


class DiesWhenWritten(Moment):
    """The worker dies as soon as the message is on its way: before it can run, or send, anything else."""

    def _opened(self, wire: Wire) -> None:
        super()._opened(wire)
        look = wire.near.on_write

        def wrote(data: bytes) -> None:
            look(data)
            self._wrote(wire, data)

        if wire.to == UPSTREAM:
            wire.near.on_write = wrote

    def _wrote(self, wire: Wire, data: bytes) -> None:
        host = wire.near.host
        if self.is_met or host is None or not begins_with(data, CommandId.SUBMIT_SM):
            return
        self.is_met = host.is_dead = True
        self.loop.call_soon(self.network.died, host, context=NOBODY)
        self.loop.call_later(DEAD_SECONDS, self._begin, host.name, context=NOBODY)


class DiesWhenAccepted(Moment):
    """The worker dies when it is on record that the carrier has taken the message."""

    def _is_it(self, script: str) -> bool:
        if script != "turn":
            return False
        self.books.read()
        return any(each.outcome == Outcome.ACCEPTED for results in self.books.results.values() for each in results)


class DiesWhenReceipted(Moment):
    """The worker dies when a receipt has ended the message, and the answer that came after it is not on record."""

    account = ON_DELIVERY
    mood = "receipt first"
    in_doubt = "fail"

    def _is_it(self, script: str) -> bool:
        return script == "receipt"


class StandsStillBeforeTheBytes(Moment):
    """The worker stands still, for longer than its lease, when the intent is durable and nothing is sent."""

    def _is_it(self, script: str) -> bool:
        return script == "turn" and bool(self.redis.server.call(("KEYS", f"{KEYS.tag}:open:*"))[0])

    def _happens(self, worker: Gateway) -> None:
        self._stop(worker, STOPPED_SECONDS)


class TurnComesLate(Moment):
    """The worker stands still, and the turn that it has sent off arrives when another has taken its role over.

    It is the turn of the second message, so that the other has none of that number.
    """

    messages = 2

    def _is_it(self, script: str) -> bool:
        return script == "correlate" and len(self.carrier.arrived) == self.messages

    def _happens(self, worker: Gateway) -> None:
        for connection in self.redis.connections:
            if connection.host is worker.host:
                self._delay(connection, worker)

    def _delay(self, connection: Connection, worker: Gateway) -> None:
        write = connection.write

        def late(packed: bytes) -> None:
            if self.redis.script_of(packed) == "turn":
                connection._goes_at = self.loop.now + LATE_SECONDS
                self._stop(worker, STOPPED_SECONDS)
            write(packed)

        connection.write = late  # type: ignore[method-assign]  # of this one connection


class IsCutOffWhenTold(Moment):
    """The customer's connection is lost with the receipt in it."""

    def _opened(self, wire: Wire) -> None:
        super()._opened(wire)
        if wire.to in self.workers:
            wire.far.on_write = lambda data: self._told(wire, data)

    def _told(self, wire: Wire, data: bytes) -> None:
        if not self.is_met and begins_with(data, CommandId.DELIVER_SM):
            self.is_met = True
            wire.cut()
