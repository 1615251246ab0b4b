"""What a session sends of its own: other requests, what a version allows, and congestion_state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import codec
from protocols.smpp.constants import SEQUENCE_NUMBER_MAX, CommandId, CommandStatus
from protocols.smpp.errors import EncodeError, StateError
from protocols.smpp.events import DeliverAnswers, RequestAnswers, SubmitAnswers, TimedOut, UnbindAnswered
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    AlertNotification,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    CancelSm,
    DataSm,
    DataSmResp,
    EnquireLinkResp,
    GenericNack,
    QuerySm,
    QuerySmResp,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
)
from protocols.smpp.session import Session
from protocols.smpp.state import Role

MakeLink = Callable[..., Any]
V5 = SessionConfig(interface_version=0x50, assumed_interface_version=0x34)


def bind(link: Any, version: int) -> None:
    link.bind(BindTransceiver(system_id=b"esme", interface_version=version))


def congestion(state: int) -> bytes:
    return b"\x04\x28\0\1" + bytes((state,))


# --- other requests -------------------------------------------------------------------------------------------------


def test_requests_share_the_sequence_numbers_of_the_submits(link: Any) -> None:
    """quirk 13: the numbers of all requests wrap together, and skip those of any kind that are in flight."""
    link.submit(1)
    link.esme.send_requests([(QuerySm(), "q"), (CancelSm(), "c")], link.now)
    link.esme._numbers._next_number = SEQUENCE_NUMBER_MAX
    link.submit(3, first=1)
    data = link.esme.data_to_send()
    numbers = []
    while data:
        size = int.from_bytes(data[:4], "big")
        numbers.append(int.from_bytes(data[12:16], "big"))
        data = data[size:]
    assert numbers == [2, 3, 4, SEQUENCE_NUMBER_MAX, 1, 5]


def test_a_request_that_is_not_answered_times_out_and_a_late_answer_still_counts(link: Any) -> None:
    """quirk 19: the response does not come."""
    link.esme.send_requests([(QuerySm(), "q")], 1.0)
    link.submit(1)
    link.esme.receive_data(codec.encode_deliver_sm_resps([(99, 0)])[0], 20.0)
    assert link.esme.next_deadline() == 30.0
    assert link.esme.handle_timer(30.0) == [TimedOut([0])]
    assert link.esme.next_deadline() == 31.0
    assert link.esme.handle_timer(31.0) == [TimedOut(["q"])]
    assert link.esme.pending_count == 0
    late = QuerySmResp(sequence_number=2, message_id=b"7")
    assert link.esme.receive_data(codec.encode(late), 32.0) == [RequestAnswers([("q", late)])]
    assert link.esme.close("gone") == [0]


def test_what_was_never_answered_is_told_at_the_end(link: Any) -> None:
    link.esme.send_requests([(QuerySm(), "q")], link.now)
    link.submit(1)
    assert link.esme.close("gone") == [0, "q"]


def test_only_what_may_be_sent_is_sent(make_link: MakeLink, submit: Callable[..., SubmitSm]) -> None:
    link = make_link()
    assert not link.esme.can_send(CommandId.QUERY_SM)
    with pytest.raises(StateError):
        link.esme.send_requests([(QuerySm(), None)], link.now)
    link.bind(BindReceiver(interface_version=0x34))
    with pytest.raises(StateError):
        link.esme.send_requests([(DataSm(), None)], link.now)
    with pytest.raises(StateError):
        link.esme.send_alerts([AlertNotification()], link.now)
    assert link.smsc.can_send(CommandId.DATA_SM)
    assert link.smsc.can_send(CommandId.ALERT_NOTIFICATION)
    assert link.esme.data_to_send() == b""
    assert link.esme.pending_count == 0


def test_a_request_that_does_not_fit_is_an_error_and_none_is_sent(link: Any, submit: Callable[..., SubmitSm]) -> None:
    with pytest.raises(EncodeError):
        link.esme.send_requests([(QuerySm(), 1), (QuerySm(message_id=b"x" * 65), 2)], link.now)
    with pytest.raises(StateError, match="SUBMIT_SM"):
        link.esme.send_requests([(submit(), 1)], link.now)
    assert link.esme.data_to_send() == b""
    assert link.esme.pending_count == 0


def test_a_destination_too_many_for_the_version_is_not_sent(make_link: MakeLink) -> None:
    pdu = SubmitMulti(dest_address=(SmeAddress(destination_addr=b"1"),) * 255)
    link = make_link(V5)
    bind(link, 0x50)
    link.esme.send_requests([(pdu, "m")], link.now)
    (received,) = link.to_smsc()
    assert len(received.pdus[0].dest_address) == 255
    old = make_link(V5)
    bind(old, 0x34)
    with pytest.raises(EncodeError, match="dest_address"):
        old.esme.send_requests([(pdu, "m")], old.now)


# --- versions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0x00, 0x33])
def test_a_peer_before_3_4_gets_no_tlv_and_no_command_of_3_4(make_link: MakeLink, version: int) -> None:
    """quirk 25: up to 0x33."""
    link = make_link()
    bind(link, version)
    assert not link.smsc.can_send(CommandId.DATA_SM)
    with pytest.raises(StateError, match=r"3\.4"):
        link.smsc.send_requests([(DataSm(), None)], link.now)
    with pytest.raises(StateError, match=r"3\.4"):
        link.smsc.send_alerts([AlertNotification()], link.now)
    link.esme.send_requests([(QuerySm(tlvs=b"\x14\0\0\1x"), "q")], link.now)
    (received,) = link.to_smsc()
    assert received.pdus == [QuerySm(sequence_number=2)]
    link.smsc.answer([QuerySmResp(sequence_number=2, message_id=b"7", tlvs=b"\x14\0\0\1x")])
    (answered,) = link.to_esme()
    assert answered.answers[0][1] == QuerySmResp(sequence_number=2, message_id=b"7")


@pytest.mark.parametrize(
    ("own", "peer", "spoken"), [(0x34, 0x50, 0x34), (0x50, 0x34, 0x34), (0x50, 0x50, 0x50), (0x50, 0x33, 0x33)]
)
def test_both_ends_speak_the_lower_of_the_two_versions(make_link: MakeLink, own: int, peer: int, spoken: int) -> None:
    """quirk 25: each interface_version."""
    link = make_link(SessionConfig(interface_version=own, assumed_interface_version=0x33))
    bind(link, peer)
    assert link.smsc.interface_version == spoken
    assert link.esme.interface_version == spoken


# --- congestion_state -----------------------------------------------------------------------------------------------


def test_every_answer_carries_the_state_between_ends_of_5_0(make_link: MakeLink, deliver: Callable[..., Any]) -> None:
    """quirk 25: congestion_state, with answers of each kind, good and bad."""
    link = make_link(V5)
    bind(link, 0x50)
    link.smsc.congestion_state = 85
    link.submit(2)
    link.esme.send_requests([(DataSm(), "d"), (QuerySm(), "q")], link.now)
    link.to_smsc()
    link.smsc.answer_submits([(2, 0, b"id"), (3, CommandStatus.ESME_RTHROTTLED, b"")])
    link.smsc.answer([DataSmResp(sequence_number=4, message_id=b"7"), QuerySmResp(sequence_number=5, command_status=8)])
    data = link.smsc.data_to_send()
    assert data.count(congestion(85)) == 4
    assert link.esme.peer_congestion_state is None
    submits, others = link.esme.receive_data(data, link.now)
    assert submits == SubmitAnswers([(0, 0, b"id"), (1, CommandStatus.ESME_RTHROTTLED, b"")])
    assert [(ref, response.command_status) for ref, response in others.answers] == [("d", 0), ("q", 8)]
    assert link.esme.peer_congestion_state == 85

    link.esme.congestion_state = 0
    link.smsc.send_delivers([(codec.encode_body(deliver()), "r")], link.now)
    link.to_esme()
    link.esme.answer_delivers([(1, 0)])
    assert link.to_smsc() == [DeliverAnswers([("r", 0)])]
    assert link.smsc.peer_congestion_state == 0


def test_what_a_session_answers_by_itself_carries_the_state_too(make_link: MakeLink) -> None:
    """quirk 25: enquire_link, unbind, what is refused, and the answer that binds; a generic_nack has no body."""
    link = make_link(V5)
    link.smsc.congestion_state = 30
    bind(link, 0x50)
    assert link.esme.peer_congestion_state == 30

    link.smsc.congestion_state = 60
    link.esme._probe(link.now, [])
    assert link.to_smsc() == []
    enquired = link.smsc.data_to_send()
    assert codec.decode(enquired) == EnquireLinkResp(sequence_number=2, tlvs=congestion(60))
    assert link.esme.receive_data(enquired, link.now) == []
    assert link.esme.peer_congestion_state == 60

    link.smsc.congestion_state = 90
    refused = [
        codec.HEADER.pack(16, CommandId.SUBMIT_SM, 0, 7),
        codec.HEADER.pack(16, CommandId.QUERY_SM, 0, 8),
        codec.encode(BindTransceiver(sequence_number=9, interface_version=0x50)),
        codec.HEADER.pack(16, 0x00010200, 0, 10),
    ]
    assert link.smsc.receive_data(b"".join(refused), link.now) == []
    answers, data = [], link.smsc.data_to_send()
    while data:
        size = int.from_bytes(data[:4], "big")
        answers.append(codec.decode(data[:size]))
        data = data[size:]
    bad, told = CommandStatus.ESME_RINVCMDLEN, congestion(90)
    assert answers == [
        SubmitSmResp(sequence_number=7, command_status=bad, tlvs=told),
        QuerySmResp(sequence_number=8, command_status=bad, tlvs=told),
        BindTransceiverResp(sequence_number=9, command_status=CommandStatus.ESME_RALYBND, tlvs=told),
        GenericNack(sequence_number=10, command_status=CommandStatus.ESME_RINVCMDID),
    ]

    link.smsc.congestion_state = 100
    link.esme.unbind(link.now)
    link.to_smsc()
    link.smsc.finish_unbind()
    assert link.to_esme() == [UnbindAnswered()]
    assert link.esme.peer_congestion_state == 100


def test_the_excess_over_the_window_is_refused_with_the_state(make_link: MakeLink) -> None:
    """quirk 15 and 25."""
    link = make_link(SessionConfig(interface_version=0x50, window_size=1))
    bind(link, 0x50)
    link.smsc.congestion_state = 95
    link.submit(2)
    link.to_smsc()
    assert link.to_esme() == [SubmitAnswers([(1, CommandStatus.ESME_RTHROTTLED, b"")])]
    assert link.esme.peer_congestion_state == 95


def test_the_last_state_that_was_given_counts_and_none_says_nothing(make_link: MakeLink) -> None:
    link = make_link(V5)
    bind(link, 0x50)
    for state, seen in ((10, 10), (100, 100), (None, 100), (30, 30)):
        link.smsc.congestion_state = state
        link.submit(1)
        (received,) = link.to_smsc()
        link.smsc.answer_submits([(received.pdus[0].sequence_number, 0, b"id")])
        link.to_esme()
        assert link.esme.peer_congestion_state == seen


@pytest.mark.parametrize(("own", "peer"), [(0x34, 0x50), (0x50, 0x34), (0x50, 0x33)])
def test_no_state_passes_unless_both_ends_are_of_5_0(make_link: MakeLink, own: int, peer: int) -> None:
    link = make_link(SessionConfig(interface_version=own))
    link.smsc.congestion_state = 50
    bind(link, peer)
    link.submit(1)
    link.to_smsc()
    link.smsc.answer_submits([(2, 0, b"id")])
    data = link.smsc.data_to_send()
    assert congestion(50) not in data
    link.esme.receive_data(data.replace(b"\0\0\0\x13", b"\0\0\0\x18") + congestion(50), link.now)
    assert link.esme.peer_congestion_state is None


@pytest.mark.parametrize(
    ("status", "body"), [(8, congestion(70)), (8, b"\0" + congestion(70)), (0, b"id\0" + congestion(70))]
)
def test_the_state_is_found_where_peers_put_it(make_link: MakeLink, status: int, body: bytes) -> None:
    link = make_link(V5)
    bind(link, 0x50)
    link.submit(1)
    data = codec.HEADER.pack(16 + len(body), CommandId.SUBMIT_SM_RESP, status, 2) + body
    assert link.esme.receive_data(data, link.now) == [SubmitAnswers([(0, status, b"" if status else b"id")])]
    assert link.esme.peer_congestion_state == 70


@pytest.mark.parametrize("tail", [b"", b"\x04\x28\0\2\0\1", b"\x04\x28\0", b"\x14\0\0\1x"])
def test_an_answer_without_a_good_state_is_an_answer(make_link: MakeLink, tail: bytes) -> None:
    link = make_link(V5)
    bind(link, 0x50)
    link.submit(1)
    answer = SubmitSmResp(sequence_number=2, message_id=b"id", tlvs=tail)
    assert link.esme.receive_data(codec.encode(answer), link.now) == [SubmitAnswers([(0, 0, b"id")])]
    assert link.esme.peer_congestion_state is None


@pytest.mark.parametrize("state", [-1, 101])
def test_a_state_beyond_the_scale_is_an_error_of_ours(link: Any, state: int) -> None:
    with pytest.raises(ValueError, match="congestion_state"):
        link.smsc.congestion_state = state
    assert link.smsc.congestion_state is None


def test_an_esme_speaks_the_version_that_it_binds_with() -> None:
    esme = Session(Role.ESME, SessionConfig(interface_version=0x34), 0.0)
    esme.bind(BindTransmitter(interface_version=0x50), 0.0)
    answer = b"SMSC\0\x02\x10\0\1\x50"
    data = codec.HEADER.pack(16 + len(answer), CommandId.BIND_TRANSMITTER_RESP, 0, 1) + answer
    (accepted,) = esme.receive_data(data, 0.0)
    assert accepted.interface_version == esme.interface_version == 0x50
