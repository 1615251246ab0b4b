"""What a listener lets in."""

from __future__ import annotations

from typing import Any

from protocols.smpp import codec
from protocols.smpp.events import BindRequested, Event
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransceiver
from smscd.transport.connection import SmppConnection, WriteLimits
from smscd.transport.listener import Listener, ListenerLimits, Refusal

BIND = codec.encode(BindTransceiver(system_id=b"esme", interface_version=0x34, sequence_number=1))


class Door:
    """A listener without a socket: connections come when a test says so."""

    def __init__(self, loop: Any, owner: Any, make_transport: Any, limits: ListenerLimits) -> None:
        owner.answer = self._accept
        self.listener = Listener(SessionConfig(), owner.callbacks, limits, WriteLimits(), loop)
        self._make_transport = make_transport

    def _accept(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, BindRequested):
                connection.session.accept_bind(event.pdu.sequence_number, b"smsc", 0.0)

    def knock(self, address: str = "192.0.2.1") -> tuple[SmppConnection, Any]:
        connection = self.listener._connection()
        transport = self._make_transport(address)
        connection.connection_made(transport)
        return connection, transport


def test_one_connection_too_many_is_closed_without_a_word_to_the_owner(
    fake_loop: Any, owner: Any, make_transport: Any
) -> None:
    door = Door(fake_loop, owner, make_transport, ListenerLimits(connections_max=2))
    first, _ = door.knock()
    door.knock()
    third, transport = door.knock()
    assert transport.is_aborted
    third.connection_lost(None)
    assert len(owner.opened) == 2
    assert owner.closed == []
    assert door.listener.refused == {Refusal.CONNECTIONS: 1}
    first.connection_lost(None)
    _, transport = door.knock()
    assert not transport.is_aborted


def test_connections_that_have_not_bound_are_bounded_and_bound_ones_are_not_counted(
    fake_loop: Any, owner: Any, make_transport: Any
) -> None:
    """Quirk 26: peers that connect and never bind."""
    door = Door(fake_loop, owner, make_transport, ListenerLimits(half_open_max=2))
    first, _ = door.knock()
    second, _ = door.knock()
    refused, transport = door.knock()
    assert transport.is_aborted
    refused.connection_lost(None)
    assert door.listener.half_open_count == 2
    assert door.listener.refused == {Refusal.HALF_OPEN: 1}
    first.data_received(BIND)
    assert door.listener.half_open_count == 1
    third, transport = door.knock()
    assert not transport.is_aborted
    for connection in (first, second, third):
        connection.connection_lost(None)
    assert door.listener.half_open_count == 0
    assert door.listener.connections == set()
    assert len(owner.closed) == 3


def test_one_address_does_not_use_up_the_room_of_the_others(fake_loop: Any, owner: Any, make_transport: Any) -> None:
    door = Door(fake_loop, owner, make_transport, ListenerLimits(half_open_per_address_max=1))
    door.knock("192.0.2.1")
    _, transport = door.knock("192.0.2.1")
    assert transport.is_aborted
    _, transport = door.knock("192.0.2.2")
    assert not transport.is_aborted
    assert door.listener.refused == {Refusal.ADDRESS_HALF_OPEN: 1}


def test_connections_of_one_address_have_a_rate(fake_loop: Any, owner: Any, make_transport: Any) -> None:
    """Quirk 26: reconnect storms."""
    limits = ListenerLimits(per_second_per_address=1.0, burst_per_address=2)
    door = Door(fake_loop, owner, make_transport, limits)
    found = [door.knock("::ffff:192.0.2.1")[1].is_aborted for _ in range(3)]
    assert found == [False, False, True]
    assert not door.knock("192.0.2.2")[1].is_aborted
    assert door.listener.refused == {Refusal.RATE: 1}
    assert door.listener.half_open_count == 3
    fake_loop.now += 1.0
    assert not door.knock("192.0.2.1")[1].is_aborted


def test_all_that_are_left_can_be_cut(fake_loop: Any, owner: Any, make_transport: Any) -> None:
    door = Door(fake_loop, owner, make_transport, ListenerLimits())
    connection, transport = door.knock()
    door.listener.abort_all("stopping")
    assert transport.is_aborted
    connection.connection_lost(None)
    assert owner.closed == [(connection, "stopping")]


def test_a_listener_that_does_not_listen_has_no_port(fake_loop: Any, owner: Any, make_transport: Any) -> None:
    door = Door(fake_loop, owner, make_transport, ListenerLimits())
    assert door.listener.port == 0
    door.listener.stop_accepting()
