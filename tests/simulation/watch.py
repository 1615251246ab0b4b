"""What is looked at in a world: the moment that it happens, and after each step. It draws no chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocols.smpp.constants import CommandId
from smscd.core.breaker import BreakerState
from smscd.core.upstream import Upstream
from tests.simulation.books import Books, Broken, must
from tests.simulation.carrier import Arrived, Carrier, Told, unanswered
from tests.simulation.esme import Wish
from tests.simulation.gateway import Gateway
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Wire
from tests.simulation.sequences import Sequences
from tests.simulation.store import Server

_SUBMIT = int(CommandId.SUBMIT_SM)


class Watch:
    """Looks at one world, and keeps the first law that it finds broken until the next step asks.

    profiles, carriers, workers: those of the world, as they are at each moment.
    stepped_at: when the clock last stepped; who owns what is not asked for a while then.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        server: Server,
        books: Books,
        profiles: Mapping[str, Upstream],
        carriers: Mapping[str, Carrier],
        workers: Mapping[str, Gateway],
    ) -> None:
        self.acknowledged: set[tuple[bytes, int, bytes]] = set()
        self.stepped_at = -1e9
        self._broken: BaseException | None = None
        self._loop = loop
        self._server = server
        self._books = books
        self._profiles = profiles
        self._carriers = carriers
        self._workers = workers
        self._sequences = Sequences()
        self._probes: dict[tuple[str, str], tuple[float, int]] = {}

    def yes(self, wished: Wish, message_id: int) -> None:
        """A customer was told yes."""
        self._look(lambda: must(self._books.was_admitted(message_id), f"{message_id}: yes before it was admitted"))

    def receipt_acknowledged(self, carrier: Carrier, told: Told) -> None:
        """A carrier was told that its receipt is taken."""
        self.acknowledged.add((*told.segment, told.message_id))
        self._look(lambda: must(self._books.is_durable(carrier.name, told), f"{told} was acknowledged and is nowhere"))

    def arrived(self, carrier: Carrier, arrived: Arrived) -> None:
        """The window and the order of segments, as the carrier sees them."""
        profile = self._profiles[carrier.name]
        since = arrived.sent_at - profile.response_timeout_seconds + 1e-6
        count = unanswered(carrier, arrived.wire, since)
        self._look(lambda: must(count <= profile.window_size, f"{carrier.name}: {count} in flight"))
        broken = self._sequences.broken(carrier, arrived)
        self._look(lambda: must(not broken, f"{carrier.name}: {broken}"))

    def opened(self, wire: Wire) -> None:
        """A connection came about: what goes to a carrier is looked at."""
        if wire.to in self._carriers:
            wire.near.on_write = lambda data: self._wrote(wire, data)

    def check(self) -> None:
        """After every step."""
        if self._broken is not None:
            raise self._broken
        self._books.check(self._carriers.values())
        self._check_binds()

    def _look(self, look: Callable[[], None]) -> None:
        """What a look finds is found, wherever it was called from."""
        try:
            look()
        except Broken as broken:
            self._broken = self._broken or broken

    def _wrote(self, wire: Wire, data: bytes) -> None:
        """Submits go out: the breaker lets them, and who writes them is the owner."""
        count = at = 0
        while at + 16 <= len(data):
            count += int.from_bytes(data[at + 4 : at + 8], "big") == _SUBMIT
            at += int.from_bytes(data[at : at + 4], "big")
        host = wire.near.host
        if not count or host is None:
            return
        owner = self._workers[host.name].upstreams.owner(wire.to)
        if owner is None:
            return
        breaker, session = owner._breaker, owner._stores.dispatch_session
        if breaker.state is BreakerState.OPEN:
            self._look(lambda: must(False, f"{wire.to}: {count} sent while the breaker is open"))
        elif breaker.state is BreakerState.HALF_OPEN:
            key, period = (host.name, wire.to), breaker._until
            before = self._probes.get(key, (0.0, 0))
            probes = count + (before[1] if before[0] == period else 0)
            self._probes[key] = (period, probes)
            self._look(lambda: must(probes == 1, f"{wire.to}: {probes} probes"))
        if self._loop.now - self.stepped_at > 10.0:
            held = self._server.call(("HGET", session.key, "epoch"))[0]
            self._look(lambda: must(int(held) == session.epoch, f"{wire.to}: {host.name} sends, and is not the owner"))

    def _check_binds(self) -> None:
        for name, carrier in self._carriers.items():
            profile = self._profiles[name]
            allowed = profile.binds * (2 if profile.bind_mode == "pair" else 1)
            held: dict[str, int] = {}
            for wire in carrier.bound.values():
                host = wire.near.host
                if host is not None and not (wire.near.is_over or host.is_dead or wire.is_silent):
                    held[host.name] = held.get(host.name, 0) + 1
            for worker, binds in held.items():
                must(binds <= allowed, f"{worker} has {binds} binds to {name}")
            owners = [
                worker.name
                for worker in self._workers.values()
                if not worker.host.is_dead and hasattr(worker, "upstreams") and self._owns(worker, name)
            ]
            if self._loop.now - self.stepped_at > 10.0:
                must(len(owners) <= 1, f"{name} has the owners {owners}")

    def _owns(self, worker: Gateway, name: str) -> bool:
        owner = worker.upstreams.owner(name)
        return owner is not None and owner.is_owner and self._loop.now < owner._stores.dispatch_session.deadline
