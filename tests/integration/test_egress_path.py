"""Messages out to a carrier process and their receipts back to an ESME, on a real Redis: each mood of the carrier."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from protocols.smpp.constants import MessageState
from smscd.core.callback_records import CallbackOutcome
from smscd.core.records import Outcome, State, Tariff, Via
from storage.redis.receipts import Effect
from tests.integration.egress_rig import (
    BALANCE,
    PRICE,
    Books,
    CarrierProcess,
    Egress,
    Esme,
    carrier_process,
    directory,
    until,
    wall_ms,
)


class Rig:
    """A carrier, an egress, the books, and an ESME that is bound when the test wants it."""

    def __init__(self, carrier: CarrierProcess, egress: Egress, books: Books) -> None:
        self.carrier = carrier
        self.egress = egress
        self.books = books
        self.esme = Esme()

    async def bind(self) -> None:
        await self.esme.bind(self.egress.server.port)

    async def receipts_of(self, ids: list[int], seconds: float = 20.0) -> list[Any]:
        """The one receipt of each message, once all have come."""
        await until(lambda: all(message_id in self.esme.receipts() for message_id in ids), seconds)
        found = self.esme.receipts()
        assert all(len(found[message_id]) == 1 for message_id in ids)
        return [found[message_id][0] for message_id in ids]

    async def done(self, seconds: float = 10.0, *left: str) -> None:
        """Until nothing is left of any message but its place in the journal, and these keys."""
        async with asyncio.timeout(seconds):
            while await self.books.leftovers() != [*left]:  # a condition in Redis
                await asyncio.sleep(0.02)
        assert await self.books.depth() == 0

    async def outcomes(self) -> list[int]:
        return [record.outcome for record in await self.books.records(b"T")]


@asynccontextmanager
async def running(valkey_url: str, folder: Path, *options: str, **profile: object) -> AsyncIterator[Rig]:
    async with carrier_process(folder, *options) as carrier:
        books = Books(valkey_url)
        await books.open()
        egress = Egress(valkey_url, directory(carrier.port, **profile))
        await egress.start()
        rig = Rig(carrier, egress, books)
        try:
            await egress.bound()
            yield rig
        finally:
            rig.esme.close()
            await rig.egress.stop()
            await books.close()


@pytest.fixture
async def rig(valkey_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(valkey_url, tmp_path) as made:
        yield made


async def test_three_hundred_messages_are_sent_and_their_receipts_delivered_once(rig: Rig) -> None:
    await rig.bind()
    ids = await rig.books.admit([b"44770%06d" % (number * 1000 + 100) for number in range(300)])
    receipts = await rig.receipts_of(ids)
    assert {receipt.stat for receipt in receipts} == {b"DELIVRD"}
    assert {receipt.message_state for receipt in receipts} == {MessageState.DELIVERED}
    await rig.done()
    assert Counter(line[4] for line in await rig.carrier.submits(300)) == {"0": 300}
    assert await rig.outcomes() == [Outcome.ACCEPTED] * 300
    journal = await rig.books.records(b"R")
    assert {record.id for record in journal} == set(ids)
    assert [result.outcome for result in await rig.books.records(b"C")] == [CallbackOutcome.DELIVERED] * 300
    assert await rig.books.balance() == BALANCE - 300 * PRICE


@pytest.mark.parametrize(
    ("suffix", "stat", "state"),
    [
        (b"000", b"DELIVRD", State.DELIVERED),
        (b"001", b"UNDELIV", State.UNDELIVERED),
        (b"002", b"EXPIRED", State.EXPIRED),
        (b"003", b"REJECTD", State.REJECTED),
        (b"777", b"DELIVRD", State.DELIVERED),
        (b"888", b"DELIVRD", State.DELIVERED),
    ],
)
async def test_the_carriers_receipt_becomes_the_customers(rig: Rig, suffix: bytes, stat: bytes, state: State) -> None:
    await rig.bind()
    ids = await rig.books.admit([b"44770900" + suffix])
    [receipt] = await rig.receipts_of(ids)
    assert receipt.stat == stat
    await rig.done()
    assert {record.state for record in await rig.books.records(b"R")} == {state}
    assert not await rig.books.link.command("HLEN", "{u:carrier:0}:park")


async def test_a_doubled_receipt_is_told_once(rig: Rig) -> None:
    await rig.bind()
    ids = await rig.books.admit([b"44770900888"])
    await rig.receipts_of(ids)
    await until(lambda: rig.egress.figures.receipts == 2)
    await rig.done()
    entries = [entry for entry in await rig.books.journal.read("0-0", 100) if entry.kind == b"R"]
    effects = b"".join(entry.effects for entry in entries)
    assert effects == b"%d%d" % (Effect.FINAL, Effect.REPEATED)
    assert len(rig.esme.received) == 1


async def test_a_permanent_refusal_is_paid_back_and_told(rig: Rig) -> None:
    await rig.bind()
    ids = await rig.books.admit([b"44770900010"])
    [receipt] = await rig.receipts_of(ids)
    assert (receipt.stat, receipt.err) == (b"UNDELIV", b"011")
    await rig.done()
    assert await rig.outcomes() == [Outcome.FAILED]
    assert await rig.books.balance() == BALANCE


@pytest.mark.parametrize(("suffix", "refusals"), [(b"008", 2), (b"088", 3)])
async def test_temporary_refusals_are_tried_again_until_accepted(rig: Rig, suffix: bytes, refusals: int) -> None:
    await rig.bind()
    ids = await rig.books.admit([b"44770900" + suffix])
    [receipt] = await rig.receipts_of(ids, seconds=30)
    assert receipt.stat == b"DELIVRD"
    await rig.done()
    assert await rig.outcomes() == [Outcome.RETRIED] * refusals + [Outcome.ACCEPTED]
    assert await rig.books.balance() == BALANCE - PRICE


async def test_a_dropped_connection_makes_a_flagged_resend(rig: Rig) -> None:
    await rig.bind()
    ids = await rig.books.admit([b"44770900500", b"44770900100"])
    receipts = await rig.receipts_of(ids)
    assert [receipt.stat for receipt in receipts] == [b"DELIVRD"] * 2
    await rig.done()
    outcomes = Counter(await rig.outcomes())
    assert outcomes[Outcome.ACCEPTED] == 2 and outcomes[Outcome.DOUBTED] >= 1
    doubted = {record.id for record in await rig.books.records(b"T") if record.outcome == Outcome.DOUBTED}
    sent = Counter(line[2] for line in await rig.carrier.submits(3) if line[4] == "0")
    twice = {int(token) for token, times in sent.items() if times > 1}
    assert twice <= doubted


async def test_a_message_without_a_receipt_is_sent_and_done(rig: Rig) -> None:
    ids = await rig.books.admit([b"44770900999"])
    await rig.done()
    [result] = await rig.books.records(b"T")
    assert (result.id, result.state) == (ids[0], State.SENT)


async def test_a_message_that_is_never_answered_is_unknown_at_its_validity(valkey_url: str, tmp_path: Path) -> None:
    async with running(valkey_url, tmp_path, response_timeout_seconds=0.3) as rig:
        await rig.bind()
        ids = await rig.books.admit([b"44770900404"], valid_until_ms=wall_ms() + 2500)
        good = await rig.books.admit([b"44770900100"])
        await rig.receipts_of(good)
        [receipt] = await rig.receipts_of(ids)
        assert receipt.stat == b"UNKNOWN"
        await rig.done()
        outcomes = {record.id: record.outcome for record in await rig.books.records(b"T")}
        assert outcomes[ids[0]] == Outcome.UNKNOWN
        submits = await rig.carrier.submits(2)
        assert [line[4] for line in submits].count("silent") == 1
        assert await rig.books.balance() == BALANCE - 2 * PRICE


async def test_a_long_message_goes_out_in_order_and_comes_back_as_one_receipt(rig: Rig) -> None:
    await rig.bind()
    parts = [b"\x05\x00\x03\x2a\x03" + bytes((number,)) + b"long part" for number in (1, 2, 3)]
    ids = await rig.books.admit([b"44770900100"], segments=parts, esm_class=0x40)
    [receipt] = await rig.receipts_of(ids)
    assert (receipt.stat, receipt.sub, receipt.dlvrd) == (b"DELIVRD", 3, 3)
    await rig.done()
    assert [line[7].split(":")[0] for line in await rig.carrier.submits(3)] == ["1/3", "2/3", "3/3"]
    assert [record.state for record in await rig.books.records(b"T")] == [State.SENDING, State.SENDING, State.SENT]
    assert len(await rig.books.records(b"R")) == 3


async def test_a_failed_delivery_is_paid_back_by_the_delivery_tariff(rig: Rig) -> None:
    await rig.bind()
    ids = await rig.books.admit([b"44770900001"], tariff=int(Tariff.ON_DELIVERY))
    await rig.receipts_of(ids)
    await rig.done()
    assert await rig.books.balance() == BALANCE


async def test_ids_in_hexadecimal_and_decimal_find_each_other(valkey_url: str, tmp_path: Path) -> None:
    options = ("--response-ids", "hex", "--receipt-ids", "decimal")
    async with running(valkey_url, tmp_path, *options, receipt_id="decimal") as rig:
        await rig.bind()
        ids = await rig.books.admit([b"44770900100"])
        await rig.receipts_of(ids)
        await rig.done()


async def test_receipts_wait_for_an_esme_that_is_offline(rig: Rig) -> None:
    ids = await rig.books.admit([b"44770%06d" % (number * 1000 + 100) for number in range(20)])
    await until(lambda: rig.egress.figures.receipts == 20)
    await rig.done(10.0, "{s00}:out:acme")
    await rig.bind()
    await rig.receipts_of(ids)
    await rig.done()


async def test_several_binds_in_pairs_share_the_work(valkey_url: str, tmp_path: Path) -> None:
    async with running(valkey_url, tmp_path, bind_mode="pair", binds=2, window_size=10) as rig:
        assert rig.egress.figures.binds_bound == 4
        await rig.bind()
        ids = await rig.books.admit([b"44770%06d" % (number * 1000 + 100) for number in range(100)])
        await rig.receipts_of(ids)
        await rig.done()


async def test_a_rate_is_kept(valkey_url: str, tmp_path: Path) -> None:
    async with running(valkey_url, tmp_path, rate_per_second=50.0) as rig:
        await rig.books.admit([b"44770%06d" % (number * 1000 + 999) for number in range(75)], registered_delivery=0)
        await rig.done()
        times = [int(line[1]) for line in await rig.carrier.submits(75)]
        assert len(times) == 75 and times[-1] - times[0] >= 1200


async def test_a_cancelled_message_is_paid_back_and_never_sent(valkey_url: str, tmp_path: Path) -> None:
    async with running(valkey_url, tmp_path, rate_per_second=5.0) as rig:
        ids = await rig.books.admit(
            [b"44770%06d" % (number * 1000 + 100) for number in range(10)], registered_delivery=0
        )
        last = ids[-1]
        await rig.books.link.command("HSET", "{s00}:changes", last.to_bytes(8, "big"), "1")
        await until(lambda: rig.egress.figures.tally.canceled == 1)
        await rig.done()
        results = {record.id: record for record in await rig.books.records(b"T")}
        assert results[last].outcome == Outcome.CANCELED
        assert str(last) not in {line[2] for line in await rig.carrier.submits(9)}
        assert await rig.books.balance() == BALANCE - 9 * PRICE


async def test_a_message_from_a_phone_reaches_the_owner_of_the_number(rig: Rig) -> None:
    await rig.bind()
    async with aiohttp.ClientSession() as http:
        for dest in ("12345", "99999"):
            order = {"from": "+447700900001", "to": dest, "text": f"hello {dest}"}
            async with http.post(f"http://127.0.0.1:{rig.carrier.control_port}/mo", json=order) as answer:
                assert answer.status == 202
    await until(lambda: rig.esme.received)
    [pdu] = rig.esme.received
    assert (pdu.source_addr, pdu.destination_addr, pdu.short_message) == (b"447700900001", b"12345", b"hello 12345")
    await until(lambda: rig.egress.figures.inbound == 2)
    await rig.done()
    inbound = {record.dest: record for record in await rig.books.records(b"M")}
    assert (inbound[b"12345"].account, inbound[b"12345"].via) == ("acme", Via.SMPP)
    assert inbound[b"99999"].account == ""


async def test_a_clean_stop_leaves_nothing_in_doubt(valkey_url: str, tmp_path: Path) -> None:
    async with running(valkey_url, tmp_path, "--latency", "0.2") as rig:
        await rig.books.admit([b"44770%06d" % (number * 1000 + 999) for number in range(400)], registered_delivery=0)
        await until(lambda: rig.egress.figures.sent >= 100)
        await rig.egress.stop()
        accepted = len(await rig.outcomes())
        assert 100 <= accepted < 400
        assert len(await rig.carrier.submits(accepted)) == accepted
        again = Egress(rig.egress.url, rig.egress.index)
        await again.start()
        rig.egress = again
        await rig.done()
        assert Counter(await rig.outcomes()) == {Outcome.ACCEPTED: 400}
        assert len(await rig.carrier.submits(400)) == 400
