"""What a resource of the admin API is, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec
from aiohttp import web

from smscd.admin.orders import Refusal
from smscd.ingress.http.problems import INVALID, NOT_FOUND, Problem
from storage.postgres.operators import Token

_TITLES: Final = {404: NOT_FOUND.title, 409: "Conflict", 422: INVALID.title}


class Done(msgspec.Struct, frozen=True):
    """What a resource answers when it does not refuse."""

    status: int
    body: dict[str, object]
    headers: dict[str, str] = {}


Resource: TypeAlias = Callable[[web.Request, Token, dict[str, str]], Awaitable[Done | Problem]]


def problem_of(refusal: Refusal) -> Problem:
    """A refusal as HTTP says it."""
    return Problem(status=refusal.status, code=refusal.code, title=_TITLES[refusal.status], detail=refusal.detail)
