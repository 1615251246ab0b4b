"""Leases are renewed again soon when Redis did not answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from smscd.roles import leases
from smscd.roles.leases import LeaseKeeper
from storage.redis.errors import StorageUnavailable
from storage.redis.link import RedisLink


async def test_who_could_not_renew_tries_again_soon_and_then_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, slept = [None, StorageUnavailable("away"), StorageUnavailable("away"), None], list[float]()

    async def renew(sessions: list[Any], link: RedisLink) -> list[Any]:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not outcomes:
            raise asyncio.CancelledError

    monkeypatch.setattr(leases, "renew", renew)
    monkeypatch.setattr(leases.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await LeaseKeeper(cast("RedisLink", None)).run()
    usual, soon = leases.RENEW_SECONDS, leases.AGAIN_SECONDS
    assert slept == [usual, usual, soon, soon, usual] and 4 * soon < usual
