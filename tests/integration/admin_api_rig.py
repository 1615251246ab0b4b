"""The admin API on its listener, with a real Redis and a real PostgreSQL."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

import aiohttp

from smscd.admin.api import AdminApi
from smscd.admin.desk import Desk
from smscd.admin.everything import operations
from smscd.admin.listener import AdminListener
from smscd.admin.operators import Operators
from smscd.core.limits import Limits
from smscd.monitoring.health import Health
from smscd.monitoring.metrics import Sample
from storage.redis.depths import waiting
from storage.redis.errors import StorageUnavailable
from tests.integration.admin_rig import KEYS, LedgerRig

PEPPER = "pepper"
METRICS_TOKEN = "of-the-metrics"


class Api:
    """The listener, an admin and a reader, and one session to it."""

    def __init__(self, rig: LedgerRig, session: aiohttp.ClientSession) -> None:
        self.rig = rig
        self.session = session
        self.tells = 0
        self.is_deaf = False
        self.tokens: dict[str, str] = {}
        self.desk = Desk(
            database=rig.database,
            balances=rig.balances,
            link=rig.link,
            keys=KEYS,
            tell=self._tell,
            waiting=partial(waiting, rig.link, KEYS),
            now_ms=lambda: int(time.time() * 1000),
            wait_seconds=0.3,
            pepper=PEPPER,
            new_account=Limits(velocity_per_minute=50),
        )
        self.api = AdminApi(Operators(rig.database, time.monotonic), operations(self.desk))
        self.listener = AdminListener(token=METRICS_TOKEN, collect=self._collect, health=self._health, api=self.api)

    async def _tell(self) -> None:
        if self.is_deaf:
            raise StorageUnavailable("deaf")
        self.tells += 1

    async def _collect(self) -> list[list[Sample]]:
        return []

    async def _health(self) -> Health:
        return Health(status="healthy", http_status=200, body={"status": "healthy"})

    async def ask(
        self, method: str, path: str, body: object = None, *, by: str | None = "ann", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers. body: bytes as they are, else as JSON."""
        if by is not None:
            headers["Authorization"] = f"Bearer {self.tokens.get(by, by)}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        url = f"http://127.0.0.1:{self.listener.port}{path}"
        async with self.session.request(method, url, data=data, headers=headers) as answer:
            raw = await answer.read()
            is_json = answer.content_type.endswith("json")
            return answer.status, json.loads(raw) if is_json else raw, dict(answer.headers)

    async def pay(self, account: str = "demo", **order: object) -> tuple[int, Any, dict[str, str]]:
        """Order money."""
        return await self.ask("POST", f"/admin/v1/accounts/{account}/topups", order)
