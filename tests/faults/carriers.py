"""Simulated carriers that misbehave, all in one thread beside the rig, each with a record of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from protocols.smpp.limits import SessionConfig
from smscd.transport.connection import Callbacks
from smscd.transport.listener import Listener, listen
from tools.carrier.options import CarrierOptions
from tools.carrier.smsc import Carrier
from tools.record import RecordWriter

WINDOW_SIZE = 10_000
HEALTHY = CarrierOptions(latency_seconds=0.02)


class TroubledCarriers:
    """One healthy carrier for each name, until misbehave().

    options: how each of them behaves then; None: nothing listens on its port. ports, records: by name.
    """

    def __init__(self, directory: Path, options: Mapping[str, CarrierOptions | None]) -> None:
        self.records = {name: directory / f"{name}.record" for name in options}
        self.ports: dict[str, int] = {}
        self._options = options
        self._carriers: dict[str, Carrier] = {}
        self._listeners: dict[str, Listener] = {}
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()

    def misbehave(self) -> None:
        """Each in its way, from now on."""
        asyncio.run_coroutine_threadsafe(self._misbehave(), self._loop).result(10)

    def heal(self) -> None:
        """Every carrier starts anew, and is well from now on."""
        asyncio.run_coroutine_threadsafe(self._heal(), self._loop).result(10)

    async def _misbehave(self) -> None:
        for name, options in self._options.items():
            if options is None:
                self._listeners[name].stop_accepting()
                self._carriers[name].go_away(True)
            else:
                self._carriers[name].behave(options)

    async def _heal(self) -> None:
        for name, carrier in self._carriers.items():
            carrier.behave(HEALTHY)
            carrier.go_away(True)
            carrier.go_away(False)
            if self._options[name] is None:
                await self._listen(name)

    async def _listen(self, name: str) -> None:
        carrier = self._carriers[name]
        callbacks = Callbacks(carrier.on_open, carrier.on_events, carrier.on_closed)
        config = SessionConfig(window_size=WINDOW_SIZE)
        self._listeners[name] = await listen("127.0.0.1", self.ports.get(name, 0), config=config, callbacks=callbacks)
        self.ports[name] = self._listeners[name].port

    async def _serve(self, started: Callable[[], None]) -> None:
        for name, record in self.records.items():
            self._carriers[name] = Carrier(HEALTHY, self._loop, RecordWriter(record))
            await self._listen(name)
        started()
        await self._stopping.wait()
        for listener in self._listeners.values():
            listener.stop_accepting()
        for name, carrier in self._carriers.items():
            await carrier.close(1.0)
            self._listeners[name].abort_all()

    def _run(self, started: Callable[[], None]) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(started))
        self._loop.close()

    @contextmanager
    def running(self) -> Iterator[TroubledCarriers]:
        """From their start to their end."""
        started = threading.Event()
        thread = threading.Thread(target=self._run, args=(started.set,), name="carriers")
        thread.start()
        try:
            assert started.wait(10)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join(10)
