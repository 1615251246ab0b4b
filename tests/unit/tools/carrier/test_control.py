"""An MO as the control interface makes it."""

import pytest

from protocols.smpp.codec import decode, encode
from protocols.smpp.pdu import DeliverSm
from tools.carrier.control import MoRequest, mo_delivery


def deliver_of(request: MoRequest) -> DeliverSm:
    body = mo_delivery(request).body
    header = encode(DeliverSm(sequence_number=1))[:16]
    pdu = decode((16 + len(body)).to_bytes(4, "big") + header[4:] + body)
    assert isinstance(pdu, DeliverSm)
    return pdu


def test_plain_mo_is_a_deliver_sm_that_is_no_receipt() -> None:
    pdu = deliver_of(MoRequest(source="+447700900999", destination="12345", text="mo1 hello"))
    assert (pdu.source_addr_ton, pdu.source_addr, pdu.destination_addr) == (1, b"447700900999", b"12345")
    assert (pdu.esm_class, pdu.data_coding, pdu.short_message) == (0, 0, b"mo1 hello")


def test_alphanumeric_source_and_wide_text_are_marked_as_such() -> None:
    pdu = deliver_of(MoRequest(source="BANK", destination="12345", text="größe"))
    assert (pdu.source_addr_ton, pdu.data_coding) == (5, 8)
    assert pdu.short_message.decode("utf-16-be") == "größe"


def test_token_of_an_mo_is_its_first_word() -> None:
    assert mo_delivery(MoRequest(source="1", destination="2", text="tok one")).token == b"tok"
    assert mo_delivery(MoRequest(source="1", destination="2", text="tök one")).token == b"t%C3%B6k"


@pytest.mark.parametrize(
    "request_",
    [
        MoRequest(source="", destination="12345", text="x"),
        MoRequest(source="1", destination="1" * 21, text="x"),
        MoRequest(source="é", destination="1", text="x"),
        MoRequest(source="1", destination="1", text="x" * 255),
        MoRequest(source="1", destination="1", text="ö" * 128),
    ],
)
def test_mo_that_does_not_fit_into_one_pdu_is_refused(request_: MoRequest) -> None:
    with pytest.raises(ValueError, match=r"octets|ASCII"):
        mo_delivery(request_)
