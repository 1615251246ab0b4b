"""What connections hold is counted, bounded beyond what each may have, and given back when much of it is gone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from smscd.ingress.http.connections import ConnectionLimits
from smscd.ingress.http.held import TRIM_BYTES, TRIM_SECONDS, HeldOctets, give_back
from tests.unit.smscd.ingress.http_fixture import BODY, KEY, Connection, Service, service

SMALL = ConnectionLimits(held_bytes_max=100_000, held_bytes_each=1_000, lingering_seconds=0.3)
JSON = json.dumps(BODY).encode()
BODY_BYTES = 50_000


def head(key: str = KEY) -> bytes:
    """Of a request whose body has BODY_BYTES."""
    fields = f"Host: t\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n"
    return f"POST /v1/messages HTTP/1.1\r\n{fields}\r\n".encode()


async def begun(http: Service) -> Connection:
    """A request whose body is not all there: the last 10,000 octets are due."""
    connection = await http.connect()
    connection.write(head() + b" " * (BODY_BYTES - 10_000))
    return connection


def end(connection: Connection) -> None:
    """Send the rest of its body."""
    connection.write(b" " * (10_000 - len(JSON)) + JSON)


async def until_held(http: Service, beyond: int) -> None:
    """Wait until so many octets are held beyond each connection's own, give or take those of heads."""
    watched: Any = http.figures._counted
    async with asyncio.timeout(5.0):
        while not beyond <= watched.held.beyond <= beyond + 500 * (beyond > 0):
            await asyncio.sleep(0.01)


def test_each_connection_has_its_own_and_all_share_the_rest() -> None:
    held = HeldOctets(100, 10, lambda: None)
    assert held.has_room(0, 110)
    assert not held.has_room(0, 111)
    held.moved(0, 10)
    assert held.beyond == 0
    held.moved(10, 60)
    held.moved(0, 60)
    assert held.beyond == 100
    assert held.has_room(0, 10)
    assert not held.has_room(0, 11)
    assert not held.has_room(60, 61)
    held.moved(60, 0)
    assert (held.beyond, held.has_room(60, 61)) == (50, True)


def test_memory_is_given_back_once_when_much_was_held_and_little_is_left() -> None:
    given: list[float] = []
    held = HeldOctets(10 * TRIM_BYTES, 0, lambda: given.append(1.0))
    held.moved(0, TRIM_BYTES - 1)
    held.moved(TRIM_BYTES - 1, 0)
    held.trim(1.0)
    assert given == [], "little was held"
    held.moved(0, TRIM_BYTES)
    held.trim(2.0)
    assert given == [], "it is held still"
    held.moved(TRIM_BYTES, 0)
    held.trim(3.0)
    held.trim(100.0)
    assert len(given) == 1
    held.moved(0, TRIM_BYTES)
    held.moved(TRIM_BYTES, 0)
    held.trim(3.0 + TRIM_SECONDS)
    held.moved(0, TRIM_BYTES)
    held.moved(TRIM_BYTES, 0)
    held.trim(3.5 + TRIM_SECONDS)
    assert len(given) == 2, "not so soon again"
    held.trim(3.0 + 2 * TRIM_SECONDS)
    assert len(given) == 3


def test_malloc_gives_back_what_it_can() -> None:
    give_back()


async def test_bodies_beyond_the_bound_for_all_are_refused_and_small_requests_are_served() -> None:
    async with service(SMALL) as http:
        waiting = [await begun(http) for _ in range(2)]
        await until_held(http, 2 * 39_000)
        beyond = await begun(http)
        reply = await beyond.reply()
        assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (503, "busy", "1")
        assert (await http.send()).status == 202
        for connection in waiting:
            end(connection)
            assert (await connection.reply()).status == 202
        await until_held(http, 0)
        assert await beyond.is_closed_by_peer(3.0)


async def test_a_head_beyond_the_bound_is_refused_and_what_follows_is_thrown_away() -> None:
    async with service(SMALL) as http:
        line = b"X-A: " + b"a" * 4_000 + b"\r\n"
        connection = await http.connect()
        connection.write(b"GET /health/ HTTP/1.1\r\nHost: t\r\n" + line * 30)
        reply = await connection.reply()
        assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (503, "busy", "1")
        connection.write(line * 30)
        await until_held(http, 0)
        assert await connection.is_closed_by_peer(3.0)


async def test_what_is_pipelined_behind_an_answer_still_counts() -> None:
    async with service(SMALL) as http:
        connection = await http.connect()
        connection.write(b"GET /health/ HTTP/1.1\r\nHost: t\r\n\r\n" + head() + b" " * 40_000)
        assert (await connection.reply()).status == 200
        await until_held(http, 39_000)
        end(connection)
        assert (await connection.reply()).status == 202
        await until_held(http, 0)
        connection.write(head() + b" " * 40_000)
        await until_held(http, 39_000)
        connection.writer.close()
        await until_held(http, 0)


async def test_an_answer_before_the_body_s_end_closes_the_connection() -> None:
    async with service(SMALL) as http:
        connection = await http.connect()
        connection.write(head("no") + b" " * 40_000)
        reply = await connection.reply()
        assert (reply.status, reply.headers["connection"]) == (401, "close")
        connection.write(b" " * 1_000)
        await until_held(http, 0)
        assert await connection.is_closed_by_peer(3.0)
