"""`api`: the admin API with an admin (ann), a reader (ben), and a session to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from smscd.admin import operators
from tests.integration.admin_api_rig import Api
from tests.integration.admin_rig import ledger_rig
from tests.integration.postgres_databases import RecordDatabase


@pytest.fixture
async def api(record_database: RecordDatabase, valkey_url: str) -> AsyncIterator[Api]:
    async with ledger_rig(record_database, valkey_url) as rig, aiohttp.ClientSession() as session:
        made = Api(rig, session)
        for name, role in (("ann", "admin"), ("ben", "read")):
            token = await operators.add(name, role, "test", rig.database)  # type: ignore[arg-type]  # both are roles
            assert token is not None
            made.tokens[name] = token
        await made.listener.start("127.0.0.1", 0)
        yield made
        await made.listener.stop()
