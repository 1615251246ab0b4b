"""A session's beginning and end: binds, unbinds and the timers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import codec
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.errors import StateError
from protocols.smpp.events import (
    BindAccepted,
    BindRefused,
    BindRequested,
    ConnectionDead,
    DeathReason,
    SubmitAnswers,
    SubmitsReceived,
    TimedOut,
    UnbindAnswered,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    Bind,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from protocols.smpp.state import SessionState

Submit = Callable[..., SubmitSm]
MakeLink = Callable[..., Any]
BIND = BindTransceiver(system_id=b"esme", password=b"secret", interface_version=0x34)


# --- bind -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pdu_class", "state"),
    [
        (BindTransmitter, SessionState.BOUND_TX),
        (BindReceiver, SessionState.BOUND_RX),
        (BindTransceiver, SessionState.BOUND_TRX),
    ],
)
def test_both_ends_are_bound_as_was_asked(make_link: MakeLink, pdu_class: type[Bind], state: SessionState) -> None:
    link = make_link()
    link.bind(pdu_class(system_id=b"esme", interface_version=0x34))
    assert link.smsc.state is link.esme.state is state
    assert link.smsc.peer_interface_version == link.esme.peer_interface_version == 0x34


def test_the_credentials_come_with_the_request(make_link: MakeLink) -> None:
    link = make_link()
    link.esme.bind(BIND, link.now)
    (requested,) = link.to_smsc()
    assert requested == BindRequested(
        BindTransceiver(system_id=b"esme", password=b"secret", interface_version=0x34, sequence_number=1)
    )


def test_a_refused_bind_leaves_the_session_open_for_another(make_link: MakeLink) -> None:
    link = make_link()
    link.esme.bind(BIND, link.now)
    link.to_smsc()
    link.smsc.refuse_bind(1, CommandStatus.ESME_RINVPASWD)
    assert link.to_esme() == [BindRefused(CommandStatus.ESME_RINVPASWD)]
    assert link.smsc.state is link.esme.state is SessionState.OPEN
    link.bind()
    assert link.smsc.state is SessionState.BOUND_TRX


def test_a_bind_that_is_answered_with_generic_nack_is_refused(make_link: MakeLink) -> None:
    link = make_link()
    link.esme.bind(BIND, link.now)
    nack = codec.encode(GenericNack(sequence_number=1, command_status=CommandStatus.ESME_RINVCMDID))
    assert link.esme.receive_data(nack, link.now) == [BindRefused(CommandStatus.ESME_RINVCMDID)]


def test_a_bound_esme_is_told_that_it_is(link: Any) -> None:
    assert link.smsc.receive_data(codec.encode(BindTransmitter(sequence_number=9)), link.now) == []
    assert codec.decode(link.smsc.data_to_send()).command_status == CommandStatus.ESME_RALYBND


def test_a_bad_bind_is_answered_here(make_link: MakeLink) -> None:
    link = make_link()
    data = codec.HEADER.pack(16 + 70, CommandId.BIND_TRANSCEIVER, 0, 3) + b"x" * 70
    assert link.smsc.receive_data(data, link.now) == []
    answer = codec.decode(link.smsc.data_to_send())
    assert answer == BindTransceiverResp(sequence_number=3, command_status=CommandStatus.ESME_RINVCMDLEN)


def test_what_follows_a_bind_waits_for_its_answer(make_link: MakeLink, submit: Submit) -> None:
    """An ESME need not wait for the answer before it goes on, and a decision may take a while."""
    link = make_link()
    link.esme.bind(BIND, link.now)
    large = codec.encode(submit(sequence_number=2, tlvs=b"\x04\x24\x01\xf4" + b"x" * 500))
    (requested,) = link.smsc.receive_data(link.esme.data_to_send() + large, link.now)
    assert not link.smsc.wants_read
    link.smsc.accept_bind(requested.pdu.sequence_number, b"smsc", link.now)
    assert link.smsc.wants_read
    (received,) = link.smsc.receive_data(b"", link.now)
    assert isinstance(received, SubmitsReceived)


def test_what_follows_the_answer_in_the_same_read_is_taken(make_link: MakeLink) -> None:
    link = make_link()
    link.esme.bind(BIND, link.now)
    answer = codec.encode(BindTransceiverResp(sequence_number=1, system_id=b"smsc"))
    deliver = codec.HEADER.pack(16 + 17, CommandId.DELIVER_SM, 0, 1) + bytes(17)
    events = link.esme.receive_data(answer + deliver, link.now)
    assert isinstance(events[0], BindAccepted)
    assert len(events) == 2


def test_only_the_bind_that_waits_can_be_decided(make_link: MakeLink) -> None:
    link = make_link()
    with pytest.raises(StateError):
        link.smsc.accept_bind(1, b"smsc", link.now)
    link.esme.bind(BIND, link.now)
    with pytest.raises(StateError):
        link.esme.bind(BIND, link.now)
    link.to_smsc()
    with pytest.raises(StateError):
        link.smsc.refuse_bind(2, CommandStatus.ESME_RBINDFAIL)
    link.smsc.refuse_bind(1, CommandStatus.ESME_RBINDFAIL)
    with pytest.raises(StateError):
        link.smsc.refuse_bind(1, CommandStatus.ESME_RBINDFAIL)


def test_a_decision_after_the_end_is_ignored(make_link: MakeLink) -> None:
    link = make_link()
    link.esme.bind(BIND, link.now)
    link.to_smsc()
    link.smsc.handle_timer(5.0)
    link.smsc.accept_bind(1, b"smsc", 5.0)
    assert link.smsc.state is SessionState.CLOSED
    assert link.smsc.data_to_send() == b""


# --- unbind ---------------------------------------------------------------------------------------------------------


def test_an_esme_that_unbinds_gets_its_answers_first(link: Any) -> None:
    link.submit(1)
    link.esme.unbind(link.now)
    assert [type(event) for event in link.to_smsc()] == [SubmitsReceived, UnbindRequested]
    assert link.smsc.state is SessionState.UNBIND_RECEIVED
    link.smsc.answer_submits([(2, 0, b"x")])
    link.smsc.finish_unbind()
    assert link.smsc.state is SessionState.UNBOUND
    assert link.to_esme() == [SubmitAnswers([(0, 0, b"x")]), UnbindAnswered()]
    assert link.esme.state is SessionState.UNBOUND


def test_no_request_is_taken_after_the_peers_unbind(link: Any, submit: Submit) -> None:
    data = codec.encode(Unbind(sequence_number=5)) + codec.encode(submit(sequence_number=6))
    assert link.smsc.receive_data(data, link.now) == [UnbindRequested()]
    assert codec.decode(link.smsc.data_to_send()) == SubmitSmResp(
        sequence_number=6, command_status=CommandStatus.ESME_RINVBNDSTS
    )


def test_requests_under_way_are_taken_after_our_unbind(link: Any, submit: Submit) -> None:
    link.smsc.unbind(link.now)
    link.smsc.data_to_send()
    (received,) = link.smsc.receive_data(codec.encode(submit(sequence_number=6)), link.now)
    link.smsc.answer_submits([(received.pdus[0].sequence_number, 0, b"x")])
    assert codec.decode(link.smsc.data_to_send()) == SubmitSmResp(sequence_number=6, message_id=b"x")
    assert link.smsc.receive_data(codec.encode(UnbindResp(sequence_number=1)), link.now) == [UnbindAnswered()]


def test_nothing_is_sent_or_read_after_the_unbind_is_answered(link: Any) -> None:
    link.submit(1)
    link.to_smsc()
    link.esme.unbind(link.now)
    link.to_smsc()
    link.smsc.finish_unbind()
    link.to_esme()
    link.smsc.finish_unbind()
    link.smsc.answer_submits([(2, 0, b"x")])
    assert link.smsc.data_to_send() == b""
    assert link.smsc.receive_data(codec.encode(EnquireLink()), link.now) == []
    assert link.smsc.data_to_send() == b""


def test_two_unbinds_that_cross_end_the_session_too(link: Any) -> None:
    link.smsc.unbind(link.now)
    link.esme.unbind(link.now)
    to_smsc, to_esme = link.esme.data_to_send(), link.smsc.data_to_send()
    assert link.smsc.receive_data(to_smsc, link.now) == [UnbindRequested()]
    assert link.esme.receive_data(to_esme, link.now) == [UnbindRequested()]
    link.smsc.finish_unbind()
    assert link.to_esme() == [UnbindAnswered()]
    assert link.smsc.state is link.esme.state is SessionState.UNBOUND


def test_an_unbind_before_the_bind_is_agreed_to(make_link: MakeLink) -> None:
    link = make_link()
    assert link.smsc.receive_data(codec.encode(Unbind(sequence_number=1)), link.now) == [UnbindRequested()]
    link.smsc.finish_unbind()
    assert codec.decode(link.smsc.data_to_send()) == UnbindResp(sequence_number=1)


def test_agreeing_to_an_unbind_that_no_one_asked_for_is_an_error_of_ours(link: Any) -> None:
    with pytest.raises(StateError):
        link.smsc.finish_unbind()


@pytest.mark.parametrize("status", [0, CommandStatus.ESME_RSYSERR])
def test_an_unbind_is_answered_whatever_the_status(link: Any, status: int) -> None:
    link.esme.unbind(link.now)
    answer = codec.encode(UnbindResp(sequence_number=2, command_status=status))
    assert link.esme.receive_data(answer, link.now) == [UnbindAnswered()]


# --- timers ---------------------------------------------------------------------------------------------------------


def test_an_esme_that_does_not_bind_is_given_up_whatever_else_it_sends(make_link: MakeLink) -> None:
    link = make_link()
    assert link.smsc.next_deadline() == 5.0
    link.smsc.receive_data(codec.encode(EnquireLink(sequence_number=1))[:9], 4.0)
    assert link.smsc.handle_timer(4.9) == []
    assert link.smsc.handle_timer(5.0) == [ConnectionDead(DeathReason.SESSION_INIT)]
    assert link.smsc.state is SessionState.CLOSED
    assert link.smsc.next_deadline() is None
    assert link.smsc.handle_timer(6.0) == []


def test_an_smsc_that_does_not_answer_the_bind_is_given_up(make_link: MakeLink) -> None:
    link = make_link()
    assert link.esme.next_deadline() is None
    link.esme.bind(BIND, 1.0)
    assert link.esme.next_deadline() == 31.0
    assert link.esme.handle_timer(31.0) == [ConnectionDead(DeathReason.BIND_UNANSWERED)]


def test_a_silent_peer_is_asked_and_given_up_after_twice_the_interval(link: Any) -> None:
    assert link.smsc.next_deadline() == 30.0
    assert link.smsc.handle_timer(30.0) == []
    assert codec.decode(link.smsc.data_to_send()) == EnquireLink(sequence_number=1)
    assert link.smsc.next_deadline() == 45.0
    assert link.smsc.handle_timer(45.0) == []
    assert codec.decode(link.smsc.data_to_send()) == EnquireLink(sequence_number=2)
    assert link.smsc.handle_timer(60.0) == [ConnectionDead(DeathReason.ENQUIRE_LINK)]


def test_any_pdu_shows_that_the_peer_lives(link: Any) -> None:
    link.smsc.handle_timer(30.0)
    link.smsc.receive_data(codec.encode(EnquireLinkResp(sequence_number=1)), 31.0)
    assert link.smsc.next_deadline() == 61.0
    link.smsc.receive_data(codec.encode(EnquireLink(sequence_number=1)), 40.0)
    assert link.smsc.next_deadline() == 70.0
    link.smsc.receive_data(codec.encode(EnquireLink(sequence_number=1))[:15], 60.0)
    assert link.smsc.next_deadline() == 70.0


def test_a_request_that_is_not_answered_times_out_and_a_late_answer_still_counts(link: Any) -> None:
    link.submit(2)
    link.now = 1.0
    link.submit(1, first=2)
    link.esme.receive_data(codec.encode(EnquireLink(sequence_number=1)), 20.0)
    assert link.esme.next_deadline() == 30.0
    assert link.esme.handle_timer(30.0) == [TimedOut([0, 1])]
    assert link.esme.pending_count == 1
    assert link.esme.next_deadline() == 31.0
    late = codec.encode(SubmitSmResp(sequence_number=2, message_id=b"late"))
    assert link.esme.receive_data(late, 32.0) == [SubmitAnswers([(0, 0, b"late")])]
    assert link.esme.close("gone") == [1, 2]


def test_only_so_many_late_requests_are_remembered(make_link: MakeLink) -> None:
    link = make_link(SessionConfig(response_late_max=3, enquire_link_seconds=0))
    link.bind()
    link.submit(5)
    assert link.esme.handle_timer(30.0) == [TimedOut([0, 1, 2, 3, 4])]
    forgotten = codec.encode(SubmitSmResp(sequence_number=2, message_id=b"x"))
    assert link.esme.receive_data(forgotten, 31.0) == []
    assert link.esme.close("gone") == [2, 3, 4]


def test_an_unbind_that_is_not_answered_ends_in_time(link: Any) -> None:
    link.esme.unbind(2.0)
    link.to_smsc()
    link.esme.receive_data(codec.encode(EnquireLink(sequence_number=1)), 6.0)
    assert link.esme.handle_timer(6.9) == []
    assert link.esme.handle_timer(7.0) == [ConnectionDead(DeathReason.UNBIND_UNFINISHED)]


def test_an_unbind_that_the_owner_does_not_finish_ends_in_time(link: Any) -> None:
    link.esme.unbind(2.0)
    link.now = 3.0
    link.to_smsc()
    link.smsc.receive_data(codec.encode(EnquireLink(sequence_number=1)), 31.0)
    assert link.smsc.handle_timer(33.0) == [ConnectionDead(DeathReason.UNBIND_UNFINISHED)]


def test_an_idle_session_is_unbound(make_link: MakeLink) -> None:
    link = make_link(SessionConfig(inactivity_seconds=100.0, enquire_link_seconds=0))
    link.bind()
    link.now = 60.0
    link.submit(1)
    link.to_smsc()
    assert link.smsc.next_deadline() == 160.0
    assert link.smsc.handle_timer(160.0) == []
    assert link.smsc.state is SessionState.BOUND_TRX, "a request that waits for us is no idleness"
    link.smsc.answer_submits([(2, 0, b"x")])
    assert link.smsc.handle_timer(260.0) == []
    assert link.smsc.state is SessionState.UNBIND_SENT
    assert [type(event) for event in link.to_esme()] == [SubmitAnswers, UnbindRequested]


def test_nothing_times_out_while_the_owner_does_not_read(link: Any) -> None:
    link.submit(1)
    link.esme.note_reading(False, 1.0)
    assert link.esme.next_deadline() is None
    assert link.esme.handle_timer(1000.0) == []
    link.esme.note_reading(True, 1000.0)
    assert link.esme.handle_timer(1000.0) == []
    assert link.esme.next_deadline() == 1005.0
    assert link.esme.handle_timer(1005.0) == [TimedOut([0])]
