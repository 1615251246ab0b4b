"""The codec beside other people's: `make bench-codec` times the same PDUs in one run and prints the ratios.

Decoding goes from octets to every field read, encoding from values to octets. Before anything is timed each library has
to give the same values and the same octets. What a library does not offer stays empty: smpplib and smpp34 do not read
receipts, smpp34 does not write responses and gives theirs as a raw body. "In a batch" is what a session does with the
responses of one read or write: their values, without an object for each. "At least" is what one response by itself
costs in Python whatever is done: its object, one call of struct for a length known beforehand, the reads, no check. A
figure is the best of many rounds in which the libraries take turns.
"""

from __future__ import annotations

import gc
import struct
import timeit
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, NamedTuple, cast

from aiosmpplib import protocol as aiosmpplib
from aiosmpplib.state import NPI, TON, PhoneNumber
from smpp34 import DeliverSm as RustDeliverSm
from smpp34 import SubmitSm as RustSubmitSm
from smpp34 import decode as decode_in_rust
from smpplib import smpp as smpplib

from protocols.smpp import codec
from protocols.smpp.constants import HEADER_SIZE
from protocols.smpp.pdu import DeliverSm, SubmitSm, SubmitSmResp
from protocols.smpp.receipt import parse_receipt

ROUNDS: Final = 25
ROUND_SECONDS: Final = 0.01
GOAL_PYTHON: Final = 10.0
GOAL_RUST: Final = 0.5
OURS: Final = "smscd"
RUST: Final = "smpp34"
LIBRARIES: Final = (OURS, "smpplib", "aiosmpplib", RUST)

FIELDS: Final = (
    "sequence_number",
    "service_type",
    "source_addr_ton",
    "source_addr_npi",
    "source_addr",
    "dest_addr_ton",
    "dest_addr_npi",
    "destination_addr",
    "esm_class",
    "protocol_id",
    "priority_flag",
    "schedule_delivery_time",
    "validity_period",
    "registered_delivery",
    "replace_if_present_flag",
    "data_coding",
    "sm_default_msg_id",
    "short_message",
)
SUBMIT: Final[dict[str, Any]] = {
    "sequence_number": 7,
    "source_addr_ton": 5,
    "source_addr": b"Sender",
    "dest_addr_ton": 1,
    "dest_addr_npi": 1,
    "destination_addr": b"447700900123",
    "registered_delivery": 1,
    "short_message": b"Hello, this is a message of the usual length, with a code: 123456",
}
DELIVER: Final[dict[str, Any]] = {
    "sequence_number": 7,
    "source_addr_ton": 1,
    "source_addr_npi": 1,
    "source_addr": b"447700900123",
    "dest_addr_ton": 5,
    "destination_addr": b"Sender",
    "esm_class": 4,
    "short_message": b"id:1234567890 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD"
    b" err:000 text:Hello, this is a me",
}
MESSAGE_ID: Final = b"1234567890123456789"
SUBMIT_OCTETS: Final = codec.encode(SubmitSm(**SUBMIT))
DELIVER_OCTETS: Final = codec.encode(DeliverSm(**DELIVER))
BATCH: Final = 100
RESPONSE_OCTETS: Final = codec.encode(SubmitSmResp(sequence_number=7, message_id=MESSAGE_ID))
RESPONSES_OCTETS: Final = RESPONSE_OCTETS * BATCH
_unpack_known: Final = struct.Struct(f">8xII{len(MESSAGE_ID)}sx").unpack
_pack_known: Final = struct.Struct(f">8sII{len(MESSAGE_ID)}sx").pack

Functions = dict[str, Callable[[], Any]]
IN_A_BATCH: Final = " in a batch"
AT_LEAST: Final = ", at least"


class Line(NamedTuple):
    """One line of the result: what each library does. Decoding gives values, encoding octets."""

    name: str
    by: dict[str, Callable[[], Any]]

    @property
    def operation(self) -> str:
        """What others are asked for, who know no batches and no least."""
        return self.name.removesuffix(IN_A_BATCH).removesuffix(AT_LEAST)

    def count(self, library: str) -> int:
        """How many PDUs one call is: others do not know batches."""
        return BATCH if library == OURS and self.name.endswith(IN_A_BATCH) else 1


def lines() -> list[Line]:
    """What is timed, for every library that offers it."""
    of = {OURS: _ours(), "smpplib": _smpplib(), "aiosmpplib": _aiosmpplib(), RUST: _smpp34()}
    found = []
    for name in of[OURS]:
        line = Line(name, {OURS: of[OURS][name]})
        for library in LIBRARIES[1:]:
            does = of[library].get(line.operation)
            if does is not None:
                line.by[library] = does
        found.append(line)
    return found


def check() -> None:
    """Raise ValueError when a library gives something else than ours."""
    for line in lines():
        wanted = comparable(line.by[OURS](), line.count(OURS))
        for library, does in line.by.items():
            found = comparable(does(), line.count(library))
            if library != OURS and found != wanted:
                raise ValueError(f"{line.name}: {library} gives {found!r} and not {wanted!r}")


def _ours() -> Functions:
    read, read_response = attrgetter(*FIELDS), attrgetter("sequence_number", "command_status", "message_id")
    read_receipt = attrgetter("message_id", "sub", "dlvrd", "stat", "text")
    return {
        "decode submit_sm": lambda: read(codec.decode(SUBMIT_OCTETS)),
        "decode submit_sm_resp": lambda: read_response(codec.decode(RESPONSE_OCTETS)),
        "decode submit_sm_resp, at least": lambda: read_response(_take_response_apart(RESPONSE_OCTETS)),
        "decode submit_sm_resp in a batch": _read_responses,
        "decode deliver_sm": lambda: read(codec.decode(DELIVER_OCTETS)),
        "decode deliver_sm, read its receipt": lambda: read_receipt(
            parse_receipt(cast(DeliverSm, codec.decode(DELIVER_OCTETS)))
        ),
        "encode submit_sm": lambda: codec.encode(SubmitSm(**SUBMIT)),
        "encode submit_sm_resp": lambda: codec.encode(SubmitSmResp(sequence_number=7, message_id=MESSAGE_ID)),
        "encode submit_sm_resp, at least": lambda: _put_response_together(
            SubmitSmResp(sequence_number=7, message_id=MESSAGE_ID)
        ),
        "encode submit_sm_resp in a batch": lambda: codec.encode_submit_sm_resps([(7, 0, MESSAGE_ID)] * BATCH),
        "encode deliver_sm": lambda: codec.encode(DeliverSm(**DELIVER)),
    }


def _read_responses() -> list[tuple[int, int, bytes]]:
    """The loop of a session over the responses of one read, without its window."""
    found = []
    buffer, position, end = RESPONSES_OCTETS, 0, len(RESPONSES_OCTETS)
    unpack, read_message_id = codec.HEADER.unpack_from, codec.read_message_id
    while end - position >= HEADER_SIZE:
        length, _, status, number = unpack(buffer, position)
        stop = position + length
        message_id = buffer[position + HEADER_SIZE : stop - 1]
        if length > codec.ID_RESPONSE_MAX or buffer[stop - 1] or 0 in message_id:
            message_id = read_message_id(buffer, position + HEADER_SIZE, stop)
        found.append((number, status, message_id))
        position = stop
    return found


def _take_response_apart(octets: bytes) -> SubmitSmResp:
    """A response of which everything but its values is known."""
    command_status, sequence_number, message_id = _unpack_known(octets)
    pdu: SubmitSmResp = object.__new__(SubmitSmResp)
    pdu.command_status = command_status
    pdu.sequence_number = sequence_number
    pdu.message_id = message_id
    pdu.tlvs = b""
    return pdu


def _put_response_together(pdu: SubmitSmResp) -> bytes:
    return _pack_known(RESPONSE_OCTETS[:8], pdu.command_status, pdu.sequence_number, pdu.message_id)


class _Numbers:
    """What smpplib wants to take its sequence numbers from."""

    sequence = 7

    def next_sequence(self) -> int:
        return self.sequence


def _smpplib() -> Functions:
    read, read_response = attrgetter("sequence", *FIELDS[1:]), attrgetter("sequence", "status", "message_id")
    numbers, submit, deliver, message_id = _Numbers(), _as_text(SUBMIT), _as_text(DELIVER), MESSAGE_ID.decode()

    def respond() -> Any:
        pdu = smpplib.make_pdu("submit_sm_resp", client=numbers, message_id=message_id)
        pdu.sequence = 7
        return pdu.generate()

    return {
        "decode submit_sm": lambda: read(smpplib.parse_pdu(SUBMIT_OCTETS, client=numbers)),
        "decode submit_sm_resp": lambda: read_response(smpplib.parse_pdu(RESPONSE_OCTETS, client=numbers)),
        "decode deliver_sm": lambda: read(smpplib.parse_pdu(DELIVER_OCTETS, client=numbers)),
        "encode submit_sm": lambda: smpplib.make_pdu("submit_sm", client=numbers, **submit).generate(),
        "encode submit_sm_resp": respond,
        "encode deliver_sm": lambda: smpplib.make_pdu("deliver_sm", client=numbers, **deliver).generate(),
    }


_AIOSMPPLIB_NAMES: Final = {
    "sequence_number": "sequence_num",
    "source_addr_ton": "source.ton",
    "source_addr_npi": "source.npi",
    "source_addr": "source.number",
    "dest_addr_ton": "destination.ton",
    "dest_addr_npi": "destination.npi",
    "destination_addr": "destination.number",
    "data_coding": "encoding",
}


def _aiosmpplib() -> Functions:
    read = attrgetter(*(_AIOSMPPLIB_NAMES.get(name, name) for name in FIELDS))
    read_response = attrgetter("sequence_num", "command_status", "message_id")
    parse_header, submit, deliver = aiosmpplib.SmppMessage.parse_header, _as_text(SUBMIT), _as_text(DELIVER)
    for fields in (submit, deliver):
        fields["short_message"] = fields["short_message"].decode()

    def decode(pdu_class: Any, octets: bytes) -> Any:
        return pdu_class.from_pdu(octets, parse_header(octets), "ascii")

    def encode(pdu_class: Any, fields: dict[str, Any]) -> Any:
        get = fields.get
        source = PhoneNumber(fields["source_addr"], TON(get("source_addr_ton", 0)), NPI(get("source_addr_npi", 0)))
        destination = PhoneNumber(
            fields["destination_addr"], TON(get("dest_addr_ton", 0)), NPI(get("dest_addr_npi", 0))
        )
        return pdu_class(
            sequence_num=fields["sequence_number"],
            short_message=fields["short_message"],
            source=source,
            destination=destination,
            esm_class=get("esm_class", 0),
            registered_delivery=get("registered_delivery", 0),
        ).pdu()

    def read_receipt() -> Any:
        values = decode(aiosmpplib.DeliverSm, DELIVER_OCTETS).parse_receipt()
        return values["id"], values["sub"], values["dlvrd"], values["stat"], values["text"]

    return {
        "decode submit_sm": lambda: read(decode(aiosmpplib.SubmitSm, SUBMIT_OCTETS)),
        "decode submit_sm_resp": lambda: read_response(decode(aiosmpplib.SubmitSmResp, RESPONSE_OCTETS)),
        "decode deliver_sm": lambda: read(decode(aiosmpplib.DeliverSm, DELIVER_OCTETS)),
        "decode deliver_sm, read its receipt": read_receipt,
        "encode submit_sm": lambda: encode(aiosmpplib.SubmitSm, submit),
        "encode submit_sm_resp": lambda: aiosmpplib.SubmitSmResp(7, message_id=MESSAGE_ID.decode()).pdu(),
        "encode deliver_sm": lambda: encode(aiosmpplib.DeliverSm, deliver),
    }


def _smpp34() -> Functions:
    read, read_response = attrgetter(*FIELDS), attrgetter("sequence_number", "command_status", "body")
    submit, deliver = _as_text(SUBMIT), _as_text(DELIVER)
    return {
        "decode submit_sm": lambda: read(decode_in_rust(SUBMIT_OCTETS)),
        "decode submit_sm_resp": lambda: read_response(decode_in_rust(RESPONSE_OCTETS)),
        "decode deliver_sm": lambda: read(decode_in_rust(DELIVER_OCTETS)),
        "encode submit_sm": lambda: RustSubmitSm(**submit).encode(),
        "encode deliver_sm": lambda: RustDeliverSm(**deliver).encode(),
    }


def _as_text(fields: dict[str, Any]) -> dict[str, Any]:
    """The same with addresses as str."""
    return fields | {name: fields[name].decode() for name in ("source_addr", "destination_addr")}


def comparable(result: Any, count: int = 1) -> tuple[Any, ...]:
    """What a library gave, as what all can give; of a batch, the first.

    Octets for texts, plain numbers, nothing for no value or the default alphabet, no NUL behind an id.
    """
    first = result[0] if count > 1 else result
    values = first if isinstance(first, tuple) else (first,)
    plain: list[int | bytes] = []
    for value in values:
        if value in (None, "", "ascii", b""):
            plain.append(0)
        elif isinstance(value, (str, bytes)):
            plain.append((value.encode() if isinstance(value, str) else value).rstrip(b"\0"))
        else:
            plain.append(int(value))
    return tuple(plain)


def measure(rounds: int = ROUNDS, round_seconds: float = ROUND_SECONDS) -> list[tuple[str, dict[str, float]]]:
    """Nanoseconds a PDU, by line and library."""
    check()
    results = []
    for line in lines():
        best = dict.fromkeys(line.by, float("inf"))
        repeats = {
            library: max(1, int(round_seconds / max(1e-7, timeit.timeit(does, number=20) / 20)))
            for library, does in line.by.items()
        }
        gc.disable()
        try:
            for _ in range(rounds):
                for library, does in line.by.items():
                    seconds = timeit.timeit(does, number=repeats[library]) / repeats[library]
                    best[library] = min(best[library], seconds * 1e9 / line.count(library))
        finally:
            gc.enable()
        results.append((line.name, best))
    return results


def report(results: Iterable[tuple[str, dict[str, float]]]) -> str:
    """A table of nanoseconds, with how many times as fast as each library ours is."""
    rows = [f"{'ns a PDU':36}" + f"{OURS:>8}" + "".join(f"{library:>22}" for library in LIBRARIES[1:])]
    for name, best in results:
        ours = best[OURS]
        cells = [
            f"{best[library]:12.0f} ({best[library] / ours:5.1f} x)" if library in best else " " * 21 + "-"
            for library in LIBRARIES[1:]
        ]
        rows.append(f"{name:36}{ours:8.0f}" + "".join(f"{cell:>22}" for cell in cells))
    rows.append(f"x: times as long as {OURS}. Goal: {GOAL_PYTHON:.0f} x and more, in Rust {GOAL_RUST:.1f} x and more.")
    rows.append("At least: an object, one call of struct, the reads, and nothing is checked: what Python costs anyway.")
    rows.append("The goal leaves no room to check one response by itself; sessions read and write them in batches.")
    return "\n".join(rows)


def main() -> None:
    """Time and print."""
    print(report(measure()))


if __name__ == "__main__":
    main()
