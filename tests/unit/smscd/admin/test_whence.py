"""Which address the log of what operators did has: the peer's, or who a trusted proxy says that it asks for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Response

from smscd.admin.api import PREFIX, AdminApi
from smscd.admin.resources import Asked, Done
from smscd.ingress.http.client_addresses import FORWARDED, ClientAddresses
from storage.postgres.operators import ORIGIN
from tests.unit.smscd.admin.test_permissions import Known, all_operations

PROXY, TRUSTED = "10.0.0.1", ("10.0.0.0/8",)


async def told(_: Asked) -> Done:
    return Done(200, {"whence": ORIGIN.get()})


async def whence(trusted: tuple[str, ...], remote: str, forwarded: str | None) -> str:
    """What an entry of the log would have, of a request from `remote`."""
    [one] = [replace(one, call=told, query={}) for one in all_operations() if one.route == "GET audit"]
    api = AdminApi(Known(), [one], ClientAddresses(trusted)) if trusted else AdminApi(Known(), [one])
    headers = {"Authorization": "Bearer admin"} | ({} if forwarded is None else {FORWARDED: forwarded})
    answer = await api.answer(make_mocked_request("GET", f"{PREFIX}audit", headers=headers).clone(remote=remote))
    assert isinstance(answer, Response) and isinstance(answer.body, bytes) and answer.status == 200
    return str(json.loads(answer.body)["whence"])


@pytest.mark.parametrize(
    ("trusted", "remote", "forwarded", "expected"),
    [
        (TRUSTED, PROXY, "192.0.2.7", "192.0.2.7"),
        (TRUSTED, PROXY, "198.51.100.1, 192.0.2.7, 10.9.9.9", "192.0.2.7"),
        (TRUSTED, PROXY, "::ffff:192.0.2.7", "192.0.2.7"),
        (TRUSTED, PROXY, None, PROXY),
        (TRUSTED, PROXY, "unknown", PROXY),
        (TRUSTED, PROXY, "192.0.2.7, nobody", PROXY),
        (TRUSTED, "203.0.113.5", "192.0.2.7", "203.0.113.5"),
        ((), PROXY, "192.0.2.7", PROXY),
    ],
)
async def test_only_a_trusted_proxy_says_whence_an_order_comes(
    trusted: tuple[str, ...], remote: str, forwarded: str | None, expected: str
) -> None:
    assert await whence(trusted, remote, forwarded) == expected
