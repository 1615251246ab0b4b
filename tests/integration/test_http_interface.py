"""HTTP submits against the real Redis and PostgreSQL: charged once, recorded, refused with the right words."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from redis import Redis

from smscd.ingress.http.batches import PATH as BATCH
from storage.embedded.process import unprivileged_user
from storage.embedded.valkey import EmbeddedValkey
from tests.integration.http_rig import BODY, KEYS, HttpRig, http_rig
from tests.integration.postgres_databases import RecordDatabase
from tests.unit.smscd.ingress.http_fixture import Reply

pytest_plugins = ("tests.integration.postgres_fixture",)


def journalled(url: str) -> int:
    """Entries in the journal that are not the top-ups of the rig."""
    with Redis.from_url(url) as redis:
        return sum(fields[b"k"] == b"A" for _, fields in redis.xrange(KEYS.journal))


async def balance(rig: HttpRig, account: str) -> str:
    reply = await rig.get("/v1/balance", account=account)
    amount: str = reply.json["balance"]["amount"]
    return amount


async def test_a_message_is_paid_for_when_it_is_accepted_and_can_be_read_at_once(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        await rig.write()
        sent = await rig.send(BODY | {"metadata": {"k": "v"}}, key="k-1")
        read = await rig.get(sent.headers["location"])
        assert (sent.status, read.status) == (202, 200)
        shown = read.json
        assert {name: shown[name] for name in sent.json if name != "status"} == {
            name: value for name, value in sent.json.items() if name != "status"
        }
        assert (shown["status"], shown["metadata"]) == ("queued", {"k": "v"})
        assert [item["what"] for item in shown["timeline"]] == ["admitted"]
        assert (await rig.get(sent.headers["location"], account="slow")).status == 404
        assert await balance(rig, "acme") == "9.9900"


async def test_fifty_messages_sent_and_read_at_once_are_never_404(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        await rig.write()

        async def send_and_read() -> int:
            sent = await rig.send()
            return (await rig.get(sent.headers["location"])).status

        assert set(await asyncio.gather(*(send_and_read() for _ in range(50)))) == {200}


async def test_a_new_message_is_503_until_the_writer_has_it_and_only_a_made_up_one_404(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        sent = await rig.send()
        assert (await rig.get(sent.headers["location"])).status == 503
        await rig.write()
        assert (await rig.get(sent.headers["location"])).status == 200
        assert (await rig.get("/v1/messages/4711")).status == 404


async def test_a_hundred_parallel_copies_are_one_message_and_one_charge(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        replies = await asyncio.gather(*(rig.send(key="same") for _ in range(100)))
        assert {reply.status for reply in replies} == {202}
        assert len({reply.body for reply in replies}) == 1
        assert sum("idempotent-replayed" in reply.headers for reply in replies) == 99
        assert await balance(rig, "acme") == "9.9900"
        other = await rig.send(BODY | {"text": "another"}, key="same")
        assert (other.status, other.problem["code"]) == (422, "idempotency_key_reused")
        await rig.restart()
        again = await rig.send(key="same")
        assert (again.status, again.body, again.headers["idempotent-replayed"]) == (202, replies[0].body, "true")
        assert await balance(rig, "acme") == "9.9900"
        assert journalled(valkey_url) == 1


async def test_refusals_come_with_the_documented_codes_and_cost_nothing(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        poor = await rig.send(account="poor", key="k")
        assert (poor.status, poor.problem["code"]) == (402, "insufficient_balance")
        await rig.top_up("poor", 10_000)
        assert (await rig.send(account="poor", key="k")).status == 202
        assert (await rig.send(account="poor")).status == 402
        assert await balance(rig, "poor") == "0.0000"

        slow = [await rig.send(account="slow") for _ in range(5)]
        assert [reply.status for reply in slow] == [202, 202, 202, 429, 429]
        assert slow[3].problem["code"] == "rate_limited"
        assert slow[3].headers["retry-after"] == "1"
        assert slow[3].headers["ratelimit"].startswith('"default";r=0;')
        assert await balance(rig, "slow") == "9.9700"

        full = [await rig.send(BODY | {"to": "+46700000001"}, account="small") for _ in range(3)]
        assert [reply.status for reply in full] == [202, 202, 503]
        assert (full[2].problem["code"], full[2].headers["retry-after"]) == ("queue_full", "1")
        assert await balance(rig, "small") == "9.9800"


async def test_a_batch_is_admitted_together_charged_once_and_the_same_for_a_copy(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        await rig.write()
        whole = {"messages": [BODY | {"client_ref": f"order-{number}"} for number in range(600)]}

        async def answered() -> Reply:
            """Asked again, as the problem says, when this machine is too slow for the second that admission has."""
            while (reply := await rig.send(whole, key="b", path=BATCH)).status == 503 or reply.json["refused"]:
                assert reply.headers["retry-after"] == "1"
            return reply

        copies = await asyncio.gather(*(answered() for _ in range(3)))
        assert [reply.status for reply in copies] == [202] * 3
        shown = [[item["message"] for item in reply.json["results"]] for reply in copies]
        assert len({message["id"] for message in shown[0]}) == 600
        assert [messages == shown[0] for messages in shown] == [True] * 3
        assert sum(reply.headers.get("idempotent-replayed") == "true" for reply in copies) >= 2
        assert await balance(rig, "acme") == "4.0000"
        assert journalled(valkey_url) <= 4
        read = await rig.get(f"/v1/messages/{shown[0][-1]['id']}")
        assert (read.status, read.json["client_ref"]) == (200, "order-599")

        await rig.restart()
        longer = {"messages": [BODY | {"text": "another"}, *whole["messages"][1:3], BODY]}
        again = (await rig.send(longer, key="b", path=BATCH)).json
        assert (again["accepted"], again["refused"]) == (2, 2)
        assert [item["message"]["id"] for item in again["results"][1:3]] == [each["id"] for each in shown[0][1:3]]
        assert again["results"][0]["problem"]["code"] == "idempotency_key_reused"
        assert again["results"][3]["problem"]["code"] == "idempotency_key_reused"


async def test_the_excess_of_a_batch_is_refused_and_costs_nothing(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        five = {"messages": [BODY] * 5}
        slow = await rig.send(five, account="slow", key="s", path=BATCH)
        assert (slow.status, slow.json["accepted"], slow.headers["retry-after"]) == (202, 3, "1")
        assert [item["problem"]["code"] for item in slow.json["results"][3:]] == ["rate_limited"] * 2
        assert slow.headers["ratelimit"] == '"default";r=0;t=1'
        assert await balance(rig, "slow") == "9.9700"

        await rig.top_up("poor", 20_000)
        poor = await rig.send(five, account="poor", path=BATCH)
        assert (poor.status, poor.json["accepted"], poor.json["refused"]) == (202, 2, 3)
        assert poor.json["results"][2]["problem"]["code"] == "insufficient_balance"
        assert (await rig.send(five, account="poor", path=BATCH)).status == 402
        full = await rig.send({"messages": [BODY | {"to": "+46700000001"}] * 3 + [BODY]}, account="small", path=BATCH)
        assert [item.get("problem", {}).get("code") for item in full.json["results"]] == [
            None,
            None,
            "queue_full",
            None,
        ]
        assert await balance(rig, "small") == "9.9700"


async def test_concurrent_submits_spend_exactly_the_balance(valkey_url: str, record_database: RecordDatabase) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        await rig.top_up("poor", 100 * 10_000)
        replies = await asyncio.gather(*(rig.send(account="poor") for _ in range(180)))
        statuses = [reply.status for reply in replies]
        assert (statuses.count(202), statuses.count(402)) == (100, 80)
        assert await balance(rig, "poor") == "0.0000"


async def test_a_redis_that_is_gone_is_503_within_a_second_and_comes_back_by_itself(
    tmp_path: Path, record_database: RecordDatabase
) -> None:
    if unprivileged_user() is not None:
        tmp_path.chmod(0o711)
    server = EmbeddedValkey(tmp_path / "valkey")
    await server.start()
    try:
        async with http_rig(server.url, record_database.dsn) as rig:
            assert (await rig.send()).status == 202
            await server.stop()
            began = time.monotonic()
            away = await rig.send(key="k")
            assert time.monotonic() - began < 1.5
            assert (away.status, away.problem["code"]) == (503, "storage_unavailable")
            assert away.headers["retry-after"] == "1"
            assert (await rig.get("/v1/balance")).status == 503
            await server.start()
            async with asyncio.timeout(10):
                while (reply := await rig.send(key="k")).status != 202:
                    assert reply.status in (503, 409)
            assert await balance(rig, "acme") == "9.9800"
    finally:
        await server.stop()


async def test_a_postgresql_that_is_away_is_503_for_readers_and_nothing_for_senders(valkey_url: str) -> None:
    async with http_rig(valkey_url, "postgresql://nobody@127.0.0.1:1/none") as rig:
        sent = await rig.send()
        assert sent.status == 202
        read = await rig.get(sent.headers["location"])
        assert (read.status, read.problem["code"]) == (503, "storage_unavailable")
