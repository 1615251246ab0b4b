"""What each profile of an upstream makes of a message, from either door to the carrier's wire, the record and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from protocols.gsm.alphabets import GSM
from protocols.gsm.septets import pack
from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import SubmitSm
from smscd.core.records import Form, State
from smscd.core.upstream import VendorTlv
from storage.postgres.messages import StoredMessage
from tests.integration.egress_rig import until
from tests.integration.gateway_rig import PRICE, Gateway, gateway
from tests.integration.postgres_databases import RecordDatabase
from tests.unit.smscd.core.profile_fixture import understood

pytest_plugins = ("tests.integration.postgres_fixture",)

FILLER = "Äpfel für fünf Euro, " * 20
TEXT = f"{FILLER[:151]}€{FILLER[:152]}€{FILLER[:95]}"
"""400 characters. An escape stands on the first cut with a 16-bit reference and on the second with an 8-bit one."""
ESME_TEXT = TEXT[:260]
REFERENCE = 0xC7


class Profile(NamedTuple):
    """An upstream's profile, and what becomes of a text of 400 characters and of the two parts of an ESME there.

    ours, theirs: the header or the TLVs of each submit_sm, up to what says which part it is; {ref} is a reference.
    """

    upstream: dict[str, Any]
    alphabet: str
    ours: str
    theirs: str
    mode: int = 0


UDH_8, UDH_16, SAR, PAYLOAD = "udh8", "udh16", "sar", "payload"
PROFILES = {
    "quirk_32_as_is": Profile({"long_message": "as_is"}, "gsm", UDH_8, UDH_8),
    "quirk_32_udh8": Profile({"long_message": "udh8"}, "gsm", UDH_8, UDH_8),
    "quirk_32_udh16": Profile({"long_message": "udh16"}, "gsm", UDH_16, UDH_8),
    "quirk_32_sar": Profile({"long_message": "sar"}, "gsm", SAR, SAR),
    "quirk_34_payload": Profile({"long_message": "payload"}, "gsm", PAYLOAD, UDH_8),
    "quirk_35_esm_mode": Profile({"long_message": "udh8", "esm_mode": 3}, "gsm", UDH_8, UDH_8, 3),
    "quirk_30_packed": Profile({"long_message": "udh8", "default_alphabet": "gsm_packed"}, "gsm_packed", UDH_8, UDH_8),
}


def part_of_esme(sequence: int) -> SubmitSm:
    """One of two parts, as an ESME cuts them: 153 septets, and the rest."""
    septets = GSM.encode(ESME_TEXT)
    body = septets[:153] if sequence == 1 else septets[153:]
    return SubmitSm(
        source_addr_ton=5, source_addr=b"ACME", dest_addr_ton=1, dest_addr_npi=1, destination_addr=b"447700900124",
        esm_class=0x40, registered_delivery=1, short_message=bytes((5, 0, 3, REFERENCE, 2, sequence)) + body,
    )  # fmt: skip


def form_of(pdus: list[SubmitSm], profile: Profile, form: str) -> int:
    """Check that every submit_sm has the wire form that is wanted; the reference that they share."""
    references, total = set(), len(pdus)
    for sequence, pdu in enumerate(pdus, 1):
        text, has_header = pdu.short_message, form in (UDH_8, UDH_16)
        assert pdu.esm_class == (0x40 if has_header else 0) | profile.mode
        if form == UDH_8:
            assert (text[:3], text[4:6], pdu.tlvs) == (b"\5\0\3", bytes((total, sequence)), b"")
            references.add(text[3])
        elif form == UDH_16:
            assert (text[:3], text[5:7], pdu.tlvs) == (b"\6\x08\4", bytes((total, sequence)), b"")
            references.add(int.from_bytes(text[3:5], "big"))
        elif form == SAR:
            reference = tlv.read_integer(pdu.tlvs, TlvTag.SAR_MSG_REF_NUM)
            assert pdu.tlvs == tlv.encode(
                [(0x020C, (reference or 0).to_bytes(2, "big")), (0x020E, bytes((total,))), (0x020F, bytes((sequence,)))]
            )
            references.add(reference or 0)
        else:
            assert (text, [tag for tag, _ in tlv.parse(pdu.tlvs)]) == (b"", [TlvTag.MESSAGE_PAYLOAD])
            references.add(0)
        assert len(text) <= (140 if profile.alphabet == "gsm_packed" else 160)
    [reference] = references
    return reference


def is_recorded_as_delivered(stored: StoredMessage, parts: int, submits: int) -> None:
    """One row with the price of its parts, a line for each submit_sm and its receipt, and one end."""
    assert (stored.state, stored.parts, len(stored.segments)) == (State.DELIVERED, parts, submits)
    assert (stored.price_micros, stored.refunded_micros) == (PRICE * parts, 0)
    happened = [entry.what for entry in stored.timeline]
    assert [happened.count(what) for what in ("admitted", "sent", "receipt", "callback due")] == [
        1,
        submits,
        submits,
        1,
    ]


async def one_receipt(rig: Gateway, message_id: int) -> None:
    """The ESME is told of the end of a message once."""
    await until(lambda: message_id in rig.esme.receipts())
    [receipt] = rig.esme.receipts()[message_id]
    assert receipt.stat == b"DELIVRD"


@pytest.mark.parametrize("name", PROFILES)
async def test_a_long_message_of_either_door_takes_the_form_of_its_upstream(
    valkey_url: str, record_database: RecordDatabase, name: str
) -> None:
    """Quirks 30, 32, 34 and 35, each by its own profile; quirk 31 in the text."""
    profile = PROFILES[name]
    account = {"default_alphabet": "gsm"}
    async with gateway(valkey_url, record_database.dsn, account=account, upstream=profile.upstream) as rig:
        sent = await rig.http.send({"to": "+447700900123", "from": "ACME", "text": TEXT})
        assert (sent.status, sent.json["segments"], sent.json["price"]["amount"]) == (202, 3, "0.0300")
        submits = 1 if profile.ours == PAYLOAD else 3
        await until(lambda: len(rig.taken) == submits)
        ours = rig.taken.copy()
        form_of(ours, profile, profile.ours)
        assert understood(ours, profile.alphabet) == TEXT

        ids = await rig.esme.submit(part_of_esme(1), part_of_esme(2))
        await until(lambda: len(rig.taken) == submits + 2)
        theirs = rig.taken[submits:]
        assert form_of(theirs, profile, profile.theirs) == REFERENCE
        assert understood(theirs, profile.alphabet) == ESME_TEXT
        if profile.alphabet == "gsm_packed":
            assert theirs[0].short_message[6:] == pack(GSM.encode(ESME_TEXT)[:153], 6)

        stored = await rig.recorded(int(sent.json["id"]))
        is_recorded_as_delivered(stored, 3, submits)
        assert stored.callbacks_open == 1
        form = {SAR: Form.SAR, PAYLOAD: Form.PAYLOAD}.get(profile.ours, Form.AS_THEY_ARE)
        assert (stored.conversion.form if stored.conversion is not None else Form.AS_THEY_ARE) == form
        for message_id in ids:
            await one_receipt(rig, message_id)
            is_recorded_as_delivered(await rig.recorded(message_id), 1, 1)
        assert await rig.spent() == PRICE * 5
        assert len(rig.esme.received) == 2


VENDOR_TLVS = (
    VendorTlv(tag=0x1400, name="dlt_entity_id", kind="c_octets", size_min=2, size_max=31, is_required=True),
    VendorTlv(tag=0x1403, name="campaign", kind="integer", size_min=1, size_max=2),
    VendorTlv(tag=0x1404, name="trace", kind="octets", size_min=0, size_max=8),
)


async def test_quirk_44_tlvs_by_name_over_http_are_on_the_wire_of_every_segment(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    wire = b"\x14\0\0\x0e1101234567890\0" + b"\x14\3\0\2\0\7" + b"\x14\4\0\2\0\xff"
    body = {"to": "+447700900123", "from": "ACME", "text": "x" * 161}
    tlvs = {"campaign": 7, "trace": "00ff", "dlt_entity_id": "1101234567890"}
    async with gateway(valkey_url, record_database.dsn, upstream={"vendor_tlvs": VENDOR_TLVS}) as rig:
        missing = await rig.http.send(body | {"tlvs": {"campaign": 7}})
        assert (missing.status, missing.problem["code"]) == (422, "missing_tlv")
        assert missing.problem["errors"][0]["pointer"] == "/tlvs/dlt_entity_id"
        sent = await rig.http.send(body | {"tlvs": tlvs}, key="once")
        again = await rig.http.send(body | {"tlvs": dict(sorted(tlvs.items()))}, key="once")
        other = await rig.http.send(body | {"tlvs": tlvs | {"campaign": 8}}, key="once")
        assert (sent.status, again.body, other.problem["code"]) == (202, sent.body, "idempotency_key_reused")
        stored = await rig.recorded(int(sent.json["id"]))
        assert [pdu.tlvs for pdu in rig.taken] == [wire, wire]
        assert (stored.tlvs, stored.state, await rig.spent()) == (wire, State.DELIVERED, 2 * PRICE)


@pytest.mark.parametrize(
    ("upstream", "sent"),
    [({}, (3, 99, 42, b"CMT")), ({"priority_flag": 1, "source_ton": 5, "service_type": ""}, (1, 5, 42, b""))],
)
async def test_quirk_43_an_esmes_priority_and_types_pass_or_are_the_profiles_and_set_no_price(
    valkey_url: str, record_database: RecordDatabase, upstream: dict[str, Any], sent: tuple[int, int, int, bytes]
) -> None:
    reference = tlv.encode_value(TlvTag.USER_MESSAGE_REFERENCE, 7)
    submit = SubmitSm(
        source_addr_ton=99, source_addr_npi=42, source_addr=b"ACME", dest_addr_ton=1, dest_addr_npi=1,
        destination_addr=b"447700900124", priority_flag=3, service_type=b"CMT", registered_delivery=1,
        short_message=b"urgent", tlvs=tlv.encode_value(TlvTag.MORE_MESSAGES_TO_SEND, 1) + reference,
    )  # fmt: skip
    async with gateway(valkey_url, record_database.dsn, upstream=upstream) as rig:
        [message_id] = await rig.esme.submit(submit)
        await one_receipt(rig, message_id)
        [pdu] = rig.taken
        assert (pdu.priority_flag, pdu.source_addr_ton, pdu.source_addr_npi, pdu.service_type) == sent
        assert pdu.tlvs == reference, "more_messages_to_send was for us"
        stored = await rig.recorded(message_id)
        assert (stored.priority_flag, stored.source_ton, stored.service_type) == (3, 99, b"CMT")
        assert (stored.priority, await rig.spent()) == (1, PRICE)
