"""The defaults that the documents promise, and what the adapter's timer relies on."""

from __future__ import annotations

from protocols.smpp.limits import SessionConfig


def test_the_defaults_are_those_of_the_documents() -> None:
    config = SessionConfig()
    assert config.pdu_size_max == 70_000
    assert config.pre_bind_size_max == 256
    assert config.session_init_seconds == 5
    assert config.response_seconds == 30
    assert config.enquire_link_seconds == 30
    assert config.window_size == 100


def test_the_shortest_timer_counts_only_those_that_run() -> None:
    assert SessionConfig().shortest_seconds == 5
    assert SessionConfig(session_init_seconds=60).shortest_seconds == 5
    assert SessionConfig(session_init_seconds=60, unbind_seconds=60).shortest_seconds == 15
    assert SessionConfig(session_init_seconds=60, unbind_seconds=60, enquire_link_seconds=0).shortest_seconds == 30
    assert SessionConfig(inactivity_seconds=2).shortest_seconds == 2
