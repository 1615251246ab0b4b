"""A carrier is down while messages wait: Redis holds what it is configured to hold, and all come out in order.

`SMSCD_WAITING=2000000 pytest -s tests/integration/test_queue_memory.py` is the full figure, a quarter of an hour.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator

import pytest

from smscd.core.records import LedgerRecord
from tests.faults.rig import IS_FULL
from tests.integration.egress_rig import PRICE
from tests.integration.overflow_rig import BALANCE, IN_REDIS_MAX, OverflowRig, overflow_rig, until
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.redis_picture import KEYS

pytest_plugins = ("tests.integration.postgres_fixture",)

WAITING = int(os.environ.get("SMSCD_WAITING") or (200_000 if IS_FULL else 5_000))
SECONDS = 20 + WAITING / 500
CONSTANT_BYTES = 262_144
"""What Redis may grow by, whatever waits: queues at their limits, accounts, scripts, connections' buffers."""


@pytest.fixture
async def rig(valkey_url: str, record_database: RecordDatabase) -> AsyncIterator[OverflowRig]:
    async with overflow_rig(valkey_url, record_database.dsn) as made:
        yield made


async def used_bytes(rig: OverflowRig) -> int:
    """Once PostgreSQL has the journal: without the entries that are kept for a while after that."""
    await rig.changes.catch_up()
    await rig.redis.command("XTRIM", KEYS.journal, "MAXLEN", 0)
    text = (await rig.redis.command("INFO", "memory")).decode()
    return int(text.partition("used_memory:")[2].split()[0])


@pytest.mark.timeout(60 + 4 * SECONDS)
async def test_what_waits_beyond_the_limit_costs_redis_nothing_and_comes_out_in_order(rig: OverflowRig) -> None:
    await rig.bring()
    await rig.balances.top_up(LedgerRecord("acme", "topup", WAITING * PRICE, "for all of them", 1))
    ids = await rig.admit(IN_REDIS_MAX)
    within = await used_bytes(rig)
    ids += await rig.admit(WAITING - IN_REDIS_MAX)
    beyond = await used_bytes(rig)
    assert (await rig.depth())[0] == WAITING
    per_message = (beyond - within) / (WAITING - IN_REDIS_MAX)
    figures = {"waiting": WAITING, "in_redis_max": IN_REDIS_MAX, "within_bytes": within, "beyond_bytes": beyond}
    print(json.dumps({"row": "queue memory", **figures, "bytes_per_message_beyond": round(per_message, 2)}))
    assert beyond - within <= CONSTANT_BYTES
    await rig.serve()
    await until(rig.is_at_rest, SECONDS)
    assert rig.sent() == ids, "each once, in the order in which they came"
    ledger = await rig.pool.fetchval("SELECT sum(amount_micros) FROM ledger_entries WHERE account = 'acme'")
    assert ledger == await rig.balances.balance("acme") == BALANCE
