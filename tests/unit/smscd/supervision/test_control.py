"""The talk between supervisor and worker."""

from __future__ import annotations

import socket

import pytest

from smscd.config import Config
from smscd.monitoring.metrics import Sample
from smscd.supervision.control import (
    Channel,
    ControlClosed,
    Failed,
    Message,
    Ready,
    Samples,
    SamplesWanted,
    WorkerConfig,
)

CONFIGURATION = WorkerConfig(
    config=Config(),
    instance="abc",
    installation_id="1",
    index=3,
    workers=4,
    generation=0,
    supervisor_pid=1,
    version="1",
)
MESSAGES: list[Message] = [
    CONFIGURATION,
    Ready(),
    Failed("why"),
    SamplesWanted(7),
    Samples(7, [Sample("smscd_admission_seconds", (), 0.5, (0.1, 1.0), [1, 2, 3])]),
]


async def pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return await Channel.over(one), await Channel.over(other)


async def test_every_message_arrives_as_it_was_sent() -> None:
    one, other = await pair()
    for message in MESSAGES:
        one.send(message)
    assert [await other.receive() for _ in MESSAGES] == MESSAGES
    await one.close()
    await other.close()


async def test_the_end_of_one_side_is_noticed_by_the_other() -> None:
    one, other = await pair()
    await one.close()
    with pytest.raises(ControlClosed):
        await other.receive()
    other.send(Ready())
    await other.close()
    other.send(Ready())


async def test_what_is_no_message_ends_the_talk() -> None:
    raw, end = socket.socketpair()
    channel = await Channel.over(end)
    raw.sendall(b"\x00\x00\x00\x01\xff")
    with pytest.raises(ControlClosed):
        await channel.receive()
    raw.sendall(b"\xff\xff\xff\xff")
    with pytest.raises(ControlClosed, match="4294967295 bytes"):
        await channel.receive()
    await channel.close()
    raw.close()


def test_a_worker_has_the_same_name_after_each_restart() -> None:
    assert CONFIGURATION.owner == "abc/3"
