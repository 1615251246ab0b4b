"""The checked-in diagram is the table's."""

from __future__ import annotations

from protocols.smpp.state import TABLE, SessionState
from tools.state_diagram import PATH, render


def test_the_checked_in_diagram_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run: python -m tools.state_diagram"


def test_every_state_and_every_command_of_the_table_is_shown() -> None:
    page = render()
    assert all(f"| {state.value} |" in page for state in SessionState)
    assert all(row.command.name.lower() in page for row in TABLE)


def test_what_changes_the_state_is_an_arrow() -> None:
    page = render()
    assert "open --> outbound: +outbind" in page
    assert "open --> outbound: -outbind" in page
    assert "outbound --> bound_rx: +bind_receiver_resp" in page
    assert "bound_trx --> unbind_sent: +unbind" in page
