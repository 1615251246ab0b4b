"""Reads request bodies within bounds: size, type, time, and how much is under way in the process at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web

from smscd.ingress.http.answers import JSON
from smscd.ingress.http.connections import is_refused
from smscd.ingress.http.problems import (
    BAD_REQUEST,
    BUSY,
    EXPECTATION_FAILED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNSUPPORTED,
    Problem,
    problem,
)

CHARSETS: Final = frozenset(("", "utf-8", "utf8"))


class BodyReader:
    """Reads bodies of one process.

    bytes_max: of one body. pending_bytes_max: of all bodies that did not come whole with their head; what would go
    beyond is refused, so that many slow bodies cannot fill the memory. seconds: from the head's end to the body's.
    takes: says of a Content-Type whether it is taken; JSON and nothing else without it.
    """

    def __init__(
        self,
        *,
        bytes_max: int,
        pending_bytes_max: int,
        seconds: float,
        takes: Callable[[str], bool] | None = None,
    ) -> None:
        self._takes = takes or is_json
        self._bytes_max = bytes_max
        self._pending_bytes_max = pending_bytes_max
        self._seconds = seconds
        self._pending_bytes = 0

    def arrived(self, request: web.BaseRequest) -> bytes | Problem | None:
        """The body of a request, or why it is not taken; None when it is not all there and read() must wait."""
        headers = request.headers
        content_type = headers.get("Content-Type", "")
        if content_type != JSON and not self._takes(content_type):
            return problem(UNSUPPORTED, closes=True)
        if "Content-Encoding" in headers and headers["Content-Encoding"].strip().lower() not in ("", "identity"):
            return problem(
                UNSUPPORTED,
                "Content encodings are not taken; send the body as it is.",
                headers=(("Accept-Encoding", "identity"),),
                closes=True,
            )
        length = request.content_length
        if length is not None and length > self._bytes_max:
            return self._too_large(closes=True)
        content = request.content
        if content.is_eof() and content.exception() is None:
            body = content.read_nowait()
            return body if len(body) <= self._bytes_max else self._too_large(closes=False)
        return None

    async def read(self, request: web.BaseRequest) -> bytes | Problem:
        """The rest of a body for which arrived() returned None."""
        expectation = request.headers.get("Expect")
        if expectation is not None and expectation.lower() != "100-continue":
            return problem(EXPECTATION_FAILED, closes=True)
        try:
            async with asyncio.timeout(self._seconds):
                if expectation is not None:
                    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    request.writer.output_size = 0
                return await self._collect(request)
        except TimeoutError:
            return problem(REQUEST_TIMEOUT, closes=True)
        except (web.RequestPayloadError, ValueError):
            return problem(BAD_REQUEST, "The body does not end where its head says.", closes=True)

    def _too_large(self, *, closes: bool) -> Problem:
        return problem(TOO_LARGE, f"The body is larger than {self._bytes_max:,} bytes.", closes=closes)

    async def _collect(self, request: web.BaseRequest) -> bytes | Problem:
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := await request.content.readany():
                size += len(chunk)
                self._pending_bytes += len(chunk)
                if size > self._bytes_max:
                    return self._too_large(closes=True)
                if self._pending_bytes > self._pending_bytes_max or is_refused(request):
                    return problem(BUSY, headers=(("Retry-After", "1"),), closes=True)
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            self._pending_bytes -= size


def is_json(content_type: str) -> bool:
    """application/json, with no parameter but a charset of UTF-8."""
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != JSON:
        return False
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().lower().partition("=")
        if name == "charset" and value.strip('"') not in CHARSETS:
            return False
    return True
