"""Redis stops answering under a running daemon: both doors refuse within a second, and accept again by themselves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import BindTransceiver
from tests.integration.carrier_esme import TestEsme
from tests.integration.demo_process import DemoProcess

SILENT_SECONDS = 2.5


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoProcess]:
    with DemoProcess(tmp_path, "--workers=1") as running:
        yield running.wait_ready()


@contextmanager
def silent(pid: int) -> Iterator[None]:
    """A server that is there and answers nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def post(demo: DemoProcess, text: str) -> tuple[int, str, float]:
    """Send by HTTP: status, code of the problem, seconds."""
    began = time.monotonic()
    request = urllib.request.Request(
        demo.ready["http"]["url"] + "/v1/messages",
        data=json.dumps({"to": "+447700900123", "from": "ACME", "text": text}).encode(),
        headers={"X-Api-Key": demo.ready["http"]["api_key"], "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, "", time.monotonic() - began
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)["code"], time.monotonic() - began


async def bound(demo: DemoProcess) -> TestEsme:
    smpp = demo.ready["smpp"]
    system_id, password = smpp["system_id"].encode(), smpp["password"].encode()
    bind = BindTransceiver(system_id=system_id, password=password, interface_version=0x34)
    return await TestEsme().connect(smpp["port"], bind)


async def test_both_doors_refuse_within_a_second_and_accept_again_by_themselves(demo: DemoProcess) -> None:
    (valkey,) = demo.pids_of("valkey-server")
    esme = await bound(demo)

    async def submit() -> tuple[int, float]:
        began, known = time.monotonic(), len(esme.answers)
        esme.submit(("hello", "447700900123"))
        await esme.until(lambda: len(esme.answers) > known)
        return esme.answers[-1][1], time.monotonic() - began

    assert (await submit())[0] == CommandStatus.ESME_ROK
    with silent(valkey):
        ends = time.monotonic() + SILENT_SECONDS
        while time.monotonic() < ends:
            by_http = asyncio.create_task(asyncio.to_thread(post, demo, "meanwhile"))
            by_smpp, smpp_seconds = await submit()
            http_status, code, http_seconds = await by_http
            assert by_smpp == CommandStatus.ESME_RSYSERR
            assert (http_status, code) == (503, "storage_unavailable")
            assert max(smpp_seconds, http_seconds) < 1.0
    began = time.monotonic()
    while (await asyncio.to_thread(post, demo, "after"))[0] != 202:
        assert time.monotonic() - began < 2.0
    assert (await submit())[0] == CommandStatus.ESME_ROK
    esme.connection.close()
    await esme.until(lambda: esme.closed_reason)
