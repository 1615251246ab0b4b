"""Redis is lost after messages moved to another upstream: they are rebuilt where they went, and are sent there once."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple

import msgspec
import pytest

from protocols.smpp import events as ev
from smscd.archive.audit import audit
from smscd.core.upstream import Upstream
from smscd.transport.connection import Callbacks, SmppConnection
from storage.postgres.audit import snapshot
from storage.postgres.configuration import add_upstream
from storage.postgres.pool import Connection
from storage.redis.accounts import Balances
from storage.redis.journal import JournalReader
from storage.redis.link import RedisLink
from tests.integration.egress_rig import Egress, until, wall_ms
from tests.integration.journal_fake import FakeEntry, FakeJournal
from tests.integration.local_carrier import local_carrier
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.recovery_fixture import fill, recovery, silent
from tests.integration.redis_picture import KEYS, picture
from tests.integration.test_failover import two_carriers
from tests.integration.writer_fixture import write_all

pytest_plugins = ("tests.integration.postgres_fixture",)

NOBODY_LISTENS = 1


@pytest.fixture
def taken() -> Counter[bytes]:
    """How often the carrier was sent something for each number."""
    return Counter()


async def test_what_moved_is_rebuilt_where_it_went_and_drained_there(
    valkey_url: str, record_database: RecordDatabase, owner: Connection, taken: Counter[bytes]
) -> None:
    """The ledger has no difference at the end, and what the messages cost is what their last upstream asks."""
    records = await fill(record_database, owner)
    await add_upstream(owner, Upstream(id="second", host="h", port=1, system_id="s", password="p"))
    moved = [msgspec.structs.replace(record, upstream="second", cost_micros=7) for record in records[10:210]]
    journal = FakeJournal(now_ms=wall_ms())
    journal.append(b"P", moved[:150], b"carrier")
    journal.append(b"P", moved[150:], b"carrier")
    await write_all(record_database.dsn, journal)
    async with recovery(valkey_url, record_database) as work:
        report = await work.run(silent)
    assert report.waiting == {"carrier": 50, "second": 200}
    found = picture(valkey_url)
    assert [*found[KEYS.queue("second", 1, "demo")]] == [record.id for record in moved]
    assert [*found[KEYS.queue("carrier", 1, "demo")]] == [record.id for record in records[210:]]

    def count(callbacks: Callbacks) -> Callbacks:
        def on_events(connection: SmppConnection, events: list[ev.Event]) -> None:
            for event in events:
                if isinstance(event, ev.SubmitsReceived):
                    taken.update(pdu.destination_addr for pdu in event.pdus)
            callbacks.on_events(connection, events)

        return callbacks._replace(on_events=on_events)

    link = RedisLink(valkey_url, name="test")
    async with local_carrier(wrap=count) as (_, listener):
        egress = Egress(valkey_url, two_carriers(NOBODY_LISTENS, listener.port))
        await egress.start()
        try:
            await until(lambda: len(taken) == 200)
        finally:
            await egress.stop()
    reader = JournalReader(KEYS, link)
    told = [FakeEntry(*astuple(entry)) for entry in await reader.read("0-0", 10_000)]
    await write_all(record_database.dsn, FakeJournal(wall_ms(), told, top=await reader.last_id()))
    assert taken == Counter(record.dest for record in moved)
    assert await link.command("HGET", KEYS.depth, "carrier") == b"50"
    rows = await owner.fetch(
        "SELECT upstream, state, sum(cost_micros)::int AS cost, count(*) FROM messages WHERE id >= $1 GROUP BY 1, 2",
        records[10].id,
    )
    assert {(row["upstream"], row["cost"], row["count"]) for row in rows} == {
        ("second", 1400, 200),
        ("carrier", None, 50),
    }
    async with snapshot(owner) as record:
        result = await audit(record, Balances(KEYS, link), reader)
    assert result.differences == [] and result.entries > 0
    await link.close()
