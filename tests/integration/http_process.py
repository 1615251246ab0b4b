"""The HTTP interface in a process of its own, with a fake admitter behind it, for tests that look at its memory.

    python -m tests.integration.http_process HEAD_SECONDS

prints its port and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from smscd.ingress.http.connections import ConnectionLimits
from tests.unit.smscd.ingress.http_fixture import service


async def main(head_seconds: float) -> None:
    limits = ConnectionLimits(head_seconds=head_seconds, lingering_seconds=1.0)
    async with service(limits, request_seconds=head_seconds) as http:
        print(f"port {http.port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))
