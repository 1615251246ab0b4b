"""The webhook receiver of the three-sided record: takes every POST, notes it, answers with the status it is told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiohttp import web

from tools import record


class _Data(msgspec.Struct):
    id: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    data: _Data = msgspec.field(default_factory=_Data)


@dataclass(slots=True)
class WebhookSink:
    """A receiver on a free port of the loopback interface. status: what it answers; it may be changed while it runs.

    Every delivery that was answered with 2xx is a line of the record: the webhook-id is its token.
    """

    record_path: Path
    status: int = 204
    requests: Counter[int] = field(default_factory=Counter)
    signatures: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    signatures_max: int = 100
    url: str = ""
    _writer: record.RecordWriter | None = None
    _runner: web.AppRunner | None = None
    _flushing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; `url` is set afterwards."""
        self._writer = record.RecordWriter(self.record_path)
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/{tail:.*}", self._receive)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            if self._writer:
                self._writer.flush()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = self.status
        self.requests[status] += 1
        webhook_id = request.headers.get("webhook-id", "")
        if len(self.signatures) < self.signatures_max:
            names = ("webhook-id", "webhook-timestamp", "webhook-signature")
            self.signatures.append(({name: request.headers.get(name, "") for name in names}, body))
        if 200 <= status < 300 and self._writer:
            event = msgspec.json.decode(body, type=_Event)
            fields = (record.field(value.encode()) for value in (webhook_id, event.data.id, event.type))
            self._writer.add([b"hook\t%d\t%b\n" % (time.time() * 1000, b"\t".join(fields))])
        return web.Response(status=status)

    async def close(self) -> None:
        """Stop listening and write the record."""
        if self._flushing:
            self._flushing.cancel()
        if self._runner:
            await self._runner.cleanup()
        if self._writer:
            self._writer.close()
