"""Outbind of one upstream, as long as it is ours: listen for it, check who it is, make the connection one more bind.

Only the owner of an upstream listens, on the upstream's own port, so that a call reaches the process that has the
pool; with one port for all, the kernel would hand it to any worker.
"""

from __future__ import annotations

import asyncio
import hmac
from pathlib import Path
from typing import Final

import structlog

from protocols.smpp.pdu import Outbind
from smscd.core.upstream import Upstream
from smscd.egress.binds.pool import UpstreamPool
from smscd.egress.binds.terms import session_config
from smscd.egress.wake import Wake
from smscd.transport.outbinds import Caller, OutbindLimits, OutbindListener
from smscd.transport.tls import ServerFiles, ServerTls

AGAIN_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class OutbindDoor:
    """The door of one upstream. pool: what a caller is added to; its profile says where and who."""

    def __init__(self, pool: UpstreamPool, limits: OutbindLimits, wake: Wake) -> None:
        self.listener: OutbindListener | None = None
        self._pool = pool
        self._limits = limits
        self._wake = wake

    def changed(self) -> None:
        """The profile is another."""
        self._wake.set()

    async def run(self) -> None:
        """Keep the door as the profile wants it, until cancelled."""
        while True:
            self._wake.clear()
            profile = self._pool.profile
            if not expects_outbind(profile):
                await self._wake.wait(LOOK_SECONDS)
                continue
            config = session_config(profile)
            try:
                tls = await asyncio.to_thread(_tls_of, profile)
                listener = OutbindListener(profile.id, config, self._limits, self._called, tls)
                await listener.start(profile.outbind_port)
            except OSError as error:
                # Another upstream has the port, the owner before has not let go of it yet, or a file cannot be used.
                _log.warning("outbind.not_listening", upstream=profile.id, error=str(error))
                await self._wake.wait(AGAIN_SECONDS)
                continue
            self.listener = listener
            _log.info("outbind.listening", upstream=profile.id, port=listener.port)
            try:
                while expects_outbind(self._pool.profile) and _place(self._pool.profile) == _place(profile):
                    await self._wake.wait(LOOK_SECONDS)
                    self._wake.clear()
                    if tls is not None:
                        await asyncio.to_thread(tls.refresh)
            finally:
                self.listener = None
                listener.stop()

    def _called(self, caller: Caller, pdu: Outbind) -> None:
        profile = self._pool.profile
        if not is_expected(profile, pdu):
            caller.refuse("wrong_credentials")
        elif not self._pool.adopt(caller.take_over):
            caller.refuse("not_wanted")


def expects_outbind(profile: Upstream) -> bool:
    """True when the profile lets its SMSC call. Without credentials to check it does not."""
    return bool(profile.is_enabled and profile.outbind_port and profile.outbind_system_id and profile.outbind_password)


def is_expected(profile: Upstream, pdu: Outbind) -> bool:
    """True when the outbind says what the profile has; takes as long for a wrong system_id as for a wrong password."""
    is_known = hmac.compare_digest(pdu.system_id, profile.outbind_system_id.encode())
    is_right = hmac.compare_digest(pdu.password, profile.outbind_password.encode())
    return is_known and is_right


def _tls_of(profile: Upstream) -> ServerTls | None:
    """What a call has to begin with. Reads files: not for the event loop. Raises OSError, ssl.SSLError included."""
    if not profile.uses_tls:
        return None
    if not profile.tls_certificate_file:
        raise FileNotFoundError("to be called with TLS, the upstream needs a tls_certificate_file of ours to show")
    files = ServerFiles(
        certificate=Path(profile.tls_certificate_file),
        key=Path(profile.tls_key_file or profile.tls_certificate_file),
        client_ca=Path(profile.tls_ca_file) if profile.tls_ca_file and profile.tls_is_verified else None,
    )
    return ServerTls(files)


def _place(profile: Upstream) -> tuple[object, ...]:
    """What a listener has to be made anew for."""
    tls = (profile.tls_certificate_file, profile.tls_key_file, profile.tls_ca_file, profile.tls_is_verified)
    return profile.outbind_port, session_config(profile), profile.uses_tls and tls
