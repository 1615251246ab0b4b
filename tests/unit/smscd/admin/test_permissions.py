"""Every route of the admin API with every role, and without a token: exactly what the table says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Response

from smscd.admin.api import PREFIX, AdminApi
from smscd.admin.desk import Desk
from smscd.admin.everything import operations
from smscd.admin.operators import Operators
from smscd.admin.permissions import NEEDED, RANKS
from smscd.admin.problems import CODES
from smscd.admin.resources import Asked, Done, Operation
from smscd.core.limits import Limits
from smscd.ingress.http.documents import problem_types
from storage.postgres.operators import Token

EXAMPLES = {"kind": "upstreams", "verb": "pause", "number": "1", "message": "1", "label": "*/44"}
NOTHING: Any = None


class Known(Operators):
    """Each role is the token of an operator of that role."""

    def __init__(self) -> None:
        super().__init__(NOTHING, lambda: 0.0)

    async def who(self, token: str) -> Token | None:
        return Token(name=token, token_hash=b"", role=token) if token in RANKS else None


def all_operations() -> list[Operation]:
    desk = Desk(
        database=NOTHING, balances=NOTHING, link=NOTHING, keys=NOTHING, tell=NOTHING, waiting=NOTHING, now_ms=NOTHING,
        wait_seconds=0.0, pepper="", new_account=Limits(),
    )  # fmt: skip
    return operations(desk)


async def called(asked: Asked) -> Done:
    return Done(200, {"by": asked.operator.role})


@pytest.fixture(scope="module")
def api() -> AdminApi:
    """All routes, which do nothing but say who called them."""
    return AdminApi(Known(), [replace(one, call=called, body=None, query={}) for one in all_operations()])


async def status_of(api: AdminApi, one: Operation, token: str) -> int:
    path = re.sub(r"\{(\w+)\*?\}", lambda part: EXAMPLES.get(part.group(1), "x"), one.path)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = await api.answer(make_mocked_request(one.method, PREFIX + path, headers=headers))
    assert isinstance(answer, Response)
    return answer.status


def test_the_table_has_a_row_for_each_route_and_no_other() -> None:
    routes = [one.route for one in all_operations()]
    assert sorted(routes) == sorted(NEEDED)
    assert len({one.id for one in all_operations()}) == len(routes)


@pytest.mark.parametrize("one", all_operations(), ids=lambda one: one.route)
async def test_each_role_may_do_what_the_table_says_and_nobody_without_a_token(api: AdminApi, one: Operation) -> None:
    found = {role: await status_of(api, one, role) for role in RANKS}
    assert found == {role: 200 if RANKS[role] >= RANKS[NEEDED[one.route]] else 403 for role in RANKS}
    assert await status_of(api, one, "") == await status_of(api, one, "guessed") == 401


def test_support_and_readers_change_no_configuration_and_no_money() -> None:
    changing = {route for route, role in NEEDED.items() if role != "admin" and not route.startswith("GET ")}
    assert {route.split()[1].split("/")[0] for route in changing} <= {
        "doubts", "orphans", "sessions", "dead-letters", "messages",
    }  # fmt: skip
    assert NEEDED["POST doubts/fail"] == "admin"  # it may refund


def test_a_route_without_a_row_is_not_served() -> None:
    one = replace(all_operations()[0], path="secrets")
    with pytest.raises(ValueError, match="GET secrets has no row"):
        AdminApi(Known(), [one])


def test_each_refusal_has_a_page() -> None:
    known = {kind.code for kind in problem_types()} | {code.code for code, _ in CODES}
    assert len({code.code for code, _ in CODES}) == len(CODES)
    source = "".join(path.read_text() for path in Path(__file__).parents[4].glob("smscd/admin/*.py"))
    used = set(re.findall(r'Refus(?:al|ed)\(\s*"(\w+)"', source))
    assert used and used <= known
