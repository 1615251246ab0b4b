"""The source that is generated: what is fast in it, and what it calls."""

from __future__ import annotations

import struct

import pytest

from protocols.smpp import codec, codegen
from protocols.smpp.fields import format_of
from protocols.smpp.pdu import PDU_CLASSES, DeliverSm, Pdu, QuerySmResp, SubmitSm

TIME = b"261231120000000+"


@pytest.mark.parametrize("pdu_class", PDU_CLASSES)
def test_what_is_generated_is_python(pdu_class: type[Pdu]) -> None:
    formats = format_of(pdu_class)
    is_response = pdu_class.command_id.is_response
    for source in (codegen.decoder_source(formats, is_response=is_response), codegen.encoder_source(formats)):
        compile(source, "generated", "exec")


def test_a_run_with_empty_strings_is_read_and_written_in_one_call() -> None:
    assert "unpack_10(buffer, position)" in codegen.decoder_source(format_of(SubmitSm), is_response=False)
    assert "pack_xBBBxxBBBBB(" in codegen.encoder_source(format_of(SubmitSm))


@pytest.mark.parametrize("pdu_class", [SubmitSm, DeliverSm])
@pytest.mark.parametrize("service_type", [b"", b"CMT"])
@pytest.mark.parametrize("schedule", [b"", TIME])
@pytest.mark.parametrize("validity", [b"", TIME])
def test_a_string_in_a_run_may_be_there_all_the_same(
    pdu_class: type[SubmitSm], service_type: bytes, schedule: bytes, validity: bytes
) -> None:
    pdu = pdu_class(
        service_type=service_type,
        source_addr_ton=5,
        source_addr=b"Sender",
        destination_addr=b"1",
        esm_class=1,
        protocol_id=2,
        priority_flag=3,
        schedule_delivery_time=schedule,
        validity_period=validity,
        registered_delivery=4,
        replace_if_present_flag=5,
        data_coding=6,
        sm_default_msg_id=7,
        short_message=b"hello",
        tlvs=b"\x14\0\0\0",
    )
    octets = codec.encode(pdu)
    assert codec.decode(octets) == pdu
    assert octets[16:] == b"".join(
        (
            service_type + b"\0\5\0Sender\0\0\0" + b"1\0\1\2\3",
            schedule + b"\0" + validity + b"\0",
            b"\4\5\6\7\5hello\x14\0\0\0",
        )
    )


def test_a_response_with_several_fields_may_come_bare() -> None:
    assert "bare(" in codegen.decoder_source(format_of(QuerySmResp), is_response=True)
    assert "bare(" not in codegen.decoder_source(format_of(SubmitSm), is_response=False)


def test_the_structs_that_a_source_calls_are_made_once_for_it() -> None:
    methods = codegen.struct_methods("x = unpack_3(buffer, position)\ny = pack_xBH(1, 2) + pack_xBH(3, 4)")
    assert set(methods) == {"unpack_3", "pack_xBH"}
    assert methods["unpack_3"](b"\1\2\3\4", 1) == (2, 3, 4)
    assert methods["pack_xBH"](1, 2) == struct.pack(">xBH", 1, 2)
