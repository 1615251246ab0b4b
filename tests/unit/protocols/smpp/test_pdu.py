"""The PDU classes against what the specification numbers them."""

from __future__ import annotations

import dataclasses

from protocols.smpp.constants import CommandId
from protocols.smpp.fields import format_of
from protocols.smpp.pdu import PDU_CLASSES, DeliverSm, Pdu, SubmitSm


def test_every_class_has_a_command_of_its_own_named_like_it() -> None:
    for pdu_class in PDU_CLASSES:
        assert pdu_class.command_id.name.replace("_", "").lower() == pdu_class.__name__.lower()
    assert len({pdu_class.command_id for pdu_class in PDU_CLASSES}) == len(PDU_CLASSES)


def test_every_request_that_is_offered_has_its_response() -> None:
    offered = {pdu_class.command_id for pdu_class in PDU_CLASSES}
    requests = {command_id for command_id in offered if not command_id.is_response}
    without_response = {CommandId.OUTBIND, CommandId.ALERT_NOTIFICATION}
    responses = {CommandId(command_id | 0x80000000) for command_id in requests - without_response}
    assert responses == offered - requests - {CommandId.GENERIC_NACK}


def test_every_command_of_the_specification_has_a_class() -> None:
    assert {pdu_class.command_id for pdu_class in PDU_CLASSES} == set(CommandId)


def test_submit_and_deliver_have_the_same_fields() -> None:
    assert [form.name for form in format_of(SubmitSm)] == [form.name for form in format_of(DeliverSm)]


def test_every_field_of_a_class_stands_in_its_table() -> None:
    common = {field.name for field in dataclasses.fields(Pdu)}
    for pdu_class in PDU_CLASSES:
        names = [field.name for field in dataclasses.fields(pdu_class) if field.name not in common]
        assert names == [form.name for form in format_of(pdu_class)]
