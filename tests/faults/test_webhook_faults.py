"""Receivers that fail, and addresses that lead inside: W1 and W2 of the fault catalogue, scaled down unless
SMSCD_FAULTS=full. The clock of the schedule is the test's."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from smscd.egress.webhooks.schedule import JITTER, SCHEDULE_SECONDS
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.process import unprivileged_user
from storage.embedded.valkey import EmbeddedValkey
from storage.postgres.migrate import migrate
from storage.redis.link import RedisLink
from tests.faults.rig import IS_FULL
from tests.integration.postgres_databases import create_database
from tests.integration.webhook_rig import KEYS, WebhookRig, callback, webhook_rig

pytestmark = pytest.mark.timeout(600)

EVENTS = 2_000 if IS_FULL else 200
KILLED_AFTER = 4
_numbers = count(1)

INSIDE = (
    "127.0.0.1", "127.1", "2130706433", "0177.0.0.1", "017700000001", "0x7f.1", "0x7f000001", "0x7f.0.0.0x1",
    "127.000.000.001", "0.0.0.0", "0", "localhost", "localhost.", "LOCALHOST", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[2001:0:7f00:1::]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "100.127.255.254",
    "169.254.169.254", "[::ffff:169.254.169.254]", "0xa9fea9fe", "2852039166", "[fe80::1]", "[fc00::1]", "[fd00::1]",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.1", "198.18.0.1", "[ff02::1]", "[fec0::1]",
    "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "user@127.0.0.1", "127.0.0.1#@app.example",
)  # fmt: skip


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedValkey, EmbeddedPostgres]]:
    """A Redis and a PostgreSQL of this module's own."""
    path = tmp_path_factory.mktemp("servers")
    if unprivileged_user() is not None:
        path.chmod(0o711)
    valkey, postgres = EmbeddedValkey(path / "valkey"), EmbeddedPostgres(path / "postgres")

    async def start() -> None:
        await asyncio.gather(valkey.start(), postgres.start())

    async def stop() -> None:
        await asyncio.gather(valkey.stop(), postgres.stop())

    asyncio.run(start())
    yield valkey, postgres
    asyncio.run(stop())


@asynccontextmanager
async def running(
    servers: tuple[EmbeddedValkey, EmbeddedPostgres], *, request_seconds: float = 2.0
) -> AsyncIterator[WebhookRig]:
    """/v1/webhooks and everything behind it, on an empty Redis and a database of the test's own."""
    valkey, postgres = servers
    database = await create_database(postgres, f"webhooks_{next(_numbers)}")
    await migrate(database.owner_dsn)
    link = RedisLink(valkey.url, name="test")
    await link.command("FLUSHALL")
    await link.close()
    async with webhook_rig(valkey.url, database.dsn, request_seconds) as rig:
        yield rig


async def test_w1_each_kind_of_failure_is_tried_exactly_on_schedule_and_a_kill_forgets_nothing(
    servers: tuple[EmbeddedValkey, EmbeddedPostgres],
) -> None:
    async with running(servers, request_seconds=0.3) as rig:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            down = f"http://127.0.0.1:{closed.getsockname()[1]}/"
            paths = {"slow": "/hang", "status 500": "/status/500", "redirect": "/redirect", "cut": "/drop"}
            bad = {name: await rig.make(path) for name, path in paths.items()}
            bad["down"] = (await rig.ask("POST", "", {"url": down})).json
            recovers, gone, good = await rig.make("/flaky/503/2"), await rig.make("/status/410"), await rig.make()
            await rig.deliver()
            rig.write()
            await rig.add(callback(1))
            delays: dict[str, list[float]] = {name: [] for name in bad}
            for attempt in range(1, len(SCHEDULE_SECONDS)):
                rows = {name: await settled(rig, endpoint, attempt) for name, endpoint in bad.items()}
                for name, row in rows.items():
                    delays[name].append(seconds(row["next_attempt_at"]) - seconds(row["attempted_at"]))
                if attempt == KILLED_AFTER:
                    await rig.kill()
                    await rig.links[0].command("DEL", KEYS.session("hooks"))
                    await rig.deliver()
                    rig.write()
                posted = len(rig.requests())
                due = min(seconds(row["next_attempt_at"]) for row in rows.values())
                rig.ahead_ms = int((due - time.time() - 1.0) * 1000)
                assert rig.webhooks is not None
                rig.webhooks.ring()
                await asyncio.sleep(0.05)
                assert len(rig.requests()) == posted  # not a second too early
                rig.ahead_ms += int(SCHEDULE_SECONDS[attempt] * JITTER * 1000) + 1_500
            for endpoint in bad.values():
                row = await settled(rig, endpoint, len(SCHEDULE_SECONDS), "dead")
                assert row["next_attempt_at"] is None
            for name, found in delays.items():
                for delay, planned in zip(found, SCHEDULE_SECONDS[1:], strict=True):
                    assert planned <= delay <= planned * (1 + JITTER) + 0.5, (name, found)
            counts = Counter(request["path"] for request in rig.requests())
            assert counts == {
                "/hang": 10, "/status/500": 10, "/redirect": 10, "/drop": 10, "/flaky/503/2": 3, "/status/410": 1,
                "/status/204": 1,
            }  # fmt: skip
            assert (await settled(rig, recovers, 3, "delivered"))["response_code"] == 204
            assert (await settled(rig, gone, 1, "dead"))["response_code"] == 410
            assert (await rig.ask("GET", f"/{gone['id']}")).json["disabled_reason"] == "gone"
            assert (await settled(rig, good, 1, "delivered"))["status"] == "delivered"
            assert len({request["id"] for request in rig.requests()}) == 1
        print(
            json.dumps(
                {"row": "W1", "delays": {name: [round(one, 1) for one in found] for name, found in delays.items()}}
            )
        )


async def settled(rig: WebhookRig, endpoint: dict[str, Any], attempt: int, status: str = "pending") -> dict[str, Any]:
    """The one delivery of an endpoint once so many attempts of it are recorded."""

    async def look() -> dict[str, Any] | None:
        rows = await rig.deliveries(endpoint)
        is_there = bool(rows) and (rows[0]["attempt"], rows[0]["status"]) == (attempt, status)
        return rows[0] if is_there else None

    found: dict[str, Any] = await rig.until(look, 20.0)
    return found


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


async def test_w1_bad_endpoints_hold_up_at_most_a_tenth_of_the_deliveries_to_a_good_one(
    servers: tuple[EmbeddedValkey, EmbeddedPostgres],
) -> None:
    """Two accounts at the same time, so that the machine is the same for both: one has a good endpoint beside four bad
    ones, the other beside four quick ones."""
    async with running(servers) as rig:
        bad = ("/hang", "/slow/1", "/status/500", "/drop")
        good = await rig.make("/status/204?among-bad")
        await rig.make("/status/204?among-quick", account="other")
        for number, path in enumerate(bad):
            await rig.make(path)
            await rig.make(f"/status/204?{number}", account="other")
        await rig.deliver()
        rig.write()
        began = time.time()
        for first in range(0, EVENTS, 25):
            numbers = range(first, first + 25)
            await rig.add(*(callback(number, account) for number in numbers for account in ("acme", "other")))

        def is_done() -> bool:
            record = rig.record.getvalue()
            return all(record.count(f"/status/204?among-{company}") >= EVENTS for company in ("bad", "quick"))

        await rig.until(is_done, 240.0)
        among_bad, among_quick = (
            [request["at"] - began for request in rig.requests(f"/status/204?among-{company}")]
            for company in ("bad", "quick")
        )
        late = sum(at > among_quick[-1] * 1.1 for at in among_bad)
        figures = {"events": EVENTS, "among_quick": among_quick[-1], "among_bad": among_bad[-1], "late": late}
        print(json.dumps({"row": "W1 isolation", **figures}))
        assert late <= EVENTS * 0.1, figures
        for path in bad:
            await rig.until(lambda path=path: rig.requests(path))  # type: ignore[misc]  # of the loop

        async def is_recorded() -> bool:
            return {row["status"] for row in await rig.deliveries(good)} == {"delivered"}

        await rig.until(is_recorded, 60.0)


async def test_w2_no_form_of_an_inside_address_is_connected_to(
    servers: tuple[EmbeddedValkey, EmbeddedPostgres], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connections = 0

    async def canary(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    async with running(servers, request_seconds=0.5) as rig:
        listener = await asyncio.start_server(canary, "0.0.0.0", 0)
        port = listener.sockets[0].getsockname()[1]
        listeners = [listener]
        if socket.has_ipv6:
            listeners.append(await asyncio.start_server(canary, "::", port, family=socket.AF_INET6))
        (await asyncio.open_connection("127.0.0.1", port))[1].close()
        await rig.until(lambda: connections == 1)
        connections = 0

        urls = [f"http://{host}:{port}/" for host in INSIDE] + [f"http://127.0.0.1:{port}@127.0.0.1:{port}/"]
        await rig.deliver()
        await rig.add(*(callback(number, "public", url) for number, url in enumerate(urls)))
        await rig.until(lambda: rig.figures.retried == len(urls), 60.0)
        outcomes: Counter[str] = Counter()
        made = await rig.make(account="public")
        for url in urls:
            reply = await rig.ask("PATCH", f"/{made['id']}", {"url": url}, account="public")
            assert reply.status == 200, url
            outcomes[(await rig.ask("POST", f"/{made['id']}/test", account="public")).json["error"]] += 1
        assert outcomes["address not allowed"] >= len(INSIDE) * 0.8, outcomes

        rebinding = await rebind(rig, monkeypatch, port)
        assert connections == 0
        assert rig.figures.delivered == 0
        print(json.dumps({"row": "W2", "urls": len(urls), "connections": 0, "tests": outcomes, "rebinding": rebinding}))
        for listener in listeners:
            listener.close()


async def rebind(rig: WebhookRig, monkeypatch: pytest.MonkeyPatch, port: int) -> Counter[str]:
    """A name that is outside when it is looked up once, and inside at the next look; or both at once."""
    genuine = socket.getaddrinfo
    outside = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2a0f:ffff::1", port, 0, 0))
    inside = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:127.0.0.1", port, 0, 0)),
    ]
    looks = 0

    def look(host: str, *arguments: Any, **options: Any) -> Any:
        nonlocal looks
        if host != "rebind.example":
            return genuine(host, *arguments, **options)
        looks += 1
        return [outside, *inside] if looks % 3 == 0 else [outside] if looks % 3 == 1 else inside

    monkeypatch.setattr(socket, "getaddrinfo", look)
    made = await rig.ask("POST", "", {"url": f"http://rebind.example:{port}/"}, account="public")
    outcomes: Counter[str] = Counter()
    for _ in range(3):
        for session in rig.poster._sessions.values():
            connector = session.connector
            assert connector is not None
            connector.clear_dns_cache()  # type: ignore[attr-defined]  # of a TCPConnector
        outcomes[(await rig.ask("POST", f"/{made.json['id']}/test", account="public")).json["error"]] += 1
    assert looks == 3
    return outcomes
