"""DELETE /v1/messages/{id} against a real Redis, PostgreSQL and carrier: what waits ends and is paid back once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.integration.gateway_rig import PRICE, Gateway, gateway
from tests.integration.http_rig import BODY
from tests.integration.postgres_databases import RecordDatabase
from tests.unit.smscd.ingress.http_fixture import Reply

pytest_plugins = ("tests.integration.postgres_fixture",)


async def cancel(rig: Gateway, message_id: str) -> Reply:
    return await rig.http.get(f"/v1/messages/{message_id}", method="DELETE")


async def test_what_waits_is_canceled_and_paid_back_once_and_what_left_is_not(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with gateway(valkey_url, record_database.dsn, upstream={"rate_per_second": 1.0}) as rig:
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        scheduled = (await rig.http.send(BODY | {"send_at": later})).json
        batch = await rig.http.send({"messages": [BODY] * 10}, path="/v1/messages/batch")
        first, *_, last = [item["message"]["id"] for item in batch.json["results"]]
        assert (scheduled["status"], await rig.spent()) == ("scheduled", 11 * PRICE)

        for number, message_id in enumerate((scheduled["id"], last), 1):
            at_once = await asyncio.gather(*(cancel(rig, message_id) for _ in range(3)))
            for reply in (*at_once, await cancel(rig, message_id)):
                assert (reply.status, reply.json["id"], reply.json["status"]) == (200, message_id, "canceled")
                assert reply.json["price"]["amount"] == "0.0000"
                assert await rig.spent() == (11 - number) * PRICE

        await rig.recorded(int(first))
        late = await cancel(rig, first)
        assert (late.status, late.problem["code"]) == (409, "not_cancelable")
        assert (await cancel(rig, "4711")).status == 404
        assert await rig.spent() == 9 * PRICE
