"""The order in which claimed messages go out, and which queues are read next."""

from __future__ import annotations

from smscd.egress.dispatch.backlog import Backlog, ClaimPlan
from smscd.egress.dispatch.blobs import Item
from tests.unit.smscd.egress.doubles import message


def items(first: int, count: int) -> list[Item]:
    return [Item(message(number), None, 0) for number in range(first, first + count)]


def texts(taken: list[Item]) -> list[bytes]:
    return [item.record.segments[0] for item in taken]


def test_begun_messages_go_first_then_by_priority() -> None:
    backlog = Backlog()
    backlog.add("low", "2", items(1, 2))
    backlog.add("high", "0", items(10, 2))
    [begun] = items(99, 1)
    backlog.add_begun(begun)
    assert texts(backlog.take(4)) == [b"text 99", b"text 10", b"text 11", b"text 1"]
    assert len(backlog) == 1


def test_accounts_of_one_priority_take_turns() -> None:
    backlog = Backlog()
    backlog.add("a", "1", items(0, 100))
    backlog.add("b", "1", items(1000, 100))
    numbers = [item.record.id - message(0).id for item in backlog.take(32)]
    assert sum(number >= 1000 for number in numbers) == 16
    backlog.add("c", "1", items(2000, 3))
    assert any(item.record.id - message(0).id >= 2000 for item in backlog.take(32))


def test_a_message_is_begun_once_however_often_it_is_added() -> None:
    backlog = Backlog()
    [item] = items(1, 1)
    backlog.add_begun(item)
    backlog.add_begun(item)
    assert len(backlog) == 1
    assert backlog.take(5) == [item]
    backlog.add_begun(item)
    assert backlog.take(5) == [item]


def test_messages_that_are_over_are_dropped() -> None:
    backlog = Backlog()
    waiting = items(1, 3)
    backlog.add("a", "1", waiting)
    waiting[0].is_over = True
    assert texts(backlog.take(2)) == [b"text 2", b"text 3"]
    assert len(backlog) == 0 and backlog.claimed("a") == 0


def test_what_found_no_room_comes_first_again_in_its_order() -> None:
    backlog = Backlog()
    backlog.add("a", "1", items(1, 5))
    taken = backlog.take(3)
    backlog.put_back(taken[1:])
    assert texts(backlog.take(5)) == [b"text 2", b"text 3", b"text 4", b"text 5"]


def test_clear_forgets_everything() -> None:
    backlog = Backlog()
    backlog.add("a", "1", items(1, 5))
    backlog.clear()
    assert len(backlog) == 0 and backlog.take(5) == []


def test_queues_are_read_until_enough_waits_highest_priority_first() -> None:
    plan, backlog = ClaimPlan(), Backlog()
    queues = [("urgent", "0"), ("bulk", "1")]
    assert plan.choose(queues, backlog, 10)[0] == ["urgent"]
    backlog.add("urgent", "0", items(1, 10))
    assert plan.choose(queues, backlog, 10)[0] == ["bulk"]
    backlog.add("bulk", "1", items(100, 10))
    assert plan.choose(queues, backlog, 10) == ([], 0)


def test_a_queue_of_which_nothing_waits_is_read_although_another_fills_the_backlog() -> None:
    plan, backlog = ClaimPlan(), Backlog()
    backlog.add("big", "1", items(1, 30))
    assert plan.choose([("big", "1"), ("small", "1")], backlog, 10)[0] == ["small"]
    backlog.add("big", "1", items(100, 10))
    assert plan.choose([("big", "1"), ("small", "1")], backlog, 10) == ([], 0)


def test_the_count_follows_the_size_of_the_blobs_seen() -> None:
    plan, backlog = ClaimPlan(), Backlog()
    for _ in range(30):
        plan.learn(1, 100)
    assert 2 <= plan.choose([("q", "1")], backlog, 200)[1] <= 4
    for _ in range(60):
        plan.learn(10, 10)
    assert plan.choose([("q", "1")], backlog, 200)[1] >= 150


def test_queues_take_turns_at_being_read_first() -> None:
    plan, backlog = ClaimPlan(), Backlog()
    queues = [(f"q{number}", "1") for number in range(200)]
    read: set[str] = set()
    for _ in range(200):
        read.update(plan.choose(queues, backlog, 10)[0])
    assert len(read) == 200
