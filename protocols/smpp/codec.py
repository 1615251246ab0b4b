"""PDUs to bytes and back: encoders and decoders, generated at import from the tables in `pdu`.

The generated code is what one would write by hand for speed (one pass, no call per field); `_decoder_source` and
`_encoder_source` are the templates. Decoding is liberal where peers are known to be careless, encoding is strict.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from protocols.smpp.constants import HEADER_SIZE, CommandId, CommandStatus
from protocols.smpp.errors import EncodeError, FramingError, PduError
from protocols.smpp.fields import FieldFormat, Kind, format_of
from protocols.smpp.pdu import PDU_CLASSES, Pdu

HEADER = struct.Struct(">IIII")
_SUBMIT_SM_RESP = int(CommandId.SUBMIT_SM_RESP)
_DELIVER_SM_RESP = int(CommandId.DELIVER_SM_RESP)

BodyDecoder = Callable[[bytes, int, int, int, int], Any]
BodyEncoder = Callable[[Any], bytes]


class UnknownCommandError(PduError):
    """The command is reserved, a vendor's, or one that is not offered."""

    def __init__(self, command_id: int) -> None:
        super().__init__(CommandStatus.ESME_RINVCMDID, f"command_id 0x{command_id:08x} is not offered")


def encode(pdu: Pdu) -> bytes:
    """The whole PDU, header and TLVs included. Raises EncodeError when a field does not fit.

    Responses with an error status are sent without a body (SMPP 3.4 section 4.4.2).
    """
    body = b"" if pdu.command_status and pdu.command_id.is_response else encode_body(pdu)
    return (
        HEADER.pack(HEADER_SIZE + len(body), pdu.command_id, pdu.command_status & 0xFFFFFFFF, pdu.sequence_number)
        + body
    )


def encode_body(pdu: Pdu) -> bytes:
    """Everything after the header, TLVs included, ready for Session.send_submits or send_delivers."""
    return _ENCODERS[pdu.command_id](pdu)


def decode(data: bytes) -> Pdu:
    """One whole PDU.

    Raises FramingError when data is not exactly one PDU long, PduError when its command is not offered (then it is an
    UnknownCommandError) or its body is bad.
    """
    if len(data) < HEADER_SIZE:
        raise FramingError(f"{len(data)} octets are less than a header")
    length, command_id, command_status, sequence_number = HEADER.unpack_from(data)
    if length != len(data):
        raise FramingError(f"command_length is {length} in a PDU of {len(data)} octets")
    decoder = DECODERS.get(command_id)
    if decoder is None:
        raise UnknownCommandError(command_id)
    pdu: Pdu = decoder(bytes(data), HEADER_SIZE, length, command_status, sequence_number)
    return pdu


def read_message_id(buffer: bytes, position: int, end: int) -> bytes:
    """The message_id of a submit_sm_resp whose body is buffer[position:end]; b"" when there is none.

    An answer must never be lost to its body, so this raises nothing: a missing NUL is forgiven, and what is longer
    than any id is taken as no id.
    """
    stop = buffer.find(0, position, end)
    if stop < 0:
        stop = end
    return buffer[position:stop] if stop - position < _MESSAGE_ID_ACCEPTED else b""


def encode_submit_sm_resps(answers: Iterable[tuple[int, int, bytes]]) -> list[bytes]:
    """submit_sm_resp of (sequence_number, command_status, message_id of at most 64 octets) each."""
    pack = HEADER.pack
    return [
        pack(HEADER_SIZE, _SUBMIT_SM_RESP, command_status, sequence_number)
        if command_status
        else pack(HEADER_SIZE + 1 + len(message_id), _SUBMIT_SM_RESP, 0, sequence_number) + message_id + b"\0"
        for sequence_number, command_status, message_id in answers
    ]


def encode_deliver_sm_resps(answers: Iterable[tuple[int, int]]) -> list[bytes]:
    """deliver_sm_resp of (sequence_number, command_status) each."""
    pack = HEADER.pack
    return [
        pack(HEADER_SIZE, _DELIVER_SM_RESP, command_status, sequence_number)
        if command_status
        else pack(HEADER_SIZE + 1, _DELIVER_SM_RESP, 0, sequence_number) + b"\0"
        for sequence_number, command_status in answers
    ]


def without_tlvs(command_id: int, body: bytes) -> bytes:
    """An encoded body without its optional part, for a peer that must not be sent any."""
    pdu: Pdu = DECODERS[command_id](body, 0, len(body), 0, 0)
    return body[: len(body) - len(pdu.tlvs)] if pdu.tlvs else body


# --- errors of the generated code -----------------------------------------------------------------------------------


def _refuse_string(name: str, status: int, buffer: bytes, position: int, end: int) -> NoReturn:
    if position > end or buffer.find(0, position, end) < 0:
        _refuse_length(name)
    raise PduError(status, f"{name} is too long")


def _refuse_text(name: str, status: int, position: int, end: int) -> NoReturn:
    if position > end:
        _refuse_length(name)
    raise PduError(status, f"the length before {name} goes beyond the PDU")


def _refuse_length(name: str) -> NoReturn:
    raise PduError(CommandStatus.ESME_RINVCMDLEN, f"the PDU ends in or before {name}")


def _refuse_value(command: str, pdu: Pdu, formats: tuple[FieldFormat, ...]) -> NoReturn:
    for form in formats:
        value = getattr(pdu, form.name)
        if form.kind is Kind.INTEGER:
            fits = isinstance(value, int) and 0 <= value < 1 << 8 * form.size
        elif form.kind is Kind.C_OCTETS:
            fits = len(value) < form.size and 0 not in value
        else:
            fits = len(value) <= form.size
        if not fits:
            raise EncodeError(f"{command}: {form.name} does not fit its {form.size} octets")
    raise EncodeError(f"{command}: a field has the wrong type")


# --- generation -----------------------------------------------------------------------------------------------------


def _decoder_source(pdu_class: type[Pdu], formats: tuple[FieldFormat, ...]) -> str:
    """The source of decode(buffer, position, end, command_status, sequence_number): buffer[position:end] is a body.

    One comparison at the end finds an overrun of the integers, because positions only grow and a stray read stays
    inside the buffer or raises IndexError.
    """
    lines = [
        "def decode(buffer, position, end, command_status, sequence_number):",
        "    pdu = new(cls)",
        "    pdu.command_status = command_status",
        "    pdu.sequence_number = sequence_number",
        "    find = buffer.find",
        "    try:",
        *(f"        {line}" for line in _decoder_lines(formats)),
        "    except IndexError:",
        f"        refuse_length({formats[-1].name!r})" if formats else "        raise",
        "    if position > end:",
        f"        refuse_length({formats[-1].name if formats else 'end'!r})",
        "    pdu.tlvs = buffer[position:end] if position < end else b''",
        "    return pdu",
    ]
    return "\n".join(lines)


def _decoder_lines(formats: tuple[FieldFormat, ...]) -> Iterator[str]:
    offset = 0  # octets of integers since `position` was last moved
    if not formats:
        yield "pass"
    for form in formats:
        at = f"position + {offset}" if offset else "position"
        if form.kind is Kind.INTEGER:
            yield f"pdu.{form.name} = " + (
                f"buffer[{at}]" if form.size == 1 else f"from_bytes(buffer[{at}:{at} + {form.size}], 'big')"
            )
            offset += form.size
        elif form.kind is Kind.COUNTED_OCTETS:
            yield f"stop = {at} + 1 + buffer[{at}]"
            yield "if stop > end:"
            yield f"    refuse_text({form.name!r}, {int(form.status)}, {at} + 1, end)"
            yield f"pdu.{form.name} = buffer[{at} + 1:stop]"
            yield "position = stop"
            offset = 0
        else:
            if offset:
                yield f"position += {offset}"
                offset = 0
            if form is formats[-1]:
                yield from _last_string_lines(form)
            else:
                yield from _string_lines(form)
    if offset:
        yield f"position += {offset}"


def _string_lines(form: FieldFormat) -> Iterator[str]:
    yield "if buffer[position]:"
    yield "    stop = find(0, position, end)"
    yield f"    if not 0 < stop - position < {form.accepted}:"
    yield f"        refuse_string({form.name!r}, {int(form.status)}, buffer, position, end)"
    yield f"    pdu.{form.name} = buffer[position:stop]"
    yield "    position = stop + 1"
    yield "else:"
    yield f"    pdu.{form.name} = b''"
    yield "    position += 1"


def _last_string_lines(form: FieldFormat) -> Iterator[str]:
    """The last mandatory string may lack its NUL, or be missing: some peers do that, and nothing is ambiguous."""
    yield "if position > end:"
    yield f"    refuse_length({form.name!r})"
    yield "stop = find(0, position, end)"
    yield "if stop < 0:"
    yield "    stop = end"
    yield f"if stop - position >= {form.accepted}:"
    yield f"    refuse_string({form.name!r}, {int(form.status)}, buffer, position, end)"
    yield f"pdu.{form.name} = buffer[position:stop]"
    yield "position = stop + 1 if stop < end else end"


def _encoder_source(formats: tuple[FieldFormat, ...]) -> str:
    """The source of encode(pdu): one join of the strings and of the packed runs of integers between them."""
    setup: list[str] = []
    checks: list[str] = []
    parts: list[str] = []
    run: list[str] = []
    codes = ""

    def end_run() -> None:
        nonlocal codes
        if run:
            parts.append(f"pack('>{codes}', {', '.join(run)})")
            run.clear()
            codes = ""

    for form in formats:
        if form.kind is Kind.INTEGER:
            run.append(f"pdu.{form.name}")
            codes += {1: "B", 2: "H", 4: "I"}[form.size]
            continue
        setup.append(f"{form.name} = pdu.{form.name}")
        if form.kind is Kind.COUNTED_OCTETS:
            checks.append(f"len({form.name}) > {form.size}")
            run.append(f"len({form.name})")
            codes += "B"
            end_run()
            parts.append(form.name)
        else:
            checks.append(f"len({form.name}) >= {form.size} or 0 in {form.name}")
            end_run()
            parts += [form.name, "NUL"]
    end_run()
    if not formats:
        return "def encode(pdu):\n    return pdu.tlvs"
    lines = ["def encode(pdu):", *(f"    {line}" for line in setup)]
    if checks:
        lines += [f"    if {' or '.join(checks)}:", "        refuse_value(pdu)"]
    lines += [
        "    try:",
        f"        return join(({', '.join(parts)}, pdu.tlvs))",
        "    except (StructError, TypeError):",
        "        refuse_value(pdu)",
    ]
    return "\n".join(lines)


def _generate(source: str, name: str, namespace: dict[str, Any]) -> Any:
    exec(compile(source, f"<{__name__} {name}>", "exec"), namespace)
    return namespace[name.split()[0]]


def _decoder(pdu_class: type[Pdu]) -> BodyDecoder:
    namespace: dict[str, Any] = {
        "cls": pdu_class,
        "new": object.__new__,
        "from_bytes": int.from_bytes,
        "refuse_string": _refuse_string,
        "refuse_text": _refuse_text,
        "refuse_length": _refuse_length,
    }
    source = _decoder_source(pdu_class, format_of(pdu_class))
    decoder: BodyDecoder = _generate(source, f"decode {pdu_class.__name__}", namespace)
    return decoder


def _encoder(pdu_class: type[Pdu]) -> BodyEncoder:
    formats = format_of(pdu_class)
    namespace: dict[str, Any] = {
        "NUL": b"\0",
        "join": b"".join,
        "pack": struct.pack,
        "StructError": struct.error,
        "refuse_value": lambda pdu: _refuse_value(pdu_class.__name__, pdu, formats),
    }
    encoder: BodyEncoder = _generate(_encoder_source(formats), f"encode {pdu_class.__name__}", namespace)
    return encoder


DECODERS: dict[int, BodyDecoder] = {int(cls.command_id): _decoder(cls) for cls in PDU_CLASSES}
_ENCODERS: dict[int, BodyEncoder] = {int(cls.command_id): _encoder(cls) for cls in PDU_CLASSES}
_MESSAGE_ID_ACCEPTED = next(
    form.accepted
    for cls in PDU_CLASSES
    if cls.command_id is CommandId.SUBMIT_SM_RESP
    for form in format_of(cls)
    if form.name == "message_id"
)
