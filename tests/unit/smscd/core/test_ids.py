"""Message ids: unique, rising, dated."""

from __future__ import annotations

import pytest

from smscd.core.ids import AHEAD_MS_MAX, EPOCH_MS, NODE_MAX, ClockSteppedError, IdSource, message_ms

NOW = EPOCH_MS + 217_000_000_000


def test_ids_rise_and_carry_their_time_and_node() -> None:
    ids = IdSource(node=5).take(NOW, 3)
    assert ids == sorted(set(ids))
    assert {message_ms(i) for i in ids} == {NOW}
    assert {(i >> 12) & NODE_MAX for i in ids} == {5}
    assert [i & 0xFFF for i in ids] == [0, 1, 2]


def test_ids_fit_nineteen_digits_and_are_positive() -> None:
    last = IdSource(node=NODE_MAX).take(EPOCH_MS + (1 << 41) - 1, 4096)[-1]
    assert last == (1 << 63) - 1
    assert len(str(last)) == 19


def test_more_than_a_millisecond_holds_go_on_in_the_next() -> None:
    ids = IdSource(node=1).take(NOW, 5_000)
    assert len(set(ids)) == 5_000 and ids == sorted(ids)
    assert message_ms(ids[4_095]) == NOW and message_ms(ids[4_096]) == NOW + 1


def test_nodes_never_share_an_id() -> None:
    assert not set(IdSource(node=1).take(NOW, 4_096)) & set(IdSource(node=2).take(NOW, 4_096))


def test_after_a_step_back_of_the_clock_ids_go_on_from_the_last() -> None:
    source = IdSource(node=1)
    before = source.take(NOW, 10)
    after = source.take(NOW - AHEAD_MS_MAX, 10)
    assert after[0] > before[-1]
    assert source.last_ms == NOW


def test_a_longer_step_back_is_refused_and_takes_nothing() -> None:
    source = IdSource(node=1)
    before = source.take(NOW, 1)
    with pytest.raises(ClockSteppedError):
        source.take(NOW - AHEAD_MS_MAX - 1, 1)
    assert source.take(NOW, 1)[0] == before[0] + 1


def test_a_restarted_node_goes_on_after_its_last_id() -> None:
    last = IdSource(node=3).take(NOW, 7)[-1]
    assert IdSource(node=3, last_id=last).take(NOW, 1)[0] > last


def test_a_node_outside_ten_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="node"):
        IdSource(node=1024)


def test_nothing_was_handed_out_yet() -> None:
    assert IdSource(node=1).last_ms == 0
    assert IdSource(node=1).take(NOW, 0) == []
