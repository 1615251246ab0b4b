"""Octets that no one agreed on, chosen by coverage: `make fuzz`; options of libFuzzer follow in ARGS.

One input is read in every way that a peer's octets are: as a PDU, as a stream by sessions in each role and state, as a
tail of TLVs, as a receipt. Only the documented errors may come out, what is decoded is encoded and read again, and what
a session sends is made of whole PDUs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final, cast

from protocols.smpp import codec, tlv, validation
from protocols.smpp.errors import EncodeError, FramingError, PduError
from protocols.smpp.events import BindRequested, DeliversReceived, Event, SubmitsReceived
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    Response,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
)
from protocols.smpp.receipt import parse_receipt
from protocols.smpp.session import Session
from protocols.smpp.state import Role

CONFIG: Final = SessionConfig(window_size=3, pdu_size_max=4_000, interface_version=0x50)
ROOT: Final = Path(__file__).parent.parent
CORPUS: Final = ROOT / "build" / "fuzz-corpus"
VECTORS: Final = ROOT / "tests" / "wire" / "vectors" / "open.json"
RESPONSES: Final[dict[int, type[Response]]] = {
    int(pdu_class.command_id): pdu_class
    for pdu_class in (SubmitMultiResp, DataSmResp, QuerySmResp, CancelSmResp, ReplaceSmResp)
}


def read_pdu(octets: bytes) -> None:
    """One PDU: read, judged, written and read again."""
    try:
        pdu = codec.decode(octets)
    except (PduError, FramingError):
        return
    tlv.read(pdu.tlvs)
    if isinstance(pdu, SubmitSm | SubmitMulti):
        validation.check_submit(pdu)
    elif isinstance(pdu, DataSm):
        validation.check_data(pdu)
    elif isinstance(pdu, ReplaceSm):
        validation.check_replace(pdu)
    if isinstance(pdu, SubmitSm | DeliverSm | DataSm):
        parse_receipt(cast(DeliverSm, pdu), by_text_alone=True)
    check_round_trip(pdu)


def check_round_trip(pdu: Pdu) -> None:
    """What is written is read as it was; what was read liberally need not be written."""
    try:
        octets = codec.encode(pdu)
    except EncodeError:
        return
    if not pdu.command_status:
        again = codec.decode(octets)
        if again != pdu:
            raise AssertionError(f"{pdu!r} came back as {again!r}")


def session_in(role: Role, is_bound: bool) -> Session:
    """A session with requests of its own in flight, when it is bound."""
    session = Session(role, CONFIG, 0.0)
    if is_bound and role is Role.SMSC:
        session.receive_data(codec.encode(BindTransceiver(interface_version=0x50, sequence_number=1)), 0.0)
        session.accept_bind(1, b"SMSC", 0.0)
        session.send_delivers([(codec.encode_body(DeliverSm()), ref) for ref in range(3)], 0.0)
        session.send_requests([(DataSm(), ref) for ref in range(3)], 0.0)
    elif is_bound:
        session.bind(BindTransceiver(interface_version=0x50), 0.0)
        answer = BindTransceiverResp(sequence_number=1, tlvs=b"\x02\x10\0\1\x50")
        session.receive_data(codec.encode(answer), 0.0)
        session.send_submits([(codec.encode_body(SubmitSm()), ref) for ref in range(3)], 0.0)
        session.send_requests([(QuerySm(), ref) for ref in range(3)], 0.0)
    session.data_to_send()
    return session


def read_stream(session: Session, octets: bytes) -> None:
    """The octets in two pieces, through a session whose owner answers everything."""
    middle = len(octets) // 2
    for piece in (octets[:middle], octets[middle:]):
        try:
            events = session.receive_data(piece, 0.0)
            answer(session, events)
            while session.has_backlog and session.wants_read:
                events = session.receive_data(b"", 0.0)
                answer(session, events)
        except FramingError:
            break
    check_output(session.data_to_send())


def check_output(sent: bytes) -> None:
    """What a session sends is made of whole PDUs that are offered."""
    while sent:
        size = int.from_bytes(sent[:4], "big")
        codec.decode(sent[:size])
        sent = sent[size:]


def answer(session: Session, events: list[Event]) -> None:
    """What an owner does: accept the bind and answer everything. It does not get as far as to finish an unbind."""
    for event in events:
        if isinstance(event, BindRequested):
            session.accept_bind(event.pdu.sequence_number, b"SMSC", 0.0)
        elif isinstance(event, SubmitsReceived):
            session.answer_submits([(pdu.sequence_number, 0, b"id") for pdu in event.pdus])
        elif isinstance(event, DeliversReceived):
            session.answer_delivers([(pdu.sequence_number, 0) for pdu in event.pdus])
        else:
            for pdu in getattr(event, "pdus", ()):
                response_class = RESPONSES.get(pdu.command_id | 0x80000000)
                if response_class is not None:
                    session.answer([response_class(sequence_number=pdu.sequence_number)])


def read_everywhere(octets: bytes) -> None:
    """One input of the fuzzer."""
    if len(octets) >= 16:
        read_pdu(len(octets).to_bytes(4, "big") + octets[4:])
    tlv.clean(octets)
    for role in Role:
        for is_bound in (False, True):
            read_stream(session_in(role, is_bound), octets)


def write_seeds(directory: Path, vectors: Path = VECTORS) -> int:
    """Put the golden PDUs where the fuzzer begins, and keep what it found before. How many there are."""
    directory.mkdir(parents=True, exist_ok=True)
    seeds = json.loads(vectors.read_text(encoding="utf-8"))["vectors"]
    for seed in seeds:
        (directory / seed["name"]).write_bytes(bytes.fromhex(seed["canonical_hex"]))
    return len(seeds)


def main() -> None:
    """Run until an error is found or libFuzzer's options say stop."""
    import atheris

    write_seeds(CORPUS)
    atheris.instrument_all()
    atheris.Setup([*sys.argv, str(CORPUS)], read_everywhere)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
