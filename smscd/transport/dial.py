"""Connect to an SMSC: the result is an open SmppConnection in the role of an ESME, not bound yet."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import structlog

from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection, WriteLimits
from smscd.transport.tls import ClientTls, client_context

_log = structlog.get_logger(__name__)


async def connect(
    host: str,
    port: int,
    *,
    config: SessionConfig,
    callbacks: Callbacks,
    timeout_seconds: float = 10.0,
    write_limits: WriteLimits | None = None,
    tls: ClientTls | None = None,
) -> SmppConnection:
    """Connect; on_open has been called when this returns.

    tls: None for a plain connection. Its files are read at each call, so that a changed one counts from the next on.
    Raises OSError, TimeoutError and ssl.SSLError included, when there is no connection within timeout_seconds.
    """
    loop = asyncio.get_running_loop()
    return await open_connection(
        lambda: SmppConnection(Role.ESME, config, callbacks, loop, write_limits), host, port, timeout_seconds, tls
    )


async def open_connection(
    make: Callable[[], SmppConnection], host: str, port: int, timeout_seconds: float, tls: ClientTls | None
) -> SmppConnection:
    """The same for a connection of any role."""
    context: ssl.SSLContext | None = None
    async with asyncio.timeout(timeout_seconds):
        if tls is not None:
            context = await asyncio.to_thread(client_context, tls)
            if not tls.is_verified:
                _log.warning("tls.not_verified", host=host, port=port)
        _, connection = await asyncio.get_running_loop().create_connection(
            make,
            host,
            port,
            ssl=context,
            server_hostname=(tls.server_name or host) if tls is not None else None,
        )
    return connection
