"""Posts to customers' URLs: one attempt, bounded in time, to addresses that are allowed, and never to another place."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from smscd.core.callback_forms import CallbackRequest
from smscd.egress.webhooks.addresses import is_allowed
from smscd.egress.webhooks.schedule import Posted

RESOLVER_THREADS: Final = 16
RESOLVING_MAX_PER_ACCOUNT: Final = 4
NAMES_SECONDS: Final = 30
KEEPALIVE_SECONDS: Final = 4.0
ANSWER_BYTES_MAX: Final = 16_384
ANSWER_SECONDS: Final = 1.0
ANSWER_BEGIN_BYTES: Final = 64

_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f]")
_account: ContextVar[str] = ContextVar("webhook_account", default="")


def url_of(text: str | None) -> URL | None:
    """The URL to post to, its path and query exactly as given; None when it is none that could be."""
    if not text or _UNSAFE.search(text):
        return None
    try:
        url = URL(text, encoded=text.isascii())
        is_usable = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        return None
    return url if is_usable else None


class AddressRefused(OSError):
    """The name leads to an address to which webhooks may not be sent."""

    def __init__(self) -> None:
        super().__init__("address not allowed")


class AccountResolver(AbstractResolver):
    """getaddrinfo in threads of its own, a few for each account: names that are slow to resolve hold up nobody else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, "webhook-names")
        self._turns: dict[str, asyncio.Semaphore] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a name. Raises OSError."""
        turn = self._turns.setdefault(_account.get(), asyncio.Semaphore(RESOLVING_MAX_PER_ACCOUNT))
        async with turn:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
            )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """End the threads, as soon as they are idle."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _socket_factory(*, allows_private: bool) -> aiohttp.SocketFactoryType:
    """Makes sockets for allowed addresses only.

    This is the one place that sees each address a connection is really made to, literal ones included; a resolver
    does not, and checking a name before it is resolved again proves nothing.
    """

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, address = info
        if family not in (socket.AF_INET, socket.AF_INET6) or not is_allowed(
            str(address[0]), allows_private=allows_private
        ):
            raise AddressRefused
        return socket.socket(family=family, type=kind, proto=proto)

    return make


class Poster:
    """One attempt at a time for each call; connections are kept and used again.

    There are two pools, because a connection that an account with private callbacks opened must not serve another.
    """

    def __init__(self, *, user_agent: str, request_seconds: float = 15.0) -> None:
        self._resolver = AccountResolver()
        self._sessions = {
            allows_private: aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    resolver=self._resolver,
                    ttl_dns_cache=NAMES_SECONDS,
                    keepalive_timeout=KEEPALIVE_SECONDS,
                    socket_factory=_socket_factory(allows_private=allows_private),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=request_seconds),
                trust_env=False,
                auto_decompress=False,
                headers={"User-Agent": user_agent},
                skip_auto_headers=("Accept", "Accept-Encoding"),
                read_bufsize=ANSWER_BYTES_MAX,
            )
            for allows_private in (False, True)
        }

    async def post(
        self, url: URL, headers: Mapping[str, str], body: bytes, *, account: str, allows_private: bool
    ) -> Posted:
        """One attempt. Never raises but CancelledError: what went wrong is in the result."""
        described = {"Content-Type": "application/json", **headers}
        return await self._attempt("POST", url, described, body, b"", account, allows_private=allows_private)

    async def ask(self, url: URL, request: CallbackRequest, *, account: str, allows_private: bool) -> Posted:
        """The same for a request in another gateway's form. url: the request's own."""
        return await self._attempt(
            request.method,
            url,
            request.headers,
            request.body,
            request.acknowledgement,
            account,
            allows_private=allows_private,
        )

    async def _attempt(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes,
        acknowledgement: bytes,
        account: str,
        *,
        allows_private: bool,
    ) -> Posted:
        _account.set(account)
        try:
            async with self._sessions[allows_private].request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                posted = Posted(response.status, retry_after=response.headers.get("Retry-After", ""))
                answered = await _finish(response)
                if acknowledgement and posted.status < 300 and answered.strip() != acknowledgement:
                    return Posted(0, f"not answered with {acknowledgement.decode()}")
                return posted
        except TimeoutError:
            return Posted(0, "time-out", is_slow=True)
        except aiohttp.ClientConnectorDNSError:
            return Posted(0, "name not resolved")
        except aiohttp.ClientSSLError:
            return Posted(0, "TLS failed")
        except aiohttp.ClientConnectorError as error:
            is_refused = AddressRefused().args[0] in str(error.os_error)
            return Posted(0, "address not allowed" if is_refused else "no connection")
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError):
            return Posted(0, "no valid URL")
        except (aiohttp.ClientError, OSError):
            return Posted(0, "connection lost")

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()


async def _finish(response: aiohttp.ClientResponse) -> bytes:
    """Read the answer's body so that the connection can be used again; a long or slow one closes it instead.

    Returns how it begins.
    """
    content = response.content
    begin = b""
    if content.at_eof():
        return begin
    left = ANSWER_BYTES_MAX
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while left > 0 and not content.at_eof():
                piece = await content.readany()
                left -= len(piece)
                begin = (begin + piece)[:ANSWER_BEGIN_BYTES]
    except (TimeoutError, aiohttp.ClientError, OSError):
        left = 0
    if left <= 0:
        response.close()
    return begin
