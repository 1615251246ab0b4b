"""Two upstreams beside the rig: one goes out with messages waiting, and the next of its route takes none at first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from redis import Redis

from storage.redis.keys import ShardKeys
from tests.faults.carriers import TroubledCarriers
from tests.faults.rig import GENERATOR_SECONDS, MESSAGES, QUIET_SECONDS, Rig
from tools.bench.upstreams import apply_routes, other_account
from tools.bench.workload import DESTINATION_PREFIX
from tools.carrier.options import CarrierOptions
from tools.carrier.trouble import Trouble
from tools.children import wait_until
from tools.record import Line, read_record

KEYS = ShardKeys(0)
COUNT = MESSAGES // 5
WINDOW = 2
PREFIX = "44770210"
TROUBLES: Mapping[str, CarrierOptions | None] = {"first": None, "next": CarrierOptions(trouble=Trouble(mood=b"058"))}
UPSTREAMS = {"first": "upstream2", "next": "upstream3"}
"""As `smscd demo` names them, in the order of their URLs."""
ENVIRONMENT = {"SMSCD_FAILOVER_MOVE_AFTER_SECONDS": "0.5"}


class MovingMessages:
    """What one upstream was given, was hardly begun by it, and moved to the other, which throttles all of it."""

    def __init__(self, directory: Path) -> None:
        self.carriers = TroubledCarriers(directory, TROUBLES)

    @property
    def demo_options(self) -> Sequence[str]:
        """The two upstreams; the first is slow, so that much waits for it."""
        profiles = {"first": f"window_size={WINDOW}&rate_per_second=20", "next": "retry_base_seconds=0.5"}
        urls = [f"smpp://us:secret@127.0.0.1:{self.carriers.ports[name]}?{profiles[name]}" for name in TROUBLES]
        return [word for url in urls for word in ("--upstream", url)]

    @property
    def records(self) -> Sequence[Path]:
        """What the two carriers write down."""
        return list(self.carriers.records.values())

    def begin(self, rig: Rig) -> None:
        """Queue the messages for the first, and let it go away; wait until what it was never sent has moved."""
        apply_routes(rig.demo, rig.directory, {DESTINATION_PREFIX: ["upstream1"], PREFIX: [*UPSTREAMS.values()]})
        file = other_account(rig.demo, rig.directory)
        stays = (f"--patience={QUIET_SECONDS}", f"--linger={QUIET_SECONDS}")
        rig.generate(f"--ready-file={file}", f"--prefix={PREFIX}", f"--rate={COUNT * 2}", *stays, count=COUNT)
        with Redis.from_url(rig.demo.ready.valkey_url) as store:

            def waiting(name: str) -> int:
                return int(store.hget(KEYS.depth, UPSTREAMS[name]) or 0)

            def is_queued() -> bool:
                return waiting("first") + len(self._submits("first")) >= COUNT

            wait_until(is_queued, GENERATOR_SECONDS, "all of them wait for the first")
            self.carriers.misbehave()
            wait_until(lambda: waiting("first") <= WINDOW, GENERATOR_SECONDS, "all of them have moved")
            assert waiting("next") >= COUNT * 3 // 4
            assert b" open " in (store.hget(KEYS.breakers, UPSTREAMS["first"]) or b"")

    def assert_sent_where_they_went(self) -> int:
        """Each was taken once, by the second, unless the first had been sent it before; how many that are."""
        begun = {line.token for line in self._submits("first")}
        taken = Counter(line.token for line in self._submits("next") if line.status == b"0")
        assert set(taken.values()) == {1}, "sent twice"
        assert not begun & taken.keys(), "sent by both"
        assert len(begun) + len(taken) == COUNT and len(taken) >= COUNT * 3 // 4, (len(begun), len(taken))
        return len(taken)

    def _submits(self, name: str) -> list[Line]:
        return [line for line in read_record(self.carriers.records[name]) if line.kind == b"submit"]
