"""What credentials are worth, and how wrong passwords are counted."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from smscd.core.directory import Account, Credential, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.ingress.smpp import auth as smpp_auth
from smscd.ingress.smpp.auth import Authenticator, BindOutcome, Evaluation, FailureLimiter, bind_limits, password_hmac
from smscd.transport.tls import PeerCertificate

PEPPER = b"not in the database"
HERE, THERE = "192.0.2.1", "198.51.100.2"
FINGERPRINT = "ab" * 32


def credential(system_id: str, account: str, certificate: str = "") -> Credential:
    hashed = password_hmac(PEPPER, b"s3cret")
    return Credential(system_id=system_id, account=account, password_hmac=hashed, client_certificate=certificate)


DIRECTORY = DirectoryIndex(
    Snapshot(
        accounts=(
            Account(id="acme"),
            Account(id="late", is_suspended=True),
            Account(id="near", allowed_networks=frozenset({"192.0.2.0/24", "2001:db8::/32"})),
        ),
        credentials=(
            credential("esme", "acme"),
            credential("late", "late"),
            credential("orphan", "gone"),
            credential("near", "near"),
            credential("finger", "acme", FINGERPRINT),
            credential("common", "acme", "CN=esme.example"),
        ),
    )
)


def evaluate(system_id: bytes, password: bytes = b"s3cret", *, address: str = HERE, **more: Any) -> BindOutcome:
    return Authenticator(PEPPER).evaluate(DIRECTORY, address, system_id, password, **more).outcome


def test_the_right_password_gives_the_account() -> None:
    found = Authenticator(PEPPER).evaluate(DIRECTORY, HERE, b"esme", b"s3cret")
    assert found == Evaluation(BindOutcome.ACCEPTED, "acme")


@pytest.mark.parametrize("password", [b"", b"s3cre", b"s3cret\x00", b"S3CRET", bytes(64)])
def test_a_wrong_password_and_an_unknown_id_are_the_same(password: bytes) -> None:
    for system_id in (b"esme", b"nobody", b"", b"\xff"):
        assert Authenticator(PEPPER).evaluate(DIRECTORY, HERE, system_id, password) == Evaluation(BindOutcome.WRONG)


def test_another_pepper_fits_nothing() -> None:
    assert Authenticator(b"other").evaluate(DIRECTORY, HERE, b"esme", b"s3cret").outcome is BindOutcome.WRONG


def test_a_suspended_or_missing_account_may_not_bind() -> None:
    assert evaluate(b"late") is BindOutcome.SUSPENDED
    assert evaluate(b"orphan") is BindOutcome.SUSPENDED
    assert evaluate(b"late", b"wrong") is BindOutcome.WRONG


@pytest.mark.parametrize(
    ("address", "outcome"),
    [
        (HERE, BindOutcome.ACCEPTED),
        ("::ffff:192.0.2.9", BindOutcome.ACCEPTED),
        ("2001:db8::1", BindOutcome.ACCEPTED),
        (THERE, BindOutcome.ADDRESS),
        ("2001:db9::1", BindOutcome.ADDRESS),
        ("", BindOutcome.ADDRESS),
    ],
)
def test_an_account_may_be_bound_from_its_networks_only(address: str, outcome: BindOutcome) -> None:
    assert evaluate(b"near", address=address) is outcome


def test_the_right_password_from_elsewhere_says_nothing_of_the_account() -> None:
    assert Authenticator(PEPPER).evaluate(DIRECTORY, THERE, b"near", b"s3cret") == Evaluation(BindOutcome.ADDRESS)


@pytest.mark.parametrize(
    ("system_id", "certificate", "outcome"),
    [
        (b"finger", None, BindOutcome.CERTIFICATE),
        (b"finger", PeerCertificate(FINGERPRINT, "anybody"), BindOutcome.ACCEPTED),
        (b"finger", PeerCertificate("cd" * 32, "esme.example"), BindOutcome.CERTIFICATE),
        (b"common", None, BindOutcome.CERTIFICATE),
        (b"common", PeerCertificate("cd" * 32, "esme.example"), BindOutcome.ACCEPTED),
        (b"common", PeerCertificate("cd" * 32, "other.example"), BindOutcome.CERTIFICATE),
        (b"common", PeerCertificate("cd" * 32, ""), BindOutcome.CERTIFICATE),
        (b"esme", PeerCertificate("cd" * 32, "anybody"), BindOutcome.ACCEPTED),
    ],
)
def test_a_credential_may_ask_for_a_certificate(
    system_id: bytes, certificate: PeerCertificate | None, outcome: BindOutcome
) -> None:
    assert evaluate(system_id, certificate=certificate) is outcome
    assert evaluate(system_id, b"wrong", certificate=certificate) is BindOutcome.WRONG


def test_every_bind_is_hashed_and_compared_once_whatever_is_wrong_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def compare_digest(given: bytes, expected: bytes) -> bool:
        assert len(given) == len(expected) == 32
        compared.append(1)
        return hmac.compare_digest(given, expected)

    fake = type("hmac", (), {"digest": hmac.digest, "compare_digest": staticmethod(compare_digest)})
    monkeypatch.setattr(smpp_auth, "hmac", fake)
    for system_id, password, address in (
        (b"esme", b"s3cret", HERE),
        (b"esme", b"wrong", HERE),
        (b"nobody", b"s3cret", HERE),
        (b"near", b"s3cret", THERE),
    ):
        compared.clear()
        evaluate(system_id, password, address=address)
        assert compared == [1]


def test_limits_by_type_are_none_or_a_number() -> None:
    assert bind_limits(Account(id="a", binds_max=7, binds_rx_max=0, binds_trx_max=3)) == (7, -1, 0, 3)


# --- counting -------------------------------------------------------------------------------------------------------


def test_failures_are_counted_by_pair_and_forgotten_with_the_window() -> None:
    limiter = FailureLimiter(900.0)
    assert [limiter.failed(HERE, b"esme", 0.0) for _ in range(3)] == [1, 2, 3]
    assert limiter.count(HERE, b"esme", 899.9) == 3
    assert limiter.count(THERE, b"esme", 1.0) == limiter.count(HERE, b"other", 1.0) == 0
    assert limiter.count(HERE, b"esme", 900.0) == 0
    assert limiter.failed(HERE, b"esme", 900.0) == 1


def test_the_right_password_wipes_the_slate() -> None:
    limiter = FailureLimiter()
    limiter.failed(HERE, b"esme", 0.0)
    limiter.failed(HERE, b"other", 0.0)
    limiter.succeeded(HERE, b"esme")
    assert (limiter.count(HERE, b"esme", 0.0), limiter.count(HERE, b"other", 0.0)) == (0, 1)


def test_what_all_workers_counted_is_learned_with_the_end_of_the_window() -> None:
    limiter = FailureLimiter(900.0)
    limiter.learned(HERE, b"esme", 11, 100.0, now=50.0)
    assert limiter.count(HERE, b"esme", 149.9) == 11
    assert limiter.count(HERE, b"esme", 150.0) == 0


def test_inventing_ids_gives_no_fresh_guesses_and_takes_bounded_memory() -> None:
    limiter = FailureLimiter(900.0)
    for _ in range(9):
        limiter.failed(HERE, b"esme", 0.0)
    for number in range(10_000):
        limiter.failed(HERE, b"invented%d" % number, 1.0)
    assert limiter.count(HERE, b"yet another", 2.0) > 9_000
    assert limiter.count(HERE, b"esme", 2.0) == 9
    assert len(limiter._peers[HERE]) <= smpp_auth.SYSTEM_IDS_PER_PEER_MAX + 1


def test_old_ids_of_a_peer_make_room() -> None:
    limiter = FailureLimiter(900.0)
    for number in range(smpp_auth.SYSTEM_IDS_PER_PEER_MAX):
        limiter.failed(HERE, b"%d" % number, 0.0)
    limiter.failed(HERE, b"later", 1_000.0)
    assert limiter.count(HERE, b"later", 1_001.0) == 1
    assert limiter.count(HERE, b"another", 1_001.0) == 0


def test_peers_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smpp_auth, "PEERS_MAX", 5)
    limiter = FailureLimiter()
    for number in range(20):
        limiter.failed(f"192.0.2.{number}", b"esme", 0.0)
    assert limiter.count("192.0.2.19", b"esme", 0.0) == 1
    assert limiter.count("192.0.2.1", b"esme", 0.0) == 0
