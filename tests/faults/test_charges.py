"""What every kind of message costs in the end, by either tariff: charged whole, given back once, nothing left over."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import encode
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import CancelSm, SmeAddress, SubmitMulti, SubmitSm
from smscd.core.directory import Account
from smscd.core.records import State, Tariff
from smscd.supervision.seed import PRICE_MICROS
from tests.faults.esmes import PASSWORD, WAIT_SECONDS, Esme, add_accounts, bind, run, until
from tests.faults.rig import Rig, running_rig, say
from tools.carrier.behaviour import MAGIC_SUFFIXES
from tools.checker_storage import Stored, StoredMessage, read_stored

pytestmark = pytest.mark.timeout(180)

PAYERS = {"accept": Tariff.ON_ACCEPT, "deliver": Tariff.ON_DELIVERY}
PAID_IN = 100 * PRICE_MICROS
TWO_SECONDS = b"000000000002000R"
LONG = b" and so on until it takes three parts on the air" * 8


class Case(NamedTuple):
    """One submission. to: the ends of its destinations, which say what the carrier does; more than one: submit_multi.

    parts: segments of each message. back: how many prices go back by the tariffs ON_ACCEPT and ON_DELIVERY, in all.
    states: how its messages end.
    """

    name: str
    to: tuple[str, ...]
    states: tuple[State, ...]
    back: tuple[int, int]
    parts: int = 1
    validity: bytes = b""
    is_cancelled: bool = False
    is_flagged: bool = False

    @property
    def text(self) -> bytes:
        """Its first word tells it from the others."""
        return self.name.encode() + (LONG if self.parts > 1 else b" is short")


CASES = (
    Case("delivered", ("000",), (State.DELIVERED,), (0, 0)),
    Case("refused", ("010",), (State.FAILED,), (1, 1)),
    Case("undelivered", ("001",), (State.UNDELIVERED,), (0, 1)),
    Case("expired-there", ("002",), (State.EXPIRED,), (0, 1)),
    Case("rejected-there", ("003",), (State.REJECTED,), (0, 1)),
    Case("long", ("100",), (State.DELIVERED,), (0, 0), parts=3),
    Case("long-refused", ("010",), (State.FAILED,), (3, 3), parts=3),
    Case("long-undelivered", ("001",), (State.UNDELIVERED,), (0, 3), parts=3),
    Case("many", ("100", "010", "001"), (State.DELIVERED, State.FAILED, State.UNDELIVERED), (1, 2)),
    Case("told-twice", ("888",), (State.DELIVERED,), (0, 0)),
    Case("told-first", ("777",), (State.DELIVERED,), (0, 0)),
    Case("told-never", ("999",), (State.SENT,), (0, 0)),
    Case("answered-never", ("404",), (State.UNKNOWN,), (0, 0), validity=TWO_SECONDS),
    Case("in-doubt", ("500",), (State.DELIVERED,), (0, 0), is_flagged=True),
    Case("tried-again", ("088",), (State.DELIVERED,), (0, 0)),
    Case("throttled-always", ("058",), (State.EXPIRED,), (1, 1), validity=TWO_SECONDS),
    Case("expired-here", ("008",), (State.EXPIRED,), (1, 1), validity=TWO_SECONDS),
    Case("cancelled", ("008",), (State.CANCELED,), (1, 1), is_cancelled=True),
)

NEVER_TOLD = len(PAYERS) * sum(case.states == (State.SENT,) for case in CASES)


def submission(case: Case, payer: int, number: int) -> bytes:
    """Its PDU. Each has destinations of its own: some of the carrier's moods count what a number has had."""
    dests = [b"4477%02d%03d%s" % (payer, number, end.encode()) for end in case.to]
    has_payload = case.parts > 1
    tlvs = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, case.text)]) if has_payload else b""
    common = {
        "sequence_number": 2 + number,
        "source_addr_ton": 5,
        "source_addr": b"ACME",
        "validity_period": case.validity,
        "registered_delivery": 0,
        "short_message": b"" if has_payload else case.text,
        "tlvs": tlvs,
    }
    if len(dests) == 1:
        return encode(SubmitSm(dest_addr_ton=1, dest_addr_npi=1, destination_addr=dests[0], **common))  # type: ignore[arg-type]
    rows = [SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=dest) for dest in dests]
    return encode(SubmitMulti(dest_address=rows, **common))  # type: ignore[arg-type]


async def submit_all(rig: Rig) -> None:
    """As both payers, submit every case; cancel what is to be cancelled while it waits for its second attempt."""
    accounts = [Account(id=name, any_sender=True, tariff=tariff) for name, tariff in PAYERS.items()]
    await add_accounts(rig, accounts, balance_micros=PAID_IN)
    esmes = [await bind(rig, name, PASSWORD) for name in PAYERS]
    for esme in esmes:
        esme.answers = lambda number, status, message_id, esme=esme: cancel(esme, number - 2, status, message_id)
    # The carrier that lets its connection fall puts everything else in doubt too, so that comes when all is over.
    expected = 0
    for is_flagged in (False, True):
        chosen = {number: case for number, case in enumerate(CASES) if case.is_flagged is is_flagged}
        expected += sum(len(case.to) for case in chosen.values()) * len(PAYERS)
        for payer, esme in enumerate(esmes):
            esme.transport.write(b"".join(submission(case, payer, number) for number, case in chosen.items()))
        async with asyncio.timeout(WAIT_SECONDS):
            while not is_over(stored := await stored_of(rig), expected):
                await asyncio.sleep(0.2)
    await until(lambda: all(esme.is_bound for esme in esmes), what="the ESMEs are still bound")
    for esme in esmes:
        esme.close()
    judge(stored)


def cancel(esme: Esme, number: int, status: int, message_id: bytes) -> None:
    """What an answer leads to."""
    assert status == 0, CASES[number].name
    if CASES[number].is_cancelled:
        esme.transport.write(encode(CancelSm(sequence_number=900, message_id=message_id, source_addr=b"ACME")))


async def stored_of(rig: Rig) -> Stored:
    """What both servers hold."""
    return await read_stored(rig.demo.ready.valkey_url, rig.demo.ready.postgres_dsn)


def is_over(stored: Stored, expected: int) -> bool:
    """Every message has its end on record."""
    rows = stored.messages.values()
    open_states = sum(not State(row.state).is_final for row in rows)
    return len(rows) == expected and open_states <= NEVER_TOLD and not stored.left_in_redis


def judge(stored: Stored) -> None:
    """Each case as it is meant to be, and each account's balance by the sum of its cases."""
    found: dict[tuple[str, bytes], list[StoredMessage]] = defaultdict(list)
    for row in stored.messages.values():
        found[row.account, row.token].append(row)
    for name, tariff in PAYERS.items():
        spent = 0
        for case in CASES:
            rows = found[name, case.name.encode()]
            price = case.parts * PRICE_MICROS
            assert sorted(row.state for row in rows) == sorted(case.states), (name, case.name)
            assert [row.price_micros for row in rows] == [price] * len(case.to), (name, case.name)
            assert {row.refunded_micros for row in rows} <= {0, price}, (name, case.name)
            back = sum(row.refunded_micros for row in rows)
            assert back == case.back[tariff] * PRICE_MICROS, (name, case.name)
            assert [row.maybe_duplicate for row in rows] == [case.is_flagged] * len(rows), (name, case.name)
            spent += price * len(case.to) - back
        assert stored.balances[name] == stored.ledger_balances[name] == PAID_IN - spent


def test_every_mood_of_the_carrier_has_its_case() -> None:
    assert {to.encode() for case in CASES for to in case.to} >= MAGIC_SUFFIXES


def test_every_kind_of_message_costs_what_its_tariff_says(tmp_path: Path) -> None:
    with running_rig(tmp_path) as rig:
        run(submit_all(rig))
        # The payers send the same texts, and submit_multi one text three times: the oracle would call these duplicates.
        judgement = rig.judge(expects_receipts=False)
        say("charges", {}, judgement, cases=len(CASES))
        assert judgement.ledger_difference_micros == 0, judgement.ledger_notes
        assert len(judgement.stuck) == NEVER_TOLD
        assert not (judgement.rows_missing or judgement.rows_double or judgement.left_in_redis)
        assert judgement.flagged == len(PAYERS)
