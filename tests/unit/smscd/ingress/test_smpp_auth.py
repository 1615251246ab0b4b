"""Binds: right and wrong passwords, and how many guesses there are."""

from __future__ import annotations

import pytest

from smscd.core.directory import Account, Credential, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.ingress import smpp_auth
from smscd.ingress.smpp_auth import Authenticator, BindOutcome, FailureLimiter, password_hmac

PEPPER = b"not in the database"
HERE, THERE = "192.0.2.1", "192.0.2.2"


def credential(system_id: str, account: str) -> Credential:
    return Credential(system_id=system_id, account=account, password_hmac=password_hmac(PEPPER, b"s3cret"))


DIRECTORY = DirectoryIndex(
    Snapshot(
        accounts=(Account(id="acme"), Account(id="late", is_suspended=True)),
        credentials=(credential("esme", "acme"), credential("late", "late"), credential("orphan", "gone")),
    )
)


def check(
    authenticator: Authenticator, system_id: bytes, password: bytes, *, address: str = HERE, now: float = 0.0
) -> BindOutcome:
    return authenticator.check(DIRECTORY, address, system_id, password, now)[0]


def test_the_right_password_gives_the_account() -> None:
    outcome, account, is_newly_locked = Authenticator(PEPPER).check(DIRECTORY, HERE, b"esme", b"s3cret", 0.0)
    assert (outcome, is_newly_locked) == (BindOutcome.ACCEPTED, False)
    assert account is not None and account.id == "acme"


@pytest.mark.parametrize("password", [b"", b"s3cre", b"s3cret\x00", b"S3CRET", bytes(64)])
def test_a_wrong_password_and_an_unknown_id_are_the_same(password: bytes) -> None:
    authenticator = Authenticator(PEPPER)
    for system_id in (b"esme", b"nobody", b"", b"\xff"):
        assert authenticator.check(DIRECTORY, HERE, system_id, password, 0.0) == (BindOutcome.WRONG, None, False)


def test_another_pepper_fits_nothing() -> None:
    assert check(Authenticator(b"other"), b"esme", b"s3cret") is BindOutcome.WRONG


def test_a_suspended_or_missing_account_may_not_bind() -> None:
    authenticator = Authenticator(PEPPER)
    assert check(authenticator, b"late", b"s3cret") is BindOutcome.SUSPENDED
    assert check(authenticator, b"orphan", b"s3cret") is BindOutcome.SUSPENDED


def test_ten_guesses_lock_the_pair_and_nobody_else() -> None:
    authenticator = Authenticator(PEPPER)
    locked = [authenticator.check(DIRECTORY, HERE, b"esme", b"guess%d" % number, 0.0)[2] for number in range(10)]
    assert locked == [False] * 9 + [True]
    assert check(authenticator, b"esme", b"s3cret") is BindOutcome.LOCKED
    assert check(authenticator, b"esme", b"s3cret", address=THERE) is BindOutcome.ACCEPTED
    assert check(authenticator, b"late", b"s3cret") is BindOutcome.SUSPENDED


def test_of_ten_thousand_guesses_ten_are_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[bytes] = []

    def counted(pepper: bytes, password: bytes) -> bytes:
        evaluated.append(password)
        return password_hmac(pepper, password)

    authenticator = Authenticator(PEPPER)
    monkeypatch.setattr(smpp_auth, "password_hmac", counted)
    for number in range(10_000):
        check(authenticator, b"esme", b"%d" % number, now=number / 100)
    assert len(evaluated) == 10


def test_the_lock_ends_with_its_window() -> None:
    authenticator = Authenticator(PEPPER)
    for _ in range(10):
        check(authenticator, b"esme", b"guess", now=0.0)
    assert check(authenticator, b"esme", b"s3cret", now=899.9) is BindOutcome.LOCKED
    assert check(authenticator, b"esme", b"wrong", now=900.0) is BindOutcome.WRONG
    assert check(authenticator, b"esme", b"s3cret", now=900.0) is BindOutcome.ACCEPTED


def test_the_right_password_wipes_the_slate() -> None:
    authenticator = Authenticator(PEPPER)
    for _ in range(3):
        for _ in range(9):
            check(authenticator, b"esme", b"guess")
        assert check(authenticator, b"esme", b"s3cret") is BindOutcome.ACCEPTED


def test_inventing_ids_gives_no_fresh_guesses_and_takes_bounded_memory() -> None:
    limiter = FailureLimiter(failures_max=10, window_seconds=900.0)
    for _ in range(9):
        limiter.failed(HERE, b"esme", 0.0)
    for number in range(10_000):
        limiter.failed(HERE, b"invented%d" % number, 1.0)
    assert limiter.is_locked(HERE, b"yet another", 2.0)
    assert not limiter.is_locked(HERE, b"esme", 2.0)
    assert limiter.failed(HERE, b"esme", 2.0)
    assert len(limiter._addresses[HERE]) <= smpp_auth.SYSTEM_IDS_PER_ADDRESS_MAX + 1


def test_old_ids_of_an_address_make_room() -> None:
    limiter = FailureLimiter(failures_max=1, window_seconds=900.0)
    for number in range(smpp_auth.SYSTEM_IDS_PER_ADDRESS_MAX):
        limiter.failed(HERE, b"%d" % number, 0.0)
    limiter.failed(HERE, b"later", 1_000.0)
    assert limiter.is_locked(HERE, b"later", 1_001.0)
    assert not limiter.is_locked(HERE, b"another", 1_001.0)


def test_addresses_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smpp_auth, "ADDRESSES_MAX", 5)
    limiter = FailureLimiter(failures_max=1)
    for number in range(20):
        limiter.failed(f"192.0.2.{number}", b"esme", 0.0)
    assert limiter.is_locked("192.0.2.19", b"esme", 0.0)
    assert not limiter.is_locked("192.0.2.1", b"esme", 0.0)
