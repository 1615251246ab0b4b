"""One account's bulk run on an upstream with a rate, and others beside it: measured by the carrier's own record.

Another account's message of the same priority, and one of the same account with a higher one. Scaled down in CI.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from smscd.core.records import LedgerRecord
from tests.integration.egress_rig import BALANCE, Books, CarrierProcess, Egress, carrier_process, directory, until

IS_FULL = os.environ.get("SMSCD_FAULTS") == "full"
RATE = 500 if IS_FULL else 100
BULK = 20_000 if IS_FULL else 3_000
OTP_PRIORITY = 0
SECONDS_MAX = 1.0


async def test_a_bulk_run_delays_another_account_and_an_otp_by_less_than_a_second(
    valkey_url: str, tmp_path: Path
) -> None:
    books = Books(valkey_url)
    await books.open()
    await books.balances.top_up(LedgerRecord("other", "topup", BALANCE, "other's first", 1))
    async with carrier_process(tmp_path, "--latency", "0.02") as carrier:
        egress = Egress(valkey_url, directory(carrier.port, rate_per_second=RATE))
        await books.admit([b"44770%07d" % (number * 1000 + 100) for number in range(BULK)])
        await egress.start()
        await carrier.submits(RATE // 2)
        waited = []
        for number in range(3):
            for names in ({"account": "other"}, {"priority": OTP_PRIORITY}):
                waited.append(await out_after(books, carrier, b"4477100%05d" % (number * 1000 + 100), **names))
        print(f"out after {[round(seconds, 3) for seconds in waited]} s")
        assert max(waited) < SECONDS_MAX
        left = await books.depth()
        assert left > BULK // 2, "it is still a bulk run that they came by"
        sent = len(carrier._submits())
        began = time.monotonic()
        await carrier.submits(sent + RATE)
        assert time.monotonic() - began > 0.7, "the rate is kept"
        await egress.stop()
    await books.close()


async def out_after(books: Books, carrier: CarrierProcess, dest: bytes, **names: object) -> float:
    """Seconds from the admission of a message to its submit at the carrier."""
    began = time.time()
    [message_id] = await books.admit([dest], **names)

    def found() -> list[float]:
        return [int(line[1]) / 1000 for line in carrier._submits() if int(line[2]) == message_id]

    async with asyncio.timeout(30):
        await until(lambda: found(), seconds=30)
    return found()[0] - began
