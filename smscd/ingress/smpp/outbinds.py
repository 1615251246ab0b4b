"""Asks ESMEs to bind, with outbind, when something waits for them and none of their receivers is bound.

One process of the installation does it, whichever holds the role; the ESME binds on the connection that it was called
on, and is a session of that process like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from smscd.core.directory import Account
from smscd.core.directory_index import DirectoryIndex
from smscd.core.outbinds import OutbindSchedule
from smscd.ingress.smpp.server import SmppServer
from smscd.transport.tls import ClientTls, ServerFiles
from storage.redis.errors import StorageUnavailable

LOOK_SECONDS: Final = 2.0
CALLS_MAX: Final = 50

_log = structlog.get_logger(__name__)


class Outbinds:
    """waiting(accounts): which of them have callbacks waiting and no receiver in any process. server: who calls.

    certificate: what we show an ESME that is called with TLS and asks for it; None: nothing.
    """

    def __init__(
        self,
        *,
        server: SmppServer,
        directory: Callable[[], DirectoryIndex],
        waiting: Callable[[Collection[str]], Awaitable[set[str]]],
        clock: Callable[[], float],
        chance: Callable[[], float],
        look_seconds: float = LOOK_SECONDS,
        certificate: ServerFiles | None = None,
    ) -> None:
        self._server = server
        self._directory = directory
        self._waiting = waiting
        self._clock = clock
        self._chance = chance
        self._look_seconds = look_seconds
        self._certificate = certificate
        self._schedule = OutbindSchedule()
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look, and call, until cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(self._look_seconds)
        finally:
            for call in self._calls:
                call.cancel()

    async def look(self) -> None:
        """Begin to call who is due."""
        accounts = {account.id: account for account in self._directory().snapshot.accounts if is_callable(account)}
        if not accounts or len(self._calls) >= CALLS_MAX:
            return
        try:
            waiting = await self._waiting(accounts)
        except StorageUnavailable:
            return
        limit = CALLS_MAX - len(self._calls)
        for name in self._schedule.due(waiting, self._clock(), self._chance(), limit):
            call = asyncio.create_task(self._call(accounts[name]), name=f"outbind {name}")
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, account: Account) -> None:
        figures = self._server.figures
        try:
            await self._server.call(
                account.outbind_host,
                account.outbind_port,
                account.outbind_system_id.encode(),
                account.outbind_password.encode(),
                self._tls_of(account),
            )
        except OSError as error:
            figures.outbinds["failed"] += 1
            _log.info("outbind.failed", account=account.id, error=str(error))
            return
        figures.outbinds["sent"] += 1
        _log.info("outbind.sent", account=account.id)

    def _tls_of(self, account: Account) -> ClientTls | None:
        if not account.outbind_uses_tls:
            return None
        shown = self._certificate
        return ClientTls(
            ca_file=account.outbind_tls_ca_file,
            certificate_file=str(shown.certificate) if shown is not None else "",
            key_file=str(shown.key) if shown is not None else "",
        )


def is_callable(account: Account) -> bool:
    """True when the account says where its ESME is to be called."""
    return bool(account.outbind_host and account.outbind_port and not account.is_suspended)
