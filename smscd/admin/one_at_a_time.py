"""Work that takes long, over HTTP: one of a kind at a time, and bounded by a time that the operator gives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from smscd.admin import queries
from smscd.admin.orders import Refusal

SECONDS: Final = 60
SECONDS_MAX: Final = 600
PARAMETER: Final = queries.whole("How long it may take.", 1, SECONDS_MAX, SECONDS)
_T = TypeVar("_T")


class OneAtATime:
    """Admits one, and refuses others until it has ended. what: of it, in a sentence."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_busy = False

    async def do(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T | Refusal:
        """What the work comes to, or why it did not come to its end. Raises what the work raises."""
        if self._is_busy:
            work.close()
            return Refusal("under_way", 409, f"{self._what} is under way already: ask again when it has ended.")
        self._is_busy = True
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            return Refusal("not_finished", 409, f"{self._what} did not end within {seconds:g} seconds.")
        finally:
            self._is_busy = False
