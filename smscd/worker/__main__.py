"""A worker process: python -m smscd.worker FD, where FD is its end of the control pair. All roles run in it.

It ends with its supervisor (PR_SET_PDEATHSIG, and the closed pair), ignores the terminal's Ctrl-C, which is the
supervisor's business, and drains when it is asked to or gets SIGTERM.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import socket
import sys
import time

import structlog
import uvloop

from smscd.daemon import StartRefused, compose
from smscd.monitoring.metrics import Metrics
from smscd.roles.services import drain_all, start_all, stop_all
from smscd.supervision.control import (
    Channel,
    ControlClosed,
    DrainWanted,
    Failed,
    Ready,
    Samples,
    SamplesWanted,
    WorkerConfig,
)
from smscd.telemetry import configure_logs

PR_SET_PDEATHSIG = 1
LAG_EVERY_SECONDS = 0.1
GC_THRESHOLDS = (50_000, 20, 20)
_log = structlog.get_logger(__name__)


async def main(end: socket.socket) -> int:
    """Work until drained; the exit status."""
    channel = await Channel.over(end)
    configuration = await channel.receive()
    if not isinstance(configuration, WorkerConfig):
        return 2
    if os.getppid() != configuration.supervisor_pid:
        return 2
    log = configuration.config.log
    log_format = "console" if configuration.is_console and log.format == "auto" else log.format
    configure_logs(log.level, log_format, worker=configuration.index)
    drain = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, drain.set)
    metrics = Metrics()
    services = compose(configuration, metrics, drain.set)
    try:
        await start_all(services)
    except StartRefused as error:
        channel.send(Failed(str(error)))
        await channel.close()
        return 1
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    channel.send(Ready())
    _log.info("worker.started", pid=os.getpid(), generation=configuration.generation)
    background = [
        asyncio.create_task(_converse(channel, metrics, drain)),
        asyncio.create_task(_measure_lag(metrics)),
    ]
    await drain.wait()
    is_whole = await drain_all(services, configuration.config.drain_seconds * 0.9)
    await stop_all(services)
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    await channel.close()
    _log.info("worker.stopped", drained=is_whole)
    return 0


async def _converse(channel: Channel, metrics: Metrics, drain: asyncio.Event) -> None:
    """Answer the supervisor until it is gone, which ends this process at once: another one may start."""
    while True:
        try:
            message = await channel.receive()
        except ControlClosed:
            os._exit(3)
        if isinstance(message, SamplesWanted):
            channel.send(Samples(message.number, metrics.snapshot()))
        elif isinstance(message, DrainWanted):
            drain.set()


async def _measure_lag(metrics: Metrics) -> None:
    """How late timers run in this loop: the first sign of a hot path that takes too long at a time."""
    lag = metrics.histogram("smscd_loop_lag_seconds")
    while True:
        due = time.monotonic() + LAG_EVERY_SECONDS
        await asyncio.sleep(LAG_EVERY_SECONDS)
        lag.observe(max(0.0, time.monotonic() - due))


def run(arguments: list[str]) -> int:
    """The process's entry point."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=int(arguments[0]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main(end))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
