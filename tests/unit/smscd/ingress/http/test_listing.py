"""GET /v1/messages: what a query asks for, or everything that is wrong with it."""

from __future__ import annotations

import pytest

from smscd.core.ids import first_id
from smscd.core.records import State
from smscd.ingress.http.listing import PARAMETERS, PATH, SPAN_MS, Asked, parse_query
from smscd.ingress.http.queries import write_cursor
from storage.postgres.message_pages import MessageFilter
from storage.postgres.rows import Direction
from tests.unit.smscd.ingress.http_fixture import service

NOON_MS = 1_795_003_200_000  # 2026-11-18T12:00:00Z


def test_nothing_asked_is_the_newest_of_thirty_days() -> None:
    asked = parse_query([], NOON_MS)
    assert asked == Asked(50, MessageFilter(), first_id(NOON_MS + 1_000 - SPAN_MS), first_id(NOON_MS + 1_000))


def test_every_parameter_is_taken() -> None:
    query = {
        "limit": "7",
        "cursor": write_cursor(first_id(NOON_MS - 5)),
        "direction": "outbound",
        "to": "+447700900123",
        "from": "ACME",
        "created_after": "2026-11-17",
        "created_before": "2026-11-18T12:00:00Z",
    }
    asked = parse_query([*query.items(), ("status", "sent"), ("status", "failed"), ("status", "sent")], NOON_MS)
    wanted = MessageFilter((State.SENT, State.FAILED), Direction.OUTBOUND, b"ACME", b"447700900123")
    assert asked == Asked(7, wanted, first_id(NOON_MS - 36 * 3_600_000), first_id(NOON_MS - 5))


@pytest.mark.parametrize("written", ["+447700900123", " 447700900123", "447700900123"])
def test_a_plus_sign_may_be_left_out_and_may_have_become_a_space(written: str) -> None:
    asked = parse_query([("to", written)], NOON_MS)
    assert isinstance(asked, Asked)
    assert asked.wanted.dest == b"447700900123"


def test_before_a_time_to_come_is_before_now() -> None:
    assert parse_query([("created_before", "9999-12-31")], NOON_MS) == parse_query([], NOON_MS)


@pytest.mark.parametrize(
    ("name", "text"),
    [("status", "SENT"), ("direction", "in"), ("to", ""), ("to", "1" * 23), ("from", "\x7f"), ("limit", "0")],
)
def test_a_value_that_cannot_be_meant_is_told(name: str, text: str) -> None:
    errors = parse_query([(name, text)], NOON_MS)
    assert not isinstance(errors, Asked)
    assert [(error.pointer, error.detail) for error in errors] == [("/" + name, PARAMETERS[name].rule)]


def test_a_parameter_may_stand_twenty_times_and_no_more() -> None:
    statuses = [("status", "sent")] * 20
    asked = parse_query(statuses, NOON_MS)
    assert isinstance(asked, Asked) and asked.wanted.states == (State.SENT,)
    errors = parse_query([*statuses, ("status", "sent")], NOON_MS)
    assert not isinstance(errors, Asked)
    assert [(error.pointer, error.detail) for error in errors] == [("/status", "must stand at most 20 times")]


async def test_a_list_needs_a_key_and_a_query_that_is_valid() -> None:
    async with service() as http:
        assert (await http.get(PATH, key=None)).status == 401
        wrong = await http.get(PATH + "?status=gone&x=1")
        assert wrong.status == 422
        assert [error["pointer"] for error in wrong.problem["errors"]] == ["/x", "/status"]
