"""`smscd pdu decode`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocols.smpp import codec
from protocols.smpp.pdu import (
    PDU_CLASSES,
    BindTransceiver,
    DataSm,
    DeliverSm,
    DistributionList,
    EnquireLink,
    Pdu,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    UnsuccessSme,
)
from smscd.cli.pdu import pdu


def decoded(*arguments: str) -> object:
    done = CliRunner().invoke(pdu, ["decode", "--json", *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_fields_are_named_in_the_words_of_the_specification() -> None:
    data = codec.encode(
        SubmitSm(sequence_number=7, source_addr=b"ACME", destination_addr=b"447700900123", short_message=b"Hello")
    )
    found = decoded(data.hex())
    assert isinstance(found, dict)
    assert found["command"] == "submit_sm"
    assert found["command_status"] == "ESME_ROK (0x00000000)"
    assert (found["source_addr"], found["destination_addr"], found["short_message"]) == (
        "ACME",
        "447700900123",
        "Hello",
    )


def test_passwords_are_hidden_unless_asked_for() -> None:
    data = codec.encode(BindTransceiver(system_id=b"demo", password=b"secret")).hex()
    hidden, shown = decoded(data), decoded(data, "--show-passwords")
    assert isinstance(hidden, dict)
    assert isinstance(shown, dict)
    assert (hidden["password"], shown["password"]) == ("***", "secret")


def test_several_pdus_and_odd_spellings_of_hexadecimal_are_read() -> None:
    data = codec.encode(EnquireLink(sequence_number=1)) + codec.encode(EnquireLink(sequence_number=2))
    found = decoded(" ".join(f"0x{octet:02X}" for octet in data))
    assert isinstance(found, list)
    assert [one["sequence_number"] for one in found] == [1, 2]


def test_a_receipt_and_its_tlvs_are_explained() -> None:
    text = b"id:42 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:"
    tlvs = b"\x00\x1e\x00\x0342\x00" + b"\x04\x27\x00\x01\x02" + b"\x14\x01\x00\x01\x80"
    found = decoded(codec.encode(DeliverSm(esm_class=4, short_message=text, tlvs=tlvs)).hex())
    assert isinstance(found, dict)
    assert found["receipt"]["message_id"] == "42"
    assert found["receipt"]["stat"] == "DELIVRD"
    assert found["tlvs"] == {"receipted_message_id": "42", "message_state": 2, "0x1401": "0x80"}


def test_what_is_cut_off_is_an_error_after_what_could_be_read() -> None:
    data = codec.encode(EnquireLink(sequence_number=1)) + b"\x00\x00\x00\x10\x00"
    done = CliRunner().invoke(pdu, ["decode", "--json", data.hex()])
    assert done.exit_code == 1
    answer = json.loads(done.output)
    assert answer["error"].startswith("at octet 16:")
    assert answer["decoded"][0]["sequence_number"] == 1


def test_what_is_not_hexadecimal_is_wrong_usage() -> None:
    assert CliRunner().invoke(pdu, ["decode", "xyz"]).exit_code == 2
    assert CliRunner().invoke(pdu, ["decode", ""]).exit_code == 2


# --- where the bytes come from --------------------------------------------------------------------------------------

TWO = codec.encode(EnquireLink(sequence_number=1)) + codec.encode(EnquireLink(sequence_number=2))


@pytest.mark.parametrize("content", [TWO, TWO.hex().encode(), b"00:00 " + TWO.hex(" ").encode()[6:] + b"\n"])
def test_a_file_may_hold_bytes_or_digits(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "capture"
    path.write_bytes(content)
    found = decoded(str(path))
    assert isinstance(found, list)
    assert [one["sequence_number"] for one in found] == [1, 2]


@pytest.mark.parametrize("arguments", [["-"], []])
@pytest.mark.parametrize("content", [TWO, TWO.hex().encode() + b"\n"])
def test_standard_input_may_hold_bytes_or_digits(arguments: list[str], content: bytes) -> None:
    done = CliRunner().invoke(pdu, ["decode", "--json", *arguments], input=content)
    assert done.exit_code == 0, done.output
    assert [one["sequence_number"] for one in json.loads(done.output)] == [1, 2]


def test_digits_may_be_several_arguments() -> None:
    found = decoded(*TWO[:16].hex(" ").split())
    assert isinstance(found, dict)
    assert found["command"] == "enquire_link"


# --- in words -------------------------------------------------------------------------------------------------------


def lines(*pdus: Pdu) -> list[str]:
    done = CliRunner().invoke(pdu, ["decode", b"".join(codec.encode(each) for each in pdus).hex()])
    assert done.exit_code == 0, done.output
    return [line.strip() for line in done.output.splitlines()]


def test_values_have_the_names_of_the_specification() -> None:
    shown = lines(
        SubmitSm(
            sequence_number=7,
            source_addr_ton=5,
            dest_addr_npi=1,
            esm_class=0x43,
            registered_delivery=0x11,
            data_coding=8,
            short_message="Привет\n".encode("utf-16-be"),
            tlvs=b"\x02\x0d\0\1\3" + b"\x04\x26\0\1\1" + b"\x14\0\0\x03123" + b"\x41\0\0\0" + b"\x02\x04\xff",
        )
    )
    for line in (
        "PDU at octet 0",
        "command_id: submit_sm (0x00000004)",
        "command_status: ESME_ROK (0x00000000)",
        "sequence_number: 7 (0x00000007)",
        "source_addr_ton: ALPHANUMERIC (0x05)",
        "dest_addr_npi: E164 (0x01)",
        "esm_class: STORE_AND_FORWARD + UDHI (0x43)",
        "registered_delivery: SUCCESS_OR_FAILURE + INTERMEDIATE (0x11)",
        "data_coding: UCS2 (0x08)",
        "sm_length: 14",
        r'short_message: "Привет\n" (0x041f04400438043204350442000a)',
        "language_indicator: SPANISH (0x03) [tag 0x020d, 1 octets]",
        "more_messages_to_send: YES (0x01) [tag 0x0426, 1 octets]",
        "vendor_tlv: 123 [tag 0x1400, 3 octets]",
        'unknown_tlv: "" [tag 0x4100, 0 octets]',
        "unreadable: 3 octets of the optional part",
    ):
        assert line in shown


def test_structures_and_receipts_are_shown_under_their_field() -> None:
    shown = lines(
        SubmitMulti(
            dest_address=(SmeAddress(dest_addr_ton=1, destination_addr=b"1"), DistributionList(dl_name=b"all"))
        ),
        SubmitMultiResp(message_id=b"7", unsuccess_sme=(UnsuccessSme(error_status_code=0x58),)),
        DataSm(esm_class=4, tlvs=b"\x00\x1e\x00\x0342\x00" + b"\x04\x27\x00\x01\x02"),
    )
    for line in (
        "dest_address: 2",
        "SmeAddress:",
        "dest_addr_ton: INTERNATIONAL (0x01)",
        "dl_name: all",
        "error_status_code: ESME_RTHROTTLED (0x00000058)",
        "message_state: DELIVERED (0x02) [tag 0x0427, 1 octets]",
        "receipt:",
        "message_id: 42",
        "stat: DELIVRD",
    ):
        assert line in shown


def test_structures_are_objects_in_json_and_a_tag_that_repeats_keeps_all_values() -> None:
    found = decoded(
        codec.encode(
            SubmitMulti(dest_address=(DistributionList(dl_name=b"all"),), tlvs=b"\x03\x81\0\0041111\x03\x81\0\0042222")
        ).hex()
    )
    assert isinstance(found, dict)
    assert found["dest_address"] == [{"dl_name": "all"}]
    assert found["tlvs"] == {"callback_num": ["1111", "2222"]}


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_pdu_that_cannot_be_read_does_not_hide_the_next(flags: list[str]) -> None:
    unknown = codec.HEADER.pack(18, 0x00010203, 0, 5) + b"hi"
    done = CliRunner().invoke(pdu, ["decode", *flags, (unknown + TWO).hex()])
    assert done.exit_code == 1
    assert "0x00010203" in done.output
    assert "0x6869" in done.output
    assert "1 of 3 PDUs cannot be read" in done.output
    assert done.output.count("enquire_link") == 2


@pytest.mark.parametrize("pdu_class", PDU_CLASSES)
def test_every_pdu_can_be_shown(pdu_class: type[Pdu]) -> None:
    values = {"dest_address": (SmeAddress(),)} if pdu_class is SubmitMulti else {}
    shown = lines(pdu_class(sequence_number=3, **values))
    assert any(line.startswith(f"command_id: {pdu_class.command_id.name.lower()} ") for line in shown)
