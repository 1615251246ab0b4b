"""`smscd pdu decode`: what SMPP bytes mean."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import Any

import click

from smscd.cli.output import Failure, give_up, json_option, print_fields, print_json


@click.group()
def pdu() -> None:
    """Look at SMPP bytes."""


@pdu.command()
@click.argument("hex_text", metavar="HEX")
@click.option("--show-passwords", is_flag=True, help="Print passwords of binds as they are.")
@json_option
def decode(hex_text: str, show_passwords: bool, as_json: bool) -> None:
    """Decode PDUs given as hexadecimal digits (spaces, colons and 0x are ignored; - reads standard input)."""
    from protocols.smpp.errors import SmppError

    text = sys.stdin.read() if hex_text == "-" else hex_text
    digits = re.sub(r"0[xX]|[\s:,]", "", text)
    try:
        data = bytes.fromhex(digits)
    except ValueError as error:
        raise click.UsageError(f"That is not hexadecimal: {error}.") from error
    if not data:
        raise click.UsageError("There are no bytes to decode.")
    shown: list[dict[str, Any]] = []
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        frame = data[position : position + max(length, 16)]
        try:
            shown.append(describe(frame, show_passwords=show_passwords))
        except SmppError as error:
            if as_json:
                raise Failure(f"at octet {position}: {error}", as_json=True, decoded=shown) from error
            _print(shown, as_json)
            give_up(f"at octet {position}: {error}", as_json=False)
        position += len(frame)
    _print(shown, as_json)


def describe(frame: bytes, *, show_passwords: bool = False) -> dict[str, Any]:
    """One PDU as names and values, in wire order. Raises SmppError."""
    from protocols.smpp import codec, tlv
    from protocols.smpp.constants import CommandId, CommandStatus, TlvTag
    from protocols.smpp.receipt import parse_receipt

    decoded = codec.decode(frame)
    fields: dict[str, Any] = {
        "command": CommandId(decoded.command_id).name.lower(),
        "command_length": len(frame),
        "command_status": _named(CommandStatus, decoded.command_status),
        "sequence_number": decoded.sequence_number,
    }
    for field in dataclasses.fields(decoded):
        if field.name in ("sequence_number", "command_status", "tlvs"):
            continue
        value = getattr(decoded, field.name)
        is_hidden = field.name == "password" and bool(value) and not show_passwords
        fields[field.name] = "***" if is_hidden else _shown(value)
    tags = {int(tag): tag.name.lower() for tag in TlvTag}
    items = tlv.parse(decoded.tlvs)
    if items:
        known = tlv.read(decoded.tlvs)
        fields["tlvs"] = {tags.get(tag, f"0x{tag:04x}"): _shown(known.get(tag, raw)) for tag, raw in items}
    if decoded.command_id == CommandId.DELIVER_SM:
        receipt = parse_receipt(decoded)  # type: ignore[arg-type]  # decode() returns the class of the command
        if receipt is not None:
            fields["receipt"] = {
                field.name: _shown(getattr(receipt, field.name)) for field in dataclasses.fields(receipt)
            }
    return fields


def _named(enum: Any, value: int) -> str:
    try:
        return f"{enum(value).name} (0x{value:08x})"
    except ValueError:
        return f"0x{value:08x}"


def _shown(value: object) -> object:
    """Bytes as text where they are text, as hexadecimal digits where they are not."""
    if not isinstance(value, bytes):
        return value
    if all(32 <= octet < 127 for octet in value):
        return value.decode("ascii")
    return "0x" + value.hex()


def _print(shown: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(shown if len(shown) > 1 else shown[0])
        return
    for index, fields in enumerate(shown):
        if index:
            click.echo()
        flat: dict[str, object] = {}
        for name, value in fields.items():
            if isinstance(value, dict):
                flat.update({f"{name}.{inner}": part for inner, part in value.items()})
            else:
                flat[name] = value
        print_fields(flat)
