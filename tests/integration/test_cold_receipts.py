"""Receipts that come when Redis has forgotten their messages, orphans, and doubts: on a real Redis and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from protocols.smpp.codec import encode
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import format_receipt
from protocols.smpp.state import SessionState
from smscd.admin.doubts import Doubts, UnknownUpstream
from smscd.admin.orphans import Orphans, Refused, shown
from smscd.archive.writer import Writer
from smscd.cli import cli, doubt, orphan
from smscd.core.directory import Account
from smscd.core.records import Outcome, State, Tariff
from smscd.core.upstream import Upstream
from smscd.egress.receipts import cold, parked
from smscd.egress.receipts.record import PostgresRecord
from storage.postgres.configuration import add_account, add_upstream
from storage.postgres.messages import get_message
from storage.postgres.pool import Pool, open_pool
from storage.redis.changes import ChangeAsks
from storage.redis.matches import MatchAsks
from storage.redis.rest import RestReader
from tests.integration.egress_rig import BALANCE, KEYS, PRICE, Books, Egress, Esme, directory, until
from tests.integration.local_carrier import local_carrier
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import QUICK, Observed, connector
from tools.carrier.options import CarrierOptions

pytest_plugins = ("tests.integration.postgres_fixture",)

NUMBER = b"44770900100"
SILENT = b"44770900404"


class Rig:
    """A carrier that sends no receipts by itself, an egress with a record, and what operators use."""

    def __init__(self, url: str, record: RecordDatabase, pool: Pool, listener: Any, **profile: object) -> None:
        self._url = url
        self._record = record
        self._listener = listener
        self._profile = profile
        self.pool = pool
        self.books = Books(url)
        self.esme = Esme()
        self.orphans = Orphans(pool, MatchAsks(KEYS, self.books.link))
        self.doubts = Doubts(pool, RestReader(KEYS, self.books.link), ChangeAsks(KEYS, self.books.link))

    async def start(self) -> None:
        self.egress = Egress(
            self._url, directory(self._listener.port, **self._profile), record=PostgresRecord(lambda: self.pool)
        )
        await self.egress.start()
        await self.egress.bound()
        self.esme = Esme()
        await self.esme.bind(self.egress.server.port)

    async def stop(self) -> None:
        self.esme.close()
        await self.egress.stop(0.5)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def write(self) -> None:
        """Write the journal to its end."""
        writer = Writer(
            shard=0, journal=self.books.journal, connect=connector(self._record.dsn), observer=Observed(),
            now_ms=lambda: int(time.time() * 1000), limits=QUICK,
        )  # fmt: skip
        writer.drain()
        await asyncio.wait_for(writer.run(), 30)

    async def forget(self) -> None:
        """The hot hours are over."""
        names = await self.books.link.command("KEYS", "*")
        gone = [name for name in names if b":corr:" in name or b":state:" in name]
        if gone:
            await self.books.link.command("DEL", *gone)

    async def accepted(self, ids: list[int], segments: int = 1) -> dict[tuple[int, int], bytes]:
        """What the carrier calls the segments of these messages, once it has accepted all of them."""
        while True:
            found = {
                (record.id, record.segment): record.upstream_message_id
                for record in await self.books.records(b"T")
                if record.outcome == Outcome.ACCEPTED and record.id in ids
            }
            if len(found) == len(ids) * segments:
                return found
            await asyncio.sleep(0.01)  # a condition in Redis

    def report(self, upstream_id: bytes, source: bytes = NUMBER, stat: bytes = b"DELIVRD") -> None:
        """The carrier sends a receipt."""
        now_ms = int(time.time() * 1000)
        text = format_receipt(upstream_id, submit_ms=now_ms, done_ms=now_ms, stat=stat)
        pdu = DeliverSm(esm_class=4, source_addr=source, destination_addr=b"ACME", short_message=text)
        [far] = [one for one in self._listener.connections if one.session.state is SessionState.BOUND_TRX]
        far.session._out.append(encode(pdu))
        far.flush()

    async def command(self, *arguments: str, status: int = 0) -> Any:
        """What `smscd ... --json` says, with this exit status; None when it was called wrongly."""
        done = await asyncio.to_thread(CliRunner().invoke, cli, [*arguments, "--json"])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if status != 2 else None

    async def lose_bind(self) -> None:
        [far] = [one for one in self._listener.connections if one.session.state is SessionState.BOUND_TRX]
        far.abort()
        await until(lambda: self.egress.figures.tally.doubted > 0)


@pytest.fixture(autouse=True)
def instance(monkeypatch: pytest.MonkeyPatch, valkey_url: str, record_database: RecordDatabase) -> None:
    """Commands find the storage of the test."""
    location = SimpleNamespace(redis_url=valkey_url, postgres_dsn=record_database.dsn)
    for module in (doubt, orphan):
        monkeypatch.setattr(module, "find_instance", lambda *_, **__: location)


@asynccontextmanager
async def running(url: str, record: RecordDatabase, **profile: object) -> AsyncIterator[Rig]:
    pool = await open_pool(record.dsn, name="test record")
    async with local_carrier(CarrierOptions(receipt_delay_seconds=100_000)) as (_, listener):
        rig = Rig(url, record, pool, listener, **profile)
        await add_account(pool, Account(id="acme"))
        await add_upstream(pool, Upstream(id="carrier", host="h", port=1, system_id="s", password="p"))
        await rig.books.open()
        await rig.start()
        try:
            yield rig
        finally:
            await rig.stop()
            await rig.books.close()
            await pool.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of waiting are fractions of a second."""
    monkeypatch.setattr(parked, "SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(cold, "RIPE_MS", 50)
    monkeypatch.setattr(cold, "LOOK_EVERY_MS", 50)


async def test_quirk_6_and_8_late_receipts_after_a_restart_end_their_messages_once(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with running(valkey_url, record_database) as rig:
        [single] = await rig.books.admit([NUMBER], tariff=int(Tariff.ON_DELIVERY))
        [long] = await rig.books.admit([NUMBER], segments=[b"one", b"two", b"three"])
        ids = await rig.accepted([single]) | await rig.accepted([long], 3)
        rig.report(ids[long, 0])
        await until(lambda: rig.egress.figures.receipts == 1)
        await rig.stop()
        await rig.write()
        await rig.forget()
        await rig.start()
        rig.report(ids[single, 0], stat=b"UNDELIV")
        rig.report(ids[long, 1])
        await until(lambda: rig.egress.figures.receipts_cold == 2)
        await until(lambda: single in rig.esme.receipts())
        assert rig.esme.receipts()[single][0].stat == b"UNDELIV"
        assert long not in rig.esme.receipts(), "one of its segments is missing"
        rig.report(ids[long, 2])
        await until(lambda: long in rig.esme.receipts())
        assert await rig.books.balance() == BALANCE - PRICE, "the one that was not delivered is paid back"
        assert not await rig.books.link.command("HLEN", "{u:carrier:0}:park")
        await rig.write()
        await rig.forget()
        for upstream_id in ids.values():
            rig.report(upstream_id)
        await until(lambda: rig.egress.figures.receipts_repeated == 4)
        assert {message_id: len(found) for message_id, found in rig.esme.receipts().items()} == {single: 1, long: 1}
        assert await rig.books.balance() == BALANCE - PRICE
        await rig.write()
        states = [found.state for found in [await get_message(rig.pool, one) for one in (single, long)] if found]
        assert states == [State.UNDELIVERED, State.DELIVERED]


async def test_orphans_are_listed_matched_in_another_form_and_by_hand(
    valkey_url: str, record_database: RecordDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "ORPHANED_AFTER_MS", 100)
    async with running(valkey_url, record_database) as rig:
        sent = await rig.books.admit([NUMBER, NUMBER, NUMBER])
        ids = await rig.accepted(sent)
        await rig.write()
        await rig.forget()
        as_hex = [b"%X" % int(ids[one, 0]) for one in sent]
        for upstream_id in (as_hex[0], as_hex[1], b"nobody-knows"):
            rig.report(upstream_id)
        await until(lambda: rig.egress.figures.receipts_orphaned == 3)
        await until(lambda: not rig.egress.figures.parked)
        await rig.write()
        found = await rig.orphans.listed(upstream="carrier", since=None, limit=10)
        assert [shown(one)["upstream_message_id"] for one in found] == [
            as_hex[0].decode(), as_hex[1].decode(), "nobody-knows",
        ]  # fmt: skip
        assert {one.reason for one in found} == {"unknown"} and found[0].source == NUMBER

        assert await rig.orphans.match("ann", upstream=None, form=None) == {"unknown": 3}
        assert await rig.orphans.match("ann", upstream="carrier", form="hex") == {"final": 2, "unknown": 1}
        await until(lambda: {sent[0], sent[1]} == set(rig.esme.receipts()))
        [left] = await rig.orphans.listed(upstream=None, since=None, limit=10)

        [by_command] = await rig.command("orphan", "list", "--upstream=carrier", "--since=2026-01-01")
        assert by_command["upstream_message_id"] == "nobody-knows"
        assert await rig.command("orphan", "match", str(left.id), status=2) is None
        by_hand = await rig.command("orphan", "match", str(left.id), f"--message={sent[2]}")
        assert by_hand == {"orphan": left.id, "message": str(sent[2]), "segment": 1, "effect": "final"}
        await until(lambda: sent[2] in rig.esme.receipts())
        assert not await rig.orphans.listed(upstream=None, since=None, limit=10)
        rows = await rig.pool.fetch("SELECT operator, action, subject FROM audit_log")
        assert [tuple(row)[1:] for row in rows] == [("orphan.match", "carrier")] * 2
        assert rows[0]["operator"] == "ann"
        again = await rig.command("orphan", "match", str(left.id), f"--message={sent[2]}", status=1)
        assert again["code"] == "already_matched"

        refusals = [
            await rig.orphans.match_one(left.id, sent[2], "ann"),
            await rig.orphans.match_one(10**9, sent[2], "ann"),
            await rig.orphans.match("ann", upstream="nowhere", form=None),
            await rig.orphans.match("ann", upstream=None, form="octal"),
        ]
        codes = [one.code for one in refusals if isinstance(one, Refused)]
        assert codes == ["already_matched", "not_found", "not_found", "validation_failed"]


async def test_an_orphan_is_not_matched_by_hand_with_what_it_cannot_be_of(
    valkey_url: str, record_database: RecordDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold, "ORPHANED_AFTER_MS", 100)
    async with running(valkey_url, record_database, in_doubt="hold", response_timeout_seconds=60) as rig:
        rig.report(b"nobody-knows")
        await until(lambda: rig.egress.figures.receipts_orphaned == 1)
        held = await rig.books.admit([SILENT])
        await until(lambda: rig.egress.figures.sent == 1)
        await rig.lose_bind()
        [elsewhere] = await rig.books.admit([NUMBER], upstream="other")
        await rig.write()
        [orphan] = await rig.orphans.listed(upstream=None, since=None, limit=10)
        refusals = [
            await rig.orphans.match_one(orphan.id, held[0], "ann"),
            await rig.orphans.match_one(orphan.id, held[0], "ann", segment=2),
            await rig.orphans.match_one(orphan.id, elsewhere, "ann"),
            await rig.orphans.match_one(orphan.id, 7, "ann"),
        ]
        codes = [one.code for one in refusals if isinstance(one, Refused)]
        assert codes == ["not_sent", "validation_failed", "another_upstream", "unknown_message"]


async def test_doubts_are_listed_and_ruled_on_by_operators(valkey_url: str, record_database: RecordDatabase) -> None:
    async with running(valkey_url, record_database, in_doubt="hold", response_timeout_seconds=60) as rig:
        first, second, third = await rig.books.admit([SILENT] * 3, tariff=int(Tariff.ON_DELIVERY))
        await until(lambda: rig.egress.figures.sent == 3)
        await rig.lose_bind()
        await rig.restart()
        await until(lambda: rig.egress.figures.doubts == 3)
        shown_by_command = await rig.command("doubt", "list", "--account=acme")
        assert [(one["id"], one["to"]) for one in shown_by_command] == [
            (str(one), SILENT.decode()) for one in (first, second, third)
        ]
        found = await rig.doubts.listed(account="acme")
        assert [(one.message.id, one.segments, one.since_ms > 0) for one in found] == [
            (first, (1,), True), (second, (1,), True), (third, (1,), True),
        ]  # fmt: skip
        assert found[0].shown()["to"] == SILENT.decode()
        assert await rig.doubts.listed(upstream="carrier", account="beta") == []
        with pytest.raises(UnknownUpstream):
            await rig.doubts.listed(upstream="nowhere")

        assert await rig.doubts.rule("resend", [first, 7], "ann") == {first: "done", 7: "not_in_doubt"}
        await until(lambda: rig.egress.figures.sent == 1)
        assert await rig.command("doubt", "fail", str(second)) == {"messages": {str(second): "done"}, "done": 1}
        assert await rig.command("doubt", "fail", str(second), status=1) == {
            "messages": {str(second): "not_in_doubt"}, "not_in_doubt": 1,
        }  # fmt: skip
        refused = await rig.command("doubt", "resend", "--upstream=nowhere", status=1)
        assert refused == {"error": "There is no upstream nowhere.", "code": "not_found"}
        assert await rig.command("doubt", "resend", status=2) is None
        assert await rig.books.balance() == BALANCE - 2 * PRICE
        assert await rig.doubts.rule_upstream("fail", "carrier", "ann") == {"done": 1}
        await until(lambda: {second, third} == set(rig.esme.receipts()))
        assert await rig.doubts.listed() == []
        rows = await rig.pool.fetch("SELECT operator, action, subject FROM audit_log ORDER BY id")
        assert [row["action"] for row in rows] == ["doubt.resend", "doubt.fail", "doubt.fail"]
        await rig.write()
        failed = await get_message(rig.pool, second)
        assert failed is not None and failed.maybe_duplicate and failed.state is State.FAILED
        assert failed.refunded_micros == PRICE
