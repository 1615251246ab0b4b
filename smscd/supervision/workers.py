"""The worker processes: started, asked for their metrics, restarted when they die or hang, drained and ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from smscd.monitoring.metrics import BY_NAME, Kind, Sample, merge
from smscd.supervision.control import (
    Channel,
    ControlClosed,
    DrainWanted,
    Failed,
    Message,
    Ready,
    Samples,
    SamplesWanted,
    WorkerConfig,
)
from storage.embedded.process import end as end_process
from storage.embedded.process import wait_exit

START_SECONDS_MAX = 60.0
POLL_SECONDS = 5.0
ANSWER_SECONDS = 1.0
HUNG_SECONDS = 30.0
STABLE_SECONDS = 10.0
RESTART_DELAYS_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
_log = structlog.get_logger(__name__)


class WorkerFailed(Exception):
    """A worker cannot work; the text says why and what to do."""


class Worker:
    """One process of one index; it is replaced, not reused, after its end."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.process = process
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.samples: list[Sample] = []
        self._channel = channel
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._answered_at = asyncio.get_running_loop().time()
        self.conversation = asyncio.create_task(self._listen())

    @classmethod
    async def spawn(cls, lock_fd: int) -> Worker:
        """Start a process; it imports everything while it waits for its configuration."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = _start_process(theirs.fileno(), lock_fd)
        return cls(process, await Channel.over(ours))

    def configure(self, configuration: WorkerConfig) -> None:
        """Have it begin."""
        self._channel.send(configuration)

    @property
    def is_hung(self) -> bool:
        """True when it has not answered for long."""
        return asyncio.get_running_loop().time() - self._answered_at > HUNG_SECONDS

    @property
    def failure(self) -> str | None:
        """What it said when it could not work."""
        if not self.ready.done() or self.ready.cancelled() or (error := self.ready.exception()) is None:
            return None
        return str(error)

    async def refresh_samples(self) -> None:
        """Ask for the metrics; those of before stay when there is no answer within a second."""
        self._asked += 1
        answered = self._waiting[self._asked] = asyncio.get_running_loop().create_future()
        self._channel.send(SamplesWanted(self._asked))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await answered
        except TimeoutError:
            pass
        finally:
            self._waiting.pop(self._asked, None)

    async def _listen(self) -> None:
        while True:
            try:
                self._hear(await self._channel.receive())
            except ControlClosed:
                break
        if not self.ready.done():
            self.ready.set_exception(WorkerFailed("A worker ended while it was starting; its log says why."))
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_result(None)

    def _hear(self, message: Message) -> None:
        self._answered_at = asyncio.get_running_loop().time()
        if isinstance(message, Ready) and not self.ready.done():
            self.ready.set_result(None)
        elif isinstance(message, Failed) and not self.ready.done():
            self.ready.set_exception(WorkerFailed(message.text))
        elif isinstance(message, Samples):
            self.samples = message.samples
            answered = self._waiting.get(message.number)
            if answered is not None and not answered.done():
                answered.set_result(None)

    def ask_to_drain(self) -> None:
        """Ask it to finish what is under way and end."""
        self._channel.send(DrainWanted())

    async def end(self, seconds: float) -> None:
        """Wait for its end, at most `seconds`, then kill it; and close the conversation."""
        if not await wait_exit(self.process, seconds):
            _log.warning("worker.killed", pid=self.process.pid)
            await end_process(self.process, [(signal.SIGKILL, 5.0)])
        self.conversation.cancel()
        await asyncio.gather(self.conversation, return_exceptions=True)
        await self._channel.close()
        if self.ready.done() and not self.ready.cancelled():
            self.ready.exception()


def _start_process(control_fd: int, lock_fd: int) -> subprocess.Popen[bytes]:
    """A process of this very code, in a session of its own: the terminal's Ctrl-C is the supervisor's business."""
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-m", "smscd.worker", str(control_fd)],
        stdin=subprocess.DEVNULL,
        pass_fds=(control_fd, lock_fd),
        env=environment,
        start_new_session=True,
    )


class WorkerPool:
    """All workers of an instance: spawn() early, start() when there is something to tell them, watch(), drain()."""

    def __init__(self, count: int, lock_fd: int, *, on_restart: Callable[[], None] = lambda: None) -> None:
        self._count = count
        self._lock_fd = lock_fd
        self._on_restart = on_restart
        self._template: WorkerConfig | None = None
        self._workers: dict[int, Worker] = {}
        self._generations: dict[int, int] = {}
        self._retired: list[Sample] = []
        self._is_ending = False

    @property
    def alive(self) -> int:
        """How many processes run."""
        return sum(worker.process.poll() is None for worker in self._workers.values())

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [worker.process.pid for worker in self._workers.values() if worker.process.poll() is None]

    async def spawn(self) -> None:
        """Start the processes, which costs most of a second each, while the storage is still being prepared."""
        for index in range(self._count):
            self._workers[index] = await Worker.spawn(self._lock_fd)

    async def start(self, template: WorkerConfig) -> None:
        """Configure all; returns when all serve. template: index and generation are filled in. Raises WorkerFailed."""
        self._template = template
        for index, worker in self._workers.items():
            self._configure(index, worker, template)
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await asyncio.gather(*(worker.ready for worker in self._workers.values()))
        except TimeoutError:
            raise WorkerFailed(f"The workers did not start within {START_SECONDS_MAX:.0f} s.") from None

    async def watch(self) -> None:
        """Until cancelled: replace workers that end or hang, and keep their metrics fresh."""
        tasks = [asyncio.create_task(self._keep(index)) for index in self._workers]
        tasks.append(asyncio.create_task(self._poll()))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def samples(self) -> list[list[Sample]]:
        """The metrics of all workers, and what ended workers had counted (so that no counter ever falls)."""
        await asyncio.gather(*(worker.refresh_samples() for worker in self._workers.values()))
        return [self._retired, *(worker.samples for worker in self._workers.values())]

    async def drain(self, seconds: float) -> None:
        """Have all finish what is under way; kill those that have not within `seconds`."""
        self._is_ending = True
        for worker in self._workers.values():
            worker.ask_to_drain()
        await asyncio.gather(*(worker.end(seconds) for worker in self._workers.values()))

    def kill(self) -> None:
        """End all at once; drain() still cleans up after them."""
        self._is_ending = True
        for worker in self._workers.values():
            if worker.process.poll() is None:
                worker.process.kill()

    def _configure(self, index: int, worker: Worker, template: WorkerConfig) -> None:
        generation = self._generations[index] = self._generations.get(index, -1) + 1
        worker.configure(msgspec.structs.replace(template, index=index, generation=generation))

    async def _keep(self, index: int) -> None:
        """Replace one index's process whenever it ends: at once first, then with growing pauses."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            worker, began = self._workers[index], loop.time()
            await asyncio.wait([worker.conversation])
            await wait_exit(worker.process, 1.0)
            if self._is_ending:
                return
            why = worker.failure
            _log.error("worker.died", index=index, pid=worker.process.pid, status=worker.process.returncode, error=why)
            await worker.end(0.0)
            self._retire(worker)
            failures = 0 if loop.time() - began > STABLE_SECONDS else failures + 1
            await asyncio.sleep(RESTART_DELAYS_SECONDS[min(failures, len(RESTART_DELAYS_SECONDS) - 1)])
            self._on_restart()
            worker = self._workers[index] = await Worker.spawn(self._lock_fd)
            assert self._template is not None  # watch() comes after start()
            self._configure(index, worker, self._template)

    async def _poll(self) -> None:
        """Keep the samples fresh, for the day a worker dies, and kill one that does not answer any more."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.samples()
            for index, worker in self._workers.items():
                if worker.is_hung and worker.process.poll() is None:
                    _log.error("worker.hung", index=index, pid=worker.process.pid)
                    worker.process.kill()

    def _retire(self, worker: Worker) -> None:
        """Add an ended worker's counters to those of its predecessors; its gauges are nobody's any more."""
        lasting = [
            sample
            for sample in worker.samples
            if sample.name in BY_NAME and BY_NAME[sample.name].kind in (Kind.COUNTER, Kind.HISTOGRAM)
        ]
        merged = merge([self._retired, lasting])
        self._retired = [sample for by_labels in merged.values() for sample in by_labels.values()]
