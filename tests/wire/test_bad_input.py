"""One row a field that a peer got wrong: which status it is answered with, and that nothing else happens.

The octets go through a session. Rows of `READ` can be read but must not be accepted: the owner refuses them with what
`validation` says. After each the session takes the next good PDU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from protocols.smpp import codec, validation
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.errors import FramingError
from protocols.smpp.events import DataReceived, Event, MultisReceived, ReplacesReceived, SubmitsReceived
from protocols.smpp.fields import format_of
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
)
from protocols.smpp.session import Session
from protocols.smpp.state import Role, SessionState

C, S = CommandId, CommandStatus
AD = b"\1\1447700900123\0"  # an address: TON, NPI, digits
TAIL = b"\0\0\0"  # esm_class, protocol_id, priority_flag
REST = b"\0\0" + b"\0\0\0\0" + b"\2hi"  # no times, four flags, a text
MULTI = b"\0" + AD + b"\1\1" + AD  # a submit_multi's beginning, with one destination


class Row(NamedTuple):
    """What was sent, and what it is refused with. what: begins with the name of the field at fault."""

    what: str
    command: CommandId
    body: bytes
    status: CommandStatus


def address(size: int) -> bytes:
    return b"\1\1" + b"4" * size + b"\0"


BINDS = [
    Row("system_id: too long", C.BIND_TRANSCEIVER, b"x" * 66 + b"\0pw\0\0\x34\0\0\0", S.ESME_RINVSYSID),
    Row("password: too long", C.BIND_TRANSMITTER, b"id\0" + b"x" * 66 + b"\0\0\x34\0\0\0", S.ESME_RINVPASWD),
    Row("system_type: too long", C.BIND_RECEIVER, b"id\0pw\0" + b"x" * 66 + b"\0\x34\0\0\0", S.ESME_RINVSYSTYP),
    Row("address_range: too long", C.BIND_RECEIVER, b"id\0pw\0\0\x34\0\0" + b"x" * 130 + b"\0", S.ESME_RINVCMDLEN),
    Row("no NUL", C.BIND_TRANSCEIVER, b"id", S.ESME_RINVCMDLEN),
    Row("no body", C.BIND_TRANSCEIVER, b"", S.ESME_RINVCMDLEN),
    Row("ends before interface_version", C.BIND_TRANSCEIVER, b"id\0pw\0\0", S.ESME_RINVCMDLEN),
]
UNREADABLE = [
    Row("service_type", C.SUBMIT_SM, b"x" * 6 + b"\0" + AD + AD + TAIL + REST, S.ESME_RINVSERTYP),
    Row("source_addr", C.SUBMIT_SM, b"\0" + address(21) + AD + TAIL + REST, S.ESME_RINVSRCADR),
    Row("destination_addr", C.SUBMIT_SM, b"\0" + AD + address(21) + TAIL + REST, S.ESME_RINVDSTADR),
    Row(
        "schedule_delivery_time", C.SUBMIT_SM, b"\0" + AD + AD + TAIL + b"1" * 17 + b"\0\0\0\0\0\0\0", S.ESME_RINVSCHED
    ),
    Row("validity_period", C.SUBMIT_SM, b"\0" + AD + AD + TAIL + b"\0" + b"1" * 17 + bytes(6), S.ESME_RINVEXPIRY),
    Row(
        "short_message: sm_length beyond the PDU",
        C.SUBMIT_SM,
        b"\0" + AD + AD + TAIL + REST[:-3] + b"\3hi",
        S.ESME_RINVMSGLEN,
    ),
    Row("ends inside an address", C.SUBMIT_SM, b"\0" + AD[:-3], S.ESME_RINVCMDLEN),
    Row("ends before sm_length", C.SUBMIT_SM, b"\0" + AD + AD + TAIL + REST[:-3], S.ESME_RINVCMDLEN),
    Row("no body", C.SUBMIT_SM, b"", S.ESME_RINVCMDLEN),
    Row("service_type", C.SUBMIT_MULTI, b"x" * 6 + b"\0" + AD + b"\1\1" + AD + TAIL + REST, S.ESME_RINVSERTYP),
    Row("source_addr", C.SUBMIT_MULTI, b"\0" + address(21) + b"\1\1" + AD + TAIL + REST, S.ESME_RINVSRCADR),
    Row("number_of_dests: 0", C.SUBMIT_MULTI, b"\0" + AD + b"\0" + TAIL + REST, S.ESME_RINVNUMDESTS),
    Row("dest_flag: 0", C.SUBMIT_MULTI, b"\0" + AD + b"\1\0" + AD + TAIL + REST, S.ESME_RINVDESTFLAG),
    Row("dest_flag: 3", C.SUBMIT_MULTI, b"\0" + AD + b"\2\1" + AD + b"\3" + AD + TAIL + REST, S.ESME_RINVDESTFLAG),
    Row("destination_addr", C.SUBMIT_MULTI, b"\0" + AD + b"\1\1" + address(21) + TAIL + REST, S.ESME_RINVDSTADR),
    Row("dl_name", C.SUBMIT_MULTI, b"\0" + AD + b"\1\2" + b"x" * 21 + b"\0" + TAIL + REST, S.ESME_RINVDLNAME),
    Row("fewer destinations than said", C.SUBMIT_MULTI, b"\0" + AD + b"\5\1" + AD, S.ESME_RINVCMDLEN),
    Row("schedule_delivery_time", C.SUBMIT_MULTI, MULTI + TAIL + b"1" * 17 + bytes(7), S.ESME_RINVSCHED),
    Row("validity_period", C.SUBMIT_MULTI, MULTI + TAIL + b"\0" + b"1" * 17 + bytes(6), S.ESME_RINVEXPIRY),
    Row(
        "short_message: sm_length beyond the PDU",
        C.SUBMIT_MULTI,
        b"\0" + AD + b"\1\1" + AD + TAIL + REST[:-3] + b"\3hi",
        S.ESME_RINVMSGLEN,
    ),
    Row("service_type", C.DATA_SM, b"x" * 66 + b"\0" + AD + AD + b"\0\0\0", S.ESME_RINVSERTYP),
    Row("source_addr", C.DATA_SM, b"\0" + address(65) + AD + b"\0\0\0", S.ESME_RINVSRCADR),
    Row("destination_addr", C.DATA_SM, b"\0" + AD + address(65) + b"\0\0\0", S.ESME_RINVDSTADR),
    Row("ends before data_coding", C.DATA_SM, b"\0" + AD + AD + b"\0\0", S.ESME_RINVCMDLEN),
    Row("message_id", C.QUERY_SM, b"x" * 65 + b"\0" + AD, S.ESME_RINVMSGID),
    Row("source_addr", C.QUERY_SM, b"7\0" + address(21), S.ESME_RINVSRCADR),
    Row("no body", C.QUERY_SM, b"", S.ESME_RINVCMDLEN),
    Row("service_type", C.CANCEL_SM, b"x" * 6 + b"\0" + b"7\0" + AD + AD, S.ESME_RINVSERTYP),
    Row("message_id", C.CANCEL_SM, b"\0" + b"x" * 65 + b"\0" + AD + AD, S.ESME_RINVMSGID),
    Row("source_addr", C.CANCEL_SM, b"\0" + b"7\0" + address(21) + AD, S.ESME_RINVSRCADR),
    Row("destination_addr", C.CANCEL_SM, b"\0" + b"7\0" + AD + address(21), S.ESME_RINVDSTADR),
    Row("message_id", C.REPLACE_SM, b"x" * 65 + b"\0" + AD + b"\0\0\0\0\2hi", S.ESME_RINVMSGID),
    Row("source_addr", C.REPLACE_SM, b"7\0" + address(21) + b"\0\0\0\0\2hi", S.ESME_RINVSRCADR),
    Row("schedule_delivery_time", C.REPLACE_SM, b"7\0" + AD + b"1" * 17 + b"\0\0\0\0\2hi", S.ESME_RINVSCHED),
    Row("validity_period", C.REPLACE_SM, b"7\0" + AD + b"\0" + b"1" * 17 + b"\0\0\0\2hi", S.ESME_RINVEXPIRY),
    Row("short_message: sm_length beyond the PDU", C.REPLACE_SM, b"7\0" + AD + b"\0\0\0\0\x09hi", S.ESME_RINVMSGLEN),
]
# The same from an SMSC; addresses and times of a deliver_sm are read liberally, because it may be a receipt.
FROM_SMSC = [
    Row("service_type", C.DELIVER_SM, b"x" * 66 + b"\0" + AD + AD + TAIL + REST, S.ESME_RINVSERTYP),
    Row("source_addr", C.DELIVER_SM, b"\0" + address(65) + AD + TAIL + REST, S.ESME_RINVSRCADR),
    Row("destination_addr", C.DELIVER_SM, b"\0" + AD + address(65) + TAIL + REST, S.ESME_RINVDSTADR),
    Row("schedule_delivery_time", C.DELIVER_SM, b"\0" + AD + AD + TAIL + b"1" * 66 + bytes(7), S.ESME_RINVSCHED),
    Row("validity_period", C.DELIVER_SM, b"\0" + AD + AD + TAIL + b"\0" + b"1" * 66 + bytes(6), S.ESME_RINVEXPIRY),
    Row(
        "short_message: sm_length beyond the PDU",
        C.DELIVER_SM,
        b"\0" + AD + AD + TAIL + REST[:-3] + b"\3hi",
        S.ESME_RINVMSGLEN,
    ),
    Row("service_type", C.DATA_SM, b"x" * 66 + b"\0" + AD + AD + b"\0\0\0", S.ESME_RINVSERTYP),
    Row("source_addr", C.DATA_SM, b"\0" + address(65) + AD + b"\0\0\0", S.ESME_RINVSRCADR),
    Row("destination_addr", C.DATA_SM, b"\0" + AD + address(65) + b"\0\0\0", S.ESME_RINVDSTADR),
    Row("source_addr", C.ALERT_NOTIFICATION, address(65) + AD, S.ESME_RINVSRCADR),
    Row("esme_addr", C.ALERT_NOTIFICATION, AD + address(65), S.ESME_RINVDSTADR),
]
OUTBINDS = [
    Row("system_id: too long", C.OUTBIND, b"x" * 66 + b"\0pw\0", S.ESME_RINVSYSID),
    Row("password: too long", C.OUTBIND, b"id\0" + b"x" * 66 + b"\0", S.ESME_RINVPASWD),
]


def submit_with(flags: bytes = TAIL, rest: bytes = REST) -> bytes:
    return b"\0" + AD + AD + flags + rest


def multi_with(flags: bytes = TAIL, rest: bytes = REST) -> bytes:
    return MULTI + flags + rest


def multi_of(count: int) -> bytes:
    return b"\0" + AD + bytes((count,)) + b"\2a\0" * count + TAIL + REST


PAYLOAD = b"\x04\x24\0\2hi"
SAR = b"\2\x0c\0\2\0\7\2\x0e\0\1\2\2\x0f\0\1"  # and the number of the part, of two
UCS2 = b"\0\0\0\0\x08\0\3\0hi"  # as REST, with half a character too much
PART = b"\0\0\0\0\0\0\x08\5\0\3\7\2\1hi"
READ = [
    Row("priority_flag", C.SUBMIT_SM, submit_with(b"\0\0\4"), S.ESME_RINVPRTFLG),
    Row("registered_delivery", C.SUBMIT_SM, submit_with(rest=b"\0\0\x80\0\0\0\2hi"), S.ESME_RINVREGDLVFLG),
    Row("replace_if_present_flag", C.SUBMIT_SM, submit_with(rest=b"\0\0\0\2\0\0\2hi"), S.ESME_RINVREPFLAG),
    Row("replace_if_present_flag: 255", C.SUBMIT_SM, submit_with(rest=b"\0\0\0\xff\0\0\2hi"), S.ESME_RINVREPFLAG),
    Row("sm_default_msg_id", C.SUBMIT_SM, submit_with(rest=b"\0\0\0\0\0\xff\2hi"), S.ESME_RINVDFTMSGID),
    Row("esm_class: UDHI without UDH", C.SUBMIT_SM, submit_with(b"\x40\0\0"), S.ESME_RINVESMCLASS),
    Row("esm_class: type of an SMSC", C.SUBMIT_SM, submit_with(b"\x04\0\0"), S.ESME_RINVESMCLASS),
    Row("short_message: two texts", C.SUBMIT_SM, submit_with() + PAYLOAD, S.ESME_RINVMSGLEN),
    Row("short_message: half a UCS-2 character", C.SUBMIT_SM, submit_with(rest=UCS2), S.ESME_RINVMSGLEN),
    Row("sar_segment_seqnum: 0", C.SUBMIT_SM, submit_with() + SAR + b"\0", S.ESME_RINVOPTPARAMVAL),
    Row("sar_segment_seqnum: 3 of 2", C.SUBMIT_SM, submit_with() + SAR + b"\3", S.ESME_RINVOPTPARAMVAL),
    Row(
        "sar_*: beside a UDH of a part",
        C.SUBMIT_SM,
        submit_with(b"\x40\0\0", PART) + SAR + b"\1",
        S.ESME_ROPTPARNOTALLWD,
    ),
    Row("number_of_dests: 255 before 5.0", C.SUBMIT_MULTI, multi_of(255), S.ESME_RINVNUMDESTS),
    Row("priority_flag", C.SUBMIT_MULTI, multi_with(b"\0\0\4"), S.ESME_RINVPRTFLG),
    Row("registered_delivery", C.SUBMIT_MULTI, multi_with(rest=b"\0\0\x80\0\0\0\2hi"), S.ESME_RINVREGDLVFLG),
    Row("replace_if_present_flag", C.SUBMIT_MULTI, multi_with(rest=b"\0\0\0\2\0\0\2hi"), S.ESME_RINVREPFLAG),
    Row("replace_if_present_flag: 255", C.SUBMIT_MULTI, multi_with(rest=b"\0\0\0\xff\0\0\2hi"), S.ESME_RINVREPFLAG),
    Row("sm_default_msg_id", C.SUBMIT_MULTI, multi_with(rest=b"\0\0\0\0\0\xff\2hi"), S.ESME_RINVDFTMSGID),
    Row("esm_class: UDHI without UDH", C.SUBMIT_MULTI, multi_with(b"\x40\0\0"), S.ESME_RINVESMCLASS),
    Row("esm_class: type of an SMSC", C.SUBMIT_MULTI, multi_with(b"\x04\0\0"), S.ESME_RINVESMCLASS),
    Row("short_message: two texts", C.SUBMIT_MULTI, multi_with() + PAYLOAD, S.ESME_RINVMSGLEN),
    Row("short_message: half a UCS-2 character", C.SUBMIT_MULTI, multi_with(rest=UCS2), S.ESME_RINVMSGLEN),
    Row("sar_segment_seqnum: 0", C.SUBMIT_MULTI, multi_with() + SAR + b"\0", S.ESME_RINVOPTPARAMVAL),
    Row("sar_segment_seqnum: 3 of 2", C.SUBMIT_MULTI, multi_with() + SAR + b"\3", S.ESME_RINVOPTPARAMVAL),
    Row(
        "sar_*: beside a UDH of a part",
        C.SUBMIT_MULTI,
        multi_with(b"\x40\0\0", PART) + SAR + b"\1",
        S.ESME_ROPTPARNOTALLWD,
    ),
    Row("esm_class: UDHI without UDH", C.DATA_SM, b"\0" + AD + AD + b"\x40\0\0" + PAYLOAD, S.ESME_RINVESMCLASS),
    Row("esm_class: type of an SMSC", C.DATA_SM, b"\0" + AD + AD + b"\x04\0\0" + PAYLOAD, S.ESME_RINVESMCLASS),
    Row(
        "sar_segment_seqnum: 3 of 2",
        C.DATA_SM,
        b"\0" + AD + AD + b"\0\0\0" + PAYLOAD + SAR + b"\3",
        S.ESME_RINVOPTPARAMVAL,
    ),
    Row("service_type", C.DATA_SM, b"x" * 6 + b"\0" + AD + AD + b"\0\0\0" + PAYLOAD, S.ESME_RINVSERTYP),
    Row("registered_delivery", C.DATA_SM, b"\0" + AD + AD + b"\0\x20\0" + PAYLOAD, S.ESME_RINVREGDLVFLG),
    Row(
        "message_payload: half a UCS-2 character",
        C.DATA_SM,
        b"\0" + AD + AD + b"\0\0\x08" + b"\x04\x24\0\3\0hi",
        S.ESME_RINVMSGLEN,
    ),
    Row("message_id: none", C.REPLACE_SM, b"\0" + AD + b"\0\0\0\0\2hi", S.ESME_RINVMSGID),
    Row("registered_delivery", C.REPLACE_SM, b"7\0" + AD + b"\0\0\x80\0\2hi", S.ESME_RINVREGDLVFLG),
    Row("sm_default_msg_id", C.REPLACE_SM, b"7\0" + AD + b"\0\0\0\xff\2hi", S.ESME_RINVDFTMSGID),
    Row("short_message: two texts", C.REPLACE_SM, b"7\0" + AD + b"\0\0\0\0\2hi" + PAYLOAD, S.ESME_RINVMSGLEN),
]

RESPONSES: dict[CommandId, type[Pdu]] = {
    C.BIND_TRANSMITTER: BindTransmitterResp,
    C.BIND_RECEIVER: BindReceiverResp,
    C.BIND_TRANSCEIVER: BindTransceiverResp,
    C.SUBMIT_SM: SubmitSmResp,
    C.SUBMIT_MULTI: SubmitMultiResp,
    C.DELIVER_SM: DeliverSmResp,
    C.DATA_SM: DataSmResp,
    C.QUERY_SM: QuerySmResp,
    C.CANCEL_SM: CancelSmResp,
    C.REPLACE_SM: ReplaceSmResp,
    C.OUTBIND: GenericNack,
    C.ALERT_NOTIFICATION: GenericNack,
}


def open_session(role: Role = Role.SMSC) -> Session:
    return Session(role, SessionConfig(pre_bind_size_max=1000), 0.0)


def bound(role: Role) -> Session:
    session = open_session(role)
    if role is Role.SMSC:
        session.receive_data(codec.encode(BindTransceiver(interface_version=0x34, sequence_number=1)), 0.0)
        session.accept_bind(1, b"SMSC", 0.0)
    else:
        session.bind(BindTransceiver(interface_version=0x34), 0.0)
        session.receive_data(codec.encode(BindTransceiverResp(sequence_number=1)), 0.0)
    session.data_to_send()
    return session


def check_refused(session: Session, row: Row, events: list[Event]) -> None:
    """The answer is the row's, and the session takes the next PDU as if nothing had been."""
    assert events == []
    state = session.state
    assert session.receive_data(codec.encode(EnquireLink(sequence_number=100)), 0.0) == []
    data = session.data_to_send()
    refusal, alive = codec.decode(data[:16]), codec.decode(data[16:])
    assert refusal == RESPONSES[row.command](sequence_number=99, command_status=row.status), row.what
    assert alive == EnquireLinkResp(sequence_number=100)
    assert session.state is state
    assert session.unanswered_count == 0


def octets(row: Row) -> bytes:
    return codec.HEADER.pack(16 + len(row.body), row.command, 0, 99) + row.body


def name(row: Row) -> str:
    return f"{row.command.name.lower()}: {row.what}"


BIND_COMMANDS = {C.BIND_TRANSMITTER, C.BIND_RECEIVER, C.BIND_TRANSCEIVER}
TO_SMSC = [
    BindTransmitter, BindReceiver, BindTransceiver, SubmitSm, SubmitMulti, DataSm, QuerySm, CancelSm, ReplaceSm,
]  # fmt: skip
TO_ESME = [Outbind, DeliverSm, DataSm, AlertNotification]
# What no peer is refused for: reserved types and plans too are used (quirks 39 and 43), and a text in a reserved
# data_coding is somebody's. A deliver_sm may be a receipt, of which nothing but what is too long is refused.
ANY_VALUE = {"interface_version", "ton", "npi", "protocol_id", "data_coding"}
ANY_VALUE_OF_AN_SMSC = ANY_VALUE | {
    "esm_class", "priority_flag", "registered_delivery", "replace_if_present_flag", "sm_default_msg_id",
}  # fmt: skip


def fields_of(table: type) -> set[str]:
    """The names of a PDU's fields and, of structures, of theirs with their number and flag."""
    names: set[str] = set()
    for form in format_of(table):
        if form.rows:
            names |= {"number_of_dests", "dest_flag"}.union(*(fields_of(row) for row in form.rows))
        else:
            names.add(form.name.rpartition("_")[2] if form.name.endswith(("_ton", "_npi")) else form.name)
    return names


@pytest.mark.parametrize(
    ("pdu_class", "rows", "any_value"),
    [(pdu_class, BINDS + UNREADABLE + READ, ANY_VALUE) for pdu_class in TO_SMSC]
    + [(pdu_class, OUTBINDS + FROM_SMSC, ANY_VALUE_OF_AN_SMSC) for pdu_class in TO_ESME],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_every_field_of_a_request_has_its_row(pdu_class: type[Pdu], rows: list[Row], any_value: set[str]) -> None:
    """Binds have theirs together."""
    commands = BIND_COMMANDS if pdu_class.command_id in BIND_COMMANDS else {pdu_class.command_id}
    found = {row.what.partition(":")[0] for row in rows if row.command in commands}
    assert fields_of(pdu_class) - any_value <= found


@pytest.mark.parametrize("row", BINDS, ids=name)
def test_a_bad_bind_is_refused_and_may_be_tried_again(row: Row) -> None:
    session = open_session()
    check_refused(session, row, session.receive_data(octets(row), 0.0))
    good = codec.encode(BindTransceiver(sequence_number=3, interface_version=0x34))
    assert len(session.receive_data(good, 0.0)) == 1


@pytest.mark.parametrize("row", UNREADABLE, ids=name)
def test_a_bad_request_of_an_esme_is_refused_by_its_field(row: Row) -> None:
    session = bound(Role.SMSC)
    check_refused(session, row, session.receive_data(octets(row), 0.0))


@pytest.mark.parametrize("row", FROM_SMSC, ids=name)
def test_a_bad_request_of_an_smsc_is_refused_by_its_field(row: Row) -> None:
    session = bound(Role.ESME)
    check_refused(session, row, session.receive_data(octets(row), 0.0))


@pytest.mark.parametrize("row", OUTBINDS, ids=name)
def test_a_bad_outbind_is_refused_and_leads_nowhere(row: Row) -> None:
    session = open_session(Role.ESME)
    check_refused(session, row, session.receive_data(octets(row), 0.0))
    assert session.state is SessionState.OPEN


CHECKS: dict[type, Callable[[Any], CommandStatus | None]] = {
    SubmitsReceived: validation.check_submit,
    MultisReceived: validation.check_multi,
    DataReceived: validation.check_data,
    ReplacesReceived: validation.check_replace,
}


@pytest.mark.parametrize("row", READ, ids=name)
def test_a_request_that_can_be_read_is_refused_by_what_it_says(row: Row) -> None:
    session = bound(Role.SMSC)
    (event,) = session.receive_data(octets(row), 0.0)
    (pdu,) = event.pdus  # type: ignore[union-attr]  # an event of CHECKS
    status = CHECKS[type(event)](pdu)
    assert status is row.status
    if row.command is C.SUBMIT_SM:
        session.answer_submits([(99, status, b"")])
    else:
        session.answer([RESPONSES[row.command](sequence_number=99, command_status=status)])  # type: ignore[list-item]
    check_refused(session, row, [])


@pytest.mark.parametrize("row", UNREADABLE + READ, ids=name)
def test_the_same_request_without_its_fault_is_accepted(row: Row) -> None:
    """So that a row is refused for the fault that it names and for no other."""
    good = {
        C.SUBMIT_SM: submit_with(),
        C.SUBMIT_MULTI: multi_with(),
        C.DATA_SM: b"\0" + AD + AD + b"\0\0\0" + PAYLOAD,
        C.QUERY_SM: b"7\0" + AD,
        C.CANCEL_SM: b"\0" + b"7\0" + AD + AD,
        C.REPLACE_SM: b"7\0" + AD + b"\0\0\0\0\2hi",
    }[row.command]
    (event,) = bound(Role.SMSC).receive_data(codec.HEADER.pack(16 + len(good), row.command, 0, 99) + good, 0.0)
    (pdu,) = event.pdus  # type: ignore[union-attr]  # an event with PDUs
    check = CHECKS.get(type(event))
    assert check is None or check(pdu) is None


@pytest.mark.parametrize("length", [0, 1, 15, 70_001, 0x80000000, 0xFFFFFFFF])
def test_a_bad_command_length_is_answered_and_ends_the_session(length: int) -> None:
    """quirk 23: absurd lengths; the only fault that costs the connection."""
    session = bound(Role.SMSC)
    with pytest.raises(FramingError):
        session.receive_data(codec.HEADER.pack(length, C.SUBMIT_SM, 0, 99), 0.0)
    assert codec.decode(session.data_to_send()) == GenericNack(sequence_number=99, command_status=S.ESME_RINVCMDLEN)
    assert session.state is SessionState.CLOSED


@pytest.mark.parametrize("command", [0x0000000A, 0x00000016, 0x00010200, 0x7FFFFFFF, 0x80000016, 0xFFFFFFFF])
def test_an_unknown_command_is_answered_with_generic_nack(command: int) -> None:
    """quirk 23: unknown commands keep the session."""
    session = bound(Role.SMSC)
    assert session.receive_data(codec.HEADER.pack(20, command, 0, 99) + b"data", 0.0) == []
    assert codec.decode(session.data_to_send()) == GenericNack(sequence_number=99, command_status=S.ESME_RINVCMDID)
    assert session.state is SessionState.BOUND_TRX
