"""What a read leaves over, held without copying it again and again."""

from __future__ import annotations

import time

from protocols.smpp.reassembly import Reassembly


def test_a_whole_read_passes_without_being_held() -> None:
    data = b"x" * 100
    buffer, position = Reassembly().take(data)
    assert buffer is data
    assert position == 0


def test_the_start_of_a_pdu_waits_for_as_many_octets_as_it_needs() -> None:
    inbound = Reassembly()
    inbound.keep_partial(b"....abc", 4, 6)
    assert not inbound.is_ready
    assert inbound.take(b"de") == (b"", 0)
    assert inbound.take(b"fg") == (b"abcdefg", 0)
    assert inbound.take(b"h") == (b"h", 0)


def test_unread_pdus_are_held_as_they_are() -> None:
    inbound = Reassembly()
    buffer = b"readunread"
    inbound.keep_unread(buffer, 4)
    assert inbound.is_ready
    taken, position = inbound.take(b"")
    assert taken is buffer
    assert position == 4
    assert not inbound.is_ready


def test_octets_that_come_while_nothing_is_parsed_stand_behind_the_unread() -> None:
    inbound = Reassembly()
    inbound.keep_unread(b"readunread", 4)
    inbound.append(b"+1")
    inbound.append(b"+2")
    assert inbound.take(b"+3") == (b"unread+1+2+3", 0)
    assert inbound.take(b"") == (b"", 0)


def test_octets_that_come_with_nothing_unread_are_ready_too() -> None:
    inbound = Reassembly()
    inbound.keep_unread(b"read", 4)
    assert not inbound.is_ready
    inbound.append(b"more")
    assert inbound.is_ready
    assert inbound.take(b"") == (b"more", 0)


def test_the_cost_of_a_pdu_that_comes_octet_by_octet_is_linear() -> None:
    """2,000,000 octets take a second or so; copying what is held for each of them would take hours."""
    inbound = Reassembly()
    inbound.keep_partial(b"x", 0, 2_000_000)
    started_at = time.monotonic()
    for _ in range(1_999_998):
        inbound.take(b"x")
    assert inbound.take(b"x") == (b"x" * 2_000_000, 0)
    assert time.monotonic() - started_at < 30
