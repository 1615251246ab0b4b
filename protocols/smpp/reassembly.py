"""The octets of a TCP stream that are not parsed yet: each is copied a bounded number of times, however they come."""

from __future__ import annotations


class Reassembly:
    """Holds what a read left over. It never looks into it: the session says how many octets it needs to go on.

    Either whole PDUs that are left unread for now (_unread from _position on), or the start of one PDU (_rest).
    """

    __slots__ = ("_needed", "_position", "_rest", "_unread")

    def __init__(self) -> None:
        self._unread = b""
        self._position = 0
        self._rest = bytearray()
        self._needed = 0

    @property
    def is_ready(self) -> bool:
        """True when take(b"") would give something to parse."""
        return bool(self._unread) or 0 < len(self._rest) >= self._needed

    def take(self, data: bytes) -> tuple[bytes, int]:
        """What is there to parse now that `data` came, and from where: empty while that is less than needed."""
        if self._unread:
            unread, position = self._unread, self._position
            self._unread = b""
            if not self._rest and not data:
                return unread, position
            whole = unread[position:] + self._rest + data
            self._rest = bytearray()
            return whole, 0
        if not self._rest:
            return data, 0
        self._rest += data
        if len(self._rest) < self._needed:
            return b"", 0
        whole = bytes(self._rest)
        self._rest = bytearray()
        return whole, 0

    def keep_partial(self, buffer: bytes, position: int, needed: int) -> None:
        """Hold buffer[position:], the start of a PDU, until there are `needed` octets."""
        if position < len(buffer):
            self._rest += memoryview(buffer)[position:]
        self._needed = needed

    def keep_unread(self, buffer: bytes, position: int) -> None:
        """Hold buffer[position:] as it is, without a copy, until it is asked for."""
        if position < len(buffer):
            self._unread, self._position = buffer, position
        self._needed = 0

    def append(self, data: bytes) -> None:
        """Hold data behind what is there: the session does not parse at present."""
        self._rest += data
        self._needed = 0
