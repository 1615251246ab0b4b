"""The declarations that make a class a table."""

from __future__ import annotations

from protocols.smpp.constants import CommandStatus
from protocols.smpp.fields import FieldFormat, Kind, format_of
from protocols.smpp.pdu import Bind, DistributionList, EnquireLink, SubmitMulti, SubmitSm


def test_a_class_is_its_fields_in_wire_order() -> None:
    assert [form.name for form in format_of(Bind)] == [
        "system_id",
        "password",
        "system_type",
        "interface_version",
        "addr_ton",
        "addr_npi",
        "address_range",
    ]
    assert format_of(EnquireLink) == ()


def test_a_field_has_its_size_and_the_status_that_refuses_it() -> None:
    formats = {form.name: form for form in format_of(SubmitSm)}
    assert formats["source_addr"] == FieldFormat("source_addr", Kind.C_OCTETS, 21, 21, CommandStatus.ESME_RINVSRCADR)
    assert formats["short_message"].size == 254
    assert formats["short_message"].accepted == 255
    assert formats["esm_class"].kind is Kind.INTEGER


def test_rows_say_which_classes_they_may_be_and_how_many_there_are() -> None:
    formats = {form.name: form for form in format_of(SubmitMulti)}
    destinations = formats["dest_address"]
    assert (destinations.kind, destinations.rows_min, destinations.size) == (Kind.COUNTED_ROWS, 1, 255)
    assert [row.flag for row in destinations.rows] == [1, 2]
    assert [form.name for form in format_of(DistributionList)] == ["dl_name"]
