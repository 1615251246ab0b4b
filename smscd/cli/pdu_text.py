"""One SMPP PDU in words: the names of fields, TLVs and values, as `smscd pdu decode` prints them."""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from typing import Any, Final, cast

from protocols.smpp import tlv
from protocols.smpp.constants import (
    ESM_FEATURES_MASK,
    ESM_MODE_MASK,
    ESM_TYPE_MASK,
    REGISTERED_RECEIPT_MASK,
    CommandStatus,
    DataCoding,
    EsmClass,
    InterfaceVersion,
    MessageState,
    Npi,
    RegisteredDelivery,
    TlvTag,
    Ton,
)
from protocols.smpp.fields import Pdu, format_of
from protocols.smpp.pdu import DataSm, DeliverSm
from protocols.smpp.receipt import Receipt, parse_receipt

Line = tuple[str, str]

_ENUMS: Final[dict[str, type[IntEnum]]] = {
    "source_addr_ton": Ton,
    "dest_addr_ton": Ton,
    "addr_ton": Ton,
    "esme_addr_ton": Ton,
    "source_addr_npi": Npi,
    "dest_addr_npi": Npi,
    "addr_npi": Npi,
    "esme_addr_npi": Npi,
    "data_coding": DataCoding,
    "interface_version": InterfaceVersion,
    "sc_interface_version": InterfaceVersion,
    "message_state": MessageState,
    "error_status_code": CommandStatus,
    "broadcast_error_status": CommandStatus,
}
_SUBUNITS: Final = ("UNKNOWN", "MS_DISPLAY", "MOBILE_EQUIPMENT", "SMART_CARD", "EXTERNAL_UNIT")
_NETWORKS: Final = ("UNKNOWN", "GSM", "TDMA", "CDMA", "PDC", "PHS", "IDEN", "AMPS", "PAGING")
_BEARERS: Final = ("UNKNOWN", "SMS", "CSD", "PACKET_DATA", "USSD", "CDPD", "DATATAC", "FLEX", "CELL_BROADCAST")
_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "dest_addr_subunit": _SUBUNITS,
    "source_addr_subunit": _SUBUNITS,
    "dest_network_type": _NETWORKS,
    "source_network_type": _NETWORKS,
    "dest_bearer_type": _BEARERS,
    "source_bearer_type": _BEARERS,
    "payload_type": ("DEFAULT", "WCMP"),
    "privacy_indicator": ("NOT_RESTRICTED", "RESTRICTED", "CONFIDENTIAL", "SECRET"),
    "language_indicator": ("UNSPECIFIED", "ENGLISH", "FRENCH", "SPANISH", "GERMAN", "PORTUGUESE"),
    "ms_availability_status": ("AVAILABLE", "DENIED", "UNAVAILABLE"),
    "delivery_failure_reason": ("UNAVAILABLE", "INVALID", "PERMANENT", "TEMPORARY"),
    "more_messages_to_send": ("NO", "YES"),
    "replace_if_present_flag": ("NO", "YES"),
    "dpf_result": ("NOT_SET", "SET"),
    "set_dpf": ("NOT_REQUESTED", "REQUESTED"),
    "display_time": ("TEMPORARY", "DEFAULT", "INVOKE"),
    "dest_addr_np_resolution": ("UNKNOWN", "NOT_DONE", "DONE"),
}
_CODECS: Final = {int(DataCoding.UCS2): "utf-16-be", int(DataCoding.LATIN_1): "latin-1"}
_TAGS: Final = {int(tag): tag.name.lower() for tag in TlvTag}


def named(enum: type[IntEnum], value: int, digits: int = 8) -> str:
    """A value by its name in the specification, with its number."""
    try:
        return f"{enum(value).name} (0x{value:0{digits}x})"
    except ValueError:
        return f"0x{value:0{digits}x}"


def shown(value: object) -> object:
    """Bytes as text where they are text, as hexadecimal digits where they are not."""
    if not isinstance(value, bytes):
        return value
    if all(32 <= octet < 127 for octet in value):
        return value.decode("ascii")
    return "0x" + value.hex()


def lines_of(pdu: Pdu, size: int, *, show_passwords: bool) -> list[Line]:
    """Every field, TLV and, of a receipt, what it says: (name, value) each, in wire order; structures are indented."""
    lines: list[Line] = [
        ("command_length", str(size)),
        ("command_id", f"{pdu.command_id.name.lower()} (0x{int(pdu.command_id):08x})"),
        ("command_status", named(CommandStatus, pdu.command_status)),
        ("sequence_number", f"{pdu.sequence_number} (0x{pdu.sequence_number:08x})"),
    ]
    data_coding = getattr(pdu, "data_coding", 0)
    for form in format_of(type(pdu)):
        value = getattr(pdu, form.name)
        if form.name == "password" and value and not show_passwords:
            lines.append((form.name, "***"))
        elif form.name == "short_message":
            lines += [("sm_length", str(len(value))), (form.name, _text(value, data_coding))]
        elif form.rows:
            lines.append((form.name, str(len(value))))
            for row in value:
                lines.append((f"  {type(row).__name__}", ""))
                parts = format_of(type(row))
                lines += [(f"    {part.name}", _value(part.name, getattr(row, part.name))) for part in parts]
        else:
            lines.append((form.name, _value(form.name, value)))
    lines += _tlv_lines(pdu.tlvs, data_coding)
    receipt = receipt_of(pdu)
    if receipt is not None:
        lines.append(("receipt", ""))
        lines += [
            (f"  {field.name}", str(shown(getattr(receipt, field.name))))
            for field in dataclasses.fields(receipt)
            if field.name != "raw"
        ]
    return lines


def _tlv_lines(raw: bytes, data_coding: int) -> list[Line]:
    lines: list[Line] = []
    items = tlv.parse(raw)
    for tag, octets in items:
        name = _TAGS.get(tag, "vendor_tlv" if 0x1400 <= tag <= 0x3FFF else "unknown_tlv")
        known = tlv.read(tlv.encode([(tag, octets)])).get(tag, octets)
        value = _text(octets, data_coding) if tag == TlvTag.MESSAGE_PAYLOAD else _value(name, known)
        lines.append((name, f"{value} [tag 0x{tag:04x}, {len(octets)} octets]"))
    if len(tlv.encode(items)) < len(raw):
        lines.append(("unreadable", f"{len(raw) - len(tlv.encode(items))} octets of the optional part"))
    return lines


def receipt_of(pdu: Pdu) -> Receipt | None:
    """What a deliver_sm or data_sm says as a receipt; None when it is none."""
    return parse_receipt(cast(DeliverSm, pdu)) if isinstance(pdu, DeliverSm | DataSm) else None


def _value(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        return str(shown(value)) or '""'
    if name == "esm_class":
        return _esm_class(value)
    if name == "registered_delivery":
        return _registered_delivery(value)
    enum, names = _ENUMS.get(name), _VALUES.get(name, ())
    if enum is not None:
        return named(enum, value, 8 if enum is CommandStatus else 2)
    return f"{names[value]} (0x{value:02x})" if value < len(names) else f"{value} (0x{value:02x})"


def _esm_class(value: int) -> str:
    parts = [EsmClass(value & ESM_MODE_MASK).name]
    kind = value & ESM_TYPE_MASK
    if kind:
        parts.append(EsmClass(kind).name if kind in EsmClass.__members__.values() else f"type 0x{kind:02x}")
    parts += [flag.name for flag in (EsmClass.UDHI, EsmClass.REPLY_PATH) if value & ESM_FEATURES_MASK & flag]
    return f"{' + '.join(parts)} (0x{value:02x})"


def _registered_delivery(value: int) -> str:
    parts = [RegisteredDelivery(value & REGISTERED_RECEIPT_MASK).name]
    flags = (RegisteredDelivery.SME_DELIVERY_ACK, RegisteredDelivery.SME_USER_ACK, RegisteredDelivery.INTERMEDIATE)
    parts += [flag.name for flag in flags if value & flag]
    return f"{' + '.join(parts)} (0x{value:02x})"


def _text(octets: bytes, data_coding: int) -> str:
    """A text by its data_coding where that is certain, and its octets where it is not plain ASCII."""
    if all(32 <= octet < 127 for octet in octets) and data_coding != DataCoding.UCS2:
        return f'"{octets.decode("ascii")}"'
    codec = _CODECS.get(data_coding)
    if codec is None:
        return "0x" + octets.hex()
    text = octets.decode(codec, "replace")
    safe = "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
    return f'"{safe}" (0x{octets.hex()})'
