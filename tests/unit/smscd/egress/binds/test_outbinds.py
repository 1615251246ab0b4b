"""Which outbinds of an upstream are its own."""

from __future__ import annotations

import pytest

from protocols.smpp.pdu import Outbind
from smscd.egress.binds.outbinds import expects_outbind, is_expected
from tests.unit.smscd.egress.doubles import profile

EXPECTED = {"outbind_port": 2777, "outbind_system_id": "smsc", "outbind_password": "pw"}


@pytest.mark.parametrize(
    ("changes", "expects"),
    [
        ({}, True),
        ({"is_enabled": False}, False),
        ({"outbind_port": 0}, False),
        ({"outbind_system_id": ""}, False),
        ({"outbind_password": ""}, False),
    ],
)
def test_an_upstream_is_listened_for_only_when_its_profile_says_who_it_is(
    changes: dict[str, object], expects: bool
) -> None:
    assert expects_outbind(profile(**{**EXPECTED, **changes})) is expects


@pytest.mark.parametrize(
    ("system_id", "password", "expected"),
    [(b"smsc", b"pw", True), (b"smsc", b"", False), (b"smsc", b"pW", False), (b"", b"pw", False), (b"s", b"p", False)],
)
def test_both_the_system_id_and_the_password_have_to_be_right(
    system_id: bytes, password: bytes, expected: bool
) -> None:
    assert is_expected(profile(**EXPECTED), Outbind(system_id=system_id, password=password)) is expected
