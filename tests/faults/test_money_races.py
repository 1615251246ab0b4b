"""Money asked for a thousand times at once: B1 of the fault catalogue, over both doors and two workers, in full."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from protocols.smpp.constants import CommandStatus
from smscd.core.directory import Account
from smscd.core.records import LedgerRecord, Tariff
from smscd.supervision.locate import locate
from smscd.supervision.seed import ACCOUNT, PRICE_MICROS
from storage.redis.keys import ShardKeys
from tests.faults.esmes import (
    DELIVER,
    NO_RATES,
    PASSWORD,
    WAIT_SECONDS,
    Esme,
    add_accounts,
    bind,
    metric,
    pdu,
    run,
    submit_pdu,
    until,
)
from tests.faults.rig import Rig, running_rig, say
from tools.bench.http_wire import ResponseParser, request_bytes
from tools.carrier.injection import FIRST_NUMBER
from tools.checker import read_records
from tools.record import RecordWriter

pytestmark = pytest.mark.timeout(240)

ASKED, PAID = 1_000, 500
OVER_SMPP, OVER_HTTP, BINDS = 400, 600, 10
BOTH = ("--workers", "2")
KEYS = ShardKeys(0)
PDUS_A_POST = 100
READ, REPEATED = (f'smscd_receipts_total{{outcome="{what}",upstream="upstream1"}}' for what in ("read", "repeated"))
PAYER = "payer"
PAID_IN = 7 * PRICE_MICROS
NEVER_TOLD = b"447700900999"
"""The simulated carrier takes it and sends no receipt."""


async def leave_a_balance_of(rig: Rig, micros: int) -> None:
    """Take from the demo's account all but this, by an operator's order."""
    from smscd.cli.storage import opened

    location = locate(config_file=None, data_dir=rig.demo.data, environment=os.environ)
    async with opened(location) as storage:
        held = await storage.balances.balance(ACCOUNT)
        assert held is not None
        order = LedgerRecord(ACCOUNT, "adjust", micros - held, "B1", int(time.time() * 1000), "rig", "")
        assert (await storage.balances.top_up(order)).balance_micros == micros


class Asker:
    """Asks for a thousand messages, each on its own: 400 as an ESME over ten binds, 600 over as many connections.

    Neither door's share is enough for the balance, nor can it be taken by the other alone.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.record = RecordWriter(rig.client_record)
        self.answers: Counter[tuple[str, int]] = Counter()

    def note(self, door: str, number: int, message_id: bytes, status: int) -> None:
        """Write down an answer."""
        self.record.add([b"answer\t1\t%b%d\t%b\t%d\n" % (door.encode(), number, message_id or b"-", status)])
        self.answers[door, status] += 1

    def sent(self, door: str, number: int) -> bytes:
        """Write down that a message is sent; returns its text."""
        token = b"%b%d" % (door.encode(), number)
        self.record.add([b"sent\t1\t%b\t-\t-\n" % token])
        return token + b" one of a thousand"

    async def run(self) -> None:
        """Open everything first, then ask; returns when every question has its answer."""
        ready = self.rig.demo.ready
        esmes = [await bind(self.rig, ready.smpp.system_id, ready.smpp.password) for _ in range(BINDS)]
        receipts: list[bytes] = []
        for esme in esmes:
            esme.answers = lambda number, status, message_id: self.note("smpp", number, message_id, status)
            esme.receipts = receipts.append
        opened = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", urlsplit(ready.http.url).port) for _ in range(OVER_HTTP))
        )
        posts = [asyncio.create_task(self.post(n, *streams)) for n, streams in enumerate(opened)]
        await asyncio.sleep(0)  # each has written its request
        for at, esme in enumerate(esmes):
            numbers = range(2 + at, 2 + OVER_SMPP + at, BINDS)
            esme.transport.write(b"".join(submit_pdu(n, self.sent("smpp", n)) for n in numbers))
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(*posts)
            while self.answers.total() < ASKED or len(receipts) < self.answers["smpp", 0]:
                await asyncio.sleep(0.02)
        self.record.close()
        for esme in esmes:
            esme.close()

    async def post(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask over HTTP."""
        body = {"from": "ACME", "to": "+447700900123", "text": self.sent("http", number).decode()}
        headers = {"Host": "gateway", "X-Api-Key": self.rig.demo.ready.http.api_key, "Content-Type": "application/json"}
        writer.write(request_bytes("POST", "/v1/messages", headers, msgspec.json.encode(body)))
        parser = ResponseParser()
        while not (responses := parser.feed(await reader.read(65_536))):
            pass
        [(status, answer)] = responses
        self.note("http", number, msgspec.json.decode(answer).get("id", "").encode(), status)
        writer.close()


def test_a_thousand_submits_at_once_for_a_balance_of_500_are_500_messages(tmp_path: Path) -> None:
    """B1: through both doors and both workers."""
    with running_rig(tmp_path, environment=NO_RATES, demo_options=BOTH) as rig:
        run(leave_a_balance_of(rig, PAID * PRICE_MICROS))
        asker = Asker(rig)
        run(asker.run())
        judgement = rig.settled(expects_receipts=False)
        say("B1 submits", {}, judgement, answers={f"{door} {status}": n for (door, status), n in asker.answers.items()})
        assert judgement.is_clean, judgement
        assert judgement.accepted == judgement.taken == PAID
        assert judgement.refused == ASKED - PAID
        refused = (("smpp", int(CommandStatus.ESME_RSUBMITFAIL)), ("http", 402))
        assert set(asker.answers) <= {("smpp", 0), ("http", 202), *refused}
        assert asker.answers["smpp", 0] + asker.answers["http", 202] == PAID
        assert asker.answers["smpp", 0] > 0 and asker.answers["http", 202] >= PAID - OVER_SMPP
        assert nodes_that_admitted(rig) == 2
        assert balance_of(rig, ACCOUNT) == 0


def nodes_that_admitted(rig: Rig) -> int:
    """How many workers admitted anything: each has a session in Redis that counts its calls."""
    with redis.Redis.from_url(rig.demo.ready.valkey_url) as store:
        names = store.scan_iter(match=KEYS.session("ingress:*"))
        return sum(int(store.hget(name, "seq") or 0) > 0 for name in names)


def failures_of(message_id: bytes, count: int) -> list[bytes]:
    """As many receipts that say that one message was not delivered, each a deliver_sm of its own, by the hundred.

    Each has another error code, so that each is another event on record.
    """
    now = time.strftime("%y%m%d%H%M", time.gmtime()).encode()
    text = b"id:%b sub:001 dlvrd:000 submit date:%b done date:%b stat:UNDELIV err:%03d text:"
    texts = [text % (message_id, now, now, number) for number in range(count)]
    head = b"\0\1\1" + NEVER_TOLD + b"\0\5\0ACME\0\4\0\0\0\0\0\0\0\0"
    delivers = [pdu(DELIVER, FIRST_NUMBER + n, head + bytes([len(text)]) + text) for n, text in enumerate(texts)]
    return [b"".join(delivers[at : at + PDUS_A_POST]) for at in range(0, count, PDUS_A_POST)]


async def post_all(port: int, requests: list[bytes]) -> None:
    """Have the carrier write all of it to its session at once."""

    def post(octets: bytes) -> int:
        body = msgspec.json.encode({"hex": octets.hex(), "everybody": False})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/pdu", body, timeout=30) as answer:
            return int(answer.status)

    assert set(await asyncio.gather(*(asyncio.to_thread(post, octets) for octets in requests))) == {202}


async def submit_one(rig: Rig, receipts: list[bytes]) -> Esme:
    """As the account that pays for what is delivered, send one message that its carrier says nothing more of."""
    account = Account(id=PAYER, any_sender=True, tariff=Tariff.ON_DELIVERY)
    await add_accounts(rig, [account], balance_micros=PAID_IN)
    esme = await bind(rig, PAYER, PASSWORD)
    answers: list[tuple[int, int, bytes]] = []
    esme.answers = lambda *answer: answers.append(answer)
    esme.receipts = receipts.append
    record = RecordWriter(rig.client_record)
    record.add([b"sent\t1\tonly\t-\t-\n"])
    esme.transport.write(submit_pdu(2, b"only one", NEVER_TOLD))
    await until(lambda: answers, what="the answer")
    [(_, status, message_id)] = answers
    record.add([b"answer\t1\tonly\t%b\t%d\n" % (message_id, status)])
    record.close()
    await until(lambda: taken_as(rig), what="the carrier has it")
    return esme


def taken_as(rig: Rig) -> bytes:
    """The id that the carrier gave the one message; empty before it did."""
    return next((line.id for line in read_records([rig.carrier.record]) if line.kind == b"submit"), b"")


async def fail_it(rig: Rig) -> None:
    """Send the one message, and have the carrier say a thousand times at once that it failed."""
    receipts: list[bytes] = []
    esme = await submit_one(rig, receipts)
    assert balance_of(rig, PAYER) == PAID_IN - PRICE_MICROS
    await post_all(rig.carrier.control_port, failures_of(taken_as(rig), ASKED))
    await until(lambda: metric(rig, REPEATED) >= ASKED - 1, what="every receipt is read and settled")
    await until(lambda: receipts, what="the customer is told")
    esme.close()
    assert len(receipts) == 1


def balance_of(rig: Rig, account: str) -> int:
    """What an account has."""
    with redis.Redis.from_url(rig.demo.ready.valkey_url) as store:
        return int(store.hget(KEYS.acct(account), "balance") or 0)


def test_a_thousand_refunds_of_one_message_at_once_are_one(tmp_path: Path) -> None:
    """B1: the carrier says a thousand times that a message failed for which only delivery is charged."""
    with running_rig(tmp_path, demo_options=BOTH) as rig:
        run(fail_it(rig))
        judgement = rig.settled(expects_receipts=False)
        say("B1 refunds", {}, judgement, balance=balance_of(rig, PAYER))
        assert judgement.is_clean, judgement
        assert balance_of(rig, PAYER) == PAID_IN
        assert (metric(rig, READ), metric(rig, REPEATED)) == (ASKED, ASKED - 1)
