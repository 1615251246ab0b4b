"""SMPP software that this project did not write, as SMSCs that the daemon binds to.

A peer prints {"port"} once it listens, then {"submit": {"to", "from", "text", "id"}} for each message that it took and
{"acked", "command_status"} for each deliver_sm that was answered. It ends when its standard input does.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.embedded.process import free_port
from tests.interop.esme_peers import HERE, NODE_BRING, Peer, has_node
from tools.children import wait_until

SECONDS = 20.0

SMSCS = (
    Peer(name="node-smpp", command=("node", str(HERE / "node" / "smsc.js")), is_there=has_node, bring=NODE_BRING),
    Peer(
        name="smpp34",
        command=(sys.executable, str(HERE / "peers" / "smpp34_smsc.py")),
        is_there=lambda: importlib.util.find_spec("smpp34") is not None,
        bring="pip install smpp34",
    ),
)


def smsc_parameters() -> list[object]:
    """The peers as parameters of a test; one that is missing is skipped by name, with the command that brings it."""
    return [
        pytest.param(
            peer,
            id=peer.name,
            marks=() if peer.is_there() else pytest.mark.skip(reason=f"{peer.name} is missing: {peer.bring}"),
        )
        for peer in SMSCS
    ]


class RunningSmsc:
    """One peer that runs; what it prints is gathered in `submits` and `acknowledged`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.port = 0
        self.submits: list[dict[str, str]] = []
        self.acknowledged: list[dict[str, Any]] = []
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            if "port" in said:
                self.port = said["port"]
            elif "submit" in said:
                self.submits.append(said["submit"])
            else:
                self.acknowledged.append(said)

    def send_mo(self, source: str, to: str, text: str) -> None:
        """Ask for an MO on every bound session (node-smpp only)."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"from": source, "to": to, "text": text}) + "\n")
        self._process.stdin.flush()

    def join(self) -> None:
        """Wait until everything that it printed is read."""
        self._reader.join(SECONDS)


@contextmanager
def running_smsc(peer: Peer, log: Path) -> Iterator[RunningSmsc]:
    """Run a peer for the time of a test."""
    with log.open("ab") as errors:
        command = [*peer.command, *([str(free_port())] if peer.name == "smpp34" else [])]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=HERE
        )
    with process:
        smsc = RunningSmsc(process)
        try:
            wait_until(lambda: smsc.port or process.poll() is not None, SECONDS, f"{peer.name} listens")
            assert smsc.port, log.read_text()
            yield smsc
        finally:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
            smsc.join()
