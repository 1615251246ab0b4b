"""A session's other requests: data_sm, submit_multi, query_sm, cancel_sm, replace_sm, alert_notification, outbind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import codec
from protocols.smpp.broadcast import BroadcastSm, CancelBroadcastSm, QueryBroadcastSm
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.errors import EncodeError, StateError
from protocols.smpp.events import (
    AlertsReceived,
    BindRefused,
    BindRequested,
    CancelsReceived,
    ConnectionDead,
    DataReceived,
    DeathReason,
    DeliversReceived,
    Event,
    MultisReceived,
    OutbindReceived,
    QueriesReceived,
    ReplacesReceived,
    RequestAnswers,
    SubmitsReceived,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DistributionList,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    Unbind,
    UnsuccessSme,
)
from protocols.smpp.session import Session
from protocols.smpp.state import Role, SessionState

MakeLink = Callable[..., Any]
PAYLOAD = b"\x04\x24\0\2hi"
MULTI = SubmitMulti(
    source_addr=b"A",
    dest_address=(SmeAddress(destination_addr=b"1"), DistributionList(dl_name=b"staff")),
    short_message=b"hi",
)
# Each request of an ESME with the event that it becomes and the answer that it gets.
REQUESTS: list[tuple[Any, Callable[[list[Any]], Event], Any]] = [
    (MULTI, MultisReceived, SubmitMultiResp(message_id=b"7", unsuccess_sme=(UnsuccessSme(error_status_code=11),))),
    (DataSm(source_addr=b"A", destination_addr=b"1", tlvs=PAYLOAD), DataReceived, DataSmResp(message_id=b"7")),
    (QuerySm(message_id=b"7"), QueriesReceived, QuerySmResp(message_id=b"7", message_state=2)),
    (CancelSm(message_id=b"7"), CancelsReceived, CancelSmResp()),
    (ReplaceSm(message_id=b"7", short_message=b"new"), ReplacesReceived, ReplaceSmResp()),
]
NAMES = [type(request).__name__ for request, _, _ in REQUESTS]


def pdus(data: bytes) -> list[Pdu]:
    """The PDUs that these octets are."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(codec.decode(data[:size]))
        data = data[size:]
    return found


def numbered(pdu: Any, number: int) -> Any:
    """The same PDU with this sequence_number."""
    return codec.decode(codec.encode(pdu)[:12] + number.to_bytes(4, "big") + codec.encode(pdu)[16:])


def octets(*given: Pdu) -> bytes:
    return b"".join(codec.encode(pdu) for pdu in given)


# --- as an SMSC -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_pdu", "event", "response"), REQUESTS, ids=NAMES)
def test_a_request_goes_to_the_owner_and_its_answer_comes_back(
    link: Any, request_pdu: Any, event: Any, response: Any
) -> None:
    link.esme.send_requests([(request_pdu, "a"), (request_pdu, "b")], link.now)
    assert link.esme.pending_count == 2
    assert link.to_smsc() == [event([numbered(request_pdu, 2), numbered(request_pdu, 3)])]
    assert link.smsc.unanswered_count == 2
    refused = type(response)(sequence_number=2, command_status=CommandStatus.ESME_RINVMSGID)
    link.smsc.answer([numbered(response, 3), refused])
    assert link.to_esme() == [RequestAnswers([("b", numbered(response, 3)), ("a", refused)])]
    assert link.esme.pending_count == link.smsc.unanswered_count == 0


def test_requests_of_several_kinds_keep_the_order_of_the_stream(link: Any, submit: Callable[..., SubmitSm]) -> None:
    """A cancel_sm must not overtake the submit_sm before it, nor take back the one after it."""
    data = octets(
        submit(sequence_number=1),
        submit(sequence_number=2),
        CancelSm(sequence_number=3),
        CancelSm(sequence_number=4),
        submit(sequence_number=5),
        QuerySm(sequence_number=6),
        Unbind(sequence_number=7),
    )
    events = link.smsc.receive_data(data, link.now)
    assert [(type(event), [pdu.sequence_number for pdu in getattr(event, "pdus", [])]) for event in events] == [
        (SubmitsReceived, [1, 2]),
        (CancelsReceived, [3, 4]),
        (SubmitsReceived, [5]),
        (QueriesReceived, [6]),
        (UnbindRequested, []),
    ]


@pytest.mark.parametrize(("request_pdu", "event", "response"), REQUESTS, ids=NAMES)
def test_requests_count_in_the_window_like_submits(
    make_link: MakeLink, submit: Callable[..., SubmitSm], request_pdu: Any, event: Any, response: Any
) -> None:
    link = make_link(SessionConfig(window_size=2))
    link.bind()
    data = octets(submit(sequence_number=1), *(numbered(request_pdu, number) for number in range(2, 7)))
    received = link.smsc.receive_data(data, link.now)
    assert received[1:] == [event([numbered(request_pdu, 2)])]
    assert not link.smsc.wants_read
    assert pdus(link.smsc.data_to_send()) == [
        type(response)(sequence_number=number, command_status=CommandStatus.ESME_RTHROTTLED) for number in (3, 4)
    ]
    link.smsc.answer([numbered(response, 2)])
    assert link.smsc.wants_read
    assert link.smsc.receive_data(b"", link.now) == [event([numbered(request_pdu, 5)])]


@pytest.mark.parametrize(("request_pdu", "event", "response"), REQUESTS, ids=NAMES)
def test_what_the_state_does_not_allow_is_refused_on_its_own_response(
    make_link: MakeLink, request_pdu: Any, event: Any, response: Any
) -> None:
    link = make_link()
    refusal = [type(response)(sequence_number=9, command_status=CommandStatus.ESME_RINVBNDSTS)]
    assert link.smsc.receive_data(codec.encode(numbered(request_pdu, 9)), link.now) == []
    assert pdus(link.smsc.data_to_send()) == refusal
    link.bind(BindReceiver(system_id=b"a", interface_version=0x34))
    assert link.smsc.receive_data(codec.encode(numbered(request_pdu, 9)), link.now) == []
    assert pdus(link.smsc.data_to_send()) == refusal
    assert link.smsc.state is SessionState.BOUND_RX


@pytest.mark.parametrize("pdu", [BroadcastSm(), QueryBroadcastSm(message_id=b"7"), CancelBroadcastSm()])
def test_broadcasts_are_refused_as_a_command_that_is_not_offered(link: Any, pdu: Pdu) -> None:
    for session in (link.smsc, link.esme):
        assert session.receive_data(codec.encode(pdu), link.now) == []
        (answer,) = pdus(session.data_to_send())
        assert answer.command_id == pdu.command_id | 0x80000000
        assert answer.command_status == CommandStatus.ESME_RINVCMDID
        assert session.state is SessionState.BOUND_TRX


def test_requests_can_be_refused_all_at_once(link: Any) -> None:
    link.esme.send_requests([(request_pdu, name) for (request_pdu, _, _), name in zip(REQUESTS, NAMES, strict=True)], 0)
    for event in link.to_smsc():
        link.smsc.refuse(event.pdus, CommandStatus.ESME_RINVCMDID)
    assert link.smsc.unanswered_count == 0
    (answered,) = link.to_esme()
    assert answered.answers == [
        (name, type(response)(sequence_number=number, command_status=CommandStatus.ESME_RINVCMDID))
        for number, ((_, _, response), name) in enumerate(zip(REQUESTS, NAMES, strict=True), 2)
    ]


def test_an_answer_that_does_not_fit_is_an_error_and_nothing_is_sent(link: Any) -> None:
    link.esme.send_requests([(QuerySm(), 1), (QuerySm(), 2)], link.now)
    link.to_smsc()
    with pytest.raises(EncodeError):
        link.smsc.answer([QuerySmResp(sequence_number=2), QuerySmResp(sequence_number=3, message_id=b"x" * 65)])
    assert link.smsc.data_to_send() == b""
    assert link.smsc.unanswered_count == 2


def test_an_error_may_carry_tlvs_behind_empty_fields(link: Any) -> None:
    """A data_sm that could not be delivered says why (SMPP 3.4 section 4.7.2)."""
    link.esme.send_requests([(DataSm(tlvs=PAYLOAD), "a")], link.now)
    link.to_smsc()
    failed = DataSmResp(sequence_number=2, command_status=0xFE, message_id=b"x", tlvs=b"\x04\x25\0\1\1")
    link.smsc.answer([failed])
    failed.message_id = b""
    assert link.to_esme() == [RequestAnswers([("a", failed)])]


def test_an_answer_after_the_end_is_dropped(link: Any) -> None:
    link.esme.send_requests([(QuerySm(), 1)], link.now)
    link.to_smsc()
    link.smsc.close("gone")
    link.smsc.answer([QuerySmResp(sequence_number=2)])
    assert link.smsc.data_to_send() == b""


# --- as an ESME -----------------------------------------------------------------------------------------------------


def test_a_data_sm_from_the_smsc_comes_beside_the_delivers(link: Any, deliver: Callable[..., Any]) -> None:
    link.smsc.send_delivers([(codec.encode_body(deliver()), "d")], link.now)
    link.smsc.send_requests([(DataSm(source_addr=b"1", esm_class=4, tlvs=PAYLOAD), "r")], link.now)
    delivers, data = link.to_esme()
    assert isinstance(delivers, DeliversReceived)
    assert isinstance(data, DataReceived)
    assert data.pdus[0].tlvs == PAYLOAD
    assert link.esme.unanswered_count == 2
    link.esme.answer([DataSmResp(sequence_number=2)])
    assert link.to_smsc() == [RequestAnswers([("r", DataSmResp(sequence_number=2))])]


def test_an_esme_does_not_throttle_a_data_sm_it_stops_reading(make_link: MakeLink) -> None:
    link = make_link(SessionConfig(window_size=1))
    link.bind()
    link.smsc.send_requests([(DataSm(), 1), (DataSm(), 2)], link.now)
    assert link.to_esme() == [DataReceived([DataSm(sequence_number=1)])]
    assert not link.esme.wants_read
    assert link.esme.data_to_send() == b""
    link.esme.answer([DataSmResp(sequence_number=1)])
    assert link.esme.receive_data(b"", link.now) == [DataReceived([DataSm(sequence_number=2)])]


def test_an_alert_is_told_and_not_answered(link: Any) -> None:
    alert = AlertNotification(source_addr=b"447700900123", esme_addr=b"12345", tlvs=b"\x04\x22\0\1\0")
    link.smsc.send_alerts([alert, alert], link.now)
    assert link.to_esme() == [AlertsReceived([numbered(alert, 1), numbered(alert, 2)])]
    assert link.esme.data_to_send() == b""
    assert link.esme.unanswered_count == link.smsc.pending_count == 0


@pytest.mark.parametrize("pdu", [AlertNotification(sequence_number=5), Outbind(sequence_number=5)])
def test_what_has_no_response_is_refused_with_generic_nack(link: Any, pdu: Pdu) -> None:
    assert link.smsc.receive_data(codec.encode(pdu), link.now) == []
    bad = codec.HEADER.pack(16 + 99, pdu.command_id, 0, 6) + b"x" * 99
    assert link.smsc.receive_data(bad, link.now) == []
    assert pdus(link.smsc.data_to_send()) == [
        GenericNack(sequence_number=number, command_status=CommandStatus.ESME_RINVBNDSTS) for number in (5, 6)
    ]


def test_a_bad_alert_is_answered_with_generic_nack(link: Any) -> None:
    bad = codec.HEADER.pack(16 + 99, CommandId.ALERT_NOTIFICATION, 0, 6) + b"x" * 99
    assert link.esme.receive_data(bad, link.now) == []
    (nack,) = pdus(link.esme.data_to_send())
    assert nack == GenericNack(sequence_number=6, command_status=CommandStatus.ESME_RINVCMDLEN)


def test_a_nack_answers_a_request_too(link: Any) -> None:
    link.esme.send_requests([(QuerySm(), "q")], link.now)
    nack = codec.encode(GenericNack(sequence_number=2, command_status=CommandStatus.ESME_RINVCMDID))
    refused = QuerySmResp(sequence_number=2, command_status=CommandStatus.ESME_RINVCMDID)
    assert link.esme.receive_data(nack + nack, link.now) == [RequestAnswers([("q", refused)])]


def test_an_answer_of_another_command_answers_nothing(link: Any) -> None:
    """A submit must not be told that it was answered by what answers a query, nor the other way round."""
    link.submit(1)
    link.esme.send_requests([(QuerySm(), "q")], link.now)
    data = octets(QuerySmResp(sequence_number=2), DataSmResp(sequence_number=3))
    data += codec.encode_submit_sm_resps([(3, 0, b"x")])[0]
    assert link.esme.receive_data(data, link.now) == []
    assert link.esme.pending_count == 2


@pytest.mark.parametrize("body", [b"", b"\0", b"7\0\0\2", b"\xff" * 300])
def test_an_answer_with_a_broken_body_is_an_answer(link: Any, body: bytes) -> None:
    """quirk 11: an error without its body, and worse."""
    link.esme.send_requests([(QuerySm(), "q")], link.now)
    data = codec.HEADER.pack(16 + len(body), CommandId.QUERY_SM_RESP, 0x67, 2) + body
    assert link.esme.receive_data(data, link.now) == [
        RequestAnswers([("q", QuerySmResp(sequence_number=2, command_status=0x67))])
    ]


# --- outbind --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bind", [BindReceiver, BindTransceiver])
def test_an_outbind_is_answered_with_a_bind(make_link: MakeLink, bind: Any) -> None:
    link = make_link()
    link.smsc.outbind(b"SMSC", b"secret", link.now)
    assert link.smsc.state is SessionState.OUTBOUND
    assert link.to_esme() == [OutbindReceived(Outbind(sequence_number=1, system_id=b"SMSC", password=b"secret"))]
    assert link.esme.state is SessionState.OUTBOUND
    link.esme.bind(bind(system_id=b"esme", interface_version=0x34), link.now)
    (requested,) = link.to_smsc()
    assert isinstance(requested, BindRequested)
    link.smsc.refuse_bind(requested.pdu.sequence_number, CommandStatus.ESME_RINVPASWD)
    assert link.to_esme() == [BindRefused(CommandStatus.ESME_RINVPASWD)]
    assert link.esme.state is link.smsc.state is SessionState.OUTBOUND
    link.bind(bind(system_id=b"esme", interface_version=0x34))
    assert link.esme.state.is_bound
    assert link.esme.state is link.smsc.state


def test_no_transmitter_binds_after_an_outbind(make_link: MakeLink) -> None:
    link = make_link()
    link.smsc.outbind(b"SMSC", b"", link.now)
    assert link.smsc.receive_data(codec.encode(BindTransmitter(sequence_number=3)), link.now) == []
    assert pdus(link.smsc.data_to_send())[1].command_status == CommandStatus.ESME_RINVBNDSTS


@pytest.mark.parametrize("role", Role)
def test_an_outbind_that_leads_to_no_bind_is_given_up_in_time(role: Role) -> None:
    smsc = Session(Role.SMSC, SessionConfig(session_init_seconds=5), 0.0)
    smsc.outbind(b"SMSC", b"", 4.0)
    esme = Session(Role.ESME, SessionConfig(session_init_seconds=5), 0.0)
    esme.receive_data(smsc.data_to_send(), 4.0)
    session = smsc if role is Role.SMSC else esme
    assert session.next_deadline() == 9.0
    assert session.handle_timer(9.0) == [ConnectionDead(DeathReason.SESSION_INIT)]


def test_an_outbind_can_not_be_sent_twice_or_by_an_esme(make_link: MakeLink) -> None:
    link = make_link()
    link.smsc.outbind(b"SMSC", b"", link.now)
    for session in (link.smsc, link.esme):
        with pytest.raises(StateError):
            session.outbind(b"SMSC", b"", link.now)


def test_the_answer_to_the_bind_after_an_outbind_is_awaited_like_any_other(make_link: MakeLink) -> None:
    link = make_link()
    link.smsc.outbind(b"SMSC", b"", 1.0)
    link.to_esme()
    link.esme.bind(BindReceiver(interface_version=0x34), 2.0)
    assert link.esme.next_deadline() == 32.0
    assert link.esme.handle_timer(32.0) == [ConnectionDead(DeathReason.BIND_UNANSWERED)]
