"""What is paused and drained, as planning and dispatching see it."""

from __future__ import annotations

import pytest

from smscd.core.directory import Halt, HaltKind, HaltState
from smscd.core.directory_index import DirectoryIndex
from smscd.core.reasons import Reason
from smscd.egress.dispatch.halting import NOTHING_HALTED, halting_of
from tests.unit.smscd.core.test_directory_index import chosen, index
from tests.unit.smscd.egress.doubles import NOW_MS, message


def halted(kind: HaltKind, name: str, state: HaltState, account: str = "", **parts: object) -> DirectoryIndex:
    return index(halts=(Halt(kind=kind, name=name, state=state, account=account),), **parts)


def test_a_paused_upstream_is_still_planned_for() -> None:
    assert chosen(halted("upstream", "one", "paused"), "a", b"4412345678") == ("one", 20_000)


def test_a_drained_upstream_gives_way_to_the_next_and_without_one_it_is_refused() -> None:
    directory = halted("upstream", "one", "drained")
    assert chosen(directory, "b", b"4912345678") == ("two", 7)
    assert chosen(directory, "a", b"4412345678") is Reason.NO_ROUTE_AVAILABLE
    assert chosen(directory, "a", b"4477123456") == ("two", 0)


def test_a_drained_route_refuses_what_goes_by_it_and_nothing_else() -> None:
    directory = halted("route", "4", "drained", "b")
    assert chosen(directory, "b", b"4912345678") is Reason.NO_ROUTE_AVAILABLE
    assert chosen(directory, "a", b"4412345678") == ("one", 20_000)


@pytest.mark.parametrize(
    ("directory", "account", "digits", "waits"),
    [
        (halted("account", "a", "paused"), "a", b"4912", True),
        (halted("account", "a", "paused"), "b", b"4912", False),
        (halted("route", "44", "paused"), "a", b"4412", True),
        (halted("route", "44", "paused"), "a", b"4477", False),
        (halted("route", "44", "paused"), "b", b"4412", False),
        (halted("route", "4", "paused", "b"), "b", b"4412", True),
        (halted("route", "4", "paused", "b"), "a", b"4412", False),
        (halted("route", "44", "drained"), "a", b"4412", False),
        (halted("route", "44", "paused"), "a", b"99", False),
    ],
)  # fmt: skip
def test_what_waits_is_of_a_paused_account_or_goes_by_a_paused_route(
    directory: DirectoryIndex, account: str, digits: bytes, waits: bool
) -> None:
    assert directory.is_paused(message(1, account=account, dest=digits), NOW_MS) is waits


def clock() -> int:
    return NOW_MS


def test_an_upstream_is_told_what_concerns_it() -> None:
    directory = halted("upstream", "one", "paused")
    assert halting_of("one", directory, clock).is_paused and not halting_of("one", directory, clock).is_drained
    assert halting_of("two", directory, clock) == NOTHING_HALTED
    assert halting_of("one", halted("upstream", "one", "drained"), clock).is_drained
    assert halting_of("two", halted("account", "a", "paused"), clock).accounts == {"a"}
    assert halting_of("two", halted("route", "44", "drained"), clock).waits is None
