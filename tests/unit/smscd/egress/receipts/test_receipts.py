"""Receipts and messages from an upstream: durable first, then answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from structlog.testing import capture_logs

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, TlvTag
from protocols.smpp.message_ids import canonical_id
from protocols.smpp.pdu import AlertNotification, DataSm, DeliverSm
from protocols.smpp.receipt import format_receipt, parse_receipt, receipt_tlvs
from smscd.core.directory import Account, MoNumber, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import InboundRecord, MatchRequest, ParkedReceipt, ReceiptRecord, State, Tariff
from smscd.egress.dispatch.gate import AnswerGate
from smscd.egress.dispatch.turn import sent_context
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts import receipts as module
from smscd.egress.receipts.receipts import Receipts, receipt_item
from storage.redis.errors import Fenced
from storage.redis.keys import DAY_MS
from storage.redis.receipts import Effect
from tests.unit.smscd.egress.doubles import (
    FIRST_ID,
    NOW_MS,
    FakeReceiptStore,
    FakeRedis,
    decode_callback,
    encode,
    message,
    profile,
)
from tests.unit.smscd.egress.pipes import until

ROK = 0
RX_T_APPN = int(CommandStatus.ESME_RX_T_APPN)


class FakeConnection:
    """Only there to be told apart."""

    is_open = True


class AnsweringLink:
    """A bind that remembers what was answered."""

    def __init__(self) -> None:
        self.connection = FakeConnection()
        self.answers: list[tuple[int, int]] = []
        self.data_answers: list[tuple[int, int]] = []
        self.flushes = 0

    def answer(self, connection: FakeConnection, answers: list[tuple[int, int]], *, is_data: bool = False) -> None:
        assert connection is self.connection
        target = self.data_answers if is_data else self.answers
        target += answers
        self.flushes += 1


class Rig:
    """The receipts' side of one upstream."""

    def __init__(self, redis: FakeRedis | None = None, **changes: Any) -> None:
        self.redis = redis or FakeRedis()
        self.store = FakeReceiptStore(self.redis)
        self.link = AnsweringLink()
        self.gate = AnswerGate()
        self.reported: list[tuple[bytes, bytes, bytes, int]] = []
        self.held: list[bool] = []
        self.figures = UpstreamFigures("carrier")
        self._numbers = count(1)
        ids = count(FIRST_ID + 1_000_000)
        numbers = (
            MoNumber(number="12345", account="acme"),
            MoNumber(number="777", account="beta", via="webhook"),
            MoNumber(number="888", account="patient"),
        )
        accounts = (Account(id="acme"), Account(id="patient", mo_delivery="whole"))
        directory = DirectoryIndex(Snapshot(accounts=accounts, mo_numbers=numbers))
        self.now_ms = NOW_MS
        self.receipts = Receipts(
            profile(**changes),
            store=self.store,  # type: ignore[arg-type]  # the double
            directory=lambda: directory,
            ids=lambda now_ms, wanted: [next(ids) for _ in range(wanted)],
            correlated=self.gate.wait,
            reported=lambda *told: self.reported.append(told),
            hold_reading=self.held.append,
            figures=self.figures,
            clock=asyncio.get_running_loop().time,
            wall_ms=lambda: self.now_ms,
        )

    def know(self, upstream_id: bytes, **changes: object) -> None:
        """A segment was accepted under this id."""
        self.redis.corr[upstream_id] = encode(sent_context(message(1, **changes), 0))

    def come(self, *pdus: DeliverSm | DataSm) -> None:
        """One read of the bind."""
        for pdu in pdus:
            pdu.sequence_number = next(self._numbers)
        self.receipts.received(self.link, list(pdus))  # type: ignore[arg-type]  # the double

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.receipts.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self) -> None:
        """Until all that came is answered."""
        async with self.running():
            await until(lambda: self.receipts.is_idle)


def receipt(upstream_id: bytes, stat: bytes = b"DELIVRD", err: bytes = b"000", **changes: Any) -> DeliverSm:
    text = format_receipt(upstream_id, submit_ms=NOW_MS, done_ms=NOW_MS, stat=stat, err=err, text=b"text")
    fields: dict[str, Any] = {"esm_class": 0x04, "short_message": text, "source_addr": b"4917", **changes}
    return DeliverSm(**fields)


def only(records: list[object]) -> Any:
    [record] = records
    return record


async def test_a_receipt_makes_its_message_final_and_is_answered_after_that() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.come(receipt(b"abc"))
    await rig.settle()
    record = only(rig.redis.receipt_records)
    assert isinstance(record, ReceiptRecord)
    assert (record.id, record.state, record.upstream_message_id) == (FIRST_ID + 1, State.DELIVERED, b"abc")
    assert record.due and record.text.startswith(b"id:abc")
    [callback] = rig.redis.callbacks()
    assert (callback.stat, callback.err, callback.state) == (b"DELIVRD", b"000", State.DELIVERED)
    assert rig.link.answers == [(1, ROK)]


async def test_an_unknown_receipt_is_parked_and_answered() -> None:
    rig = Rig()
    rig.come(receipt(b"abc"))
    await rig.settle()
    assert list(rig.redis.park) == [b"abc"] and not rig.redis.receipt_records
    assert rig.reported == [(b"", b"4917", b"abc", NOW_MS)]
    assert rig.link.answers == [(1, ROK)]
    assert rig.figures.receipts_parked == 1


async def test_a_receipt_waits_for_the_answers_that_came_before_it() -> None:
    rig = Rig()
    rig.gate.come(1)
    rig.come(receipt(b"abc"))
    async with rig.running():
        await asyncio.sleep(0.01)
        assert not rig.redis.park
        rig.know(b"abc")
        rig.gate.correlated(1)
        await until(lambda: rig.receipts.is_idle)
    assert not rig.redis.park and rig.redis.states


async def test_parked_receipts_are_applied_and_then_unparked() -> None:
    rig = Rig()
    rig.come(receipt(b"abc", b"UNDELIV", b"042"))
    await rig.settle()
    context = sent_context(message(1), 0)
    pdu = receipt(b"abc", b"UNDELIV", b"042")
    parked = [module.parked_receipt(pdu, parse_receipt(pdu), State.UNDELIVERED, NOW_MS)]  # type: ignore[arg-type]
    await rig.receipts.apply_parked([(b"abc", context, parked)])
    assert only(rig.redis.receipt_records).state == State.UNDELIVERED
    assert not rig.redis.park


async def test_quirk_1_a_word_that_nobody_knows_ends_nothing_and_is_told_once_until_the_profile_maps_it() -> None:
    rig = Rig()
    rig.know(b"abc")
    with capture_logs() as logs:
        for number in range(3):
            rig.come(receipt(b"abc", b"TXSENT"))
            rig.come(receipt(b"abc", b"WORD%d" % number))
            await rig.settle()
    told = [log["stat"] for log in logs if log["event"] == "receipt.stat_unknown"]
    assert sorted(told) == ["TXSENT", "WORD0", "WORD1", "WORD2"]
    assert rig.figures.receipts_unknown_stat == 6
    assert not rig.redis.states and {record.state for record in rig.redis.receipt_records} == {State.SENT}
    rig.receipts.profile = profile(receipt_stats={"txsent": "DELIVRD"})
    rig.come(receipt(b"abc", b"TXSENT"))
    await rig.settle()
    assert list(rig.redis.states.values()) == [State.DELIVERED]
    assert rig.redis.callbacks()[-1].stat == b"DELIVRD" and rig.figures.receipts_unknown_stat == 6


async def test_quirk_1_an_upstream_that_invents_words_fills_neither_memory_nor_log() -> None:
    rig = Rig()
    with capture_logs() as logs:
        rig.come(*(receipt(b"abc", b"W%05d" % number) for number in range(module.UNKNOWN_STATS_MAX + 50)))
        await rig.settle()
    assert sum(log["event"] == "receipt.stat_unknown" for log in logs) == module.UNKNOWN_STATS_MAX
    assert rig.figures.receipts_unknown_stat == module.UNKNOWN_STATS_MAX + 50


async def test_a_pair_that_a_dead_process_left_parked_is_applied_by_the_next_owner() -> None:
    rig = Rig()
    rig.come(receipt(b"abc"), receipt(b"orphan"))
    await rig.settle()
    rig.know(b"abc")
    heir = Rig(rig.redis)
    async with heir.running():
        await until(lambda: bool(heir.redis.states))
    assert list(rig.redis.park) == [b"orphan"]
    assert only(rig.redis.receipt_records).upstream_message_id == b"abc"


async def test_what_comes_while_a_batch_is_under_way_makes_one_batch_with_one_flush() -> None:
    rig = Rig()
    for at in range(50):
        rig.redis.corr[b"%d" % at] = encode(sent_context(message(at), 0))
    rig.come(receipt(b"0"))
    async with rig.running():
        await asyncio.sleep(0)
        for at in range(1, 50):
            rig.come(receipt(b"%d" % at))
        await until(lambda: rig.receipts.is_idle)
    assert rig.store.applied <= 2
    assert len(rig.link.answers) == 50


async def test_a_receipt_that_comes_twice_is_answered_twice_and_changes_nothing_more() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.come(receipt(b"abc"), receipt(b"abc"))
    await rig.settle()
    assert rig.link.answers == [(1, ROK), (2, ROK)]
    assert len(rig.redis.callbacks()) == 1
    assert rig.figures.receipts_repeated == 1


async def test_the_customer_sees_one_result_for_several_segments() -> None:
    rig = Rig()
    long = message(1, segments=[b"a", b"b", b"c"])
    for segment, name in enumerate((b"x", b"y", b"z")):
        rig.redis.corr[name] = encode(sent_context(long, segment))
    rig.come(receipt(b"x"), receipt(b"y"))
    await rig.settle()
    assert not rig.redis.callbacks()
    rig.come(receipt(b"z"))
    await rig.settle()
    assert [callback.state for callback in rig.redis.callbacks()] == [State.DELIVERED]


def test_what_a_receipt_leaves_is_known_for_as_long_as_its_message_says() -> None:
    long = message(1, segments=[b"a", b"b"], valid_until_ms=NOW_MS + 5 * DAY_MS)
    for context in (sent_context(long, 0), sent_context(message(1), 0)):
        for state in (State.DELIVERED, State.SENT):
            came = ParkedReceipt(b"abc", b"STAT", b"000", state, NOW_MS, b"raw", NOW_MS)
            assert receipt_item(context, came, "carrier", NOW_MS).until_ms == context.states_until_ms
    assert sent_context(long, 0).states_until_ms == NOW_MS + 5 * DAY_MS


@pytest.mark.parametrize(
    ("tariff", "stat", "refund"),
    [
        (Tariff.ON_DELIVERY, b"UNDELIV", 70_000),
        (Tariff.ON_DELIVERY, b"REJECTD", 70_000),
        (Tariff.ON_DELIVERY, b"EXPIRED", 70_000),
        (Tariff.ON_DELIVERY, b"DELIVRD", 0),
        (Tariff.ON_DELIVERY, b"UNKNOWN", 0),
        (Tariff.ON_ACCEPT, b"UNDELIV", 0),
    ],
)
async def test_the_tariff_decides_whether_a_failed_delivery_is_paid_back(
    tariff: Tariff, stat: bytes, refund: int
) -> None:
    rig = Rig()
    rig.know(b"abc", tariff=int(tariff))
    rig.come(receipt(b"abc", stat))
    await rig.settle()
    assert rig.redis.refunded.get(FIRST_ID + 1, 0) == refund


async def test_an_intermediate_notification_ends_nothing_and_is_told_only_to_who_asked() -> None:
    """Quirk 37: the ESME gets only what it asked for."""
    for asked, told in ((0x01, 0), (0x11, 1)):
        rig = Rig()
        rig.know(b"abc", registered_delivery=asked)
        rig.come(receipt(b"abc", b"ENROUTE", esm_class=0x20))
        await rig.settle()
        assert only(rig.redis.receipt_records).state == State.SENT
        assert not rig.redis.states
        assert len(rig.redis.callbacks()) == told


async def test_the_tlvs_come_before_the_text() -> None:
    """Quirk 3: and message_state alone makes it a receipt."""
    rig = Rig()
    rig.know(b"abc")
    rig.come(DeliverSm(esm_class=0, short_message=b"whatever", tlvs=receipt_tlvs(b"abc", 5)))
    await rig.settle()
    assert only(rig.redis.receipt_records).state == State.UNDELIVERED


@pytest.mark.parametrize(("form", "accepted", "received"), [("decimal", b"7B", b"123"), ("hex", b"123", b"7b")])
async def test_ids_are_matched_in_the_form_of_the_profile(form: str, accepted: bytes, received: bytes) -> None:
    rig = Rig(receipt_id=form)
    rig.know(canonical_id(accepted, form))
    rig.come(receipt(received))
    await rig.settle()
    assert rig.redis.states


async def test_a_receipt_that_cannot_be_read_is_kept_and_never_becomes_a_message() -> None:
    """Quirk 1: never dropped, never an MO."""
    rig = Rig()
    rig.come(DeliverSm(esm_class=0x04, short_message=b"\xff\xfegarbage", destination_addr=b"12345"))
    await rig.settle()
    assert not rig.redis.inbound_records and len(rig.redis.park) == 1
    assert next(iter(rig.redis.park)).startswith(b"unreadable:")
    assert rig.link.answers == [(1, ROK)]


async def test_an_unknown_stat_is_recorded_and_ends_nothing() -> None:
    """Quirk 1: a `stat` that nobody knows."""
    rig = Rig()
    rig.know(b"abc")
    rig.come(receipt(b"abc", b"STRANGE"))
    await rig.settle()
    record = only(rig.redis.receipt_records)
    assert (record.stat, record.state) == (b"STRANGE", State.SENT)
    assert not rig.redis.states


async def test_a_message_to_a_number_of_ours_goes_to_its_account() -> None:
    rig = Rig()
    rig.come(
        DeliverSm(source_addr=b"491701", destination_addr=b"12345", short_message=b"hello"),
        DeliverSm(source_addr=b"491701", destination_addr=b"777", short_message=b"hook"),
        DeliverSm(source_addr=b"491701", destination_addr=b"999", short_message=b"whose?"),
    )
    await rig.settle()
    records = [record for record in rig.redis.inbound_records if isinstance(record, InboundRecord)]
    assert [record.account for record in records] == ["acme", "beta", ""]
    assert [callback.body for callback in rig.redis.callbacks()] == [b"hello"]
    assert [decode_callback(blob).body for blob in rig.redis.hooks] == [b"hook"]
    assert rig.link.answers == [(1, ROK), (2, ROK), (3, ROK)]
    assert rig.figures.inbound_unknown == 1


async def test_storage_that_comes_back_gets_everything_and_only_then_is_answered() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.redis.unavailable = 3
    rig.come(receipt(b"abc"))
    async with rig.running():
        await asyncio.sleep(0)
        assert not rig.link.answers
        await until(lambda: rig.receipts.is_idle)
    assert rig.link.answers == [(1, ROK)] and rig.redis.states


async def test_after_a_bounded_wait_the_upstream_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFER_SECONDS", 0.02)
    monkeypatch.setattr(module, "STORAGE_RETRY_SECONDS", 0.01)
    rig = Rig()
    rig.know(b"abc")
    rig.redis.unavailable = 10_000
    mo = DeliverSm(destination_addr=b"12345", short_message=b"hello")
    rig.come(receipt(b"abc"), mo)
    async with rig.running():
        await until(lambda: rig.link.answers)
        assert rig.link.answers == [(1, RX_T_APPN)] and rig.held == [True]
        rig.redis.unavailable = 0
        await until(lambda: rig.receipts.is_idle)
    assert rig.redis.states and len(rig.redis.inbound_records) == 1
    assert rig.link.answers == [(1, RX_T_APPN), (2, ROK)] and rig.held[-1] is False


async def test_a_lost_role_ends_the_work_without_an_answer() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.redis.fenced = True
    rig.come(receipt(b"abc"))
    with pytest.raises(Fenced):
        await rig.receipts.run()
    assert not rig.link.answers


def as_data(pdu: DeliverSm) -> DataSm:
    """The same in the other PDU, where the text is a TLV."""
    payload = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, pdu.short_message)])
    return DataSm(
        source_addr=pdu.source_addr, destination_addr=pdu.destination_addr, esm_class=pdu.esm_class,
        data_coding=pdu.data_coding, tlvs=payload + pdu.tlvs,
    )  # fmt: skip


async def test_quirk_5_receipts_and_messages_in_data_sm_go_the_same_way() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.come(as_data(receipt(b"abc", b"UNDELIV", b"007")), as_data(receipt(b"orphan")))
    rig.come(as_data(DeliverSm(source_addr=b"491701", destination_addr=b"12345", short_message=b"hello")))
    await rig.settle()
    record = only(rig.redis.receipt_records)
    assert (record.upstream_message_id, record.state) == (b"abc", State.UNDELIVERED)
    assert list(rig.redis.park) == [b"orphan"]
    [told, message_told] = rig.redis.callbacks()
    assert (told.stat, told.err, message_told.body) == (b"UNDELIV", b"007", b"hello")
    assert rig.link.data_answers == [(1, ROK), (2, ROK), (3, ROK)] and not rig.link.answers


async def test_quirk_5_data_sm_is_answered_only_when_it_is_durable() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.redis.unavailable = 3
    rig.come(as_data(receipt(b"abc")))
    async with rig.running():
        await asyncio.sleep(0)
        assert not rig.link.data_answers
        await until(lambda: rig.receipts.is_idle)
    assert rig.link.data_answers == [(1, ROK)] and rig.redis.states


async def test_quirk_7_an_intermediate_notification_that_comes_again_is_told_once() -> None:
    rig = Rig()
    rig.know(b"abc", registered_delivery=0x11)
    enroute = receipt(b"abc", b"ENROUTE", esm_class=0x20)
    rig.come(enroute, receipt(b"abc", b"ENROUTE", esm_class=0x20))
    rig.come(receipt(b"abc", b"ACCEPTD", esm_class=0x20))
    await rig.settle()
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"ENROUTE", b"ACCEPTD"]
    assert rig.link.answers == [(1, ROK), (2, ROK), (3, ROK)]
    assert rig.figures.receipts_repeated == 1


async def test_quirk_7_a_message_from_a_phone_that_comes_again_is_one_message() -> None:
    rig = Rig()
    hello = {"source_addr": b"491701", "destination_addr": b"12345", "short_message": b"hello"}
    rig.come(DeliverSm(**hello), DeliverSm(**hello))
    await rig.settle()
    heir = Rig(rig.redis)
    heir.come(DeliverSm(**hello), DeliverSm(**{**hello, "short_message": b"hello!"}))
    await heir.settle()
    assert [callback.body for callback in rig.redis.callbacks()] == [b"hello", b"hello!"]
    assert rig.link.answers == heir.link.answers == [(1, ROK), (2, ROK)]
    assert (rig.figures.inbound_repeated, heir.figures.inbound_repeated) == (1, 1)


@pytest.mark.parametrize("dest", [b"12345", b"777"])
async def test_quirk_7_a_crash_before_its_marks_were_noted_makes_a_message_no_double(dest: bytes) -> None:
    rig = Rig()
    rig.store.remember_inbound = nobody_remembers  # type: ignore[method-assign]
    hello = {"source_addr": b"491701", "destination_addr": dest, "short_message": b"hello"}
    rig.come(DeliverSm(**hello))
    await rig.settle()
    assert not rig.redis.inbound_marks
    heir = Rig(rig.redis)
    heir.come(DeliverSm(**hello))
    await heir.settle()
    assert len(rig.redis.inbound_records) == 1 and heir.figures.inbound_repeated == 1
    assert heir.link.answers == [(1, ROK)]


async def test_quirk_7_what_was_recorded_long_ago_is_not_recalled() -> None:
    for window, later_ms in ((30, 30_000), (0, -60_000)):
        rig = Rig()
        rig.come(DeliverSm(destination_addr=b"12345", short_message=b"hello"))
        await rig.settle()
        rig.redis.inbound_marks.clear()
        heir = Rig(rig.redis, mo_repeat_seconds=window)
        heir.now_ms += later_ms
        heir.come(DeliverSm(destination_addr=b"12345", short_message=b"hello"))
        await heir.settle()
        assert len(rig.redis.inbound_records) == 2


async def nobody_remembers(marks: Sequence[bytes], now_ms: int, window_ms: int) -> None:
    """The process died before."""


async def test_quirk_7_without_a_window_the_same_words_twice_are_two_messages() -> None:
    rig = Rig(mo_repeat_seconds=0)
    for _ in range(2):
        rig.come(DeliverSm(source_addr=b"491701", destination_addr=b"12345", short_message=b"yes"))
    await rig.settle()
    assert len(rig.redis.callbacks()) == 2 and not rig.redis.inbound_marks


async def test_an_alert_is_logged_and_counted_and_changes_nothing() -> None:
    rig = Rig()
    with capture_logs() as logs:
        rig.receipts.alerted([AlertNotification(source_addr=b"447700900123"), AlertNotification(source_addr=b"1")])
    assert rig.figures.alerts == 2
    [log] = [log for log in logs if log["event"] == "upstream.alerted"]
    assert (log["log_level"], log["number"], log["count"]) == ("info", b"447700900123", 2)
    assert rig.receipts.is_idle and rig.redis == FakeRedis()


LONG = {"segments": [b"a", b"b", b"c"], "registered_delivery": 0x11}


def long_rig(policy: str, known: str = "xyz", **changes: Any) -> Rig:
    """A message of three segments, whose ids are known by letters."""
    rig = Rig(receipt_segments=policy)
    for segment, name in enumerate("xyz"):
        if name in known:
            rig.redis.corr[name.encode()] = encode(sent_context(message(1, **LONG, **changes), segment))
    return rig


@pytest.mark.parametrize(
    ("policy", "receipts", "told"),
    [
        ("all", "xyz", ["DELIVRD"]),
        ("all", "xy", []),
        ("any", "y", ["DELIVRD"]),
        ("any", "xyz", ["DELIVRD"]),
        ("last", "xy", []),
        ("last", "z", ["DELIVRD"]),
        ("last", "zxy", ["DELIVRD"]),
    ],
)
async def test_quirk_8_the_customer_sees_one_result_whichever_segments_have_receipts(
    policy: str, receipts: str, told: list[str]
) -> None:
    rig = long_rig(policy)
    for name in receipts:
        rig.come(receipt(name.encode()))
        await rig.settle()
    assert [callback.stat.decode() for callback in rig.redis.callbacks()] == told
    assert bool(rig.redis.states) is bool(told)
    assert len(rig.link.answers) == len(receipts)


@pytest.mark.parametrize("policy", ["all", "any", "last"])
async def test_quirk_8_a_segment_that_was_not_delivered_ends_the_message_and_pays_back_once(policy: str) -> None:
    rig = long_rig(policy, tariff=int(Tariff.ON_DELIVERY))
    rig.come(receipt(b"x", b"UNDELIV"), receipt(b"z", b"UNDELIV"))
    await rig.settle()
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"UNDELIV"]
    assert rig.redis.refunded == {FIRST_ID + 1: 70_000}


async def test_quirk_8_an_id_that_only_the_last_segment_was_given_is_enough() -> None:
    rig = long_rig("last", known="z")
    rig.come(receipt(b"z"))
    await rig.settle()
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"DELIVRD"]


@pytest.mark.parametrize(
    ("source", "dest"),
    [(b"49170", b"Sender"), (b"Sender", b"49170"), (b"49170", b"49170"), (b"+0049170", b""), (b"", b"Other")],
)
async def test_quirk_10_the_id_finds_the_message_whatever_the_addresses_are(source: bytes, dest: bytes) -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.come(receipt(b"abc", source_addr=source, destination_addr=dest))
    await rig.settle()
    assert only(rig.redis.receipt_records).id == FIRST_ID + 1 and not rig.reported
    [callback] = rig.redis.callbacks()
    assert (callback.source, callback.dest) == (b"Sender", message(1).dest), "the customer sees his own addresses"


async def test_quirk_7_a_notification_without_a_date_is_known_again_also_after_it_was_parked() -> None:
    rig = Rig()
    undated = {"esm_class": 0x20, "short_message": b"id:abc stat:ENROUTE err:000", "source_addr": b"4917"}
    rig.come(DeliverSm(**undated))
    await rig.settle()
    rig.know(b"abc", registered_delivery=0x11)
    context = sent_context(message(1, registered_delivery=0x11), 0)
    pdu = DeliverSm(**undated)
    parked = [module.parked_receipt(pdu, parse_receipt(pdu), State.SENT, NOW_MS - 5000)]  # type: ignore[arg-type]
    await rig.receipts.apply_parked([(b"abc", context, parked)])
    rig.come(DeliverSm(**undated))
    await rig.settle()
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"ENROUTE"]


def matched(number: int, state: State = State.DELIVERED) -> MatchRequest:
    parked = ParkedReceipt(b"abc", b"DELIVRD", b"000", int(state), NOW_MS, b"raw", NOW_MS)
    return MatchRequest(sent_context(message(number), 0), parked, [])


async def test_orphans_that_were_matched_are_applied_once_and_who_asked_is_answered() -> None:
    rig = Rig()
    rig.redis.matches = {1: matched(1), 2: matched(2)}
    rig.redis.matches[2].states.append((b"", int(State.UNDELIVERED)))  # type: ignore[union-attr]  # a request
    async with rig.running():
        rig.receipts.matched()
        await until(lambda: not any(isinstance(match, MatchRequest) for match in rig.redis.matches.values()))
    assert rig.redis.matches == {1: Effect.FINAL, 2: Effect.REPEATED}
    assert rig.redis.states == {FIRST_ID + 1: State.DELIVERED, FIRST_ID + 2: State.UNDELIVERED}
    assert [callback.id for callback in rig.redis.callbacks()] == [FIRST_ID + 1]


async def test_matches_wait_for_redis() -> None:
    rig = Rig()
    rig.redis.matches = {1: matched(1)}
    async with rig.running():
        rig.redis.unavailable = 1
        rig.receipts.matched()
        await until(lambda: not rig.redis.unavailable)
        rig.receipts.matched()
        await until(lambda: rig.redis.matches == {1: Effect.FINAL})
