"""Every PDU that we can write, field by field, as tshark's SMPP dissector reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import encode
from protocols.smpp.constants import CommandStatus, TlvTag
from protocols.smpp.fields import FieldFormat, Kind, format_of
from protocols.smpp.pdu import PDU_CLASSES, DeliverSm, Pdu, SubmitSm
from tests.interop.capture import Chunk, Dissected, dissect, needs_tshark, tshark_name

pytestmark = needs_tshark

TIMES = {
    "schedule_delivery_time": b"261231235959004+",
    "validity_period": b"000007000000000R",
    "final_date": b"261231235959004-",
}
TSHARK_MISREADS = {
    (TlvTag.BROADCAST_REP_NUM, 2),
    (TlvTag.SOURCE_TELEMATICS_ID, 2),
    (TlvTag.MS_VALIDITY, 4),
    (TlvTag.BROADCAST_AREA_IDENTIFIER, 0),
}
"""Sizes that SMPP 5.0 allows and tshark 4.0 does not: it takes two for one octet, and the first of none."""

PAYLOAD_SIZE = 4_096


@dataclass(frozen=True, slots=True)
class Expected:
    """A field as it has to be found: tshark's name and the octets on the wire."""

    name: str
    octets: bytes


class Filler:
    """Gives each field a value of its own, strings as long as they may be, and remembers what lies on the wire."""

    def __init__(self) -> None:
        self.expected: list[Expected] = []
        self._number = 0

    def fill(self, table: type) -> dict[str, Any]:
        """Values for the fields of a PDU class, or of a row of one."""
        return {form.name: self._value(form) for form in format_of(table)}

    def _value(self, form: FieldFormat) -> Any:
        if rows := getattr(form, "rows", ()):
            return tuple(row(**self.fill(row)) for row in rows)
        self._number += 1
        name = tshark_name(form.name, is_relative=TIMES.get(form.name, b"").endswith(b"R"))
        if form.kind is Kind.INTEGER:
            self.expected.append(Expected(name, self._number.to_bytes(form.size, "big")))
            return self._number
        if form.kind is Kind.C_OCTETS:
            value = TIMES.get(form.name) or (b"%d-%b." % (self._number, form.name.encode()) * 9)[: form.size - 1]
            self.expected.append(Expected(name, value + b"\0"))
            return value
        value = (b"%d-text." % self._number * 99)[: form.size]
        self.expected.append(Expected(name, value))
        return value


def read(directory: Path, octets: list[bytes]) -> list[Dissected]:
    chunks = [Chunk(float(number), 0, True, data) for number, data in enumerate(octets)]
    return dissect(directory / "pdus.pcap", chunks)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[type[Pdu], tuple[Dissected, list[Expected]]]:
    """Every PDU class with all its fields filled, as tshark reads it, and what had to be found."""
    fillers = {pdu_class: Filler() for pdu_class in PDU_CLASSES}
    octets = [
        encode(pdu_class(sequence_number=0x7FFFFF00 + number, **filler.fill(pdu_class)))
        for number, (pdu_class, filler) in enumerate(fillers.items())
    ]
    read_pdus = read(tmp_path_factory.mktemp("filled"), octets)
    return {
        pdu_class: (pdu, filler.expected) for (pdu_class, filler), pdu in zip(fillers.items(), read_pdus, strict=True)
    }


@pytest.mark.parametrize("pdu_class", PDU_CLASSES, ids=lambda pdu_class: pdu_class.__name__)
def test_every_field_is_found_with_its_octets(
    pdu_class: type[Pdu], filled: dict[type[Pdu], tuple[Dissected, list[Expected]]]
) -> None:
    pdu, expected = filled[pdu_class]
    assert pdu.complaints == []
    assert pdu.shown("smpp.command_id") == [f"0x{pdu_class.command_id:08x}"]
    assert pdu.shown("smpp.sequence_number") == [str(pdu.sequence_number)]
    assert pdu.sequence_number == 0x7FFFFF00 + PDU_CLASSES.index(pdu_class)
    names = {field.name for field in expected}
    found = [Expected(name, bytes.fromhex(octets)) for name, octets, _ in pdu.fields if name in names]
    assert found == expected


def test_times_are_read_as_the_moments_that_they_say(
    filled: dict[type[Pdu], tuple[Dissected, list[Expected]]],
) -> None:
    pdu, _ = filled[SubmitSm]
    assert pdu.shown("smpp.schedule_delivery_time") == ["Dec 31, 2026 22:59:59.000000000 UTC"]
    assert pdu.shown("smpp.validity_period_r") == ["604800.000000000"]


def test_pdus_without_anything_and_refusals_are_whole(tmp_path: Path) -> None:
    empty = [encode(pdu_class()) for pdu_class in PDU_CLASSES if not any(f.rows_min for f in rows_of(pdu_class))]
    refusals = [
        encode(pdu_class(command_status=CommandStatus.ESME_RTHROTTLED))
        for pdu_class in PDU_CLASSES
        if pdu_class.command_id.is_response
    ]
    pdus = read(tmp_path, empty + refusals)
    assert [pdu.complaints for pdu in pdus] == [[]] * len(pdus)
    for pdu in pdus[len(empty) :]:
        assert pdu.shown("smpp.command_status") == [f"0x{CommandStatus.ESME_RTHROTTLED:08x}"]
        assert len(pdu.octets) == 16


def rows_of(pdu_class: type[Pdu]) -> list[Any]:
    return [form for form in format_of(pdu_class) if getattr(form, "rows", ())]


@pytest.mark.parametrize("size", ["size_min", "size_max"])
def test_every_tlv_is_known_and_read_whole(size: str, tmp_path: Path) -> None:
    values = {
        tag: tlv_value(tag, form.kind, min(getattr(form, size), PAYLOAD_SIZE)) for tag, form in tlv.TLV_FORMATS.items()
    }
    sent = {tag: value for tag, value in values.items() if (tag, len(value)) not in TSHARK_MISREADS}
    assert len(sent) > len(tlv.TLV_FORMATS) - len(TSHARK_MISREADS)
    pdus = read(tmp_path, [encode(DeliverSm(tlvs=tlv.encode([item]))) for item in sent.items()])
    for (tag, value), pdu in zip(sent.items(), pdus, strict=True):
        assert (tag.name, pdu.complaints) == (tag.name, [])
        assert pdu.octets_of("smpp.opt_param_tag") == [tag.to_bytes(2, "big")]
        assert pdu.octets_of("smpp.opt_param_len") == [len(value).to_bytes(2, "big")]
        read_as = pdu.fields[[name for name, _, _ in pdu.fields].index("smpp.opt_param_len") + 1 :]
        assert read_as or not value, tag.name
        assert not {"smpp.reserved_op", "smpp.vendor_op"} & {name for name, _, _ in read_as}, tag.name
        assert all(bytes.fromhex(octets) in value for _, octets, _ in read_as), tag.name


def tlv_value(tag: TlvTag, kind: tlv.TlvKind, size: int) -> bytes:
    """A value in which every octet differs from its neighbours."""
    if tag is TlvTag.BROADCAST_END_TIME:
        return TIMES["schedule_delivery_time"] + b"\0"
    value = bytes(0x21 + number % 90 for number in range(size))
    return value[:-1] + b"\0" if kind is tlv.TlvKind.C_OCTETS and value else value


def test_a_broken_pdu_is_noticed(tmp_path: Path) -> None:
    """What the other tests count on: tshark says so when a PDU is not what it should be."""
    good = encode(SubmitSm(short_message=b"hello", destination_addr=b"447700900123"))
    longer = good.replace(b"\x05hello", b"\x09hello")
    assert read(tmp_path, [good])[0].complaints == []
    assert read(tmp_path, [longer])[0].complaints != []
