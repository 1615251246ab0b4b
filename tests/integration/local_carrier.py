"""The simulated carrier in this process, so that a test can get at its sessions and at what came in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from protocols.smpp.limits import SessionConfig
from smscd.transport.connection import Callbacks
from smscd.transport.listener import Listener, listen
from tools.carrier.options import CarrierOptions
from tools.carrier.smsc import Carrier


@asynccontextmanager
async def local_carrier(
    options: CarrierOptions | None = None,
    config: SessionConfig | None = None,
    wrap: Callable[[Callbacks], Callbacks] = lambda callbacks: callbacks,
) -> AsyncIterator[tuple[Carrier, Listener]]:
    """wrap: what stands between the carrier and its connections."""
    carrier = Carrier(options or CarrierOptions(), asyncio.get_running_loop())
    callbacks = wrap(Callbacks(carrier.on_open, carrier.on_events, carrier.on_closed))
    listener = await listen("127.0.0.1", 0, config=config or SessionConfig(window_size=10_000), callbacks=callbacks)
    try:
        yield carrier, listener
    finally:
        listener.stop_accepting()
        await carrier.close(1.0)
        listener.abort_all()
