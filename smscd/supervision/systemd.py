"""What systemd wants to hear from a service of Type=notify: ready, stopping, reloading, and a sign of life."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send one state line ("READY=1", "WATCHDOG=1", "STOPPING=1"); False when nobody asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def watchdog_seconds() -> float | None:
    """How often to notify: half of what WatchdogSec allows. None when there is no watchdog for this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = os.environ.get("WATCHDOG_USEC")
    return int(limit) / 2_000_000 if limit and limit.isdigit() else None
