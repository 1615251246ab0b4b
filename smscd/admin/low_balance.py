"""Which balances are low at this moment, for the metrics page: of the accounts that are to be warned, no others."""

from __future__ import annotations

from typing import Final

from smscd.monitoring.metrics import Sample
from storage.postgres.pool import UNAVAILABLE, Database
from storage.postgres.warnings import thresholds
from storage.redis.accounts import Balances
from storage.redis.errors import StorageUnavailable

ACCOUNTS_MAX: Final = 10_000
SECONDS_MAX: Final = 1.0
_AWAY: Final[tuple[type[Exception], ...]] = (StorageUnavailable, *UNAVAILABLE)


async def low_balance_samples(database: Database, balances: Balances) -> list[Sample]:
    """1 for a balance that is low, 0 for one that is not; nothing while the storage is away."""
    try:
        wanted = await thresholds(database, ACCOUNTS_MAX)
        if not wanted:
            return []
        _, held = await balances.at_once(list(wanted))
    except _AWAY:
        return []
    return [
        Sample("smscd_account_low_balance", (account,), float(balance < low))
        for (account, low), balance in zip(wanted.items(), held, strict=True)
    ]
