"""Bytes from the wire as text: whatever a peer sends is stored, and comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smscd.core.records import Outcome
from storage.postgres.rows import EventKind, stored_text, wire_bytes


@given(st.binary(max_size=40))
def test_any_bytes_become_printable_ascii_and_come_back(wire: bytes) -> None:
    stored = stored_text(wire)
    assert all(32 <= byte <= 126 for byte in stored)
    assert wire_bytes(stored.decode("ascii")) == wire


@pytest.mark.parametrize("wire", [b"447900000001", b"ACME", b"+44 79", b"Caf-1.2"])
def test_ordinary_addresses_are_stored_as_they_are(wire: bytes) -> None:
    assert stored_text(wire) == wire


def test_every_outcome_but_acceptance_has_its_event() -> None:
    assert {outcome.name for outcome in Outcome} - {"ACCEPTED"} <= {kind.name for kind in EventKind}
    assert all(EventKind[outcome.name].value == outcome.value for outcome in Outcome if outcome is not Outcome.ACCEPTED)
