"""PDUs to bytes and back: encoders and decoders, generated at import from the tables in `pdu`.

`codegen` has the templates. Decoding is liberal where peers are known to be careless, encoding is strict.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NoReturn

from protocols.smpp import codegen
from protocols.smpp.constants import HEADER_SIZE, RESPONSE_BIT, CommandId, CommandStatus
from protocols.smpp.errors import EncodeError, FramingError, PduError
from protocols.smpp.fields import FieldFormat, Kind, format_of
from protocols.smpp.pdu import PDU_CLASSES, Pdu, SubmitSmResp

HEADER = struct.Struct(">IIII")
_unpack_header, _pack_header = HEADER.unpack_from, HEADER.pack
_SUBMIT_SM_RESP = int(CommandId.SUBMIT_SM_RESP)
_DELIVER_SM_RESP = int(CommandId.DELIVER_SM_RESP)

# submit_sm_resp as nearly all are: a message_id that we could have sent, its NUL, nothing else. By the octets of the
# whole PDU: what its length and command_id are as one integer, and what takes the PDU apart. By the octets of the id:
# what puts a sequence_number and the id after the rest of a good answer's header.
_ID_SIZE_MAX = next(form.size for form in format_of(SubmitSmResp) if form.name == "message_id") - 1
ID_RESPONSE_MAX = HEADER_SIZE + _ID_SIZE_MAX + 1
_ID_RESPONSE_HEADS = tuple(size << 32 | _SUBMIT_SM_RESP for size in range(ID_RESPONSE_MAX + 1))
_UNPACK_ID_RESPONSE = tuple(
    struct.Struct(f">QII{max(0, size - HEADER_SIZE - 1)}sB").unpack for size in range(ID_RESPONSE_MAX + 1)
)
_PACK_ID_RESPONSE = tuple(
    partial(struct.Struct(f">12sI{size}sx").pack, struct.pack(">III", HEADER_SIZE + size + 1, _SUBMIT_SM_RESP, 0))
    for size in range(_ID_SIZE_MAX + 1)
)
_new = object.__new__

BodyDecoder = Callable[[bytes, int, int, int, int], Any]
BodyEncoder = Callable[[Any], bytes]


class UnknownCommandError(PduError):
    """The command is reserved or a vendor's."""

    def __init__(self, command_id: int) -> None:
        super().__init__(CommandStatus.ESME_RINVCMDID, f"command_id 0x{command_id:08x} is unknown")


def encode(pdu: Pdu) -> bytes:
    """The whole PDU, header and TLVs included. Raises EncodeError when a field does not fit.

    Responses with an error status are sent without a body (SMPP 3.4 section 4.4.2).
    """
    command_id, command_status = pdu.command_id, pdu.command_status
    if type(pdu) is SubmitSmResp and not (command_status or pdu.tlvs):
        message_id = pdu.message_id
        if len(message_id) <= _ID_SIZE_MAX and 0 not in message_id:
            return _PACK_ID_RESPONSE[len(message_id)](pdu.sequence_number, message_id)
    body = b"" if command_status and command_id.is_response else _ENCODERS[command_id](pdu)
    return _pack_header(HEADER_SIZE + len(body), command_id, command_status & 0xFFFFFFFF, pdu.sequence_number) + body


def encode_body(pdu: Pdu) -> bytes:
    """Everything after the header, TLVs included, ready for Session.send_submits or send_delivers."""
    return _ENCODERS[pdu.command_id](pdu)


def decode(data: bytes) -> Pdu:
    """One whole PDU.

    Raises FramingError when data is not exactly one PDU long, PduError when its command is unknown (then it is an
    UnknownCommandError) or its body is bad.
    """
    size = len(data)
    if HEADER_SIZE < size <= ID_RESPONSE_MAX:
        head, command_status, sequence_number, message_id, last = _UNPACK_ID_RESPONSE[size](data)
        if head == _ID_RESPONSE_HEADS[size] and not (last or 0 in message_id):
            answer = _new(SubmitSmResp)
            answer.command_status = command_status
            answer.sequence_number = sequence_number
            answer.message_id = message_id
            answer.tlvs = b""
            return answer
    try:
        length, command_id, command_status, sequence_number = _unpack_header(data)
    except struct.error:
        raise FramingError(f"{size} octets are less than a header") from None
    if length != size:
        raise FramingError(f"command_length is {length} in a PDU of {size} octets")
    decoder = DECODERS.get(command_id)
    if decoder is None:
        raise UnknownCommandError(command_id)
    if type(data) is not bytes:
        data = bytes(data)
    pdu: Pdu = decoder(data, HEADER_SIZE, length, command_status, sequence_number)
    return pdu


def response_to(command_id: int) -> Any:
    """The class of the response to a request of this command."""
    return _CLASSES[command_id | RESPONSE_BIT]


def decode_response(response_id: int, frame: bytes) -> Pdu:
    """The answer to one of our requests, whose response is response_id; frame: the whole PDU, or a generic_nack.

    An answer must never be lost to its body: one that cannot be read is as good as none.
    """
    _, command_id, command_status, sequence_number = HEADER.unpack_from(frame)
    if command_id == response_id:
        try:
            pdu: Pdu = DECODERS[response_id](frame, HEADER_SIZE, len(frame), command_status, sequence_number)
            return pdu
        except PduError:
            pass
    elif not command_status:
        command_status = int(CommandStatus.ESME_RUNKNOWNERR)
    return _CLASSES[response_id](command_status=command_status, sequence_number=sequence_number)


def read_message_id(buffer: bytes, position: int, end: int) -> bytes:
    """The message_id of a submit_sm_resp whose body is buffer[position:end]; b"" when there is none.

    An answer must never be lost to its body, so this raises nothing: a missing NUL is forgiven, and what is longer
    than any id is taken as no id.
    """
    stop = buffer.find(0, position, end)
    if stop < 0:
        stop = end
    return buffer[position:stop] if stop - position < _MESSAGE_ID_ACCEPTED else b""


def encode_submit_sm_resps(answers: Iterable[tuple[int, int, bytes]], tlvs: bytes = b"") -> list[bytes]:
    """submit_sm_resp of (sequence_number, command_status, message_id of at most 64 octets, or EncodeError) each.

    tlvs: the optional part of each; then an error has an empty message_id before it, or nobody could find it.
    """
    pack = HEADER.pack
    if tlvs:
        size, tail = HEADER_SIZE + 1 + len(tlvs), b"\0" + tlvs
        return [
            pack(size, _SUBMIT_SM_RESP, command_status, sequence_number) + tail
            if command_status
            else pack(size + len(message_id), _SUBMIT_SM_RESP, 0, sequence_number) + message_id + tail
            for sequence_number, command_status, message_id in answers
        ]
    pack_answer = _PACK_ID_RESPONSE
    try:
        return [
            pack(HEADER_SIZE, _SUBMIT_SM_RESP, command_status, sequence_number)
            if command_status
            else pack_answer[len(message_id)](sequence_number, message_id)
            for sequence_number, command_status, message_id in answers
        ]
    except IndexError:
        raise EncodeError(f"a message_id has more than {_ID_SIZE_MAX} octets") from None


def encode_deliver_sm_resps(answers: Iterable[tuple[int, int]], tlvs: bytes = b"") -> list[bytes]:
    """deliver_sm_resp of (sequence_number, command_status) each. tlvs: as in encode_submit_sm_resps."""
    pack = HEADER.pack
    if tlvs:
        size, tail = HEADER_SIZE + 1 + len(tlvs), b"\0" + tlvs
        return [pack(size, _DELIVER_SM_RESP, status, sequence_number) + tail for sequence_number, status in answers]
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


def _refuse_count(name: str, status: int, count: int) -> NoReturn:
    raise PduError(status, f"{count} is no number of {name}")


def _refuse_flag(name: str, status: int, flag: int) -> NoReturn:
    raise PduError(status, f"{flag} is no kind of {name}")


def _refuse_length(name: str) -> NoReturn:
    raise PduError(CommandStatus.ESME_RINVCMDLEN, f"the PDU ends in or before {name}")


def _refuse_value(table: str, given: object, formats: tuple[FieldFormat, ...]) -> NoReturn:
    for form in formats:
        value = getattr(given, form.name)
        if form.kind is Kind.INTEGER:
            fits = isinstance(value, int) and 0 <= value < 1 << 8 * form.size
        elif form.kind is Kind.C_OCTETS:
            fits = len(value) < form.size and 0 not in value
        else:
            fits = form.rows_min <= len(value) <= form.size
        if not fits:
            raise EncodeError(f"{table}: {form.name} does not fit: {form.kind.value}, at most {form.size}")
    raise EncodeError(f"{table}: a field has the wrong type")


# --- generation -----------------------------------------------------------------------------------------------------


def _generate(source: str, what: str, table: type, namespace: dict[str, Any]) -> Any:
    """The function `what` of this source. namespace: what it calls beside the names that all generated code has."""
    formats = format_of(table)
    names: dict[str, Any] = {
        "cls": table,
        "new": object.__new__,
        "from_bytes": int.from_bytes,
        "refuse_string": _refuse_string,
        "refuse_text": _refuse_text,
        "refuse_count": _refuse_count,
        "refuse_flag": _refuse_flag,
        "refuse_length": _refuse_length,
        "NUL": b"\0",
        "join": b"".join,
        "StructError": struct.error,
        "refuse_value": lambda given: _refuse_value(table.__name__, given, formats),
        **codegen.struct_methods(source),
        **namespace,
    }
    exec(compile(source, f"<{__name__} {what} {table.__name__}>", "exec"), names)
    return names[what]


def _decoder(pdu_class: type[Pdu]) -> BodyDecoder:
    formats = format_of(pdu_class)
    readers = {
        f"read_{form.name}": _rows_decoder(pdu_class, form) for form in formats if form.kind is Kind.COUNTED_ROWS
    }

    def bare(command_status: int, sequence_number: int) -> Pdu:
        return pdu_class(command_status=command_status, sequence_number=sequence_number)

    source = codegen.decoder_source(formats, is_response=pdu_class.command_id.is_response)
    usual = codegen.usual_pattern(formats)
    names = {"bare": bare, "usual": usual.match if usual is not None else None, **readers}
    decoder: BodyDecoder = _generate(source, "decode", pdu_class, names)
    return decoder


def _rows_decoder(pdu_class: type[Pdu], form: FieldFormat) -> Any:
    readers = [_generate(codegen.row_decoder_source(format_of(row)), "decode", row, {}) for row in form.rows]
    names: dict[str, Any] = {"read_row": readers[0]}
    if len(form.rows) > 1:
        names = {"readers": {int(row.flag): reader for row, reader in zip(form.rows, readers, strict=True)}}
    return _generate(codegen.rows_decoder_source(form), "read", pdu_class, names)


def _encoder(pdu_class: type[Pdu]) -> BodyEncoder:
    formats = format_of(pdu_class)
    writers = {
        f"write_{form.name}": _rows_encoder(pdu_class, form) for form in formats if form.kind is Kind.COUNTED_ROWS
    }
    encoder: BodyEncoder = _generate(codegen.encoder_source(formats), "encode", pdu_class, writers)
    return encoder


def _rows_encoder(pdu_class: type[Pdu], form: FieldFormat) -> Callable[[Sequence[object]], bytes]:
    has_flags = len(form.rows) > 1
    encoders: dict[type, Callable[[Any], bytes]] = {
        row: _generate(codegen.row_encoder_source(row.flag if has_flags else None, format_of(row)), "encode", row, {})
        for row in form.rows
    }

    def write(rows: Sequence[object]) -> bytes:
        try:
            return b"".join([encoders[type(row)](row) for row in rows])
        except KeyError as error:
            raise EncodeError(f"{pdu_class.__name__}: {form.name} holds something else: {error}") from None

    return write


DECODERS: dict[int, BodyDecoder] = {int(cls.command_id): _decoder(cls) for cls in PDU_CLASSES}
_ENCODERS: dict[int, BodyEncoder] = {int(cls.command_id): _encoder(cls) for cls in PDU_CLASSES}
_CLASSES: dict[int, type[Pdu]] = {int(cls.command_id): cls for cls in PDU_CLASSES}
_MESSAGE_ID_ACCEPTED = next(form.accepted for form in format_of(SubmitSmResp) if form.name == "message_id")
