"""The options of `smscd account add` that are more than text."""

from __future__ import annotations

import click
import pytest

from smscd.cli.account import CertificateParameter, NetworkParameter


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
    ],
)
def test_a_network_is_stored_in_its_shortest_form(text: str, stored: str) -> None:
    assert NetworkParameter().convert(text, None, None) == stored


@pytest.mark.parametrize("text", ["", "192.0.2.1/24", "192.0.2.0/33", "host.example"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        NetworkParameter().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("CN=esme.example", "CN=esme.example"),
        ("AB" * 32, "ab" * 32),
        (":".join(["Ab"] * 32), "ab" * 32),
    ],
)
def test_a_certificate_is_a_fingerprint_or_a_common_name(text: str, stored: str) -> None:
    assert CertificateParameter().convert(text, None, None) == stored


@pytest.mark.parametrize("text", ["ab", "ab" * 33, "CN=", "esme.example", "zz" * 32])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        CertificateParameter().convert(text, None, None)
