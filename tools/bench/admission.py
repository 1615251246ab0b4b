"""What admission costs Redis beside appending the same blobs alone: `make bench-admission`.

Both ways write the same 200 records a batch to one queue and to the journal, over the daemon's own connection, to an
embedded Valkey with `always`, and take turns in one run. Appending is one XADD for each blob and stream, 400 in a
pipeline; "as two entries" is the least there is, the blobs joined by the sender and one entry appended to each stream,
so that Redis never sees a message. The goal is of the first.
Measured is the CPU of the whole server process, with its threads and the kernel's part of the fsync.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import click
import msgspec

from smscd.cli.output import print_json, print_table
from smscd.core.limits import Limits, prefix_of
from smscd.core.records import Door, LedgerRecord, MessageRecord, Via
from storage.embedded.valkey import EmbeddedValkey
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore, AdmitItem
from storage.redis.blobs import pack_array
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.session import RoleSession

BATCH: Final = 200
ROUND_BATCHES: Final = 25
GOAL: Final = 3.0
KEYS: Final = ShardKeys(0)
QUEUES: Final = tuple(KEYS.queue("carrier", 1, account) for account in ("bench", "limited"))
PRICE_MICROS: Final = 10_000
LIMITS: Final = Limits(10**15, 60_000, 1_000_000)
"""All three, never reached."""
TEXT: Final = b"Your code is 482913. Do not give it to anybody who asks."
APPEND: Final = "append"
APPEND_JOINED: Final = "append as two entries"
ADMIT: Final = "admit"
_encode = msgspec.msgpack.Encoder().encode

Way = Callable[[int], Awaitable[None]]
"""Does one batch; its argument is the number of the batch in this way, and so of its messages."""


def record(number: int) -> MessageRecord:
    """A message of one segment to a number of its own."""
    return MessageRecord(
        id=(1 << 60) + number, account="bench", upstream="carrier", priority=1, door=int(Door.SMPP), source_ton=5,
        source_npi=0, source=b"ACME", dest_ton=1, dest_npi=1, dest=b"4477%08d" % (number * 7919 % 10**8), esm_class=0,
        protocol_id=0, data_coding=0, registered_delivery=1, segments=[TEXT], price_micros=PRICE_MICROS,
        valid_until_ms=1_900_000_000_000, via=Via.SMPP,
    )  # fmt: skip


class Ways:
    """The ways that are compared, each over the same link."""

    def __init__(self, link: RedisLink, store: AdmissionStore) -> None:
        self._link = link
        self._store = store

    async def append(self, batch: int) -> None:
        """The blobs alone, an entry each."""
        blobs = [_encode(record(number)) for number in _numbers(batch)]
        commands = [("XADD", name, "*", "b", blob) for name in (QUEUES[0], KEYS.journal) for blob in blobs]
        await self._link.pipeline(commands)

    async def append_joined(self, batch: int) -> None:
        """The blobs alone, joined."""
        blob = pack_array([_encode(record(number)) for number in _numbers(batch)])
        await self._link.pipeline([("XADD", name, "*", "b", blob) for name in (QUEUES[0], KEYS.journal)])

    def admit(self, *, has_keys: bool, limits: Limits | None = None) -> Way:
        """Admission, with a request key for each message or without, of an account with limits or without."""

        async def one(batch: int) -> None:
            items = []
            for number in _numbers(batch):
                made = record(number)
                items.append(
                    AdmitItem(
                        account="limited" if limits else "bench",
                        rate=1e6,
                        burst=1_000_000,
                        floor_micros=0,
                        price_micros=PRICE_MICROS,
                        upstream_messages_max=5_000_000,
                        messages=[("carrier", 1, _encode(made))],
                        request_key=b"k%08d-%04x" % (number, number * 31 % 65521) if has_keys else b"",
                        stored_answer=_encode((made.id, b"0123456789abcdef", PRICE_MICROS, 1, 0)) if has_keys else b"",
                        limits=limits,
                        prefixes=(prefix_of(made.dest),) if limits else (),
                    )
                )
            limit = self._store.redis_ms() + 5_000
            reply = await self._store.admit(items, (1 << 60) + (batch + 1) * BATCH, not_after_ms=limit, timeout=5.0)
            if reply.verdicts != b"A" * BATCH:
                raise click.ClickException(f"not every message was admitted: {reply.verdicts!r}")

        return one


def _numbers(batch: int) -> range:
    return range(batch * BATCH, (batch + 1) * BATCH)


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, all its threads and the kernel's part included."""
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        used += int((task / "schedstat").read_text().split()[0])
    return used / 1e9


async def measure(rounds: int) -> dict[str, float]:
    """Microseconds of the server's CPU a message, by way."""
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedValkey(Path(directory) / "valkey")
        await server.start()
        link, role = RedisLink(server.url, name="bench"), RedisLink(server.url, name="bench-role")
        try:
            pid = server.pid
            assert pid is not None
            session = RoleSession(role, KEYS, "ingress:1", "bench/0", ttl_seconds=3_600.0)
            await session.take()
            for account in ("bench", "limited"):
                await Balances(KEYS, link).top_up(LedgerRecord(account, "topup", 10**14, account, 1))
            ways = Ways(link, AdmissionStore(KEYS, session))
            return await _take_turns(
                link,
                pid,
                {
                    APPEND_JOINED: ways.append_joined,
                    APPEND: ways.append,
                    ADMIT: ways.admit(has_keys=False),
                    f"{ADMIT}, request keys": ways.admit(has_keys=True),
                    f"{ADMIT}, limits": ways.admit(has_keys=False, limits=LIMITS),
                    f"{ADMIT}, request keys and limits": ways.admit(has_keys=True, limits=LIMITS),
                },
                rounds,
            )
        finally:
            await link.close()
            await role.close()
            await server.stop()


async def _take_turns(link: RedisLink, pid: int, ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """The first round only warms up. Between the turns the streams are emptied, which is nobody's cost."""
    spent = dict.fromkeys(ways, 0.0)
    for turn in range(rounds + 1):
        for name, way in ways.items():
            before = cpu_seconds(pid)
            for batch in range(turn * ROUND_BATCHES, (turn + 1) * ROUND_BATCHES):
                await way(batch)
            if turn:
                spent[name] += cpu_seconds(pid) - before
            await link.command("DEL", KEYS.journal, *QUEUES, KEYS.depth)
    return {name: seconds * 1e6 / (rounds * ROUND_BATCHES * BATCH) for name, seconds in spent.items()}


@click.command()
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1), help=f"Of {ROUND_BATCHES} batches.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rounds: int, as_json: bool) -> None:
    """Redis CPU of admission in batches of 200, beside that of appending the same blobs alone."""
    found = asyncio.run(measure(rounds))
    ratios = {name: found[name] / found[APPEND] for name in found}
    if as_json:
        print_json({"microseconds": found, "ratios": ratios, "goal": GOAL})
    else:
        rows = [(name, f"{found[name]:.2f}", f"{ratios[name]:.2f}") for name in found]
        print_table(["way", "µs a message", "to append"], rows)
    if max(ratios.values()) > GOAL:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
