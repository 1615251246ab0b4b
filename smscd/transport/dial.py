"""Connect to an SMSC: the result is an open SmppConnection in the role of an ESME, not bound yet."""

from __future__ import annotations

import asyncio
import ssl

from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection, WriteLimits


async def connect(
    host: str,
    port: int,
    *,
    config: SessionConfig,
    callbacks: Callbacks,
    timeout_seconds: float = 10.0,
    write_limits: WriteLimits | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> SmppConnection:
    """Connect; on_open has been called when this returns.

    Raises OSError, TimeoutError included, when there is no connection within timeout_seconds.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_seconds):
        _, connection = await loop.create_connection(
            lambda: SmppConnection(Role.ESME, config, callbacks, loop, write_limits), host, port, ssl=ssl_context
        )
    return connection
