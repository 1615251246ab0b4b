"""Who is bound here, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import codec
from protocols.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter
from smscd.transport.connection import SmppConnection
from smscd.transport.registry import BoundSessions


@pytest.fixture
def bind(make_bench: Callable[..., Any]) -> Callable[[type[Bind]], SmppConnection]:
    """Makes a connection that is bound as asked."""

    def make(pdu_class: type[Bind] = BindTransceiver) -> SmppConnection:
        connection: SmppConnection = make_bench().connection
        connection.data_received(codec.encode(pdu_class(interface_version=0x34, sequence_number=1)))
        connection.session.accept_bind(1, b"smsc", 0.0)
        return connection

    return make


def test_sessions_are_found_by_account(bind: Any) -> None:
    registry = BoundSessions()
    first, second = bind(), bind()
    registry.add("acme", first)
    registry.add("acme", second)
    registry.add("other", bind())
    assert registry.sessions("acme") == (first, second)
    assert registry.count("acme") == 2
    assert registry.count("nobody") == 0
    assert len(registry) == 3
    registry.remove(first)
    assert registry.sessions("acme") == (second,)
    registry.remove(second)
    assert registry.count("acme") == 0


def test_receivers_take_turns_and_transmitters_take_none(bind: Any) -> None:
    """Quirk 22: callbacks go round the live receivers of an account."""
    registry = BoundSessions()
    first, transmitter, second = bind(BindReceiver), bind(BindTransmitter), bind()
    for connection in (first, transmitter, second):
        registry.add("acme", connection)
    assert [registry.next_receiver("acme") for _ in range(4)] == [first, second, first, second]
    assert registry.can_receive("acme")
    assert registry.receiving_accounts() == ["acme"]


def test_an_account_with_transmitters_only_cannot_be_told_anything(bind: Any) -> None:
    registry = BoundSessions()
    registry.add("acme", bind(BindTransmitter))
    assert registry.next_receiver("acme") is None
    assert not registry.can_receive("acme")
    assert registry.receiving_accounts() == []
    assert registry.next_receiver("nobody") is None


def test_a_receiver_that_does_not_read_is_passed_over_and_keeps_its_account_reachable(bind: Any) -> None:
    registry = BoundSessions()
    stuck, good = bind(), bind()
    registry.add("acme", stuck)
    registry.add("acme", good)
    stuck.pause_writing()
    assert [registry.next_receiver("acme") for _ in range(2)] == [good, good]
    good.connection_lost(None)
    assert registry.next_receiver("acme") is None
    assert registry.can_receive("acme")


def test_a_session_that_unbinds_is_no_receiver_any_more(bind: Any) -> None:
    registry = BoundSessions()
    connection = bind()
    registry.add("acme", connection)
    connection.session.unbind(0.0)
    assert not registry.can_receive("acme")


def test_the_owner_is_told_of_each_change(bind: Any) -> None:
    changed: list[str] = []
    registry = BoundSessions(changed.append)
    connection = bind()
    registry.add("acme", connection)
    registry.remove(connection)
    registry.remove(connection)
    assert changed == ["acme", "acme"]
