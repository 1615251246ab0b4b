"""Outbind of one upstream, as long as it is ours: listen for it, check who it is, make the connection one more bind.

Only the owner of an upstream listens, on the upstream's own port, so that a call reaches the process that has the
pool; with one port for all, the kernel would hand it to any worker.
"""

from __future__ import annotations

import hmac
from typing import Final

import structlog

from protocols.smpp.pdu import Outbind
from smscd.core.directory import Upstream
from smscd.egress.binds.links import session_config
from smscd.egress.binds.pool import UpstreamPool
from smscd.egress.wake import Wake
from smscd.transport.outbinds import Caller, OutbindLimits, OutbindListener

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
            listener = OutbindListener(profile.id, config, self._limits, self._called)
            try:
                await listener.start(profile.outbind_port)
            except OSError as error:
                # Another upstream has the port, or the owner before has not let go of it yet.
                _log.warning("outbind.not_listening", upstream=profile.id, error=str(error))
                await self._wake.wait(AGAIN_SECONDS)
                continue
            self.listener = listener
            _log.info("outbind.listening", upstream=profile.id, port=listener.port)
            try:
                while expects_outbind(self._pool.profile) and _place(self._pool.profile) == _place(profile):
                    await self._wake.wait(LOOK_SECONDS)
                    self._wake.clear()
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


def _place(profile: Upstream) -> tuple[object, ...]:
    return profile.outbind_port, session_config(profile)
