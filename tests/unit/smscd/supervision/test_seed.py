"""The demo's data: what is made up, how secrets are stored, how upstreams are written."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from smscd.core.upstream import VendorTlv
from smscd.supervision.seed import (
    UpstreamUrlError,
    api_key_hash,
    api_key_prefix,
    demo_account,
    demo_secrets,
    new_api_key,
    new_password,
    new_webhook_secret,
    password_hmac,
    upstream_of_url,
)


def test_passwords_have_the_eight_characters_that_smpp_allows() -> None:
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) == 8 and password.isalnum() and password.isascii() for password in made)


def test_keys_are_stored_hashed_and_shown_by_a_prefix_that_is_of_no_use() -> None:
    key = new_api_key()
    assert api_key_hash(key) == hashlib.sha256(key.encode()).digest()
    assert key.startswith(api_key_prefix(key))
    assert len(key) - len(api_key_prefix(key)) > 32


def test_passwords_are_stored_under_the_pepper() -> None:
    assert password_hmac("pepper", "secret") == hmac.digest(b"pepper", b"secret", "sha256")
    assert password_hmac("other", "secret") != password_hmac("pepper", "secret")


def test_webhook_secrets_are_those_of_standard_webhooks() -> None:
    secret = new_webhook_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 24


def test_a_second_start_has_the_same_secrets(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    first = demo_secrets(path)
    assert demo_secrets(path) == first
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_demo_account_is_limited_by_nothing_that_a_demonstration_meets() -> None:
    account = demo_account("whsec_x")
    assert account.rate_per_second >= 50_000
    assert account.burst >= 50_000
    assert account.binds_max == 10
    assert account.window_size == 1_000
    assert account.any_sender
    assert account.allows_private_callbacks


def test_an_upstream_is_written_as_a_url() -> None:
    upstream = upstream_of_url("smpp://user%40x:p%3Aw@smsc.example:2777", "one")
    assert (upstream.id, upstream.host, upstream.port) == ("one", "smsc.example", 2777)
    assert (upstream.system_id, upstream.password) == ("user@x", "p:w")
    assert upstream_of_url("smpp://a:b@[::1]", "two").port == 2775


@pytest.mark.parametrize(
    "url",
    ["http://a:b@host:1", "smpp://", "smpp://a:b@host:port", f"smpp://{'a' * 16}:b@host", "smpp://a:123456789@host"],
)
def test_what_is_no_upstream_is_refused(url: str) -> None:
    with pytest.raises(UpstreamUrlError):
        upstream_of_url(url, "one")


def test_an_upstream_with_tls_is_written_smpps_and_verified_unless_that_is_switched_off() -> None:
    plain = upstream_of_url("smpp://u:p@h", "up")
    assert (plain.uses_tls, plain.port) == (False, 2775)
    secret = upstream_of_url("smpps://u:p@h", "up")
    assert (secret.uses_tls, secret.port, secret.tls_is_verified) == (True, 3550, True)
    every = upstream_of_url("smpps://u:p@h:1?ca=/ca.pem&cert=/c.pem&key=/k.pem&name=smsc.example&verify=off", "up")
    assert (every.tls_ca_file, every.tls_certificate_file, every.tls_key_file) == ("/ca.pem", "/c.pem", "/k.pem")
    assert (every.tls_server_name, every.tls_is_verified) == ("smsc.example", False)


@pytest.mark.parametrize("url", ["smpp://u:p@h?ca=/ca.pem", "smpps://u:p@h?verify=no"])
def test_options_of_tls_that_make_no_sense_are_refused(url: str) -> None:
    with pytest.raises(UpstreamUrlError, match="smpps://"):
        upstream_of_url(url, "up")


def test_the_query_of_an_upstreams_url_is_its_profile() -> None:
    upstream = upstream_of_url(
        "smpp://a:b@host:1?default_alphabet=latin1&long_message=sar&source_ton=99&receipt_by_text_alone=true"
        "&temporary_statuses=0x58,20&binds=2&window_size=7&status_delays=%7B%2220%22:3%7D"
        "&receipt_stats={%22acked%22:%22DELIVRD%22}"
        "&vendor_tlvs=[{%22tag%22:5120,%22name%22:%22entity%22,%22type%22:%22c_octets%22,%22min%22:2,%22max%22:20}]",
        "one",
    )
    assert (upstream.default_alphabet, upstream.long_message, upstream.source_ton) == ("latin1", "sar", 99)
    assert (upstream.receipt_by_text_alone, upstream.binds, upstream.window_size) == (True, 2, 7)
    assert upstream.temporary_statuses == {0x58, 20} and upstream.status_delays == {20: 3.0}
    assert upstream.receipt_stats == {"ACKED": "DELIVRD"}
    assert upstream.vendor_tlvs == (VendorTlv(tag=0x1400, name="entity", kind="c_octets", size_min=2, size_max=20),)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("default_alphabet=ebcdic", "default_alphabet"),
        ("colour=red", "has no colour"),
        ("crt=/c.pem", "has no crt"),
        ("host=elsewhere", "has no host"),
        ("esm_mode=4", "esm_mode"),
        ("temporary_statuses=x", "numbers"),
        ("vendor_tlvs=x", "JSON"),
        ("vendor_tlvs=[{}]", "tag"),
        ("receipt_stats=acked", "receipt_stats is an object of words in JSON"),
        ("receipt_stats={%22acked%22:%22YES%22}", "receipt_stats"),
    ],
)
def test_a_profile_that_is_none_is_refused_by_name(query: str, said: str) -> None:
    with pytest.raises(UpstreamUrlError, match=said):
        upstream_of_url(f"smpp://a:b@host:1?{query}", "one")
