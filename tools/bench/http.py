"""`smscd bench http`: submits over N keep-alive connections, one request in flight on each, and times the answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import msgspec

from tools.bench.http_wire import HttpConnection, HttpWireError, request_bytes
from tools.bench.latency import Latencies, LatencySummary
from tools.bench.workload import Pace, destinations, new_run, text_tail, token_at
from tools.record import RecordWriter

TICK_SECONDS = 0.005
RECONNECT_SECONDS = 0.1
TOKEN_MARK = b"~TOKEN~".ljust(len(token_at("000000", 0)), b"~")
DESTINATION_MARK = b"#" * len(destinations(1)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """What to send and where. rate: requests a second over all connections, 0 as fast as answers come.

    with_keys: every request carries its token as X-Request-ID. timeout_seconds: for the whole run.
    batch: messages in each request to /v1/messages/batch; 0 sends each by itself.
    """

    url: str
    api_key: str
    count: int = 10_000
    connections: int = 10
    rate: float = 0.0
    text_length: int = 60
    sender: str = "BENCH"
    with_keys: bool = False
    batch: int = 0
    callback_url: str | None = None
    run: str = field(default_factory=new_run)
    record: Path | None = None
    timeout_seconds: float = 300.0


class HttpReport(TypedDict):
    """The result of a run over HTTP. unanswered: the connection ended before the response came.

    latency: of requests; all other figures are of messages.
    """

    run: str
    sent: int
    accepted: int
    refused_by_status: dict[str, int]
    unanswered: int
    seconds: float
    accepted_per_second: float
    latency: LatencySummary
    generator_cpu_seconds: float


class _Answer(msgspec.Struct):
    """What is read of a 202 for the record."""

    id: str = ""


class HttpRun:
    """One run. Everything happens in the event loop's callbacks: there is no task or future a request."""

    def __init__(self, options: HttpOptions, loop: asyncio.AbstractEventLoop) -> None:
        parts = urlsplit(options.url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{options.url}: only http://host:port is spoken here")
        self.options = options
        self.host, self.port = parts.hostname, parts.port or 80
        self.statuses: Counter[int] = Counter()
        self.latencies = Latencies()
        self.sent = 0
        self.unanswered = 0
        self._loop = loop
        self._finished = asyncio.Event()
        self._idle: deque[HttpConnection] = deque()
        self._busy: set[HttpConnection] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._pace = Pace(options.rate / max(1, options.batch))
        self._tail = text_tail(options.run, options.text_length)
        self._destinations = destinations()
        self._record = RecordWriter(options.record) if options.record else None
        self._template = self._request_template()
        self._error: Exception | None = None

    async def run(self) -> HttpReport:
        """Send everything and wait for the answers, at most timeout_seconds."""
        started, cpu_started = time.monotonic(), time.process_time()
        for _ in range(self.options.connections):
            await self._dial()
        ticker = self._loop.create_task(self._tick())
        self._fill()
        try:
            async with asyncio.timeout(self.options.timeout_seconds):
                await self._finished.wait()
        except TimeoutError:
            self.unanswered += sum(map(self._messages_of, self._busy))
        finally:
            self._finished.set()
            for task in (ticker, *self._dialling):
                task.cancel()
            for connection in [*self._busy, *self._idle]:
                connection.close()
            if self._record:
                self._record.close()
        if self._error:
            raise self._error
        seconds = time.monotonic() - started
        accepted = self.statuses[202]
        return HttpReport(
            run=self.options.run,
            sent=self.sent,
            accepted=accepted,
            refused_by_status={str(status): n for status, n in sorted(self.statuses.items()) if status != 202},
            unanswered=self.unanswered,
            seconds=round(seconds, 3),
            accepted_per_second=round(accepted / seconds, 1),
            latency=self.latencies.summary(),
            generator_cpu_seconds=round(time.process_time() - cpu_started, 3),
        )

    async def _dial(self) -> None:
        _, connection = await self._loop.create_connection(
            lambda: HttpConnection(self._on_response, self._on_closed), self.host, self.port
        )
        if connection.is_open:
            self._idle.append(connection)

    async def _tick(self) -> None:
        """Release what the pace allows, and write the record."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._fill()
            if self._record:
                self._record.flush()

    def _fill(self) -> None:
        """Start as many requests as there are idle connections, messages left and pace."""
        wanted = min(len(self._idle), -(-(self.options.count - self.sent) // max(1, self.options.batch)))
        if wanted <= 0:
            return
        now = time.monotonic()
        for _ in range(self._pace.take(wanted, self._loop.time())):
            self._send(self._idle.popleft(), now)

    def _send(self, connection: HttpConnection, now: float) -> None:
        index = self.sent
        self.sent += 1
        token = token_at(self.options.run, index).encode()
        destination = self._destinations[index % len(self._destinations)].encode()
        connection.slot, connection.sent_at = index, now
        self._busy.add(connection)
        if self._record:
            self._record.add([b"sent\t%d\t%b\n" % (time.time() * 1000, token)])
        connection.send(self._template.replace(TOKEN_MARK, token).replace(DESTINATION_MARK, destination))

    def _request_template(self) -> bytes:
        """A whole request with marks where destination and token go; they are as long as what replaces them."""
        return request_bytes("POST", "/v1/messages", self._headers(TOKEN_MARK.decode()), self._message_template())

    def _headers(self, token: str) -> dict[str, str]:
        headers = {
            "Host": f"{self.host}:{self.port}",
            "X-Api-Key": self.options.api_key,
            "Content-Type": "application/json",
        }
        if self.options.with_keys:
            headers["X-Request-ID"] = token
        return headers

    def _message_template(self) -> bytes:
        """A message with the same marks."""
        text = TOKEN_MARK.decode() + self._tail
        body = {"to": "+" + DESTINATION_MARK.decode(), "from": self.options.sender, "text": text}
        if self.options.callback_url:
            body["callback_url"] = self.options.callback_url
        return msgspec.json.encode(body)

    def _on_response(self, connection: HttpConnection, status: int, body: bytes) -> None:
        self.latencies.samples.append(time.monotonic() - connection.sent_at)
        self._busy.discard(connection)
        self._idle.append(connection)
        self._count(connection, status, body)
        self._settle()

    def _count(self, connection: HttpConnection, status: int, body: bytes) -> None:
        self.statuses[status] += 1
        if self._record:
            id = msgspec.json.decode(body, type=_Answer).id if status == 202 else ""
            token = token_at(self.options.run, connection.slot).encode()
            line = b"answer\t%d\t%b\t%b\t%d\n" % (time.time() * 1000, token, id.encode() or b"-", status)
            self._record.add([line])

    def _messages_of(self, connection: HttpConnection) -> int:
        """How many messages the request has that is under way there; `slot` is the number of the first."""
        return min(max(1, self.options.batch), self.options.count - connection.slot)

    def _settle(self) -> None:
        if self.sent >= self.options.count and not self._busy:
            self._finished.set()
        else:
            self._fill()

    def _on_closed(self, connection: HttpConnection, error: Exception | None) -> None:
        if self._finished.is_set():
            return
        if isinstance(error, HttpWireError):
            self._error = error
            self._finished.set()
            return
        if connection in self._busy:
            self._busy.discard(connection)
            self.unanswered += self._messages_of(connection)
        elif connection in self._idle:
            self._idle.remove(connection)
        task = self._loop.create_task(self._redial())
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        self._settle()

    async def _redial(self) -> None:
        """Replace a lost connection until the run is over."""
        while not self._finished.is_set():
            await asyncio.sleep(RECONNECT_SECONDS)
            try:
                await self._dial()
            except OSError:
                continue
            self._fill()
            return


class _Result(msgspec.Struct):
    """What is read of a message of a batch."""

    message: _Answer | None = None
    problem: _Problem | None = None


class _Problem(msgspec.Struct):
    status: int


class _BatchAnswer(msgspec.Struct):
    """What is read of the answer to a batch."""

    results: list[_Result] = []


class BatchRun(HttpRun):
    """A run over /v1/messages/batch: a request has as many messages as the options say, the last one the rest."""

    def _send(self, connection: HttpConnection, now: float) -> None:
        first = connection.slot = self.sent
        connection.sent_at = now
        self.sent += self._messages_of(connection)
        self._busy.add(connection)
        run, numbers, count = self.options.run, self._destinations, len(self._destinations)
        tokens = [token_at(run, index).encode() for index in range(first, self.sent)]
        if self._record:
            ms = time.time() * 1000
            self._record.add([b"sent\t%d\t%b\n" % (ms, token) for token in tokens])
        template = self._message
        messages = [
            template.replace(TOKEN_MARK, token).replace(DESTINATION_MARK, numbers[index % count].encode())
            for index, token in enumerate(tokens, first)
        ]
        body = b'{"messages":[%b]}' % b",".join(messages)
        connection.send(request_bytes("POST", "/v1/messages/batch", self._headers(token_at(run, first)), body))

    def _request_template(self) -> bytes:
        self._message = self._message_template()
        return b""

    def _count(self, connection: HttpConnection, status: int, body: bytes) -> None:
        results = msgspec.json.decode(body, type=_BatchAnswer).results
        if not results:
            self.statuses[status] += self._messages_of(connection)
        for result in results:
            self.statuses[result.problem.status if result.problem is not None else 202] += 1
        if self._record:
            ms, run = time.time() * 1000, self.options.run
            for index, result in enumerate(results, connection.slot):
                id = result.message.id if result.message is not None else "-"
                said = result.problem.status if result.problem is not None else 202
                self._record.add([b"answer\t%d\t%b\t%b\t%d\n" % (ms, token_at(run, index).encode(), id.encode(), said)])


async def run_http(options: HttpOptions) -> HttpReport:
    """Run the HTTP load generator in the running loop."""
    return await (BatchRun if options.batch else HttpRun)(options, asyncio.get_running_loop()).run()
