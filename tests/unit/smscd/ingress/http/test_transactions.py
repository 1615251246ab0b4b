"""GET /v1/transactions: what a query asks for, or everything that is wrong with it."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from smscd.core.ids import first_id
from smscd.ingress.http.queries import read_cursor, write_cursor
from smscd.ingress.http.transactions import PARAMETERS, PATH, Asked, parse_query
from storage.postgres.account_entries import ENTRY_KINDS, ID_MAX
from tests.unit.smscd.ingress.http_fixture import service

NOON_MS = 1_795_003_200_000  # 2026-11-18T12:00:00Z


def test_nothing_asked_is_the_newest_of_all_kinds() -> None:
    assert parse_query([]) == Asked(limit=50, kinds=ENTRY_KINDS, first_id=0, end_id=None, from_seq=None)


def test_every_parameter_is_taken() -> None:
    query = {
        "limit": "500",
        "cursor": write_cursor(7),
        "created_after": "2026-11-18T12:00:00Z",
        "created_before": "2026-11-19",
    }
    asked = parse_query([*query.items(), ("kind", "topup"), ("kind", "adjust"), ("kind", "topup")])
    assert asked == Asked(500, ("topup", "adjust"), first_id(NOON_MS), first_id(NOON_MS + 43_200_000), 7)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-18T12:00:00.000Z", NOON_MS),
        ("2026-11-18t13:00:00+01:00", NOON_MS),
        ("2026-11-18T12:00:00.0001z", NOON_MS + 1),
        ("1999-01-01", 0),
    ],
)
def test_a_moment_is_that_of_the_first_id_that_is_not_before_it(text: str, ms: int) -> None:
    assert parse_query([("created_after", text)]) == Asked(first_id=first_id(ms))


def test_a_moment_after_the_last_id_is_the_last_id() -> None:
    assert parse_query([("created_before", "9999-12-31")]) == Asked(end_id=ID_MAX)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "-1"),
        ("limit", "1.5"),
        ("limit", "٣"),
        ("limit", "9" * 5_000),
        ("cursor", ""),
        ("cursor", "7"),
        ("cursor", "AAAAAAAAAAAq"),
        ("cursor", "_____________"),
        ("cursor", "Af__________"),
        ("cursor", "\u2028"),
        ("kind", "gift"),
        ("created_after", "yesterday"),
        ("created_after", "2026-13-01"),
        ("created_after", "2026-11-18T12:00:00"),
        ("created_before", "2026-11-18 12:00:00Z"),
        ("created_before", ""),
    ],
)
def test_what_is_no_value_of_a_parameter_is_told_with_what_it_must_be(name: str, text: str) -> None:
    errors = parse_query([(name, text)])
    assert not isinstance(errors, Asked)
    assert [(error.pointer, error.detail) for error in errors] == [("/" + name, PARAMETERS[name].rule)]


def test_all_that_is_wrong_is_told_at_once() -> None:
    errors = parse_query([("limit", "x"), ("limit", "1"), ("kind", "x"), ("a/b", "1"), ("cursor", "x")])
    assert not isinstance(errors, Asked)
    assert [(error.pointer, error.detail) for error in errors] == [
        ("/limit", "must stand once"),
        ("/a~1b", "unknown parameter"),
        ("/limit", PARAMETERS["limit"].rule),
        ("/kind", PARAMETERS["kind"].rule),
        ("/cursor", PARAMETERS["cursor"].rule),
    ]


def test_a_period_that_ends_before_it_begins_and_a_flood_of_parameters_are_refused() -> None:
    errors = parse_query([("created_after", "2026-11-18"), ("created_before", "2026-11-18")])
    assert not isinstance(errors, Asked) and [error.pointer for error in errors] == ["/created_before"]
    errors = parse_query([("kind", "topup")] * 21)
    assert not isinstance(errors, Asked) and "at most 20" in errors[0].detail


@pytest.mark.parametrize("seq", [0, 1, 2**40, ID_MAX])
def test_a_cursor_is_read_back_and_says_nothing(seq: int) -> None:
    text = write_cursor(seq)
    assert read_cursor(text) == seq
    assert len(text) == 12 and str(seq) not in text.replace("A", "")


async def test_a_refusal_is_a_problem_document_and_needs_no_storage() -> None:
    async with service() as http:
        reply = await http.get(f"{PATH}?{urlencode({'limit': 'x', 'cursor': 'y'})}")
        away = await http.get(PATH)
        no_key = await http.get(PATH, key=None)
    assert (reply.status, reply.json["code"], reply.json["detail"]) == (
        422,
        "validation_failed",
        "2 fields are invalid",
    )
    assert (away.status, away.json["code"], away.headers["retry-after"]) == (503, "storage_unavailable", "1")
    assert no_key.status == 401
