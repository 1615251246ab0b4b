"""Routes, bodies, connections and their bounds, byte by byte over TCP."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

import pytest

from smscd.ingress.http.connections import SWEEP_SECONDS, ConnectionLimits
from smscd.ingress.http.views import Health
from tests.unit.smscd.ingress.http_fixture import BODY, KEY, Connection, errors_of, service

JSON = json.dumps(BODY).encode()
POST = f"POST /v1/messages HTTP/1.1\r\nHost: t\r\nX-Api-Key: {KEY}\r\nContent-Type: application/json\r\n".encode()
GET = f"GET /v1/balance HTTP/1.1\r\nHost: t\r\nX-Api-Key: {KEY}\r\n\r\n".encode()
QUICK = ConnectionLimits(head_seconds=0.3, idle_seconds=0.6, busy_seconds=1.0, lingering_seconds=0.2)


async def test_balance_is_read_with_its_credit_limit() -> None:
    async with service() as http:
        reply = await http.get("/v1/balance")
        assert reply.status == 200
        assert reply.json == {
            "account": "acme",
            "balance": {"amount": "12.345678", "currency": "EUR"},
            "credit_limit": {"amount": "5.0000", "currency": "EUR"},
        }
        http.balances["acme"] = None
        assert (await http.get("/v1/balance")).json["balance"]["amount"] == "0.0000"
        assert (await http.get("/v1/balance", key=None)).status == 401


@pytest.mark.parametrize(("status", "code"), [("healthy", 200), ("degraded", 200), ("unhealthy", 503)])
async def test_health_says_whether_messages_can_be_accepted(status: str, code: int) -> None:
    async with service() as http:
        http.health = Health(status=status, version="1", checks={"redis": {"status": "pass", "ms": 0.4}})
        reply = await http.get("/health/", key=None)
        assert reply.status == code
        assert reply.json == {"status": status, "version": "1", "checks": {"redis": {"status": "pass", "ms": 0.4}}}
        assert (await http.get("/health", key=None, method="HEAD")).status == code


async def test_health_is_not_measured_for_each_that_asks() -> None:
    async with service() as http:
        replies = await asyncio.gather(*(http.get("/health/", key=None) for _ in range(50)))
        assert {reply.status for reply in replies} == {200}
        assert http.health_calls < 10


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/messages/", "/v1/messages/1/x", "/V1/messages", "/health/x", "/%ff"])
async def test_what_is_not_there_is_404(path: str) -> None:
    async with service() as http:
        reply = await http.get(path)
        assert (reply.status, reply.problem["code"], reply.problem["instance"]) == (404, "not_found", path)
        assert http.figures.routes["other"].by_status == {404: 1}


async def test_any_bytes_in_a_path_are_survived() -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(b"GET /\xff\xfe?\xff HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (await connection.reply()).status in (400, 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/messages", "GET, HEAD, POST"),
        ("PUT", "/v1/messages/5", "DELETE, GET, HEAD"),
        ("POST", "/health/", "GET, HEAD"),
        ("OPTIONS", "/v1/balance", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_there_is_405_with_those_that_are(method: str, path: str, allowed: str) -> None:
    async with service() as http:
        reply = await http.get(path, method=method)
        assert (reply.status, reply.problem["code"]) == (405, "method_not_allowed")
        assert reply.headers["allow"] == allowed


async def test_a_query_does_not_change_the_resource() -> None:
    async with service() as http:
        assert (await http.get("/v1/balance?x=1&y=%00")).status == 200


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 202),
        ('Application/JSON;charset="UTF-8"', 202),
        ("application/json; charset=latin-1", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
async def test_only_json_is_taken(content_type: str, status: int) -> None:
    async with service() as http:
        assert (await http.send(Content_Type=content_type)).status == status


async def test_a_missing_content_type_is_415() -> None:
    async with service() as http:
        connection = await http.connect()
        reply = await connection.ask("POST", "/v1/messages", {"X-Api-Key": KEY}, JSON)
        assert (reply.status, reply.problem["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_content_encodings_are_not_taken(encoding: str) -> None:
    async with service() as http:
        bomb = gzip.compress(b"0" * 20_000_000)
        reply = await http.send(bomb, Content_Encoding=encoding)
        assert (reply.status, reply.problem["code"]) == (415, "unsupported_media_type")
        assert reply.headers["connection"] == "close"
        assert (await http.send(Content_Encoding="identity")).status == 202


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes() -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(POST + b"Content-Length: 262145\r\n\r\n")
        reply = await connection.reply()
        assert (reply.status, reply.problem["code"]) == (413, "content_too_large")
        connection.write(POST + b"Content-Length: 99999999999999\r\n\r\n")
        assert await connection.is_closed_by_peer()


async def test_a_body_of_the_largest_size_is_read() -> None:
    async with service() as http:
        body = JSON[:-1] + b" " * (262_144 - len(JSON)) + b"}"
        assert (await http.send(body)).status == 202
        assert (await http.send(body[:-1] + b" }")).status == 413


async def test_a_chunked_body_is_read_and_counted() -> None:
    async with service() as http:
        connection = await http.connect()
        half = len(JSON) // 2
        connection.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        connection.write(b"%x\r\n%s\r\n" % (half, JSON[:half]))
        await asyncio.sleep(0)
        connection.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(JSON) - half, JSON[half:]))
        assert (await connection.reply()).status == 202
        connection.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(9):
            connection.write(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        assert (await connection.reply()).status == 413
        assert await connection.is_closed_by_peer()


@pytest.mark.parametrize(
    "chunk", [b"zz\r\n", b"-5\r\nhello\r\n", b"5\r\nhelloXX\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n"]
)
async def test_a_broken_chunk_is_400(chunk: bytes) -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
        reply = await connection.reply()
        assert (reply.status, reply.problem["code"]) == (400, "bad_request")
        assert await connection.is_closed_by_peer()


async def test_what_is_no_http_is_told_nothing_of_what_reads_it() -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(GET.replace(b" HTTP/1.1", b" HTTP/1.1 x"))
        reply = await connection.reply()
        assert (reply.status, reply.headers["server"]) == (400, "smscd")
        assert reply.problem["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize("name", [b"X-Request-ID", b"Idempotency-Key"])
async def test_a_request_key_that_stands_twice_must_be_the_same(name: bytes) -> None:
    async with service() as http:
        head = POST + b"Content-Length: %d\r\n" % len(JSON) + name + b": a\r\n" + name
        connection = await http.connect()
        connection.write(head + b": b\r\n\r\n" + JSON)
        reply = await connection.reply()
        assert errors_of(reply) == {"": name.decode() + " stands more than once, and must not differ"}
        assert http.admitter.admitted == []
        connection.write(head + b": a\r\n\r\n" + JSON)
        assert (await connection.reply()).status == 202


async def test_a_body_that_ends_early_does_no_harm() -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(POST + b"Content-Length: 500\r\n\r\n" + JSON)
        await connection.writer.drain()
        connection.writer.close()
        assert (await http.get("/v1/balance")).status == 200
        assert http.admitter.admitted == []


async def test_a_body_that_does_not_come_is_408() -> None:
    async with service(request_seconds=0.2) as http:
        connection = await http.connect()
        connection.write(POST + b"Content-Length: 500\r\n\r\n{")
        reply = await connection.reply()
        assert (reply.status, reply.problem["code"]) == (408, "request_timeout")


async def test_a_body_is_asked_for_when_it_waits_for_that() -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(JSON))
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.write(JSON)
        assert (await connection.reply()).status == 202
        connection.write(POST + b"Expect: 100-continue\r\nContent-Length: 999999\r\n\r\n")
        assert (await connection.reply()).status == 413
        connection = await http.connect()
        connection.write(POST + b"Expect: 200-maybe\r\nContent-Length: 500\r\n\r\n")
        assert (await connection.reply()).status == 417


async def test_many_slow_bodies_do_not_fill_the_memory() -> None:
    async with service(pending_bytes_max=600_000) as http:
        for _ in range(2):
            connection = await http.connect()
            connection.write(POST + b"Content-Length: 262144\r\n\r\n{" + b" " * 250_000)
        assert await refused_as_busy(http.port)
        assert (await http.send()).status == 202


async def refused_as_busy(port: int) -> bool:
    """Ask with slow bodies until one is refused for want of room."""
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
        connection.write(POST + b"Content-Length: 200000\r\n\r\n{" + b" " * 150_000)
        try:
            async with asyncio.timeout(0.2):
                reply = await connection.reply()
        except TimeoutError:
            continue
        finally:
            connection.writer.close()
        assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (503, "busy", "1")
        return True
    return False


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: t\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(128)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 9_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\n" + b"a" * 9_000 + b": x\r\n\r\n",
        b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: t\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: t\r\n\r\n",
        b"\r\n\r\n \r\n\r\n",
    ],
    ids=["129 headers", "value", "name", "line", "tls", "space", "two lengths", "smuggling", "version", "blank"],
)
async def test_a_head_that_is_too_much_or_no_http_is_refused_and_closed(head: bytes) -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(head)
        reply = await connection.reply()
        assert 400 <= reply.status < 500
        assert reply.problem["code"] in ("bad_request", "headers_too_large")
        assert await connection.is_closed_by_peer()


async def test_a_head_that_comes_byte_by_byte_is_answered_408_and_closed() -> None:
    async with service(QUICK) as http:
        connection = await http.connect()
        began = time.monotonic()

        async def trickle() -> None:
            for byte in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1_000:
                connection.write(bytes((byte,)))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        assert (await connection.reply()).status == 408
        assert await connection.is_closed_by_peer()
        trickling.cancel()
        assert time.monotonic() - began < 3


async def test_what_comes_after_a_408_does_not_reset_the_connection_before_it_can_be_read() -> None:
    async with service(QUICK) as http:
        connection = await http.connect()

        async def goes_on() -> bool:
            """False when what is sent meets a reset."""
            for _ in range(3):
                connection.write(b"x")
                await asyncio.sleep(0.03)
            return not connection.writer.is_closing()

        connection.write(GET[:20])
        assert (await connection.reply()).status == 408
        assert await goes_on()
        await asyncio.sleep(1.5 * SWEEP_SECONDS)
        assert not await goes_on()
        assert http.figures.connections == 0


async def test_a_second_head_that_stops_half_way_is_closed_too() -> None:
    async with service(QUICK) as http:
        connection = await http.connect()
        connection.write(GET)
        assert (await connection.reply()).status == 200
        connection.write(GET[:20])
        assert (await connection.reply()).status == 408
        assert await connection.is_closed_by_peer()


async def test_an_idle_connection_is_closed() -> None:
    async with service(QUICK) as http:
        connection = await http.connect()
        connection.write(GET)
        await connection.reply()
        assert await connection.is_closed_by_peer(3.0)
        silent = await http.connect()
        assert await silent.is_closed_by_peer(3.0)
        # It was told why, and is held until the next sweep, so that a reset does not overtake the answer.
        await asyncio.sleep(1.5 * SWEEP_SECONDS)
        assert http.figures.connections == 0


async def test_at_the_limit_the_connection_that_is_idle_longest_makes_room() -> None:
    async with service(ConnectionLimits(connections_max=3)) as http:
        used = [await http.connect() for _ in range(3)]
        for connection in used:
            connection.write(GET)
            assert (await connection.reply()).status == 200
        used[0].write(GET)
        assert (await used[0].reply()).status == 200
        assert (await http.get("/v1/balance")).status == 200
        assert await used[1].is_closed_by_peer()
        used[0].write(GET)
        assert (await used[0].reply()).status == 200
        assert http.figures.turned_away == 1


async def test_at_the_limit_without_an_idle_one_the_new_connection_is_closed() -> None:
    async with service(ConnectionLimits(connections_max=2)) as http:
        for _ in range(2):
            connection = await http.connect()
            connection.write(GET[:10])
        while http.figures.connections < 2:
            await asyncio.sleep(0)
        assert await (await http.connect()).is_closed_by_peer()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(GET + POST + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON + GET)
        assert [(await connection.reply()).status for _ in range(3)] == [200, 202, 200]


async def test_old_and_closing_requests_get_what_they_ask_for() -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(b"GET /health/ HTTP/1.0\r\n\r\n")
        reply = await connection.reply()
        assert reply.headers["connection"] == "close"
        assert await connection.is_closed_by_peer()
        connection = await http.connect()
        connection.write(b"GET /health/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await connection.reply()).headers["connection"] == "keep-alive"
        connection.write(b"GET /health/ HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        assert (await connection.reply()).headers["connection"] == "close"
        assert await connection.is_closed_by_peer()


async def test_a_stopping_server_finishes_what_it_is_answering() -> None:
    async with service() as http:
        http.admitter.is_silent = True
        connection = await http.connect()
        idle = await http.connect()
        connection.write(POST + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON)
        while not http.admitter.held:
            await asyncio.sleep(0)
        stopping = asyncio.ensure_future(http.stop())
        assert await idle.is_closed_by_peer()
        with pytest.raises(OSError):
            await http.connect()
        http.admitter.release()
        reply = await connection.reply()
        assert (reply.status, reply.headers["connection"]) == (202, "close")
        await stopping


async def test_a_peer_that_goes_away_while_it_waits_does_no_harm() -> None:
    async with service() as http:
        http.admitter.is_silent = True
        connection = await http.connect()
        connection.write(POST + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON)
        while not http.admitter.held:
            await asyncio.sleep(0)
        connection.writer.transport.abort()
        http.admitter.release()
        assert (await http.get("/v1/balance")).status == 200


async def test_an_offer_to_speak_another_protocol_is_not_taken_up() -> None:
    async with service() as http:
        connection = await http.connect()
        offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        connection.write(POST + offer + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON)
        assert (await connection.reply()).status == 202
        connection = await http.connect()
        offer = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n"
        connection.write(GET[:-2] + offer + b"\r\n")
        assert (await connection.reply()).status == 200
        connection = await http.connect()
        connection.write(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        assert (await connection.reply()).status == 404
        connection = await http.connect()
        connection.write(b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (await connection.reply()).status == 404


async def test_a_target_with_its_host_is_understood() -> None:
    async with service() as http:
        connection = await http.connect()
        connection.write(GET.replace(b"GET /", b"GET http://smscd.example/"))
        assert (await connection.reply()).status == 200
