"""Tokens, texts, destinations and pace of the load generators."""

import pytest

from tools.bench.workload import Pace, destinations, new_run, text_tail, token_at
from tools.carrier.behaviour import DELIVERED, Attempts, decide


def test_no_destination_is_magic_and_all_differ() -> None:
    numbers = destinations(1000)
    assert len(set(numbers)) == 1000
    attempts = Attempts()
    assert all(decide(number.encode(), attempts).behaviour is DELIVERED for number in numbers)
    assert not any(number.endswith("000") for number in numbers)


def test_tokens_are_unique_of_one_length_and_one_word() -> None:
    run = new_run()
    tokens = {token_at(run, index) for index in (0, 9, 10, 999_999)}
    assert len(tokens) == 4
    assert {len(token) for token in tokens} == {14}
    assert all(token.isalnum() for token in tokens)


@pytest.mark.parametrize("length", [24, 60, 160])
def test_text_has_the_asked_length_and_the_token_first(length: int) -> None:
    text = token_at("abcdef", 7) + text_tail("abcdef", length)
    assert len(text) == length
    assert text.split(" ")[0] == token_at("abcdef", 7)


@pytest.mark.parametrize("length", [10, 161])
def test_text_that_cannot_hold_a_token_or_is_no_single_segment_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="choose 24 to 160"):
        text_tail("abcdef", length)


def test_without_a_rate_everything_may_go_at_once() -> None:
    assert Pace(0.0).take(1000, 5.0) == 1000


def test_pace_follows_a_straight_line() -> None:
    pace = Pace(1000.0)
    taken = sum(pace.take(100, 10.0 + step / 200) for step in range(201))
    assert taken == pytest.approx(1000, abs=2)


def test_a_pause_is_made_up_for_by_one_burst_only() -> None:
    pace = Pace(1000.0, burst=50)
    pace.take(1, 0.0)
    assert pace.take(10_000, 60.0) <= 51
