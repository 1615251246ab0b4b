"""Posts over TCP: what goes out, what each kind of answer means, and which addresses are never connected to."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from yarl import URL

from smscd.core.callback_forms import CallbackRequest
from smscd.egress.webhooks.post import Poster, url_of
from smscd.egress.webhooks.schedule import Posted

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """Answers each request with the same bytes, and counts."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                _, _, rest = head.lower().partition(b"content-length: ")
                length = int(rest.split(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(length))
                if not self.answer:
                    break
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def speak_no_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say something that is no TLS, and hang up."""
    writer.write(b"no TLS here")
    writer.close()


@asynccontextmanager
async def receiver(answer: bytes = OK, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    found = Receiver(answer)
    server = await asyncio.start_server(found.serve, host, 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in found.serving:
            task.cancel()
        await asyncio.gather(*found.serving, return_exceptions=True)


@asynccontextmanager
async def poster(seconds: float = 5.0) -> AsyncIterator[Callable[..., Any]]:
    """Something to post with; private addresses allowed unless said otherwise."""
    found = Poster(user_agent="smscd/1", request_seconds=seconds)

    async def post(url: str, *, allows_private: bool = True, account: str = "acme") -> Posted:
        return await found.post(
            URL(url, encoded=True), {"webhook-id": "msg_1"}, b'{"a":1}', account=account, allows_private=allows_private
        )

    try:
        yield post
    finally:
        await found.close()


async def test_an_attempt_is_one_post_with_the_body_as_it_was_signed() -> None:
    async with receiver() as hook, poster() as post:
        assert await post(f"http://127.0.0.1:{hook.port}/dlr?x=a%20b&y=%2F") == Posted(204)
        (request,) = hook.requests
        head, body = request.split(b"\r\n\r\n")
        assert head.startswith(b"POST /dlr?x=a%20b&y=%2F HTTP/1.1\r\n")
        assert body == b'{"a":1}'
        lines = {line.lower() for line in head.split(b"\r\n")}
        assert {b"content-type: application/json", b"webhook-id: msg_1", b"user-agent: smscd/1"} <= lines


async def test_connections_are_used_again_but_not_for_accounts_with_other_rights() -> None:
    async with receiver(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as hook, poster() as post:
        for _ in range(5):
            assert (await post(f"http://127.0.0.1:{hook.port}/")).status == 200
        assert hook.connections == 1
        refused = await post(f"http://127.0.0.1:{hook.port}/", allows_private=False)
        assert refused == Posted(0, "address not allowed")
        assert hook.connections == 1


async def test_redirects_are_not_followed() -> None:
    async with receiver() as target:
        answer = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{target.port}/\r\n\r\n".encode()
        async with receiver(answer + b"", "127.0.0.1") as hook, poster(1.0) as post:
            assert (await post(f"http://127.0.0.1:{hook.port}/")).status == 307
        assert target.connections == 0


async def test_the_environment_s_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as proxy, receiver() as hook, poster() as post:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert (await post(f"http://127.0.0.1:{hook.port}/")).status == 204
        assert proxy.connections == 0


async def test_what_the_receiver_asks_for_is_handed_on() -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answer) as hook, poster() as post:
        assert await post(f"http://127.0.0.1:{hook.port}/") == Posted(503, retry_after="120")


async def test_a_receiver_that_does_not_answer_is_slow() -> None:
    async with receiver(b"HTTP/1.1 ") as hook, poster(0.2) as post:
        assert await post(f"http://127.0.0.1:{hook.port}/") == Posted(0, "time-out", is_slow=True)


async def test_a_success_counts_whatever_its_body_does() -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 100_000
    async with receiver(endless) as hook, poster() as post:
        assert (await post(f"http://127.0.0.1:{hook.port}/")).status == 200
        assert (await post(f"http://127.0.0.1:{hook.port}/")).status == 200
        assert hook.connections == 2
    drip = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"
    async with receiver(drip) as hook, poster(0.3) as post:
        assert (await post(f"http://127.0.0.1:{hook.port}/")).status == 200


async def test_a_bomb_in_the_answer_is_not_unpacked() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk"
    async with receiver(answer) as hook, poster() as post:
        assert (await post(f"http://127.0.0.1:{hook.port}/")).status == 200


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 9999 X\r\n\r\n"])
async def test_what_is_no_answer_is_a_failure(answer: bytes) -> None:
    async with receiver(answer) as hook, poster(1.0) as post:
        assert await post(f"http://127.0.0.1:{hook.port}/") == Posted(0, "connection lost")


async def test_what_cannot_be_reached_says_why() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        plain = await asyncio.start_server(speak_no_tls, "127.0.0.1", 0)
        async with plain, poster() as post:
            assert await post(f"http://127.0.0.1:{unused.getsockname()[1]}/") == Posted(0, "no connection")
            assert await post("http://no.such.name.invalid/") == Posted(0, "name not resolved")
            assert await post(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/") == Posted(0, "TLS failed")
            assert await post("http://" + "a" * 70 + ".example/") in (
                Posted(0, "no valid URL"),
                Posted(0, "name not resolved"),
            )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "0.0.0.0",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "user@127.0.0.1",
        "127.0.0.1.",
    ],
)
async def test_no_spelling_of_loopback_is_connected_to(host: str) -> None:
    async with receiver(host="0.0.0.0") as canary, poster(2.0) as post:
        posted = await post(f"http://{host}:{canary.port}/", allows_private=False)
        assert posted.status == 0
        assert canary.connections == 0


async def test_a_name_that_leads_elsewhere_the_second_time_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["93.184.216.34", "127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "::ffff:127.0.0.1"])
    asked = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        address = next(answers)
        asked.append(address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port) if family == socket.AF_INET else (address, port, 0, 0))
        ]

    async with receiver() as canary:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        for _ in range(6):
            async with poster(0.2) as post:
                assert (await post(f"http://rebind.example:{canary.port}/", allows_private=False)).status == 0
        assert len(asked) == 6
        assert canary.connections == 0


async def test_names_that_are_slow_to_resolve_hold_up_only_their_own_account(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **named: Any) -> Any:
        if str(host).startswith("slow"):
            gate.wait(10)
            raise socket.gaierror("slow")
        return real(host, *args, **named)

    async with receiver() as hook, poster() as post:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        slow = [asyncio.create_task(post(f"http://slow{number}.example/", account="bad")) for number in range(40)]
        await asyncio.sleep(0)
        assert (await post(f"http://localhost:{hook.port}/", account="good")).status == 204
        assert not any(task.done() for task in slow)
        gate.set()
        assert {posted.failure for posted in await asyncio.gather(*slow)} == {"name not resolved"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://a.example/x?y=%2F", "https://a.example/x?y=%2F"),
        ("HTTP://a.example", "http://a.example"),
        ("http://m\u00fcller.example/\u00e9", "http://xn--mller-kva.example/%C3%A9"),
        ("http://a.example/\r\nX: y", None),
        ("http://a b/", None),
        ("ftp://a.example/", None),
        ("https:///x", None),
        ("http://[::1/", None),
        ("http://a:99999/", None),
        ("", None),
        (None, None),
    ],
)
def test_a_url_is_taken_as_it_stands_or_not_at_all(text: str | None, found: str | None) -> None:
    url = url_of(text)
    assert (str(url) if url is not None else None) == found


ACK = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nACK/Jasmin"


@pytest.mark.parametrize(
    ("answer", "posted"),
    [
        (ACK, Posted(200)),
        (ACK.replace(b"ACK/", b"NAK/"), Posted(0, "not answered with ACK/Jasmin")),
        (OK, Posted(0, "not answered with ACK/Jasmin")),
        (ACK.replace(b"200 OK", b"500 No"), Posted(500)),
    ],
)
async def test_a_form_s_acknowledgement_has_to_be_in_the_answer(answer: bytes, posted: Posted) -> None:
    asked = CallbackRequest("POST", "", {"Content-Type": "application/x-www-form-urlencoded"}, b"id=1", b"ACK/Jasmin")
    found = Poster(user_agent="smscd/1")
    async with receiver(answer) as hook:
        url = URL(f"http://127.0.0.1:{hook.port}/dlr?k=v")
        assert await found.ask(url, asked, account="acme", allows_private=True) == posted
        [request] = hook.requests
    assert request.startswith(b"POST /dlr?k=v HTTP/1.1\r\n") and request.endswith(b"\r\n\r\nid=1")
    assert b"content-type: application/x-www-form-urlencoded\r\n" in request.lower()
    await found.close()


async def test_a_form_s_get_has_no_body_and_goes_to_allowed_addresses_only() -> None:
    found = Poster(user_agent="smscd/1")
    async with receiver() as hook:
        url = URL(f"http://127.0.0.1:{hook.port}/dlr?t=2026-11-26+08:50:23&p=%2B44", encoded=True)
        asked = CallbackRequest("GET", "", {})
        refused = await found.ask(url, asked, account="acme", allows_private=False)
        assert (refused, hook.connections) == (Posted(0, "address not allowed"), 0)
        assert (await found.ask(url, asked, account="acme", allows_private=True)).status == 204
        [request] = hook.requests
    assert request.startswith(b"GET /dlr?t=2026-11-26+08:50:23&p=%2B44 HTTP/1.1\r\n")
    assert b"content-type" not in request.lower()
    await found.close()
