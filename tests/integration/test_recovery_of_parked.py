"""Receipts that waited for their message when Redis was lost: what the record kept of them waits again, or matches."""

from __future__ import annotations

from redis import Redis

from smscd.archive.partitions_task import PARKED_KEPT_MS, PartitionsTask
from smscd.core.records import OrphanRecord, ParkedReceipt, State
from smscd.egress.receipts.cold import orphan_of
from storage.postgres.orphans import parked_since
from storage.postgres.pool import Connection
from storage.redis.blobs import split_sized
from storage.redis.keys import UpstreamKeys
from storage.redis.receipts import ReceiptStore
from storage.redis.session import RoleSession
from tests.integration.egress_rig import KEYS, Books, Egress, wall_ms
from tests.integration.egress_rig import directory as carrier_directory
from tests.integration.journal_fake import FakeJournal
from tests.integration.local_carrier import local_carrier
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.recovery_fixture import fill, recovery, silent
from tests.integration.test_postgres_partitions import Told
from tests.integration.writer_fixture import until, write_all

pytest_plugins = ("tests.integration.postgres_fixture",)

CARRIER = UpstreamKeys("carrier")


def parked(receipt_id: bytes, at_ms: int, text: bytes = b"raw") -> ParkedReceipt:
    return ParkedReceipt(receipt_id, b"DELIVRD", b"000", State.DELIVERED, at_ms, text, at_ms)


def orphan(receipt: ParkedReceipt, upstream: str = "carrier") -> OrphanRecord:
    return orphan_of(upstream, receipt, "unknown")


def held(url: str) -> dict[bytes, tuple[int, int]]:
    """By key: how many receipts are parked under it, and since when."""
    found: dict[bytes, tuple[int, int]] = {}
    with Redis.from_url(url) as store:
        for bucket in range(CARRIER.buckets):
            for key, blob in store.hgetall(CARRIER.park(bucket)).items():
                since = store.zscore(CARRIER.park_times(bucket), key)
                assert since is not None
                found[key] = (len(split_sized(blob)), int(since))
    return found


async def test_what_was_parked_waits_again_and_what_has_its_message_is_applied(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    """One whose response was known, two of an id that nobody knows, one that cannot be read, one that is an orphan."""
    records = await fill(record_database, owner)
    now_ms = wall_ms() - 20_000
    theirs = b"%x%02d" % (records[3].id, 0)
    known, told = parked(theirs, now_ms), orphan(parked(b"told", now_ms))
    unknown = [parked(b"unknown", now_ms + 1, b"%d" % number) for number in range(2)]
    unreadable, of_nobody = parked(b"", now_ms), orphan(parked(b"1", now_ms), "gone")
    kept = [orphan(one) for one in (known, *unknown, unreadable)]
    journal = FakeJournal(now_ms=now_ms + 10_000)
    journal.append(b"H", [*kept, told, of_nobody])
    journal.append(b"H", kept)
    journal.append(b"O", [told])
    await write_all(record_database.dsn, journal)
    async with recovery(valkey_url, record_database) as work:
        assert (await work.plan(silent)).parked == (await work.run(silent)).parked == 4
    found = held(valkey_url)
    assert found[theirs] == (1, now_ms) and found[b"unknown"] == (2, now_ms + 1)
    assert [key[:11] for key in found if key not in (theirs, b"unknown")] == [b"unreadable:"]
    books = Books(valkey_url)
    async with local_carrier() as (_, listener):
        egress = Egress(valkey_url, carrier_directory(listener.port, in_doubt="hold"))
        await egress.start()

        async def is_applied() -> bool:
            return [receipt.id for receipt in await books.records(b"R")] == [records[3].id]

        try:
            await until(is_applied)
        finally:
            await egress.stop()
            await books.close()
    assert sorted(held(valkey_url)) == sorted(key for key in found if key != theirs)


async def test_the_owner_tells_the_record_of_what_it_keeps_and_it_is_forgotten_after_a_day(
    valkey_url: str, record_database: RecordDatabase, daemon: Connection
) -> None:
    books = Books(valkey_url)
    await books.open()
    session = RoleSession(books.link, KEYS, "receipts:carrier", "test/0")
    assert await session.take()
    store = ReceiptStore(KEYS, CARRIER, session, books.link, lambda: KEYS.session("ingress:1"))
    now_ms = wall_ms()
    old, young = parked(b"old", now_ms - PARKED_KEPT_MS - 60_000), parked(b"young", now_ms)
    await store.keep([orphan(old), orphan(young)])
    (blob,) = [fields[b"b"] for _, fields in journal_of(valkey_url) if fields[b"k"] == b"H"]
    journal = FakeJournal()
    journal.append_blob(b"H", blob)
    await write_all(record_database.dsn, journal)
    assert await parked_since(daemon, 0) == [("carrier", old), ("carrier", young)]
    await PartitionsTask(database=daemon, granularity="year", observer=Told(), now_ms=lambda: now_ms).run_once()
    assert await parked_since(daemon, 0) == [("carrier", young)]
    await books.close()


def journal_of(url: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The journal as it is."""
    with Redis.from_url(url) as store:
        found: list[tuple[bytes, dict[bytes, bytes]]] = store.xrange(KEYS.journal)
    return found
