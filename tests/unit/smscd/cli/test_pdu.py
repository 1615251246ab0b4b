"""`smscd pdu decode`."""

from __future__ import annotations

import json

from click.testing import CliRunner

from protocols.smpp import codec
from protocols.smpp.pdu import BindTransceiver, DeliverSm, EnquireLink, SubmitSm
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
