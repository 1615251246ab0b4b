"""Quirk 45: submit_sm with replace_if_present_flag against the running daemon and its record.

The carrier is away while messages wait, and comes back at the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocols.smpp import codec, tlv
from protocols.smpp.constants import MessageState
from protocols.smpp.pdu import QuerySm, QuerySmResp, SubmitSm, SubmitSmResp
from smscd.supervision.seed import PRICE_MICROS
from tests.integration.raw_esme import SECONDS, RawEsme, balance_micros, bound
from tools.children import CarrierChild, DemoChild, ending, wait_until
from tools.record import read_record


def submit(text: bytes, **changes: Any) -> SubmitSm:
    fields: dict[str, Any] = {
        "source_addr_ton": 5, "source_addr": b"ACME", "dest_addr_ton": 1, "dest_addr_npi": 1,
        "destination_addr": b"447700900123", "short_message": text, **changes,
    }  # fmt: skip
    return SubmitSm(**fields)


def replacement(text: bytes, **changes: Any) -> SubmitSm:
    return submit(text, replace_if_present_flag=1, **changes)


def id_of(answer: object) -> bytes:
    assert isinstance(answer, SubmitSmResp) and not answer.command_status, answer
    return answer.message_id


def state_of(esme: RawEsme, message_id: bytes) -> int:
    answer = esme.ask(QuerySm(message_id=message_id))
    assert isinstance(answer, QuerySmResp)
    return answer.message_state


@pytest.mark.timeout(180)
def test_quirk_45_what_is_pending_is_replaced_paid_back_and_never_sent(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    carrier = CarrierChild(tmp_path)
    carrier.start()
    demo = DemoChild(tmp_path, "--upstream", carrier.upstream_url)
    carrier.stop()
    with ending(carrier, demo):
        demo.start()
        before = balance_micros(demo)
        with bound(demo) as esme:
            old = [id_of(esme.ask(submit(text))) for text in (b"first", b"second")]
            other = {
                b"service": {"service_type": b"VMA"}, b"number": {"destination_addr": b"447700900124"},
                b"sender": {"source_addr": b"OTHER"},
            }  # fmt: skip
            kept = [id_of(esme.ask(submit(text, **changes))) for text, changes in other.items()]
            assert balance_micros(demo) == before - 5 * PRICE_MICROS
            key = tlv.encode([(0x1500, b"once")])
            new = id_of(esme.ask(replacement(b"third", tlvs=key)))
            assert [state_of(esme, message_id) for message_id in old] == [MessageState.DELETED] * 2
            assert [state_of(esme, message_id) for message_id in (*kept, new)] == [MessageState.ENROUTE] * 4
            assert balance_micros(demo) == before - 4 * PRICE_MICROS
            assert id_of(esme.ask(replacement(b"third", tlvs=key))) == new, "the same request again is the same message"
            assert state_of(esme, new) == MessageState.ENROUTE
            # Two in one write: the order of the stream decides, and an ordinary one after them stays.
            pdus = [replacement(b"fourth"), replacement(b"fifth"), submit(b"sixth")]
            for number, pdu in enumerate(pdus, 1):
                pdu.sequence_number = number
            esme.write(b"".join(codec.encode(pdu) for pdu in pdus))
            found = [answer for answer in (esme.read(), esme.read(), esme.read()) if answer is not None]
            ids = [id_of(answer) for answer in sorted(found, key=lambda answer: answer.sequence_number)]
            states = [state_of(esme, message_id) for message_id in (new, *ids)]
            assert states == [MessageState.DELETED] * 2 + [MessageState.ENROUTE] * 2
            assert balance_micros(demo) == before - 5 * PRICE_MICROS
            carrier.start()
            sent = {*other, b"fifth", b"sixth"}
            wait_until(lambda: len(taken(carrier)) >= len(sent), SECONDS, "what is left is sent")
            # Nothing is pending any more: an ordinary submit.
            id_of(esme.ask(replacement(b"seventh")))
            wait_until(lambda: b"seventh" in taken(carrier), SECONDS, "the last one is sent")
        assert sorted(taken(carrier)) == sorted({*sent, b"seventh"})
        assert balance_micros(demo) == before - 6 * PRICE_MICROS
        assert demo.stop() == 0


def taken(carrier: CarrierChild) -> list[bytes]:
    """The texts that the carrier got."""
    return [line.token for line in read_record(carrier.record) if line.kind == b"submit"]
