"""A minimal HTTP/1.1 requester for one keep-alive connection: cheap enough not to be what is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

RESPONSE_HEAD_MAX = 64 * 1024
RESPONSE_BODY_MAX = 4 * 1024 * 1024


class HttpWireError(Exception):
    """The server sent what this requester does not read, or closed the connection inside a response."""


def request_bytes(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """One request; Content-Length is added."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class ResponseParser:
    """Bytes of one connection to responses. Reads Content-Length bodies only; 204 and 304 have none."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def is_between_responses(self) -> bool:
        """True when no part of a response is waiting for its rest."""
        return not self._buffer

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes; returns (status, body) of the responses that they complete.

        Raises HttpWireError for a response without Content-Length, a head above 64 KiB or a body above 4 MiB.
        """
        buffer = self._buffer + data if self._buffer else data
        responses: list[tuple[int, bytes]] = []
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(buffer) > RESPONSE_HEAD_MAX:
                    raise HttpWireError("the head of a response is above 64 KiB")
                break
            size = _body_size(buffer[: end + 2])
            complete = end + 4 + size
            if len(buffer) < complete:
                break
            responses.append((int(buffer[9:12]), buffer[end + 4 : complete]))
            buffer = buffer[complete:]
        self._buffer = buffer
        return responses


def _body_size(head: bytes) -> int:
    """Content-Length of a response head."""
    if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
        raise HttpWireError("not an HTTP/1 response")
    lowered = head.lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at < 0:
        if head[9:12] in (b"204", b"304"):
            return 0
        raise HttpWireError("a response without Content-Length")
    digits = lowered[at + 17 : lowered.index(b"\r\n", at + 2)].strip()
    if not digits.isdigit() or int(digits) > RESPONSE_BODY_MAX:
        raise HttpWireError("a Content-Length that is no number or above 4 MiB")
    return int(digits)


class HttpConnection(asyncio.Protocol):
    """One keep-alive connection: responses go to `on_response` as they come, the end of it to `on_closed`."""

    def __init__(
        self,
        on_response: Callable[[HttpConnection, int, bytes], None],
        on_closed: Callable[[HttpConnection, Exception | None], None],
    ) -> None:
        self._on_response = on_response
        self._on_closed = on_closed
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self.slot = 0
        self.sent_at = 0.0

    @property
    def is_open(self) -> bool:
        """True while requests may be sent."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def send(self, data: bytes) -> None:
        """Write a request (or several)."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection after what was written."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol."""
        try:
            responses = self._parser.feed(data)
        except HttpWireError as error:
            self._fail(error)
            return
        for status, body in responses:
            self._on_response(self, status, body)

    def _fail(self, error: Exception) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self._on_closed(self, error)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio.Protocol."""
        if self._transport is not None:
            self._transport = None
            self._on_closed(self, exc)
