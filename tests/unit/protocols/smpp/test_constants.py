"""The numbers that the specification fixes."""

from __future__ import annotations

from protocols.smpp.constants import CommandId, CommandStatus, TlvTag


def test_every_response_is_its_request_with_the_response_bit() -> None:
    requests = {command_id for command_id in CommandId if not command_id.is_response}
    without_response = {CommandId.OUTBIND, CommandId.ALERT_NOTIFICATION}
    responses = {CommandId(command_id | 0x80000000) for command_id in requests - without_response}
    assert responses == {command_id for command_id in CommandId if command_id.is_response} - {CommandId.GENERIC_NACK}
    for command_id in requests - without_response:
        assert CommandId(command_id | 0x80000000).name == f"{command_id.name}_RESP"


def test_statuses_are_named_as_the_specification_prints_them() -> None:
    assert all(status.name.startswith("ESME_R") for status in CommandStatus)
    assert CommandStatus.ESME_RTHROTTLED == 0x58


def test_tags_lie_in_the_ranges_of_the_specification() -> None:
    assert all(0x0001 <= tag <= 0x00FF or 0x0200 <= tag <= 0x0613 or 0x1100 <= tag <= 0x13FF for tag in TlvTag)


def test_the_names_of_5_0_are_those_of_3_4() -> None:
    assert CommandStatus.ESME_RINVTLVSTREAM is CommandStatus.ESME_RINVOPTPARSTREAM
    assert CommandStatus["ESME_RINVTLVLEN"] == 0xC2
    assert CommandStatus["ESME_RMISSINGTLV"] == 0xC3
    assert CommandStatus["ESME_RINVTLVVAL"] == 0xC4
    assert CommandStatus(0xC1).name == "ESME_ROPTPARNOTALLWD"
