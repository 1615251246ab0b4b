"""Looks after the certificate files of the listener: what has changed is taken for new handshakes; sessions go on."""

from __future__ import annotations

import asyncio

from smscd.transport.tls import ServerTls


class CertificateWatch:
    """Looks every few seconds, and at once when told to."""

    def __init__(self, tls: ServerTls, look_seconds: float) -> None:
        self._tls = tls
        self._look_seconds = look_seconds
        self._wanted = asyncio.Event()

    def look_soon(self) -> None:
        """Look now; called for a reload."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._look_seconds):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await asyncio.to_thread(self._tls.refresh)
