"""`smscd bench http` against a small HTTP server: its figures, its record, and connections that are lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tools.bench.http import HttpOptions, HttpRun, run_http
from tools.record import read_record


class Gateway:
    """Answers like the gateway: the request number `refused` gets 429, and the first `cut` connections are cut."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.keys: list[str] = []
        self.refuse_every = 0
        self.cut_after = 0

    async def post(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("X-Request-ID", ""))
        number = len(self.requests)
        if number == self.cut_after:
            assert request.transport is not None
            request.transport.abort()
        if self.refuse_every and number % self.refuse_every == 0:
            return web.json_response({"code": "rate_limited"}, status=429)
        return web.json_response({"id": str(number)}, status=202)

    async def batch(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("X-Request-ID", ""))
        results: list[dict[str, object]] = []
        for message in (await request.json())["messages"]:
            self.requests.append(message)
            number = len(self.requests)
            is_refused = self.refuse_every and number % self.refuse_every == 0
            results.append({"problem": {"status": 429}} if is_refused else {"message": {"id": str(number)}})
        return web.json_response({"results": results}, status=202)


@asynccontextmanager
async def running_gateway(gateway: Gateway) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/messages", gateway.post)
    app.router.add_post("/v1/messages/batch", gateway.batch)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_every_request_is_answered_counted_and_recorded(tmp_path: Path) -> None:
    gateway = Gateway()
    gateway.refuse_every = 10
    async with running_gateway(gateway) as url:
        options = HttpOptions(url=url, api_key="k", count=100, with_keys=True, record=tmp_path / "client.record")
        report = await HttpRun(options, asyncio.get_running_loop()).run()
    assert (report["sent"], report["accepted"], report["unanswered"]) == (100, 90, 0)
    assert report["refused_by_status"] == {"429": 10}
    assert report["latency"]["count"] == 100
    tokens = {request["text"].split(" ")[0] for request in gateway.requests}
    assert len(tokens) == 100
    assert set(gateway.keys) == tokens
    assert {len(request["text"]) for request in gateway.requests} == {60}
    assert all(request["to"].startswith("+4477009") for request in gateway.requests)
    lines = list(read_record(tmp_path / "client.record"))
    assert {line.token.decode() for line in lines if line.kind == b"sent"} == tokens
    assert sum(line.status == b"202" and line.id != b"" for line in lines) == 90


async def test_the_messages_of_batches_are_counted_and_recorded_one_by_one(tmp_path: Path) -> None:
    gateway = Gateway()
    gateway.refuse_every = 10
    async with running_gateway(gateway) as url:
        options = HttpOptions(
            url=url, api_key="k", count=100, batch=30, with_keys=True, record=tmp_path / "client.record"
        )
        report = await run_http(options)
    assert (report["sent"], report["accepted"], report["unanswered"]) == (100, 90, 0)
    assert report["refused_by_status"] == {"429": 10}
    assert (report["latency"]["count"], len(set(gateway.keys))) == (4, 4)
    tokens = {request["text"].split(" ")[0] for request in gateway.requests}
    assert len(tokens) == 100
    assert {len(request["text"]) for request in gateway.requests} == {60}
    lines = list(read_record(tmp_path / "client.record"))
    assert {line.token.decode() for line in lines if line.kind == b"sent"} == tokens
    assert sum(line.status == b"202" and line.id != b"" for line in lines) == 90


async def test_lost_connection_is_made_again_and_its_request_counts_as_unanswered() -> None:
    gateway = Gateway()
    gateway.cut_after = 30
    async with running_gateway(gateway) as url:
        options = HttpOptions(url=url, api_key="k", count=100, connections=1, timeout_seconds=20.0)
        report = await HttpRun(options, asyncio.get_running_loop()).run()
    assert (report["sent"], report["accepted"], report["unanswered"]) == (100, 99, 1)


async def test_generator_goes_on_when_the_server_was_away(tmp_path: Path) -> None:
    gateway = Gateway()
    async with running_gateway(gateway) as url:
        port = int(url.rpartition(":")[2])
        options = HttpOptions(url=url, api_key="k", count=400, connections=5, rate=400.0, timeout_seconds=20.0)
        running = asyncio.create_task(HttpRun(options, asyncio.get_running_loop()).run())
        async with asyncio.timeout(10.0):
            while len(gateway.requests) < 50:
                await asyncio.sleep(0.005)
    app = web.Application()
    app.router.add_post("/v1/messages", gateway.post)
    await asyncio.sleep(0.3)  # the time that the server is away
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    report = await running
    await runner.cleanup()
    assert report["sent"] == 400
    assert report["accepted"] + report["unanswered"] == 400
    assert report["unanswered"] <= 5
