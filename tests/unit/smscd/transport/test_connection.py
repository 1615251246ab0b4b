"""A connection between a fake transport and a recording owner, with time as a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import codec
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.events import BindRequested, ConnectionDead, Event, SubmitsReceived, UnbindRequested
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from protocols.smpp.state import Role, SessionState
from smscd.transport.connection import CloseReason, SmppConnection, WriteLimits

MakeBench = Callable[..., Any]
BIND = codec.encode(BindTransceiver(system_id=b"esme", interface_version=0x34, sequence_number=1))


def submits(count: int, first: int = 2) -> bytes:
    return b"".join(codec.encode(SubmitSm(sequence_number=first + index)) for index in range(count))


def accept(connection: SmppConnection, events: list[Event]) -> None:
    """Accept binds and nothing else."""
    for event in events:
        if isinstance(event, BindRequested):
            connection.session.accept_bind(event.pdu.sequence_number, b"smsc", 0.0)


def answer(connection: SmppConnection, events: list[Event]) -> None:
    """Accept and answer everything at once."""
    accept(connection, events)
    for event in events:
        if isinstance(event, SubmitsReceived):
            connection.session.answer_submits([(pdu.sequence_number, 0, b"id") for pdu in event.pdus])
        elif isinstance(event, UnbindRequested):
            connection.session.finish_unbind()


@pytest.fixture
def bench(make_bench: MakeBench) -> Any:
    """A bound SMSC whose owner answers nothing but the bind."""
    bench = make_bench(config=SessionConfig(window_size=10))
    bench.owner.answer = accept
    bench.connection.data_received(BIND)
    bench.transport.sent()
    bench.owner.events.clear()
    bench.owner.batches = 0
    return bench


def test_the_owner_learns_of_the_connection_and_its_peer(make_bench: MakeBench) -> None:
    bench = make_bench()
    assert bench.owner.opened == [bench.connection]
    assert bench.connection.peer == ("192.0.2.1", 40_000)
    assert bench.connection.is_open
    assert bench.connection.is_writable


def test_a_read_is_one_batch_and_its_answers_are_one_write(bench: Any) -> None:
    bench.owner.answer = answer
    bench.connection.data_received(submits(8))
    assert bench.owner.batches == 1
    assert len(bench.transport.writes) == 1


def test_answers_that_come_later_are_one_write_when_flushed(bench: Any) -> None:
    bench.connection.data_received(submits(3))
    bench.connection.session.answer_submits([(2, 0, b"a"), (3, 0, b"b")])
    bench.connection.session.answer_submits([(4, 0, b"c")])
    assert bench.transport.writes == []
    bench.connection.flush()
    assert len(bench.transport.writes) == 1
    bench.connection.flush()
    assert len(bench.transport.writes) == 1


def test_a_flush_inside_on_events_does_not_write_twice(bench: Any) -> None:
    def answer_and_flush(connection: SmppConnection, events: list[Event]) -> None:
        answer(connection, events)
        connection.flush()

    bench.owner.answer = answer_and_flush
    bench.connection.data_received(submits(3))
    assert len(bench.transport.writes) == 1


def test_what_the_session_answers_itself_is_written_without_the_owner(bench: Any) -> None:
    bench.connection.data_received(codec.encode(EnquireLink(sequence_number=9)))
    assert bench.owner.batches == 0
    assert bench.transport.sent() == codec.encode(EnquireLinkResp(sequence_number=9))


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_peer_beyond_its_window_is_not_read_until_answers_go_out(bench: Any) -> None:
    bench.connection.data_received(submits(25))
    assert not bench.transport.is_reading
    (received,) = bench.owner.events
    assert len(received.pdus) == 10
    bench.owner.events.clear()
    bench.connection.session.answer_submits([(pdu.sequence_number, 0, b"id") for pdu in received.pdus])
    bench.connection.flush()
    assert bench.transport.is_reading
    assert [len(event.pdus) for event in bench.owner.events] == [5]


def test_an_owner_that_answers_at_once_gets_a_whole_read_in_windows(bench: Any) -> None:
    """10 of its window, 10 throttled, then again: all that was read is dealt with before the next read."""
    bench.owner.answer = answer
    bench.connection.data_received(submits(100))
    assert [len(event.pdus) for event in bench.owner.events] == [10] * 5
    assert bench.transport.is_reading
    assert bench.transport.sent().count(CommandId.SUBMIT_SM_RESP.to_bytes(4, "big")) == 100


def test_a_bind_that_is_being_decided_stops_reading(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.connection.data_received(BIND + submits(1))
    assert not bench.transport.is_reading
    bench.connection.session.accept_bind(1, b"smsc", 0.0)
    bench.connection.flush()
    assert bench.transport.is_reading
    assert [type(event) for event in bench.owner.events] == [BindRequested, SubmitsReceived]


def test_the_owner_can_hold_reading(bench: Any) -> None:
    bench.connection.hold_reading(True)
    assert not bench.transport.is_reading
    bench.connection.hold_reading(True)
    bench.connection.hold_reading(False)
    assert bench.transport.is_reading


def test_a_held_backlog_waits_for_the_owner(bench: Any) -> None:
    bench.connection.data_received(submits(25))
    bench.connection.hold_reading(True)
    bench.connection.session.answer_submits([(number, 0, b"id") for number in range(2, 12)])
    bench.connection.flush()
    assert len(bench.owner.events) == 1
    bench.connection.hold_reading(False)
    assert len(bench.owner.events) == 2


def test_a_peer_that_is_not_read_is_not_called_silent(bench: Any) -> None:
    bench.connection.hold_reading(True)
    bench.loop.advance(500.0)
    assert bench.connection.is_open
    bench.connection.hold_reading(False)
    bench.loop.advance(529.0)
    assert bench.transport.sent() == b""
    bench.loop.advance(531.0)
    assert bench.transport.sent() == codec.encode(EnquireLink(sequence_number=1))


# --- writing --------------------------------------------------------------------------------------------------------


def test_a_peer_that_does_not_read_is_not_read_and_gets_no_more_octets(bench: Any) -> None:
    assert bench.transport.high <= 1 << 20
    bench.connection.pause_writing()
    assert not bench.connection.is_writable
    assert bench.connection.is_open
    assert not bench.transport.is_reading
    bench.connection.session.send_delivers([(codec.encode_body(DeliverSm()), 1)], 0.0)
    bench.connection.flush()
    assert bench.transport.writes == []
    bench.connection.resume_writing()
    assert len(bench.transport.writes) == 1
    assert bench.transport.is_reading


def test_a_peer_that_does_not_read_for_long_is_cut_off(bench: Any) -> None:
    bench.loop.advance(3.0)
    bench.connection.pause_writing()
    bench.loop.advance(31.9)
    assert not bench.transport.is_aborted
    bench.loop.advance(32.0)
    assert bench.transport.is_aborted
    bench.connection.connection_lost(None)
    assert bench.owner.closed == [(bench.connection, CloseReason.WRITE_STALLED)]


def test_a_peer_that_reads_again_starts_anew(bench: Any) -> None:
    bench.connection.pause_writing()
    bench.loop.advance(20.0)
    bench.connection.resume_writing()
    bench.loop.advance(21.0)
    bench.connection.pause_writing()
    bench.loop.advance(49.0)
    assert not bench.transport.is_aborted
    bench.loop.advance(50.0)
    assert bench.transport.is_aborted


# --- the end --------------------------------------------------------------------------------------------------------


def test_the_owner_gets_the_refs_that_were_never_answered(bench: Any) -> None:
    bench.connection.session.send_delivers([(codec.encode_body(DeliverSm()), ref) for ref in "ab"], 0.0)
    bench.connection.flush()
    bench.connection.connection_lost(None)
    assert bench.owner.closed == [(bench.connection, CloseReason.PEER)]
    assert bench.owner.unanswered == ["a", "b"]
    assert not bench.connection.is_open
    assert bench.loop.running() == []


def test_an_error_of_the_network_is_a_reason_of_its_own(bench: Any) -> None:
    bench.connection.connection_lost(OSError("reset"))
    assert bench.owner.closed == [(bench.connection, CloseReason.ERROR)]


def test_the_end_of_the_peers_stream_is_the_end(bench: Any) -> None:
    assert bench.connection.eof_received() is False


def test_closing_writes_what_is_queued_first(bench: Any) -> None:
    bench.connection.data_received(submits(1))
    bench.connection.session.answer_submits([(2, 0, b"id")])
    bench.connection.close("draining")
    assert bench.transport.sent() == codec.encode(SubmitSmResp(sequence_number=2, message_id=b"id"))
    assert bench.transport.is_closing
    bench.connection.flush()
    bench.connection.data_received(submits(1))
    bench.connection.close()
    assert len(bench.owner.events) == 1
    bench.connection.connection_lost(None)
    assert bench.owner.closed == [(bench.connection, "draining")]


def test_a_close_that_the_peer_does_not_let_finish_is_cut_short(bench: Any) -> None:
    bench.connection.close()
    bench.loop.advance(4.9)
    assert not bench.transport.is_aborted
    bench.loop.advance(5.0)
    assert bench.transport.is_aborted


def test_closing_a_connection_that_is_gone_does_nothing(bench: Any) -> None:
    bench.connection.connection_lost(None)
    bench.connection.close()
    bench.connection.abort()
    bench.connection.flush()
    bench.connection.hold_reading(True)
    assert len(bench.owner.closed) == 1


def test_an_agreed_unbind_closes_the_connection_at_both_ends(bench: Any, make_bench: MakeBench) -> None:
    bench.owner.answer = answer
    bench.connection.data_received(codec.encode(Unbind(sequence_number=4)))
    assert bench.transport.sent() == codec.encode(UnbindResp(sequence_number=4))
    assert bench.transport.is_closing
    esme = make_bench(Role.ESME)
    esme.connection.session.bind(BindTransceiver(interface_version=0x34), 0.0)
    esme.connection.data_received(codec.encode(BindTransceiverResp(sequence_number=1)))
    esme.connection.session.unbind(0.0)
    esme.connection.flush()
    esme.connection.data_received(codec.encode(UnbindResp(sequence_number=2)))
    assert esme.transport.is_closing
    esme.connection.connection_lost(None)
    assert esme.owner.closed == [(esme.connection, CloseReason.UNBOUND)]


def test_lost_framing_is_answered_and_closes_after_what_came_before_it(bench: Any) -> None:
    bench.connection.data_received(submits(2) + b"\0" * 16)
    (received,) = bench.owner.events
    assert len(received.pdus) == 2
    nack = codec.decode(bench.transport.sent())
    assert nack.command_status == CommandStatus.ESME_RINVCMDLEN
    assert bench.transport.is_closing
    bench.connection.connection_lost(None)
    assert bench.owner.closed == [(bench.connection, CloseReason.FRAMING)]


# --- the timer ------------------------------------------------------------------------------------------------------


def test_a_peer_that_never_binds_is_closed_in_time(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.loop.advance(4.9)
    assert not bench.transport.is_closing
    bench.loop.advance(5.0)
    assert bench.transport.is_closing
    assert [type(event) for event in bench.owner.events] == [ConnectionDead]
    bench.connection.connection_lost(None)
    assert bench.owner.closed == [(bench.connection, "session_init_timeout")]


def test_a_silent_peer_is_closed_after_twice_the_interval(bench: Any) -> None:
    bench.loop.advance(59.9)
    assert bench.transport.sent().count(CommandId.ENQUIRE_LINK.to_bytes(4, "big")) == 2
    bench.loop.advance(60.0)
    assert bench.transport.is_closing
    bench.connection.connection_lost(None)
    assert bench.owner.closed == [(bench.connection, "enquire_link_unanswered")]


def test_a_request_times_out_at_its_moment_without_a_timer_of_its_own(bench: Any) -> None:
    bench.loop.advance(1.0)
    bench.connection.session.send_delivers([(codec.encode_body(DeliverSm()), "a")], 1.0)
    bench.connection.flush()
    assert len(bench.loop.running()) == 1
    bench.connection.data_received(codec.encode(EnquireLink(sequence_number=1)))
    bench.loop.advance(30.9)
    assert bench.owner.events == []
    bench.loop.advance(31.0)
    (timed_out,) = bench.owner.events
    assert timed_out.refs == ["a"]


def test_there_is_never_more_than_one_timer(bench: Any) -> None:
    for moment in range(1, 100):
        bench.loop.advance(float(moment))
        bench.connection.data_received(codec.encode(EnquireLink(sequence_number=1)))
        bench.connection.session.send_delivers([(codec.encode_body(DeliverSm()), moment)], bench.loop.now)
        bench.connection.flush()
        assert len(bench.loop.running()) == 1


def test_the_connection_tells_once_when_it_is_no_longer_half_open(make_bench: MakeBench) -> None:
    left: list[SmppConnection] = []
    bench = make_bench()
    connection = SmppConnection(
        Role.SMSC, SessionConfig(), bench.owner.callbacks, bench.loop, WriteLimits(), on_bound=left.append
    )
    bench.owner.answer = accept
    connection.connection_made(bench.transport)
    connection.data_received(codec.encode(EnquireLink(sequence_number=1)))
    assert left == []
    connection.data_received(BIND)
    assert connection.session.state is SessionState.BOUND_TRX
    assert left == [connection]
    connection.connection_lost(None)
    assert left == [connection]
