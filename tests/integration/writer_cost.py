"""What the writer costs: rows a second and CPU a message, of Python and of PostgreSQL apart, for whole lives.

python -m tests.integration.writer_cost [MESSAGES]     # from the repository's root; default 50,000
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from smscd.archive.writer import Writer, WriterLimits
from smscd.supervision.processes import process_tree
from storage.embedded.postgres import EmbeddedPostgres
from storage.postgres.migrate import migrate
from storage.postgres.partitions import ensure_partitions
from storage.postgres.pool import WRITER_SETTINGS, Connection, connect
from tests.integration.journal_fake import NOW_MS, FakeJournal, append_lives
from tests.integration.writer_fixture import Observed

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its ended children."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, values[11:15])) / TICKS


async def measure(server: EmbeddedPostgres, dsn: str, messages: int, gap: int) -> dict[str, float]:
    """Write whole lives. gap: steps of 20 ms between admission and acceptance; 12 spreads a life over batches."""
    admin = await connect(dsn, name="cost")
    await ensure_partitions(admin, NOW_MS, "day")
    journal = FakeJournal(now_ms=NOW_MS)
    append_lives(journal, messages, gap=gap)
    observed = Observed()

    backends: list[int] = []

    async def open_writer(seconds: float) -> Connection:
        connection = await connect(dsn, name="writer", settings=WRITER_SETTINGS, command_seconds=seconds)
        backends.append(connection.get_server_pid())
        return connection

    writer = Writer(
        shard=0,
        journal=journal,
        connect=open_writer,
        observer=observed,
        now_ms=lambda: NOW_MS + 10_000_000,
        limits=WriterLimits(batch_records=20_000),
    )
    writer.drain()
    assert server.pid is not None
    before = {pid: cpu_seconds(pid) for pid in process_tree(server.pid)}
    times, clock = os.times(), time.perf_counter()
    await writer.run()
    spent, clock = os.times(), time.perf_counter() - clock
    user, system = spent.user - times.user, spent.system - times.system
    while any(Path(f"/proc/{pid}").exists() for pid in backends):
        await asyncio.sleep(0.01)  # once it has ended it counts among the postmaster's ended children
    after = {pid: cpu_seconds(pid) for pid in process_tree(server.pid)}
    postgres = sum(after.values()) - sum(before.values())
    rows = observed.rows
    await admin.close()
    return {
        "messages": messages,
        "batches": len(observed.commits),
        "rows_per_second": (sum(rows.values())) / clock,
        "messages_per_second": messages / clock,
        "python_us_per_message": (user + system) / messages * 1e6,
        "python_in_the_kernel_us": system / messages * 1e6,
        "postgres_us_per_message": postgres / messages * 1e6,
        "updates_per_message": rows["messages_updated"] / messages,
    }


async def main(messages: int) -> None:
    """Print the figures for lives spread over batches, and for lives within one batch."""
    with tempfile.TemporaryDirectory(prefix="smscd-cost-") as directory:
        os.chmod(directory, 0o711)  # the server's own user passes through when we are root
        server = EmbeddedPostgres(Path(directory) / "postgres")
        await server.start()
        try:
            for gap in (60, 12, 2):
                name = f"cost_{gap}"
                connection = await connect(server.owner_dsn)
                await connection.execute(f"CREATE DATABASE {name}")
                await connection.close()
                await migrate(server.owner_dsn.rsplit("/", 1)[0] + "/" + name)
                dsn = server.dsn.rsplit("/", 1)[0] + "/" + name
                figures = await measure(server, dsn, messages, gap)
                print(f"receipt {2 * gap * 20} ms after admission, load average {os.getloadavg()[0]:.1f}:")
                for key, value in figures.items():
                    print(f"  {key:28} {value:12.2f}")
        finally:
            await server.stop()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
