"""A session's messages: windows, answers, sequence numbers, and what is answered without the owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import codec
from protocols.smpp.constants import SEQUENCE_NUMBER_MAX, CommandId, CommandStatus
from protocols.smpp.errors import FramingError, StateError
from protocols.smpp.events import (
    DeliverAnswers,
    DeliversReceived,
    SubmitAnswers,
    SubmitsReceived,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    BindReceiver,
    BindTransmitter,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
)
from protocols.smpp.session import Session
from protocols.smpp.state import Role, SessionState

Submit = Callable[..., SubmitSm]
Deliver = Callable[..., DeliverSm]


def pdus(data: bytes) -> list[Pdu]:
    """The PDUs that these octets are."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(codec.decode(data[:size]))
        data = data[size:]
    return found


def raw(command_id: int, sequence_number: int, body: bytes = b"") -> bytes:
    return codec.HEADER.pack(16 + len(body), command_id, 0, sequence_number) + body


# --- messages -------------------------------------------------------------------------------------------------------


def test_all_submits_of_a_read_come_as_one_list_and_are_answered_in_one_write(link: Any) -> None:
    link.submit(50)
    (received,) = link.to_smsc()
    assert isinstance(received, SubmitsReceived)
    assert [pdu.sequence_number for pdu in received.pdus] == list(range(2, 52))
    link.smsc.answer_submits([(pdu.sequence_number, 0, b"id%d" % pdu.sequence_number) for pdu in received.pdus])
    (answered,) = link.to_esme()
    assert answered == SubmitAnswers([(ref, 0, b"id%d" % (ref + 2)) for ref in range(50)])
    assert link.esme.pending_count == 0
    assert link.smsc.unanswered_count == 0


def test_answers_may_come_in_any_order_and_carry_errors(link: Any) -> None:
    link.submit(3)
    link.to_smsc()
    link.smsc.answer_submits([(4, 0, b"c"), (2, CommandStatus.ESME_RINVDSTADR, b"ignored"), (3, 0, b"")])
    assert link.to_esme() == [SubmitAnswers([(2, 0, b"c"), (0, CommandStatus.ESME_RINVDSTADR, b""), (1, 0, b"")])]


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\0", b"\0\x04\x28\0\1\0"])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 254, 255, 256, 300])
def test_an_answer_among_others_gives_the_id_that_its_body_has(link: Any, size: int, tail: bytes) -> None:
    link.submit(4)
    body = b"x" * size + tail
    numbers = (2, 3, 4, 5)
    data = b"".join(raw(CommandId.SUBMIT_SM_RESP, number, body) for number in numbers)
    message_id = codec.read_message_id(body, 0, len(body))
    assert link.esme.receive_data(data, link.now) == [SubmitAnswers([(n - 2, 0, message_id) for n in numbers])]


def test_an_answer_without_a_body_has_no_id_whatever_its_number(link: Any) -> None:
    link.submit(300)
    data = b"".join(raw(CommandId.SUBMIT_SM_RESP, number) for number in range(2, 302))
    assert link.esme.receive_data(data, link.now) == [SubmitAnswers([(number, 0, b"") for number in range(300)])]


def test_delivers_go_the_other_way(link: Any, deliver: Deliver) -> None:
    link.smsc.send_delivers([(codec.encode_body(deliver()), "a"), (codec.encode_body(deliver()), "b")], link.now)
    assert link.smsc.pending_count == 2
    (received,) = link.to_esme()
    assert isinstance(received, DeliversReceived)
    assert [pdu.short_message for pdu in received.pdus] == [b"hi", b"hi"]
    link.esme.answer_delivers([(1, 0), (2, CommandStatus.ESME_RX_T_APPN)])
    assert link.to_smsc() == [DeliverAnswers([("a", 0), ("b", CommandStatus.ESME_RX_T_APPN)])]


def test_answers_of_a_read_come_before_its_requests(link: Any, deliver: Deliver) -> None:
    """So that a receipt in the same read rarely comes before the answer that names its message."""
    link.submit(1)
    link.to_smsc()
    link.smsc.send_delivers([(codec.encode_body(deliver()), None)], link.now)
    link.smsc.answer_submits([(2, 0, b"id")])
    events = link.to_esme()
    assert [type(event) for event in events] == [SubmitAnswers, DeliversReceived]


def test_requests_before_an_unbind_are_told_of_before_it(link: Any) -> None:
    link.submit(2)
    link.esme.unbind(link.now)
    events = link.to_smsc()
    assert [type(event) for event in events] == [SubmitsReceived, UnbindRequested]


def test_a_deliver_answer_with_an_id_or_without_a_body_is_an_answer(link: Any, deliver: Deliver) -> None:
    link.smsc.send_delivers([(codec.encode_body(deliver()), ref) for ref in "abc"], link.now)
    link.smsc.data_to_send()
    data = codec.encode(DeliverSmResp(sequence_number=1, message_id=b"surprise"))
    data += raw(CommandId.DELIVER_SM_RESP, 2) + raw(CommandId.DELIVER_SM_RESP, 3, b"no nul")
    assert link.smsc.receive_data(data, link.now) == [DeliverAnswers([("a", 0), ("b", 0), ("c", 0)])]


@pytest.mark.parametrize("body", [b"", b"\0"])
def test_an_accepted_submit_without_an_id_is_accepted(link: Any, body: bytes) -> None:
    link.submit(1)
    assert link.esme.receive_data(raw(CommandId.SUBMIT_SM_RESP, 2, body), link.now) == [SubmitAnswers([(0, 0, b"")])]


def test_an_error_answer_with_a_body_is_an_error(link: Any) -> None:
    link.submit(1)
    data = codec.HEADER.pack(17, CommandId.SUBMIT_SM_RESP, 0x58, 2) + b"\0"
    assert link.esme.receive_data(data, link.now) == [SubmitAnswers([(0, 0x58, b"")])]


def test_a_generic_nack_answers_the_request_that_it_names(link: Any) -> None:
    link.submit(2)
    data = codec.encode(GenericNack(sequence_number=2, command_status=CommandStatus.ESME_RINVCMDID))
    data += codec.encode(GenericNack(sequence_number=3)) + codec.encode(GenericNack(sequence_number=0))
    assert link.esme.receive_data(data, link.now) == [
        SubmitAnswers([(0, CommandStatus.ESME_RINVCMDID, b""), (1, CommandStatus.ESME_RUNKNOWNERR, b"")])
    ]


def test_an_answer_to_nothing_is_ignored(link: Any) -> None:
    data = codec.encode(SubmitSmResp(sequence_number=77, message_id=b"x")) + raw(CommandId.DATA_SM_RESP, 1)
    data += codec.encode(EnquireLinkResp(sequence_number=5)) + raw(CommandId.DELIVER_SM_RESP, 3)
    assert link.esme.receive_data(data, link.now) == []
    assert link.esme.data_to_send() == b""


def test_an_answer_counts_once(link: Any) -> None:
    link.submit(1)
    answer = codec.encode(SubmitSmResp(sequence_number=2, message_id=b"x"))
    assert link.esme.receive_data(answer + answer, link.now) == [SubmitAnswers([(0, 0, b"x")])]


def test_the_peers_sequence_numbers_are_echoed_exactly(link: Any, submit: Submit) -> None:
    numbers = [0, 0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1]
    data = b"".join(codec.encode(submit(sequence_number=number)) for number in numbers)
    (received,) = link.smsc.receive_data(data, link.now)
    link.smsc.answer_submits([(pdu.sequence_number, 0, b"x") for pdu in received.pdus])
    assert [pdu.sequence_number for pdu in pdus(link.smsc.data_to_send())] == numbers


def test_our_sequence_numbers_wrap_after_the_largest(link: Any, submit: Submit) -> None:
    link.esme._numbers._next_number = SEQUENCE_NUMBER_MAX
    link.submit(2)
    assert [pdu.sequence_number for pdu in pdus(link.esme.data_to_send())] == [SEQUENCE_NUMBER_MAX, 1]


def test_a_request_is_pending_before_its_octets_can_leave(link: Any) -> None:
    link.submit(3)
    assert link.esme.pending_count == 3
    assert link.esme.close("gone") == [0, 1, 2]
    assert link.esme.close("again") == []
    assert link.esme.closed_reason == "gone"


# --- what is answered here ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_bound", [False, True])
def test_an_enquire_link_is_answered_before_the_bind_too(make_link: Callable[..., Any], is_bound: bool) -> None:
    link = make_link()
    if is_bound:
        link.bind()
    data = codec.encode(EnquireLink(sequence_number=0xFFFFFFFF))
    for session in (link.smsc, link.esme):
        assert session.receive_data(data, link.now) == []
        assert pdus(session.data_to_send()) == [EnquireLinkResp(sequence_number=0xFFFFFFFF)]


def test_a_bad_body_is_answered_with_its_response_and_costs_only_itself(link: Any, submit: Submit) -> None:
    bad = raw(CommandId.SUBMIT_SM, 8, b"\0\0\0" + b"x" * 30)
    (received,) = link.smsc.receive_data(
        codec.encode(submit(sequence_number=7)) + bad + codec.encode(submit(sequence_number=9)), link.now
    )
    assert [pdu.sequence_number for pdu in received.pdus] == [7, 9]
    (answer,) = pdus(link.smsc.data_to_send())
    assert isinstance(answer, SubmitSmResp)
    assert answer.sequence_number == 8
    assert answer.command_status != 0
    assert link.smsc.unanswered_count == 2
    assert link.smsc.malformed == {CommandId.SUBMIT_SM: 1}


@pytest.mark.parametrize(
    "command_id",
    [0x0A, 0x00010203, 0x7FFFFFFF, 0x800000FF],
)
def test_a_command_that_is_unknown_is_answered_with_generic_nack(link: Any, command_id: int) -> None:
    assert link.smsc.receive_data(raw(command_id, 12, b"whatever"), link.now) == []
    assert pdus(link.smsc.data_to_send()) == [
        GenericNack(sequence_number=12, command_status=CommandStatus.ESME_RINVCMDID)
    ]
    assert link.smsc.state is SessionState.BOUND_TRX


def test_a_request_in_the_wrong_state_is_refused_and_the_session_stays(
    make_link: Callable[..., Any], submit: Submit, deliver: Deliver
) -> None:
    link = make_link()
    assert link.smsc.receive_data(codec.encode(submit(sequence_number=1)), link.now) == []
    assert pdus(link.smsc.data_to_send()) == [
        SubmitSmResp(sequence_number=1, command_status=CommandStatus.ESME_RINVBNDSTS)
    ]
    link.bind(BindReceiver(system_id=b"a", interface_version=0x34))
    assert link.smsc.receive_data(codec.encode(submit(sequence_number=2)), link.now) == []
    assert link.smsc.receive_data(codec.encode(deliver(sequence_number=3)), link.now) == []
    assert [(pdu.command_id, pdu.command_status) for pdu in pdus(link.smsc.data_to_send())] == [
        (CommandId.SUBMIT_SM_RESP, CommandStatus.ESME_RINVBNDSTS),
        (CommandId.DELIVER_SM_RESP, CommandStatus.ESME_RINVBNDSTS),
    ]


def test_our_own_request_in_the_wrong_state_is_an_error_of_ours(
    make_link: Callable[..., Any], submit: Submit, deliver: Deliver
) -> None:
    link = make_link()
    items = [(codec.encode_body(submit()), None)]
    with pytest.raises(StateError):
        link.esme.send_submits(items, link.now)
    with pytest.raises(StateError):
        link.esme.unbind(link.now)
    link.bind(BindTransmitter(system_id=b"a", interface_version=0x34))
    assert link.esme.can_submit
    assert not link.esme.can_deliver
    assert not link.smsc.can_deliver
    with pytest.raises(StateError):
        link.smsc.send_delivers([(codec.encode_body(deliver()), None)], link.now)
    with pytest.raises(StateError):
        link.smsc.send_submits(items, link.now)
    assert link.smsc.data_to_send() == b""


# --- framing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 15, 70_001, 0xFFFFFFFF])
def test_an_absurd_length_loses_the_framing_and_keeps_what_came_before(link: Any, submit: Submit, length: int) -> None:
    bad = codec.HEADER.pack(length, CommandId.SUBMIT_SM, 0, 5)
    with pytest.raises(FramingError) as caught:
        link.smsc.receive_data(codec.encode(submit(sequence_number=4)) + bad, link.now)
    (received,) = caught.value.events
    assert isinstance(received, SubmitsReceived)
    assert link.smsc.state is SessionState.CLOSED
    assert pdus(link.smsc.data_to_send()) == [
        GenericNack(sequence_number=5, command_status=CommandStatus.ESME_RINVCMDLEN)
    ]
    assert link.smsc.receive_data(codec.encode(submit()), link.now) == []


def test_before_the_bind_a_pdu_is_small(make_link: Callable[..., Any]) -> None:
    link = make_link()
    assert link.smsc.receive_data(raw(0x99, 1, b"x" * 240), link.now) == []
    with pytest.raises(FramingError):
        link.smsc.receive_data(codec.HEADER.pack(257, 0x99, 0, 2), link.now)


def test_a_large_pdu_is_taken_up_to_the_bound_once_bound(link: Any, submit: Submit) -> None:
    data = codec.encode(submit(sequence_number=3, tlvs=b"\x04\x24\xff\xff" + b"x" * 65535))
    half = len(data) // 2
    assert link.smsc.receive_data(data[:half], link.now) == []
    (received,) = link.smsc.receive_data(data[half:], link.now)
    assert len(received.pdus[0].tlvs) == 65539


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 50, 1000])
def test_the_stream_may_be_cut_anywhere(link: Any, submit: Submit, size: int) -> None:
    data = b"".join(codec.encode(submit(sequence_number=number)) for number in range(1, 21))
    data += codec.encode(Unbind(sequence_number=21))
    numbers = []
    events = []
    for start in range(0, len(data), size):
        for event in link.smsc.receive_data(data[start : start + size], link.now):
            events.append(type(event))
            if isinstance(event, SubmitsReceived):
                numbers += [pdu.sequence_number for pdu in event.pdus]
    assert numbers == list(range(1, 21))
    assert events[-1] is UnbindRequested
    assert not link.smsc.has_backlog


# --- the peer's window ----------------------------------------------------------------------------------------------


def test_beyond_the_window_submits_are_throttled_and_beyond_twice_the_window_left_unread(
    make_link: Callable[..., Any],
) -> None:
    link = make_link(SessionConfig(window_size=10))
    link.bind()
    link.submit(35)
    (received,) = link.to_smsc()
    assert [pdu.sequence_number for pdu in received.pdus] == list(range(2, 12))
    assert not link.smsc.wants_read
    assert link.smsc.has_backlog
    (answered,) = link.to_esme()
    assert answered == SubmitAnswers([(ref, CommandStatus.ESME_RTHROTTLED, b"") for ref in range(10, 20)])
    link.smsc.answer_submits([(pdu.sequence_number, 0, b"x") for pdu in received.pdus])
    assert link.smsc.wants_read
    (received,) = link.smsc.receive_data(b"", link.now)
    assert [pdu.sequence_number for pdu in received.pdus] == list(range(22, 32))
    assert link.smsc.wants_read
    assert not link.smsc.has_backlog


def test_octets_that_come_while_the_session_does_not_want_to_read_are_kept_in_order(
    make_link: Callable[..., Any],
) -> None:
    link = make_link(SessionConfig(window_size=1))
    link.bind()
    link.submit(3)
    link.to_smsc()
    link.submit(1, first=3)
    assert link.to_smsc() == []
    link.smsc.answer_submits([(2, 0, b"x")])
    (received,) = link.smsc.receive_data(b"", link.now)
    assert [pdu.sequence_number for pdu in received.pdus] == [4]
    assert link.to_esme() == [SubmitAnswers([(1, 0x58, b""), (0, 0, b"x"), (3, 0x58, b"")])]


def test_a_window_that_the_owner_sets_after_the_bind_counts(make_link: Callable[..., Any]) -> None:
    link = make_link(SessionConfig(window_size=1))
    link.bind()
    link.smsc.window_size = 5
    link.submit(5)
    (received,) = link.to_smsc()
    assert len(received.pdus) == link.smsc.window_size == 5


def test_an_esme_never_throttles_an_smsc_it_stops_reading(make_link: Callable[..., Any], deliver: Deliver) -> None:
    link = make_link(SessionConfig(window_size=2))
    link.bind()
    link.smsc.send_delivers([(codec.encode_body(deliver()), ref) for ref in range(5)], link.now)
    (received,) = link.to_esme()
    assert len(received.pdus) == 2
    assert not link.esme.wants_read
    assert link.esme.data_to_send() == b""
    link.esme.answer_delivers([(1, 0), (2, 0)])
    assert len(link.esme.receive_data(b"", link.now)[0].pdus) == 2


def test_refused_submits_take_no_room_in_the_window(make_link: Callable[..., Any], submit: Submit) -> None:
    link = make_link(SessionConfig(window_size=1))
    link.bind()
    bad = raw(CommandId.SUBMIT_SM, 8)
    (received,) = link.smsc.receive_data(bad * 5 + codec.encode(submit(sequence_number=9)), link.now)
    assert [pdu.sequence_number for pdu in received.pdus] == [9]


# --- TLVs -----------------------------------------------------------------------------------------------------------


def test_no_tlvs_are_sent_to_a_peer_before_3_4(make_link: Callable[..., Any], deliver: Deliver) -> None:
    link = make_link()
    link.bind(BindReceiver(system_id=b"old", interface_version=0x33))
    assert link.smsc.peer_interface_version == 0x33
    assert link.esme.peer_interface_version == 0x33
    link.smsc.send_delivers([(codec.encode_body(deliver(tlvs=b"\x14\0\0\1x")), None)], link.now)
    (received,) = link.to_esme()
    assert received.pdus[0].tlvs == b""


def test_an_unknown_tlv_reaches_a_peer_verbatim(link: Any, submit: Submit) -> None:
    tlvs = b"\x14\0\0\1x" + b"\x02\x04\0\2\0\1" + b"\x15\x00\0\0"
    link.esme.send_submits([(codec.encode_body(submit(tlvs=tlvs)), None)], link.now)
    (received,) = link.to_smsc()
    assert received.pdus[0].tlvs == tlvs


def test_an_smsc_that_gives_no_version_is_taken_for_the_assumed_one() -> None:
    for assumed in (0x33, 0x34):
        esme = Session(Role.ESME, SessionConfig(assumed_interface_version=assumed), 0.0)
        esme.bind(BindTransmitter(system_id=b"a", interface_version=0x34), 0.0)
        (accepted,) = esme.receive_data(raw(CommandId.BIND_TRANSMITTER_RESP, 1, b"SMSC\0"), 0.0)
        assert accepted.interface_version == assumed
        assert accepted.system_id == b"SMSC"
