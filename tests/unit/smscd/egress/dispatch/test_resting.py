"""Messages that wait for a time of their own."""

from __future__ import annotations

from smscd.egress.dispatch.blobs import Item
from smscd.egress.dispatch.resting import Resting
from tests.unit.smscd.egress.doubles import message


def test_they_come_back_in_the_order_of_their_times_and_not_before() -> None:
    resting = Resting()
    items = [Item(message(number), None, 0) for number in range(4)]
    for item, due_ms in zip(items, (30, 10, 20, 10), strict=True):
        item.due_ms = due_ms
        resting.add(item)
    items[2].is_over = True
    assert resting.next_due_ms == 10 and resting.take_due(9) == []
    assert resting.take_due(10) == [items[1], items[3]]
    assert resting.take_due(100) == [items[0]] and resting.next_due_ms is None
    assert items[0].due_ms == 0
