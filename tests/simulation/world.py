"""The world of one seed: what it is made of, and what it does to the gateway, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec

from smscd.core.directory import Account, Credential, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import LedgerRecord
from smscd.core.upstream import Upstream
from smscd.ingress.smpp.auth import password_hmac
from storage.redis.accounts import Balances
from tests.simulation.books import Books
from tests.simulation.carrier import GOOD, MOODS, Carrier
from tests.simulation.esme import Esme, wish
from tests.simulation.gateway import KEYS, PEPPER, Gateway
from tests.simulation.loop import NOBODY, Host, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.store import Server, SimulatedRedis, sources
from tests.simulation.watch import Watch

ACCOUNTS = ("acme", "beta")
UPSTREAMS = {"north": b"44", "south": b"49"}
WORKERS = ("i/0", "i/1")
BALANCE = 100_000_000
PRICE = 10_000
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
HEAL_SECONDS = 240
AIMED_AT = ("turn", "turn", "turn", "receipt", "correlate", "admit")


@dataclass(slots=True)
class _Fuse:
    """Something happens once a script of this name, or any when it is "", ran so many times."""

    script: str
    left: int
    happens: Callable[[Gateway], None]


class World:
    """Everything of one seed. said: what happened, for whoever looks at a failure."""

    def __init__(self, seed: int, loop: VirtualLoop, server: Server, bells: set[bytes]) -> None:
        chance = self.chance = Random(seed)
        self.seed = seed
        self.loop = loop
        self.said: list[str] = []
        # Often a moment before an hour or a day ends: names of keys change then.
        self.start_ms = 20_800 * DAY_MS + chance.choice((0, 7_200_000, DAY_MS)) - chance.randrange(0, 60_000)
        server.call(("FLUSHALL",), *(("SCRIPT", "LOAD", source) for source in sources()))
        self.redis = SimulatedRedis(loop, server, Random(chance.random()), self.start_ms - 1_000_000, bells)
        self.redis.rung = self._rung
        self.redis.ran = self._ran
        self.network = Network(loop, Random(chance.random()))
        self.books = Books(server, tuple(UPSTREAMS), ACCOUNTS)
        self.disk: dict[str, Any] = {}
        self.profiles = {name: self._profile(name) for name in UPSTREAMS}
        self.directory = self._directory()
        self.carriers: dict[str, Carrier] = {}
        self.workers: dict[str, Gateway] = {}
        self.watch = Watch(loop, server, self.books, self.profiles, self.carriers, self.workers)
        self.network.opened = self.watch.opened
        self.carriers.update((name, self._carrier(name)) for name in UPSTREAMS)
        self.gateways: list[Gateway] = []
        self.esmes = [self._esme(name) for name in ACCOUNTS]
        self.numbers = 0
        self._is_ringing = False
        self._fuses: dict[str, _Fuse] = {}
        # Chance moments are many, and those between two scripts of one turn are few: odd seeds aim at them.
        self._aims = Random(seed) if seed % 2 else None

    # --- what it is made of -----------------------------------------------------------------------------------------

    def _profile(self, name: str) -> Upstream:
        chance = self.chance
        return Upstream(
            id=name,
            host=name,
            port=2775,
            system_id="us",
            password="secret",
            bind_mode=chance.choice(("transceiver", "transceiver", "pair")),
            binds=chance.choice((1, 1, 2, 3)),
            window_size=chance.choice((1, 2, 5, 10)),
            rate_per_second=chance.choice((0.0, 0.0, 20.0)),
            response_timeout_seconds=chance.choice((1.5, 3.0, 5.0)),
            enquire_link_seconds=4.0,
            in_doubt=chance.choice(("resend", "resend", "hold", "fail")),
        )

    def _directory(self) -> DirectoryIndex:
        return DirectoryIndex(
            Snapshot(
                accounts=tuple(
                    Account(id=name, any_sender=True, binds_max=10, tariff=at, priority=1 - at, rate_per_second=1e6)
                    for at, name in enumerate(ACCOUNTS)
                ),
                credentials=tuple(
                    Credential(system_id=name, account=name, password_hmac=password_hmac(PEPPER, b"password"))
                    for name in ACCOUNTS
                ),
                upstreams=tuple(self.profiles.values()),
                routes=tuple(Route(prefix=prefix.decode(), upstreams=(name,)) for name, prefix in UPSTREAMS.items()),
                prices=(Price(plan="default", prefix="4", price_micros=PRICE),),
            )
        )

    def _carrier(self, name: str) -> Carrier:
        carrier = Carrier(
            name, self.loop, self.network, Random(self.chance.random()), self.redis.now_ms, b"secret",
            acknowledged=self.watch.receipt_acknowledged, arrived_at=self.watch.arrived,
        )  # fmt: skip
        carrier.delay_max = self.chance.choice((0.1, 1.0, 4.0))
        return carrier

    def _esme(self, name: str) -> Esme:
        return Esme(name, self.loop, Random(self.chance.random()), self._door, self.watch.yes)

    def _begin(self, name: str) -> None:
        gateway = Gateway(
            name, self.loop, self.redis, lambda: self.directory, self.disk, Random(self.chance.random()), self._ended
        )
        self.workers[name] = gateway
        self.gateways.append(gateway)

    # --- what is told, and what follows -----------------------------------------------------------------------------

    def note(self, what: str) -> None:
        """Keep it for the story of a failure."""
        self.said.append(f"{self.loop.now:9.3f} {what}")

    def _door(self) -> str | None:
        names = [name for name, worker in self.workers.items() if worker.is_up and not worker.host.is_dead]
        return self.chance.choice(names) if names else None

    def _rung(self) -> None:
        if not self._is_ringing and self.chance.random() < 0.9:
            self._is_ringing = True
            self.loop.call_later(self.chance.uniform(0.0, 0.1), self._ring)

    def _ring(self) -> None:
        self._is_ringing = False
        for worker in self.workers.values():
            self.loop.call_soon(worker.bells.ring, context=worker.host.context)

    def _ended(self, gateway: Gateway) -> None:
        """A worker ended by itself, or must; the supervisor starts another."""
        self.loop.call_soon(self._replace, gateway, 0.5, context=NOBODY)

    # --- what is done to it -----------------------------------------------------------------------------------------

    def _replace(self, gateway: Gateway, after: float) -> None:
        if gateway.host.is_dead:
            return
        self.note(f"{gateway.name} is dead for {after:.1f} s")
        gateway.host.is_dead = True
        self.network.died(gateway.host)
        for esme in self.esmes:
            esme.disturbed.append(self.loop.now)
        self.loop.call_later(after, self._begin, gateway.name, context=NOBODY)

    def _some(self) -> Gateway:
        return self.workers[self.chance.choice(WORKERS)]

    def _ran(self, host: Host, script: str) -> None:
        """A script of a worker ran: the moment for what was to happen after so many of them, before it is answered."""
        fuse = self._fuses.get(host.name)
        if fuse is None or fuse.script not in ("", script):
            return
        fuse.left -= 1
        if fuse.left <= 0:
            del self._fuses[host.name]
            fuse.happens(self.workers[host.name])

    def _after_scripts(self, happens: Callable[[Gateway], None]) -> None:
        name, left, script = self.chance.choice(WORKERS), self.chance.randrange(1, 12), ""
        if self._aims is not None:
            script = self._aims.choice(("", *AIMED_AT))
            left = self._aims.randrange(1, 4) if script else left
        self._fuses[name] = _Fuse(script, left, happens)

    def kill(self) -> None:
        """SIGKILL, and a new one after a moment or after the other has taken over."""
        after = self.chance.choice((0.05, 0.5, 2.0, 7.0))
        if self.chance.random() < 0.3:
            self._replace(self._some(), after)
        else:
            self._after_scripts(lambda worker: self._replace(worker, after))

    def terminate(self) -> None:
        worker = self._some()
        self.note(f"{worker.name} gets SIGTERM")
        self.loop.call_soon(worker.terminate, context=worker.host.context)

    def pause(self) -> None:
        """SIGSTOP, sometimes for longer than its leases."""
        seconds = self.chance.choice((0.3, 2.0, 5.5, 8.0, 8.0, 12.0))
        if self.chance.random() < 0.3:
            self._stop(self._some(), seconds)
        else:
            self._after_scripts(lambda worker: self._stop(worker, seconds))

    def _stop(self, worker: Gateway, seconds: float) -> None:
        host = worker.host
        if host.is_paused or host.is_dead:
            return
        self.note(f"{host.name} stands still for {seconds} s")
        host.is_paused = True
        self.loop.call_later(seconds, self._go_on, host, context=NOBODY)

    def _go_on(self, host: Any) -> None:
        self._disturb()
        if host.is_paused:
            self.loop.go_on(host)

    def _disturb(self) -> None:
        for esme in self.esmes:
            esme.disturbed.append(self.loop.now)

    def redis_down(self) -> None:
        seconds = self.chance.choice((0.2, 1.0, 3.0))
        self.note(f"Redis is away for {seconds} s")
        self._disturb()
        self.redis.go_down(seconds)
        self.loop.call_later(seconds, self._disturb)

    def redis_trouble(self) -> None:
        self.redis.trouble = self.chance.choice((0.0, 0.01, 0.05, 0.2))
        self.note(f"trouble with Redis: {self.redis.trouble}")

    def cut_worker(self) -> None:
        """One worker cannot reach Redis, the other can."""
        self._cut_off(self.chance.choice(WORKERS), self.chance.choice((1.0, 6.0, 9.0)))

    def _cut_off(self, name: str, seconds: float) -> None:
        self.note(f"{name} does not reach Redis for {seconds} s")
        self.redis.cut.add(name)
        for connection in self.redis.connections:
            if connection.host is not None and connection.host.name == name:
                connection.break_off()
        self.loop.call_later(seconds, self.redis.cut.discard, name)
        self.loop.call_later(seconds, self._disturb)

    def step_clock(self) -> None:
        # Beyond 25 hours a receipt is looked up in PostgreSQL, which is not here.
        step = self.chance.choice(
            (-3_000, 2_000) if self.redis.step_ms > 60_000 else (-3_000, 2_000, HOUR_MS, DAY_MS - 2 * HOUR_MS)
        )
        self.note(f"the clock steps by {step} ms")
        self.redis.step_ms += step
        self.watch.stepped_at = self.loop.now

    def cut_wire(self) -> None:
        wires = [wire for wire in self.network.wires if wire.to in self.carriers and not wire.near.is_over]
        if wires:
            wire = self.chance.choice(wires)
            self.note(f"a connection to {wire.to} is cut")
            wire.cut()

    def change_mood(self) -> None:
        carrier = self.carriers[self.chance.choice(tuple(UPSTREAMS))]
        was, mood = carrier.mood, self.chance.choice(MOODS)
        self.note(f"{carrier.name} is {mood}")
        carrier.become(mood)
        if was == "refuses auth" and mood != was:
            self._other_password(carrier)

    def _other_password(self, carrier: Carrier) -> None:
        """The operator mends the profile, which ends the hold."""
        carrier.password = b"s%d" % self.chance.randrange(10_000_000)
        profile = self.profiles[carrier.name]
        self.profiles[carrier.name] = msgspec.structs.replace(profile, password=carrier.password.decode())
        self.directory = self._directory()
        for worker in self.workers.values():
            if hasattr(worker, "upstreams"):
                self.loop.call_soon(worker.upstreams.reconfigure, self.directory, context=worker.host.context)

    def trouble_customer(self) -> None:
        esme = self.chance.choice(self.esmes)
        esme.mood = self.chance.choice(("good", "busy", "mute", "away"))
        self.note(f"{esme.account} is {esme.mood}")
        if esme.mood == "away" or self.chance.random() < 0.3:
            esme.hang_up()

    def submit(self) -> None:
        chance = self.chance
        esme = chance.choice(self.esmes)
        wishes = []
        for _ in range(chance.choice((1, 1, 2, 4, 12))):
            self.numbers += 1
            key = b"key-%d" % self.numbers if chance.random() < 0.7 else b""
            text = b"t" * chance.choice((10, 10, 10, 250, 400))
            prefix = UPSTREAMS[chance.choice(tuple(UPSTREAMS))]
            wishes.append(wish(self.numbers, prefix, text, key, chance.choice((8, 30, 60, 60))))
        esme.wishes += wishes
        esme.submit(wishes)

    def ask_again(self) -> None:
        """A customer who had no yes sends the same with the same key."""
        esme = self.chance.choice(self.esmes)
        esme.submit([each for each in esme.wishes if each.key and not each.ids and self.chance.random() < 0.3][:20])

    # --- its course -------------------------------------------------------------------------------------------------

    async def come_up(self) -> None:
        """Money, the workers and the customers."""
        chance = self.chance
        balances = Balances(KEYS, self.redis.link("operator"))
        for name in ACCOUNTS:
            await balances.top_up(LedgerRecord(name, "topup", BALANCE, f"first-{name}", 1))
        for name in WORKERS:
            self._begin(name)
            await asyncio.sleep(chance.uniform(0.0, 0.5))
        for esme in self.esmes:
            esme.start()
        await asyncio.sleep(1.5)

    async def live(self) -> None:
        """Let it all happen, then heal everything and let it end."""
        chance = self.chance
        await self.come_up()
        rare = [self.kill, self.kill, self.terminate, self.pause, self.pause, self.redis_down, self.redis_trouble,
                self.cut_worker, self.step_clock, self.cut_wire, self.trouble_customer]  # fmt: skip
        # Each world has only some of the troubles, so that those it has are not hidden behind others.
        mine = chance.sample(rare, chance.randrange(0, 4))
        happenings = [self.submit] * 8 + [self.change_mood] * 3 + [self.ask_again] * 2 + mine * 2
        for _ in range(chance.choice((15, 30))):
            chance.choice(happenings)()
            await asyncio.sleep(chance.choice((0.01, 0.1, 0.5, 1.0, 2.0)))
            self.watch.check()
        await self.come_to_rest()

    async def come_to_rest(self) -> None:
        """Heal everything, and look at what is left."""
        self.heal()
        for _ in range(HEAL_SECONDS // 4):
            await asyncio.sleep(4.0)
            for carrier in self.carriers.values():
                carrier.pump()
            self.watch.check()
            if self.books.is_quiet() and not any(carrier.due for carrier in self.carriers.values()):
                break
        # What is parked and matches is found within two looks.
        await asyncio.sleep(11.0)
        self.watch.check()
        self.books.check_end(self.esmes, self.watch.acknowledged)

    def digest(self) -> str:
        """What is the same when the seed is run again."""
        seen = [(each.segment, each.sent_at, each.status) for name in UPSTREAMS for each in self.carriers[name].arrived]
        return blake2b(
            repr((seen, [sorted(esme.told.items()) for esme in self.esmes])).encode(), digest_size=8
        ).hexdigest()

    def heal(self) -> None:
        """All is well from now on."""
        self.note("all is well")
        self.redis.trouble = 0.0
        self.redis.cut.clear()
        self.redis.down_until = 0.0
        self._fuses.clear()
        for worker in list(self.workers.values()):
            if worker.host.is_paused and not worker.host.is_dead:
                self._go_on(worker.host)
            if self.redis.step_ms > 60_000:
                # A worker follows its own clock from its start on, and would be an hour behind messages of the other.
                self._replace(worker, 1.0)
        for carrier in self.carriers.values():
            was = carrier.mood
            carrier.heal()
            if was == "refuses auth":
                self._other_password(carrier)
        for esme in self.esmes:
            esme.mood = GOOD
            esme.disturbed.append(self.loop.now)
