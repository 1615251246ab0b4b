"""The talk between the supervisor and a worker over a socket pair: configuration, readiness, samples, the end.

Frames are four bytes of length and msgpack. A worker ends when the pair is closed: it cannot outlive its supervisor.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, TypeAlias

import msgspec

from smscd.config import Config
from smscd.monitoring.metrics import Sample

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True, tag="configure"):
    """All that a worker is told. config has the URLs and ports that were found, no longer those that were asked for.

    instance: the installation's name in leases; an owner is "<instance>/<index>". supervisor_pid: who must be alive.
    installation_id: the id in PostgreSQL's `installation`. generation: rises with each restart of this index.
    clock_offset_ms: Redis TIME less this machine's monotonic clock when the supervisor started: the time of all its
    workers, whenever they start.
    """

    config: Config
    instance: str
    installation_id: str
    index: int
    workers: int
    generation: int
    supervisor_pid: int
    version: str
    is_console: bool = False
    clock_offset_ms: int | None = None

    @property
    def owner(self) -> str:
        """This worker's name in leases."""
        return f"{self.instance}/{self.index}"


class SamplesWanted(msgspec.Struct, frozen=True, tag="samples_wanted"):
    """The supervisor asks for the metrics. number: comes back with the answer."""

    number: int


class DrainWanted(msgspec.Struct, frozen=True, tag="drain"):
    """The supervisor asks the worker to finish what is under way and end."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker serves."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The worker cannot work; text says why, for an operator."""

    text: str


class Samples(msgspec.Struct, frozen=True, tag="samples"):
    """The worker's metrics."""

    number: int
    samples: list[Sample]


Message: TypeAlias = WorkerConfig | SamplesWanted | DrainWanted | Ready | Failed | Samples
_decoder = msgspec.msgpack.Decoder(Message)
_encode = msgspec.msgpack.Encoder().encode


class ControlClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Take over one end of a socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> None:
        """Queue a message; nothing happens when the other side is gone (receive() tells)."""
        if not self._writer.is_closing():
            data = _encode(message)
            self._writer.write(len(data).to_bytes(4, "big") + data)

    async def receive(self) -> Message:
        """The next message. Raises ControlClosed."""
        try:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            if length > FRAME_BYTES_MAX:
                raise ControlClosed(f"a frame of {length} bytes")
            message: Message = _decoder.decode(await self._reader.readexactly(length))
            return message
        except (asyncio.IncompleteReadError, OSError, msgspec.MsgspecError) as error:
            raise ControlClosed(str(error)) from error

    async def close(self) -> None:
        """Send what is queued and close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass  # the other side was gone first
