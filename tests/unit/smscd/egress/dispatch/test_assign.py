"""Which segments go out next over which bind."""

from __future__ import annotations

from smscd.core.error_table import ErrorTable
from smscd.egress.dispatch.assign import Lot, assign, drop_withheld, take_back
from smscd.egress.dispatch.backlog import Backlog
from smscd.egress.dispatch.blobs import ACCEPTED, SENDING, WAITING, Blob, Item
from smscd.egress.dispatch.submits import SubmitEncoder
from smscd.egress.dispatch.turn import Draft
from tests.unit.smscd.egress.doubles import NOW_MS, QUEUE, FakeLink, message, profile


class Rig:
    def __init__(self, *windows: int) -> None:
        self.links = [FakeLink(window) for window in windows]
        self.backlog = Backlog()
        self.blob = Blob(QUEUE, "1-0", NOW_MS)

    def claim(self, *segments: int) -> list[Item]:
        """Messages of as many segments."""
        items: list[Item] = []
        for number in segments:
            item = Item(message(number, segments=[b"part %d" % at for at in range(number)]), self.blob, len(items))
            items.append(item)
        self.backlog.add(QUEUE, "1", items)
        return items

    def assign(self, limit: int = 1000, *, new: bool = True) -> list[Lot]:
        self.draft = Draft(profile(), NOW_MS, lambda: 0.0, ErrorTable(profile()))
        backlog = self.backlog if new else None
        lots, self.used = assign(
            self.draft, backlog, self.links, limit, SubmitEncoder(profile()), 0.0  # type: ignore[arg-type]
        )  # fmt: skip
        return lots


def sizes(lots: list[Lot]) -> list[int]:
    return [len(lot.refs) for lot in lots]


def test_messages_are_spread_over_the_binds() -> None:
    rig = Rig(10, 10)
    rig.claim(*[1] * 6)
    lots = rig.assign()
    assert sizes(lots) == [3, 3] and rig.used == 6
    assert [intent.field for intent in rig.draft.turn.intents] == [b"%d.0" % index for index in range(6)]


def test_what_one_bind_has_no_room_for_another_takes() -> None:
    rig = Rig(1, 10)
    rig.claim(*[1] * 6)
    assert sizes(rig.assign()) == [1, 5]
    assert len(rig.backlog) == 0


def test_what_finds_no_room_stays_in_its_order() -> None:
    rig = Rig(2)
    items = rig.claim(1, 1, 1, 1)
    assert [ref[0] for ref in rig.assign()[0].refs] == items[:2]
    rig.links[0].window = 4
    assert [ref[0] for ref in rig.assign()[0].refs][:2] == items[2:]


def test_the_limit_counts_segments() -> None:
    rig = Rig(100)
    rig.claim(3, 3, 3)
    [lot] = rig.assign(limit=4)
    assert [(ref[0].record.id, ref[1]) for ref in lot.refs] == [
        (message(3).id, 0), (message(3).id, 1), (message(3).id, 2), (message(3).id, 0),
    ]  # fmt: skip
    assert len(rig.links[0].begun) == 1 and rig.used == 4


def test_a_begun_message_goes_on_where_it_was_begun_and_before_others() -> None:
    rig = Rig(2, 2)
    [long] = rig.claim(5)
    lots = rig.assign()
    begun: object = next(link for link in rig.links if link.begun)
    assert sum(sizes(lots)) == 2
    rig.claim(1, 1)
    lots = rig.assign()
    mine = next(lot for lot in lots if lot.link is begun)
    assert list(mine.refs) == [(long, 2), (long, 3)]


def test_draining_finishes_only_what_was_begun() -> None:
    rig = Rig(2)
    rig.claim(3)
    rig.assign()
    rig.claim(1)
    assert sizes(rig.assign(new=False)) == [1]
    assert len(rig.backlog) == 1


def test_a_begun_message_that_is_over_or_due_later_is_passed_over() -> None:
    for change in ("over", "later"):
        rig = Rig(1)
        [item] = rig.claim(3)
        rig.assign()
        item.is_over = change == "over"
        item.due_ms = 5 if change == "later" else 0
        assert sizes(rig.assign()) == [0]
        assert not rig.links[0].begun and not item.is_queued


def test_only_waiting_segments_are_sent() -> None:
    rig = Rig(10)
    [item] = rig.claim(3)
    item.states[1] = ACCEPTED
    [lot] = rig.assign()
    assert [segment for _, segment in lot.refs] == [0, 2]
    assert bytes(item.states) == bytes((SENDING, ACCEPTED, SENDING))


def test_a_message_of_the_rest_has_no_intent_but_is_kept_in_the_rest() -> None:
    rig = Rig(10)
    item = Item(message(1), None, 0)
    rig.backlog.add_begun(item)
    [lot] = rig.assign()
    assert lot.intents == [-1] and rig.draft.rests == {item.record.id: item}


def test_withheld_messages_are_taken_out() -> None:
    rig = Rig(10)
    items = rig.claim(1, 2, 1)
    lots = rig.assign()
    assert drop_withheld(lots, {1, 2}) == [items[1]]
    assert [ref[0] for ref in lots[0].refs] == [items[0], items[2]]
    assert len(lots[0].bodies) == 2 and set(items[1].states) == {WAITING}


def test_what_cannot_be_written_waits_again() -> None:
    rig = Rig(10)
    items = rig.claim(1, 2)
    [lot] = rig.assign()
    assert take_back(lot) == items
    assert all(set(item.states) == {WAITING} for item in items) and lot.refs == []
