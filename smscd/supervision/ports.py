"""The ports of listeners that several processes share: checked to be free, and held until the workers listen."""

from __future__ import annotations

import socket
from collections.abc import Callable

import msgspec

from smscd.config import Config


class PortTaken(Exception):
    """Another program listens there; the text says what to do."""


class HeldPort:
    """A port that is ours. The socket is bound with SO_REUSEPORT and does not listen, so it takes no connections."""

    def __init__(self, host: str, port: int, option: str) -> None:
        """option: what to tell an operator to change. Raises PortTaken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            # Without SO_REUSEPORT first: with it, the kernel would let a second instance of this user share the port.
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
            self._held = socket.socket(family)
            self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._held.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"Cannot listen on {host}:{port} ({error.strerror}). Stop the program that uses it, or choose another "
                f"port with {option} (0 picks a free one)."
            ) from error
        self.port: int = self._held.getsockname()[1]

    def close(self) -> None:
        """Let go."""
        self._held.close()


def hold_dropin_ports(config: Config, keep: Callable[[HeldPort], object]) -> Config:
    """Hold the ports of other gateways' doors, as far as these are opened: the configuration with what was found.

    keep: what has to let go of each at the end. Raises PortTaken.
    """
    for name in ("kannel", "jasmin"):
        listener = getattr(config, name)
        if listener.host:
            held = HeldPort(listener.host, listener.port, f"[{name}] port")
            keep(held)
            config = msgspec.structs.replace(config, **{name: msgspec.structs.replace(listener, port=held.port)})
    return config
