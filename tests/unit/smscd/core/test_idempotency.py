"""What is stored under a request key."""

from __future__ import annotations

from smscd.core.idempotency import StoredAnswer, duplicate_of, encode_answer
from smscd.core.verdicts import Duplicate

ANSWER = StoredAnswer(7236514482193408001, b"0123456789abcdef", 20_000, 2, 8)


def test_a_replay_gets_the_first_answer() -> None:
    stored = encode_answer(ANSWER)
    assert duplicate_of(stored, b"0123456789abcdef") == Duplicate(7236514482193408001, 20_000, 2, 8, True)


def test_another_body_under_the_same_key_is_seen() -> None:
    assert not duplicate_of(encode_answer(ANSWER), b"another body hash").same_body


def test_the_stored_answer_is_small() -> None:
    assert len(encode_answer(ANSWER)) <= 35
