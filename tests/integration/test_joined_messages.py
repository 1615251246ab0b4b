"""Quirk 33 on a real Redis: parts of messages from phones, to ESMEs, to webhooks, and through the death of their owner.

The carrier runs in this process, the webhook's receiver, and an egress that is killed, in processes of their own.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM, alphabet_for
from protocols.smpp import tlv
from protocols.smpp.codec import encode_body
from protocols.smpp.constants import TlvTag
from protocols.smpp.longform import Carried, LongForm, Piece, Target, write
from protocols.smpp.pdu import DeliverSm
from smscd.core.callback_records import CallbackRecord
from smscd.core.records import InboundRecord
from tests.integration.egress_rig import KEYS, Books, egress_process, until, wall_ms
from tests.integration.local_carrier import local_carrier
from tests.integration.test_egress_carriers import Rig, running
from tests.integration.test_webhook_delivery import hooks_on
from tools.carrier.receipts import Delivery
from tools.carrier.smsc import Carrier

TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. {€} " * 6
PORTS = (udh.PORTS_16, b"\x0b\x84\x23\xf0")
HOOK, ESME = b"777", b"12345"
WHOLE = {"mo_delivery": "whole"}
FORMS = [LongForm.UDH_8, LongForm.UDH_16, LongForm.SAR]


def parts_of(piece: Piece, form: LongForm = LongForm.UDH_8, reference: int = 0x0107) -> list[Carried]:
    parts = write(piece, Target(long_form=form), reference=reference)
    assert len(parts) > 1
    return parts


def deliver(carrier: Carrier, dest: bytes, *parts: Carried, source: bytes = b"447700900999") -> None:
    """As the carrier sends what came from a phone: again until it is answered."""
    carrier.deliver(
        b"us",
        [
            Delivery(
                encode_body(
                    DeliverSm(
                        source_addr_ton=1, source_addr=source, destination_addr=dest, esm_class=part.esm_class,
                        data_coding=part.data_coding, short_message=part.short_message, tlvs=part.tlvs,
                    )
                ),
                b"-",
            )
            for part in parts
        ],
    )  # fmt: skip


async def held(books: Books) -> int:
    return int(await books.link.command("HLEN", KEYS.join("carrier")))


async def until_held(books: Books, parts: int) -> None:
    """Redis has them a moment after the figure."""
    async with asyncio.timeout(5):
        while await held(books) != parts:
            await asyncio.sleep(0.01)


async def recorded(books: Books) -> list[InboundRecord]:
    found: list[InboundRecord] = await books.records(b"M")
    return found


def told(rig: Rig) -> list[DeliverSm]:
    return rig.esme.received


@pytest.mark.parametrize("form", FORMS)
async def test_quirk_33_out_of_order_and_repeated_parts_are_one_message_of_each_owner(
    valkey_url: str, tmp_path: Path, form: LongForm
) -> None:
    parts = parts_of(Piece(GSM.encode(TEXT), 0), form)
    assert len(parts) == 4
    async with hooks_on(valkey_url, tmp_path) as hooks, running(valkey_url, account=WHOLE) as rig:
        await hooks.start()
        for part in (parts[2], parts[0], parts[2], parts[3], parts[1], parts[0]):
            deliver(rig.carrier, ESME, part)
            deliver(rig.carrier, HOOK, part)
        await until(lambda: rig.esme.received)
        [pdu] = told(rig)
        assert (pdu.esm_class, pdu.short_message, pdu.source_addr) == (0, b"", b"447700900999")
        assert tlv.parse(pdu.tlvs) == [(TlvTag.MESSAGE_PAYLOAD, GSM.encode(TEXT))]
        await hooks.until(lambda: len(hooks.requests()) == 1)
        [data] = [json.loads(request["body"])["data"] for request in hooks.requests()]
        assert (data["text"], data["encoding"], data["content_hex"]) == (TEXT, "gsm7", GSM.encode(TEXT).hex())
        assert (data["parts"], data["partial"]) == ({"received": 4, "total": 4}, False)
        await rig.done()
        figures = rig.egress.figures
        assert (figures.inbound, figures.inbound_repeated) == (8, 4)
        assert (figures.inbound_joined, figures.inbound_partial, figures.inbound_waiting) == (2, 0, 0)
        assert await held(rig.books) == 0
        by_id = {record.id: record for record in await recorded(rig.books)}
        assert len(by_id) == 10
        owners = Counter(record.group_id for record in by_id.values() if record.group_id)
        assert sorted(owners.values()) == [4, 4] and {by_id[whole].body for whole in owners} == {GSM.encode(TEXT)}
        assert int(data["id"]) in owners


async def test_quirk_33_an_account_of_parts_gets_each_as_it_came(valkey_url: str) -> None:
    parts = parts_of(Piece(GSM.encode(TEXT), 0))
    async with running(valkey_url) as rig:
        deliver(rig.carrier, ESME, *reversed(parts))
        await until(lambda: len(rig.esme.received) == len(parts))
        assert [(pdu.esm_class, pdu.short_message) for pdu in told(rig)] == [
            (part.esm_class, part.short_message) for part in reversed(parts)
        ]
        await rig.done()
        assert await held(rig.books) == 0 and rig.egress.figures.inbound_joined == 0
        assert not any(record.group_id for record in await recorded(rig.books))


async def test_quirk_33_a_message_that_lacks_a_part_is_told_as_partial(valkey_url: str, tmp_path: Path) -> None:
    parts = parts_of(Piece(GSM.encode(TEXT), 0))
    async with (
        hooks_on(valkey_url, tmp_path) as hooks,
        running(valkey_url, account=WHOLE, mo_join_seconds=2, mo_repeat_seconds=0) as rig,
    ):
        await hooks.start()
        for dest in (ESME, HOOK):
            deliver(rig.carrier, dest, parts[3], parts[1])
        await until(lambda: rig.egress.figures.inbound_waiting == 4)
        await until_held(rig.books, 4)
        assert not rig.esme.received
        await until(lambda: rig.esme.received)
        there = GSM.encode(TEXT)[153:306] + GSM.encode(TEXT)[459:]
        [pdu] = told(rig)
        values = dict(tlv.parse(pdu.tlvs))
        assert (pdu.short_message or values[TlvTag.MESSAGE_PAYLOAD]) == there
        assert values[0x1501] == b"\x02\x04"
        await hooks.until(lambda: len(hooks.requests()) == 1)
        [data] = [json.loads(request["body"])["data"] for request in hooks.requests()]
        assert (data["parts"], data["partial"], data["content_hex"]) == (
            {"received": 2, "total": 4}, True, there.hex()
        )  # fmt: skip
        deliver(rig.carrier, ESME, parts[0])
        await until(lambda: len(rig.esme.received) == 2)
        assert dict(tlv.parse(told(rig)[1].tlvs))[0x1501] == b"\x01\x04"
        await rig.done()
        assert (rig.egress.figures.inbound_partial, await held(rig.books)) == (3, 0)


@pytest.mark.parametrize(
    ("account", "data_coding", "octets", "elements", "wanted"),
    [
        ("latin1", 0, GSM.encode("é" * 300), (), ("é" * 300).encode("latin-1")),
        ("gsm", 8, ("x" + "😀" * 150).encode("utf-16-be"), (), ("x" + "😀" * 150).encode("utf-16-be")),
        ("gsm", 0, alphabet_for(udh.national_shifts(1)).encode("ış" * 150), udh.national_shifts(1), None),
        ("gsm", 4, bytes(range(256)) * 2, (PORTS,), None),
    ],
)
async def test_quirk_33_a_whole_is_in_the_accounts_alphabet_with_what_else_its_header_says(
    valkey_url: str,
    account: str,
    data_coding: int,
    octets: bytes,
    elements: tuple[tuple[int, bytes], ...],
    wanted: bytes | None,
) -> None:
    parts = parts_of(Piece(octets, data_coding, elements=elements), LongForm.UDH_16)
    if data_coding == 8:  # a phone that splits a character in two
        cut = len(parts[0].short_message) - 2
        moved = parts[0].short_message[cut:]
        header = len(udh.build([udh.concatenation_16(1, 2, 2)]))
        second = parts[1].short_message
        parts[0] = parts[0]._replace(short_message=parts[0].short_message[:cut])
        parts[1] = parts[1]._replace(short_message=second[:header] + moved + second[header:])
    async with running(
        valkey_url, account={**WHOLE, "default_alphabet": account}, default_alphabet="gsm"
    ) as rig:  # fmt: skip
        deliver(rig.carrier, ESME, *parts)
        await until(lambda: rig.esme.received)
        [pdu] = told(rig)
        body = tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD)
        assert body == (wanted if wanted is not None else udh.build(elements) + octets)
        assert (pdu.esm_class, pdu.data_coding) == (0x40 if elements else 0, data_coding)


@pytest.mark.parametrize("seed", range(3))
async def test_quirk_33_waits_outlive_a_kill_and_each_message_is_told_once(valkey_url: str, seed: int) -> None:
    """The owner is killed while the next part of every message comes: what was not answered comes again."""
    chance = random.Random(seed)
    phones = [b"4477009%05d" % number for number in range(200)]
    texts = {phone: GSM.encode(f"{phone.decode()} says: {TEXT}") for phone in phones}
    books = Books(valkey_url)
    await books.open()
    async with local_carrier() as (carrier, listener):
        try:
            for step in range(4):
                async with egress_process(valkey_url, listener.port) as process:
                    for phone in chance.sample(phones, len(phones)):
                        order = random.Random(phone).sample(range(4), 4)
                        parts = parts_of(Piece(texts[phone], 0), reference=int(phone[-2:]))
                        deliver(carrier, HOOK, parts[order[step]], source=phone)
                    stats: Any = carrier.stats
                    target = (step + 1) * len(phones) - chance.randrange(1, len(phones))
                    await until(lambda: stats()["deliveries"]["acknowledged"] >= target)  # noqa: B023  # awaited here
                    process.kill()
                    await process.wait()
                    await until(lambda: not listener.connections)
                async with egress_process(valkey_url, listener.port):
                    await until(lambda: stats()["deliveries"]["acknowledged"] == (step + 1) * len(phones))  # noqa: B023
            callbacks = await hooks_of(books)
            assert Counter(callback.source for callback in callbacks) == Counter(phones)
            assert {callback.source: callback.body for callback in callbacks} == texts
            assert {(callback.parts, callback.parts_total) for callback in callbacks} == {(4, 4)}
            records = {record.id: record for record in await recorded(books)}
            wholes = {callback.id for callback in callbacks}
            assert Counter(record.group_id for record in records.values() if record.group_id in wholes) == Counter(
                dict.fromkeys(wholes, 4)
            )
            assert wholes == {record.id for record in records.values() if not record.group_id}
        finally:
            await books.close()


@pytest.mark.parametrize("seed", range(3))
async def test_quirks_7_and_33_whatever_moment_its_owner_dies_at_a_message_is_told_once(
    valkey_url: str, seed: int
) -> None:
    """All parts and single messages come at once, and their owner is killed again and again."""
    chance = random.Random(seed)
    texts = {b"4477009%05d" % number: GSM.encode(f"{number} says: {TEXT}") for number in range(150)}
    wanted = [(part, phone) for phone, text in texts.items() for part in parts_of(Piece(text, 0), reference=7)]
    single = {b"4477008%05d" % number: b"%d says hello" % number for number in range(300)}
    wanted += [(Carried(text), phone) for phone, text in single.items()]
    chance.shuffle(wanted)
    books = Books(valkey_url)
    await books.open()
    async with local_carrier() as (carrier, listener):
        try:
            for part, phone in wanted:
                deliver(carrier, HOOK, part, source=phone)

            def acknowledged() -> int:
                stats: Any = carrier.stats()
                return int(stats["deliveries"]["acknowledged"])

            while acknowledged() < len(wanted):
                async with egress_process(valkey_url, listener.port) as process:
                    target = min(len(wanted), acknowledged() + chance.randrange(20, 120))
                    await until(lambda target=target: acknowledged() >= target)  # type: ignore[misc]
                    process.kill()
                    await process.wait()
                await until(lambda: not listener.connections)
            callbacks = await hooks_of(books)
            assert len(callbacks) == len(texts) + len(single)
            assert {callback.source: callback.body for callback in callbacks} == texts | single
            assert await held(books) == 0
            assert len(await recorded(books)) == len(wanted) + len(texts)
        finally:
            await books.close()


async def hooks_of(books: Books) -> list[CallbackRecord]:
    entries = await books.link.command("XRANGE", KEYS.hooks, "-", "+")
    return [item for _, fields in entries for item in msgspec.msgpack.decode(fields[1], type=list[CallbackRecord])]


async def test_quirk_33_what_waited_too_long_while_nobody_was_there_is_told_by_the_next_owner(valkey_url: str) -> None:
    parts = parts_of(Piece(GSM.encode(TEXT), 0))
    async with running(valkey_url, account=WHOLE, mo_join_seconds=2) as rig:
        deliver(rig.carrier, ESME, parts[1])
        await until(lambda: rig.egress.figures.inbound_waiting == 1)
        over_ms = wall_ms() + 2_000
    await until(lambda: wall_ms() >= over_ms)
    async with running(valkey_url, account=WHOLE, mo_join_seconds=2) as rig:
        await until(lambda: rig.esme.received)
        [pdu] = told(rig)
        assert pdu.short_message == GSM.encode(TEXT)[153:306]
        assert tlv.parse(pdu.tlvs) == [(0x1501, b"\x01\x04")]
        assert await held(rig.books) == 0
