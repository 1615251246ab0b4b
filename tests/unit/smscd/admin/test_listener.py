"""Who may read the operator's listener."""

from __future__ import annotations

import pytest

from smscd.admin.listener import is_loopback_peer


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("", False),
        (None, False),
    ],
)
def test_peers_on_this_machine_are_told_from_the_rest(remote: str | None, expected: bool) -> None:
    assert is_loopback_peer(remote) is expected
