"""The golden vectors: PDUs that other people's codecs agree on, through our codec and through a session.

Each is fed whole, octet by octet, and with more octets behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocols.smpp import codec, tlv
from protocols.smpp.broadcast import BroadcastSmResp, CancelBroadcastSmResp, QueryBroadcastSmResp
from protocols.smpp.constants import CommandId, CommandStatus, TlvTag
from protocols.smpp.errors import PduError
from protocols.smpp.events import (
    AlertsReceived,
    BindAccepted,
    BindRequested,
    CancelsReceived,
    DataReceived,
    DeliverAnswers,
    DeliversReceived,
    Event,
    MultisReceived,
    OutbindReceived,
    QueriesReceived,
    ReplacesReceived,
    RequestAnswers,
    SubmitAnswers,
    SubmitsReceived,
    UnbindAnswered,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    PDU_CLASSES,
    Bind,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DeliverSm,
    DestAddress,
    DistributionList,
    EnquireLink,
    EnquireLinkResp,
    Pdu,
    QuerySm,
    ReplaceSm,
    Request,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    UnsuccessSme,
)
from protocols.smpp.session import Session
from protocols.smpp.state import Role

VECTORS: dict[str, Any] = {
    vector["name"]: vector
    for vector in json.loads((Path(__file__).parent / "vectors" / "open.json").read_text())["vectors"]
}
NAMES = sorted(VECTORS)
CLASSES = {pdu_class.command_id.name.lower(): pdu_class for pdu_class in PDU_CLASSES}
# jsmpp leaves the name of a distribution list out, and nothing that follows can be told from it.
UNREADABLE = {("submit_multi", "jsmpp 3.x")}
VARIANTS = [
    (name, index)
    for name in NAMES
    for index, variant in enumerate(VECTORS[name]["variants"])
    if not any((name, impl) in UNREADABLE for impl in variant["impls"])
]
# Fields that a variant's codec writes differently on purpose, so that it is not equal to the canonical form.
QUIRKS = {"interface_version", "body present with error status"}
MORE = codec.encode(EnquireLink(sequence_number=99))


def octets(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["canonical_hex"])


def destination(kind: str, *values: Any) -> DestAddress:
    if kind == "dl":
        return DistributionList(dl_name=values[0].encode())
    ton, npi, address = values
    return SmeAddress(dest_addr_ton=ton, dest_addr_npi=npi, destination_addr=address.encode())


def logical(name: str) -> Pdu:
    """The PDU that the vector's author gave to each codec."""
    given = VECTORS[name]["logical"]
    fields: dict[str, Any] = {}
    for field, value in given["f"].items():
        if field.endswith("_hex"):
            fields[field.removesuffix("_hex")] = bytes.fromhex(value)
        else:
            fields[field] = value.encode() if isinstance(value, str) else value
    if "dests" in given:
        fields["dest_address"] = tuple(destination(*each) for each in given["dests"])
    if "unsuccess" in given:
        fields["unsuccess_sme"] = tuple(
            UnsuccessSme(
                dest_addr_ton=ton, dest_addr_npi=npi, destination_addr=address.encode(), error_status_code=code
            )
            for ton, npi, address, code in given["unsuccess"]
        )
    tlvs = b"".join(
        tlv.encode_value(
            TlvTag[tag.upper()],
            value if kind == "int" else bytes.fromhex(value) if kind == "hex" else value.encode(),
        )
        for tag, kind, value in given["tlv"]
    )
    return CLASSES[VECTORS[name]["cmd"]](
        sequence_number=given["seq"], command_status=given["status"], tlvs=tlvs, **fields
    )


# --- the codec ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_is_decoded_to_what_was_meant(name: str) -> None:
    assert codec.decode(octets(name)) == logical(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_meant_is_encoded_to_the_vector(name: str) -> None:
    assert codec.encode(logical(name)) == octets(name)


@pytest.mark.parametrize(("name", "index"), VARIANTS)
def test_what_other_codecs_write_differently_means_the_same(name: str, index: int) -> None:
    variant = VECTORS[name]["variants"][index]
    pdu, meant = codec.decode(bytes.fromhex(variant["hex"])), logical(name)
    assert tlv.read(pdu.tlvs) == tlv.read(meant.tlvs)
    pdu.tlvs = meant.tlvs = b""
    if any(quirk in note for note in variant["notes"] for quirk in QUIRKS):
        assert pdu.command_id == meant.command_id
        assert pdu.command_status == meant.command_status
        assert pdu.sequence_number == meant.sequence_number
    else:
        assert pdu == meant


@pytest.mark.parametrize(("name", "impl"), UNREADABLE)
def test_what_no_one_can_read_is_refused(name: str, impl: str) -> None:
    (variant,) = (each for each in VECTORS[name]["variants"] if impl in each["impls"])
    with pytest.raises(PduError):
        codec.decode(bytes.fromhex(variant["hex"]))


@pytest.mark.parametrize("name", NAMES)
def test_junk_behind_the_body_but_inside_the_pdu_does_no_harm(name: str) -> None:
    """A PDU whose command_length counts more than its fields: the rest is an optional part that cannot be read."""
    whole = octets(name)
    for junk in (b"\0", b"\x14\x00\xff", b"\x14\x00\xff\xff\0"):
        longer = (len(whole) + len(junk)).to_bytes(4, "big") + whole[4:] + junk
        pdu, meant = codec.decode(longer), logical(name)
        if name == "submit_sm_resp_throttled":
            # It came without the body that it may have, so the junk is read as one.
            assert (pdu.command_status, pdu.sequence_number) == (meant.command_status, meant.sequence_number)
            continue
        assert tlv.read(pdu.tlvs) == tlv.read(meant.tlvs)
        pdu.tlvs = meant.tlvs = b""
        assert pdu == meant


# --- the session ----------------------------------------------------------------------------------------------------


REQUESTS: dict[CommandId, Request] = {
    CommandId.SUBMIT_MULTI_RESP: SubmitMulti(dest_address=(SmeAddress(destination_addr=b"1"),)),
    CommandId.DATA_SM_RESP: DataSm(),
    CommandId.QUERY_SM_RESP: QuerySm(),
    CommandId.CANCEL_SM_RESP: CancelSm(),
    CommandId.REPLACE_SM_RESP: ReplaceSm(),
}
RECEIVED: dict[CommandId, Callable[[list[Any]], Event]] = {
    CommandId.SUBMIT_SM: SubmitsReceived,
    CommandId.SUBMIT_MULTI: MultisReceived,
    CommandId.DELIVER_SM: DeliversReceived,
    CommandId.DATA_SM: DataReceived,
    CommandId.QUERY_SM: QueriesReceived,
    CommandId.CANCEL_SM: CancelsReceived,
    CommandId.REPLACE_SM: ReplacesReceived,
    CommandId.ALERT_NOTIFICATION: AlertsReceived,
}
REFUSED: dict[CommandId, type[Pdu]] = {
    CommandId.BROADCAST_SM: BroadcastSmResp,
    CommandId.QUERY_BROADCAST_SM: QueryBroadcastSmResp,
    CommandId.CANCEL_BROADCAST_SM: CancelBroadcastSmResp,
}
BROADCAST_ANSWERS = {pdu_class.command_id for pdu_class in REFUSED.values()}


def bound(role: Role, next_number: int, last: Request | None = None) -> Session:
    """A session bound as a transceiver, whose next request has this number. Refs of its requests are the numbers.

    last: what an ESME sent under the number before; all others are submits.
    """
    session = Session(role, SessionConfig(window_size=1000), 0.0)
    if role is Role.SMSC:
        bind = BindTransceiver(system_id=b"a", interface_version=0x34, sequence_number=1)
        session.receive_data(codec.encode(bind), 0.0)
        session.accept_bind(1, b"SMSC01", 0.0)
        body = codec.encode_body(DeliverSm())
        session.send_delivers([(body, number) for number in range(1, next_number)], 0.0)
    else:
        session.bind(BindTransceiver(system_id=b"a", interface_version=0x34), 0.0)
        session.receive_data(octets("bind_transceiver_resp"), 0.0)
        body = codec.encode_body(SubmitSm())
        others = [(body, number) for number in range(2, next_number)]
        session.send_submits(others[: -1 if last else None], 0.0)
        if last:
            session.send_requests([(last, next_number - 1)], 0.0)
    session.data_to_send()
    return session


def session_for(pdu: Pdu) -> Session:
    """A session in a state in which this PDU is due."""
    number = pdu.sequence_number
    match pdu.command_id:
        case CommandId.BIND_TRANSMITTER | CommandId.BIND_RECEIVER | CommandId.BIND_TRANSCEIVER:
            return Session(Role.SMSC, SessionConfig(), 0.0)
        case CommandId.BIND_TRANSMITTER_RESP | CommandId.BIND_RECEIVER_RESP | CommandId.BIND_TRANSCEIVER_RESP:
            session = Session(Role.ESME, SessionConfig(), 0.0)
            binds: tuple[type[Bind], ...] = (BindTransmitter, BindReceiver, BindTransceiver)
            (bind,) = (each for each in binds if each.command_id | 0x80000000 == pdu.command_id)
            session.bind(bind(interface_version=0x34), 0.0)
            session.data_to_send()
            return session
        case CommandId.OUTBIND:
            return Session(Role.ESME, SessionConfig(), 0.0)
        case CommandId.DELIVER_SM | CommandId.ALERT_NOTIFICATION | CommandId.ENQUIRE_LINK_RESP:
            return bound(Role.ESME, 2)
        case CommandId.UNBIND_RESP:
            session = bound(Role.ESME, number)
            session.unbind(0.0)
            session.data_to_send()
            return session
        case CommandId.DELIVER_SM_RESP:
            return bound(Role.SMSC, number + 1)
        case command_id if command_id.is_response:
            return bound(Role.ESME, number + 1, REQUESTS.get(command_id))
        case _:
            return bound(Role.SMSC, 1)


def expected(pdu: Pdu) -> tuple[list[Event], list[Pdu]]:
    """The events that the PDU has to lead to, and the answers that the session gives by itself."""
    number, status = pdu.sequence_number, pdu.command_status
    match pdu.command_id:
        case CommandId.BIND_TRANSMITTER | CommandId.BIND_RECEIVER | CommandId.BIND_TRANSCEIVER:
            return [BindRequested(pdu)], []  # type: ignore[arg-type]  # it is a Bind
        case CommandId.BIND_TRANSCEIVER_RESP:
            return [BindAccepted(0x34, b"SMSC01", 0x34)], []
        case command_id if command_id in RECEIVED:
            return [RECEIVED[command_id]([pdu])], []
        case command_id if command_id in REFUSED:
            return [], [REFUSED[command_id](sequence_number=number, command_status=CommandStatus.ESME_RINVCMDID)]
        case command_id if command_id in BROADCAST_ANSWERS:
            return [], []  # we never ask
        case command_id if command_id in REQUESTS:
            return [RequestAnswers([(number, pdu)])], []  # type: ignore[list-item]  # it is a Response
        case CommandId.OUTBIND:
            return [OutbindReceived(pdu)], []  # type: ignore[arg-type]  # it is an Outbind
        case CommandId.SUBMIT_SM_RESP:
            return [SubmitAnswers([(number, status, getattr(pdu, "message_id", b""))])], []
        case CommandId.GENERIC_NACK:
            return [SubmitAnswers([(number, status, b"")])] if number else [], []
        case CommandId.DELIVER_SM_RESP:
            return [DeliverAnswers([(number, status)])], []
        case CommandId.ENQUIRE_LINK:
            return [], [EnquireLinkResp(sequence_number=number)]
        case CommandId.ENQUIRE_LINK_RESP:
            return [], []
        case CommandId.UNBIND:
            return [UnbindRequested()], []
        case CommandId.UNBIND_RESP:
            return [UnbindAnswered()], []
        case command_id:
            raise AssertionError(f"no expectation for {command_id.name}")


def answers(session: Session) -> list[Pdu]:
    data, found = session.data_to_send(), []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(codec.decode(data[:size]))
        data = data[size:]
    return found


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def by_octet(data: bytes) -> Iterator[bytes]:
    for index in range(len(data)):
        yield data[index : index + 1]


def in_halves(data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    yield data[len(data) // 2 :]


@pytest.mark.parametrize("cut", [whole, by_octet, in_halves])
@pytest.mark.parametrize("name", NAMES)
def test_a_session_reads_a_vector_however_it_is_cut(name: str, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    pdu = logical(name)
    session = session_for(pdu)
    events = [event for data in cut(octets(name)) for event in session.receive_data(data, 0.0)]
    assert (events, answers(session)) == expected(pdu)


@pytest.mark.parametrize("size", range(1, len(MORE) + 1))
@pytest.mark.parametrize("name", NAMES)
def test_octets_of_the_next_pdu_behind_a_vector_wait_for_their_turn(name: str, size: int) -> None:
    pdu = logical(name)
    session = session_for(pdu)
    events = session.receive_data(octets(name) + MORE[:size], 0.0)
    wanted_events, wanted_answers = expected(pdu)
    assert events == wanted_events
    if isinstance(pdu, Bind):
        session.accept_bind(pdu.sequence_number, b"SMSC01", 0.0)
        session.data_to_send()
        assert session.receive_data(b"", 0.0) == []
    session.receive_data(MORE[size:], 0.0)
    if pdu.command_id is not CommandId.UNBIND_RESP:  # after it nothing is read any more
        wanted_answers = [*wanted_answers, EnquireLinkResp(sequence_number=99)]
    assert answers(session) == wanted_answers
