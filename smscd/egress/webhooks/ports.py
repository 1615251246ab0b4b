"""What webhooks need of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from yarl import URL

from smscd.core.callback_forms import CallbackRequest
from smscd.egress.webhooks.schedule import Posted


class HookStore(Protocol):
    """storage.redis.outbox.HookStore."""

    async def read(self, after: str, count: int) -> list[tuple[str, bytes]]: ...

    async def due(self, now_ms: int, limit: int) -> list[bytes]: ...

    async def settle(
        self,
        finished: Sequence[str],
        later: Sequence[tuple[int, bytes]],
        promoted: Sequence[bytes],
        results: Sequence[bytes],
    ) -> None: ...


class Post(Protocol):
    """post.Poster.post."""

    async def __call__(
        self, url: URL, headers: dict[str, str], body: bytes, *, account: str, allows_private: bool
    ) -> Posted: ...


class Ask(Protocol):
    """post.Poster.ask."""

    async def __call__(self, url: URL, request: CallbackRequest, *, account: str, allows_private: bool) -> Posted: ...
