"""The carrier calls an ESME: connects, says outbind, and is an SMSC like any other on that connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import open_connection
from smscd.transport.tls import ClientTls
from tools.carrier.smsc import Carrier

AGAIN_SECONDS = 1.0
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutbindOptions:
    """Who is called, and as whom. tls: None without."""

    host: str
    port: int
    system_id: str = "carrier"
    password: str = "secret"
    tls: ClientTls | None = None


async def keep_calling(carrier: Carrier, options: OutbindOptions, config: SessionConfig) -> None:
    """Until cancelled: call, and a second after the connection has ended call again."""
    while True:
        try:
            await call(carrier, options, config)
        except OSError:
            pass  # nobody is there yet
        await asyncio.sleep(AGAIN_SECONDS)


async def call(carrier: Carrier, options: OutbindOptions, config: SessionConfig) -> None:
    """Connect, say outbind, and return when the connection has ended. Raises OSError when there is none."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def on_closed(connection: SmppConnection, reason: str) -> None:
        carrier.on_closed(connection, reason)
        over.set()

    callbacks = Callbacks(carrier.on_open, carrier.on_events, on_closed)
    connection = await open_connection(
        lambda: SmppConnection(Role.SMSC, config, callbacks, loop),
        options.host,
        options.port,
        CONNECT_SECONDS,
        options.tls,
    )
    connection.session.outbind(options.system_id.encode(), options.password.encode(), loop.time())
    connection.flush()
    await over.wait()
