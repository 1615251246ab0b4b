"""conf/nginx/smscd.conf in Debian's nginx, run by an ordinary user, in front of the service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from smscd.ingress.http.problems import HTTP_CODES
from storage.embedded.process import free_port, unprivileged_user
from tests.certificates import Authority
from tests.integration.http_rig import BODY, HttpRig, http_rig
from tests.integration.postgres_databases import RecordDatabase
from tests.unit.smscd.ingress.http_fixture import Connection, Reply

pytest_plugins = ("tests.integration.postgres_fixture",)
ROOT = Path(__file__).resolve().parents[2]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is missing; `make peers` as root brings it (apt-get install nginx)"
)

MAIN = """
daemon off;
pid nginx.pid;
events { worker_connections 512; }
http {
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include smscd.conf;
}
"""
KEY_BURST = 10
ADDRESS_BURST = 80


class Nginx:
    """One nginx. log: what it wrote of requests."""

    def __init__(self, place: Path, port: int, authority: Authority) -> None:
        self.port = port
        self.log = place / "smscd.log"
        self._authority = authority
        self.connections: list[Connection] = []

    async def connect(self, protocols: tuple[str, ...] = ()) -> Connection:
        tls = ssl.create_default_context(cafile=self._authority.ca)
        if protocols:
            tls.set_alpn_protocols(protocols)
        found = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, server_hostname="localhost")
        self.connections.append(Connection(*found))
        return self.connections[-1]

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """On a connection of its own, as the account acme. headers: with _ for -."""
        given = {"X-Api-Key": "key-of-acme"} | ({"Content-Type": "application/json"} if body else {})
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await (await self.connect()).ask(method, path, given, body)

    async def send(self, **headers: str) -> Reply:
        return await self.ask("POST", "/v1/messages", json.dumps(BODY).encode(), **headers)


def configured(place: Path, port: int, upstream: int, authority: Authority) -> None:
    """The file as it is shipped, with the ports, files and rates of a test."""
    text = (ROOT / "conf/nginx/smscd.conf").read_text()
    pair = authority.sign("localhost")
    for shipped, ours in (
        ("    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n", f"    listen 127.0.0.1:{port} ssl http2;\n"),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
        ("/etc/ssl/smscd/fullchain.pem", str(pair.certificate)),
        ("/etc/ssl/smscd/privkey.pem", str(pair.key)),
        ("/var/log/nginx/smscd.log", "smscd.log"),
        ("/var/log/nginx/smscd-error.log crit", "error.log info"),
        ("rate=2000r/s", "rate=2r/s"),
        ("burst=400 delay=200", f"burst={KEY_BURST} delay={KEY_BURST}"),
        ("rate=4000r/s", "rate=10r/s"),
        ("burst=800 delay=400", f"burst={ADDRESS_BURST} delay={ADDRESS_BURST}"),
        ("proxy_read_timeout 12s", "proxy_read_timeout 1s"),
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, ours)
    (place / "smscd.conf").write_text(text)
    (place / "nginx.conf").write_text(MAIN)


@asynccontextmanager
async def nginx(upstream: int) -> AsyncIterator[Nginx]:
    """Run it before an upstream on this port; its configuration is tested first."""
    assert NGINX is not None
    with TemporaryDirectory() as name:
        place, user = Path(name), unprivileged_user()
        port, authority = free_port(), Authority(place / "tls")
        configured(place, port, upstream, authority)
        runs_as = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
        if user is not None:
            for path in (place, *place.rglob("*")):
                os.chown(path, user.uid, user.gid)
        command = (NGINX, "-p", name, "-c", "nginx.conf", "-e", "stderr")
        tested = await asyncio.create_subprocess_exec(*command, "-t", stderr=asyncio.subprocess.PIPE, **runs_as)
        _, said = await tested.communicate()
        assert tested.returncode == 0, said.decode()
        assert b"warn" not in said, said.decode()
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL, **runs_as)
        running = Nginx(place, port, authority)
        try:
            async with asyncio.timeout(10):
                while not await listens(port):
                    assert process.returncode is None
            yield running
        finally:
            for connection in running.connections:
                connection.writer.close()
            process.terminate()
            await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        await asyncio.sleep(0.02)
        return False
    writer.close()
    return True


def refusal(reply: Reply, *, instance: str = "/v1/messages") -> str:
    """The code of a refusal by nginx, which says it in the service's own words."""
    found = reply.problem
    rows = {code.code: (code.status, code.title, code.detail) for code in HTTP_CODES}
    if found["code"] in rows:
        status, title, detail = rows[found["code"]]
        assert (found["status"], found["title"]) == (status, title)
        assert found["detail"] == detail or found["code"] == "content_too_large"
    assert found["instance"] == instance
    assert reply.headers["x-request-id"] == found["request_id"]
    assert "strict-transport-security" in reply.headers
    code: str = found["code"]
    return code


@asynccontextmanager
async def silent(port: int) -> AsyncIterator[list[bytes]]:
    """An upstream that takes requests and answers none; what it was sent."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield heads
    finally:
        server.close()


async def test_it_passes_what_is_asked_and_refuses_in_the_words_of_the_service(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig, nginx(rig.port) as front:
        await passes(front, rig)
        await bounds(front)
        await rates(front)
        await rig.stop()
        await unanswered(front, rig.port)
        log = front.log.read_text()
        assert '"GET /v1/messages" 200' in log
        assert "447700900123" not in log


async def passes(front: Nginx, rig: HttpRig) -> None:
    """TLS, and the service's answers as they are."""
    sent = await front.send(X_Request_ID="k-1")
    again = await front.send(X_Request_ID="k-1")
    assert (sent.status, again.status, again.body) == (202, 202, sent.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert {"ratelimit", "ratelimit-policy", "location", "strict-transport-security"} <= set(sent.headers)
    listed = await front.ask("GET", "/v1/messages?to=447700900123&limit=5")
    assert (listed.status, listed.json) == (200, {"data": [], "next_cursor": None})
    theirs = await front.ask("GET", "/v1/balance", X_Api_Key="nobody")
    assert (theirs.status, theirs.problem["code"]) == (401, "unauthorized")
    assert (await front.ask("GET", "/health/")).json["status"] == "healthy"
    assert (await front.ask("GET", "/api/openapi.json")).json["openapi"] == "3.1.0"
    assert (await front.ask("GET", "/problems/bad_gateway")).status == 200
    assert rig.figures.connections == 1, "all of these went over one connection that was kept"
    connection = await front.connect(("h2", "http/1.1"))
    tls = connection.writer.get_extra_info("ssl_object")
    assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "h2")
    plain = Connection(*await asyncio.open_connection("127.0.0.1", front.port))
    front.connections.append(plain)
    assert refusal(await plain.ask("GET", "/v1/balance"), instance="/v1/balance") == "bad_request"


async def bounds(front: Nginx) -> None:
    """Sizes, and what is not there."""
    hundred = b" " * 100_000
    assert refusal(await front.ask("POST", "/v1/messages", hundred * 3)) == "content_too_large"
    batch = await front.ask("POST", "/v1/messages/batch", hundred * 11)
    assert refusal(batch, instance="/v1/messages/batch") == "content_too_large"
    assert batch.problem["detail"] == "The body is larger than 1,048,576 bytes."
    assert (await front.ask("POST", "/v1/messages", hundred)).status == 400
    for path in ("/metrics", "/admin/v1/accounts/acme", "/-/problem", "/cgi-bin/sendsms", "/"):
        assert refusal(await front.ask("GET", path, X_Api_Key=""), instance=path) == "not_found"
    long = await front.ask("GET", "/v1/balance", X_Api_Key="", X_Long="x" * 9_000)
    assert (long.status, refusal(long, instance="/v1/balance")) == (431, "headers_too_large")
    odd = await front.ask("GET", '/gone/"quoted"', X_Api_Key="", X_Request_ID='"}')
    assert refusal(odd, instance="/gone/") == "not_found"
    assert re.fullmatch("[0-9a-f]{32}", odd.problem["request_id"])


async def rates(front: Nginx) -> None:
    """By key, then by address."""
    replies = await asyncio.gather(*(front.send(X_Api_Key="key-of-small", X_Request_ID=f"r{n}") for n in range(25)))
    refused = [reply for reply in replies if reply.status == 429]
    assert KEY_BURST < len(replies) - len(refused) <= KEY_BURST + 8
    assert {refusal(reply) for reply in refused} == {"rate_limited"}
    assert {reply.headers["retry-after"] for reply in refused} == {"1"}
    assert {reply.problem["request_id"] for reply in refused} <= {f"r{n}" for n in range(25)}
    assert {reply.status for reply in replies} == {202, 429}

    async def ask_often() -> set[int]:
        connection = await front.connect()
        return {(await connection.ask("GET", "/health/")).status for _ in range(25)}

    assert set.union(*await asyncio.gather(*(ask_often() for _ in range(8)))) == {200, 429}


async def unanswered(front: Nginx, port: int) -> None:
    """An upstream that is away, and one that does not answer: each is a problem that may be tried again."""
    away = await patiently(front)
    assert (away.status, refusal(away), away.headers["retry-after"]) == (502, "bad_gateway", "1")
    async with silent(port) as heads:
        late = await patiently(front)
        assert (late.status, refusal(late), late.headers["retry-after"]) == (504, "gateway_timeout", "1")
    assert len(heads) == 1, "a POST is not tried twice"
    head = heads[0].decode().lower()
    assert "x-forwarded-for: 127.0.0.1\r\n" in head and "8.8.8.8" not in head
    assert "x-forwarded-proto: https\r\n" in head


async def patiently(front: Nginx) -> Reply:
    """One message, sent again while the rate is exceeded."""
    async with asyncio.timeout(10):
        while (reply := await front.send(X_Forwarded_For="8.8.8.8")).status == 429:
            await asyncio.sleep(0.1)
    return reply
