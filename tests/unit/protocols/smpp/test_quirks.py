"""What real peers do that the specification did not foresee: one test or more for each row of the list of quirks.

Others stand where their subject is; they say `quirk N` too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import codec
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.events import (
    ConnectionDead,
    DeathReason,
    DeliverAnswers,
    DeliversReceived,
    SubmitAnswers,
    SubmitsReceived,
    TimedOut,
    UnbindAnswered,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    EnquireLink,
    EnquireLinkResp,
    SubmitSm,
    SubmitSmResp,
    UnbindResp,
)
from protocols.smpp.session import Session
from protocols.smpp.state import Role, SessionState

MakeLink = Callable[..., Any]
Submit = Callable[..., SubmitSm]


def raw(command_id: int, status: int, sequence_number: int, body: bytes = b"") -> bytes:
    return codec.HEADER.pack(16 + len(body), command_id, status, sequence_number) + body


@pytest.mark.parametrize(
    ("status", "body", "message_id"),
    [(8, b"", b""), (8, b"\0", b""), (8, b"id\0", b""), (0, b"", b""), (0, b"\0", b""), (0, b"id", b"id")],
)
def test_an_answer_counts_whatever_its_body_is(link: Any, status: int, body: bytes, message_id: bytes) -> None:
    """quirk 11: an error without a body, or with one; an OK with an empty id."""
    link.submit(1)
    data = raw(CommandId.SUBMIT_SM_RESP, status, 2, body)
    assert link.esme.receive_data(data, link.now) == [SubmitAnswers([(0, status, message_id)])]
    assert link.esme.pending_count == 0


def test_an_error_is_answered_without_a_body(link: Any) -> None:
    """quirk 11: ours are as the specification has them."""
    link.submit(1)
    link.to_smsc()
    link.smsc.answer_submits([(2, CommandStatus.ESME_RSYSERR, b"id")])
    assert len(link.smsc.data_to_send()) == 16


@pytest.mark.parametrize("body", [b"some-id\0", b"", b"no nul", b"\xff" * 500, b"id\0\x14\0\0\1x"])
def test_a_deliver_answer_may_carry_anything(link: Any, deliver: Callable[..., Any], body: bytes) -> None:
    """quirk 12: an id in deliver_sm_resp is ignored."""
    link.smsc.send_delivers([(codec.encode_body(deliver()), "r")], link.now)
    data = raw(CommandId.DELIVER_SM_RESP, 0, 1, body)
    assert link.smsc.receive_data(data, link.now) == [DeliverAnswers([("r", 0)])]
    assert link.smsc.state is SessionState.BOUND_TRX


@pytest.mark.parametrize("number", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_any_number_of_the_peer_is_echoed(link: Any, submit: Submit, number: int) -> None:
    """quirk 13: 0 and all 32 bits, also twice in flight."""
    data = codec.encode(submit(sequence_number=number)) * 2 + codec.encode(EnquireLink(sequence_number=number))
    (received,) = link.smsc.receive_data(data, link.now)
    assert [pdu.sequence_number for pdu in received.pdus] == [number, number]
    link.smsc.answer_submits([(pdu.sequence_number, 0, b"id") for pdu in received.pdus])
    answered = link.smsc.data_to_send()
    assert [codec.decode(each).sequence_number for each in (answered[:16], answered[16:35], answered[35:])] == [
        number
    ] * 3


@pytest.mark.parametrize("role", Role)
def test_an_enquire_link_is_answered_before_the_bind(role: Role) -> None:
    """quirk 14: and it does not prolong the time to bind."""
    session = Session(role, SessionConfig(), 0.0)
    deadline = session.next_deadline()
    assert session.receive_data(codec.encode(EnquireLink(sequence_number=7)), 3.0) == []
    assert codec.decode(session.data_to_send()) == EnquireLinkResp(sequence_number=7)
    assert session.next_deadline() == deadline


@pytest.mark.parametrize("misses", [1, 2, 5])
def test_a_peer_is_dead_after_so_many_misses(make_link: MakeLink, misses: int) -> None:
    """quirk 14: asked n times, then given up; whatever comes meanwhile shows that it lives."""
    link = make_link(SessionConfig(enquire_link_misses=misses))
    link.bind()
    link.smsc.receive_data(raw(CommandId.SUBMIT_SM_RESP, 0, 99), 10.0)
    asked, events = 0, []
    while not events:
        now = link.smsc.next_deadline()
        events = link.smsc.handle_timer(now)
        asked += link.smsc.data_to_send().count(b"\0\0\0\x15")
    assert asked == misses
    assert now == pytest.approx(10 + 30 + 30)
    assert events == [ConnectionDead(DeathReason.ENQUIRE_LINK)]


@pytest.mark.parametrize("size", [1, 10, 100])
def test_a_window_is_kept_whatever_its_size(make_link: MakeLink, size: int) -> None:
    """quirk 15: as a server ours is enforced, then the socket is not read."""
    link = make_link(SessionConfig(window_size=size))
    link.bind()
    link.submit(3 * size)
    (received,) = link.to_smsc()
    assert len(received.pdus) == size
    assert not link.smsc.wants_read
    assert link.smsc.data_to_send().count(b"\0\0\0\x58") == size
    assert link.smsc.unanswered_count == size


@pytest.mark.parametrize("status", [0x14, 0x58, 0x45, 0x400, 0xFFFFFFFF])
def test_an_overflow_of_the_upstreams_window_is_told_as_it_came(link: Any, status: int) -> None:
    """quirk 15: RMSGQFUL, RTHROTTLED, RSUBMITFAIL, or a vendor's code."""
    link.submit(2)
    data = raw(CommandId.SUBMIT_SM_RESP, status, 2)
    assert link.esme.receive_data(data, link.now) == [SubmitAnswers([(0, status, b"")])]
    assert link.esme.pending_count == 1


def test_a_message_without_an_answer_is_in_doubt_and_not_sent_again(link: Any) -> None:
    """quirk 19: the bind and the number stay, nothing is sent, and the late answer counts."""
    link.submit(1)
    link.esme.data_to_send()
    link.esme.receive_data(codec.encode(EnquireLink(sequence_number=1)), 29.0)
    link.esme.data_to_send()
    assert link.esme.handle_timer(30.0) == [TimedOut([0])]
    assert link.esme.state is SessionState.BOUND_TRX
    assert link.esme.data_to_send() == b""
    assert link.esme.pending_count == 0
    link.now = 31.0
    link.submit(1, first=1)
    assert codec.decode(link.esme.data_to_send()).sequence_number == 3
    late = codec.encode(SubmitSmResp(sequence_number=2, message_id=b"late"))
    assert link.esme.receive_data(late, 500.0) == [SubmitAnswers([(0, 0, b"late")])]


def test_an_unbind_with_work_in_flight_drains_both_windows(link: Any, deliver: Callable[..., Any]) -> None:
    """quirk 20: stop new work, take and give the answers that are open, answer the unbind, close."""
    link.submit(2)
    link.to_smsc()
    link.smsc.send_delivers([(codec.encode_body(deliver()), "r")], link.now)
    link.esme.unbind(link.now)
    assert not link.esme.can_submit
    assert link.to_smsc() == [UnbindRequested()]
    assert not link.smsc.can_deliver
    assert link.smsc.unanswered_count == 2
    assert isinstance(link.to_esme()[0], DeliversReceived)
    link.esme.answer_delivers([(1, 0)])
    assert link.to_smsc() == [DeliverAnswers([("r", 0)])]
    link.smsc.answer_submits([(2, 0, b"a"), (3, 0, b"b")])
    link.smsc.finish_unbind()
    assert link.to_esme() == [SubmitAnswers([(0, 0, b"a"), (1, 0, b"b")]), UnbindAnswered()]
    assert link.esme.state is link.smsc.state is SessionState.UNBOUND


def test_our_unbind_goes_out_before_the_end_and_drains_too(link: Any, submit: Submit) -> None:
    """quirk 20: as an SMSC; what the ESME had under way is still taken."""
    link.submit(1)
    link.smsc.unbind(link.now)
    (received,) = link.to_smsc()
    assert isinstance(received, SubmitsReceived)
    link.smsc.answer_submits([(2, 0, b"a")])
    assert [type(event) for event in link.to_esme()] == [UnbindRequested, SubmitAnswers]
    link.esme.finish_unbind()
    assert link.to_smsc() == [UnbindAnswered()]


def test_a_broken_tlv_costs_nothing(link: Any, submit: Submit) -> None:
    """quirk 23: the message is taken and the rest of its optional part left out."""
    data = codec.encode(submit(sequence_number=5, tlvs=b"\x02\x04\0\2\0\1\x14\0\xff\xff"))
    (received,) = link.smsc.receive_data(data, link.now)
    assert [pdu.sequence_number for pdu in received.pdus] == [5]
    assert link.smsc.data_to_send() == b""


@pytest.mark.parametrize("size", [1, 3, 16, 17, 64])
def test_pdus_may_be_cut_anywhere(link: Any, submit: Submit, size: int) -> None:
    """quirk 23: a vendor's command, a bad body and good submits, in pieces."""
    data = codec.encode(submit(sequence_number=1)) + raw(0x00010201, 0, 2, b"vendor") + raw(CommandId.SUBMIT_SM, 0, 3)
    data += codec.encode(submit(sequence_number=4))
    numbers = []
    for start in range(0, len(data), size):
        for event in link.smsc.receive_data(data[start : start + size], link.now):
            numbers += [pdu.sequence_number for pdu in event.pdus]
    assert numbers == [1, 4]
    sent = link.smsc.data_to_send()
    assert [codec.decode(sent[:16]).command_status, codec.decode(sent[16:]).command_status] == [3, 2]


@pytest.mark.parametrize(
    ("version", "tlvs"),
    [(0x00, b""), (0x33, b""), (0x34, b"\x02\x10\0\1\x34"), (0x50, b"\x02\x10\0\1\x34"), (0xFF, b"\x02\x10\0\1\x34")],
)
def test_a_version_is_told_from_3_4_up(version: int, tlvs: bytes) -> None:
    """quirk 25: sc_interface_version in the answer, and no TLV before 3.4."""
    smsc = Session(Role.SMSC, SessionConfig(), 0.0)
    bind = BindTransceiver(system_id=b"a", interface_version=version, sequence_number=1)
    smsc.receive_data(codec.encode(bind), 0.0)
    smsc.accept_bind(1, b"SMSC", 0.0)
    assert codec.decode(smsc.data_to_send()) == BindTransceiverResp(sequence_number=1, system_id=b"SMSC", tlvs=tlvs)
    smsc.send_delivers([(codec.encode_body(SubmitSm(tlvs=b"\x14\0\0\1x")), None)], 0.0)
    assert codec.decode(smsc.data_to_send()).tlvs == (b"\x14\0\0\1x" if tlvs else b"")


def test_an_unbind_is_answered_in_any_state_before_the_end(make_link: MakeLink) -> None:
    """quirk 20: before the bind too."""
    link = make_link()
    link.smsc.receive_data(raw(CommandId.UNBIND, 0, 9), link.now)
    link.smsc.finish_unbind()
    assert codec.decode(link.smsc.data_to_send()) == UnbindResp(sequence_number=9)
