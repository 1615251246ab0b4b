"""GET /v1/inbound and /v1/events without a PostgreSQL, and with parameters that they do not have."""

from __future__ import annotations

import pytest

from tests.unit.smscd.ingress.http_fixture import errors_of, service

QUERIES = [
    ("/v1/inbound?status=queued&direction=inbound&limit=0", {"/status", "/direction", "/limit"}),
    ("/v1/inbound?from=%00&to=&cursor=x", {"/from", "/to", "/cursor"}),
    ("/v1/inbound?created_after=2026-11-02&created_before=2026-11-01", {"/created_before"}),
    ("/v1/events?after=1&limit=501&cursor=x", {"/after", "/limit", "/cursor"}),
    ("/v1/events?after=&after=", {"/after"}),
]


@pytest.mark.parametrize(("path", "pointers"), QUERIES)
async def test_everything_wrong_with_a_query_is_said_at_once(path: str, pointers: set[str]) -> None:
    async with service() as http:
        assert set(errors_of(await http.get(path))) == pointers


async def test_without_the_record_nothing_is_said_to_be_missing() -> None:
    async with service() as http:
        for path in ("/v1/inbound", "/v1/inbound/42", "/v1/events"):
            reply = await http.get(path)
            assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (
                503, "storage_unavailable", "1",
            )  # fmt: skip
            assert (await http.get(path, key=None)).status == 401
            assert (await http.get(path, method="POST")).status == 405
        assert (await http.get("/v1/inbound/x")).status == 404
