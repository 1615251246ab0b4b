"""SMPP software that this project did not write, as ESMEs: each a process of its own, unpatched, over TCP.

A peer reads a plan from standard input, prints `bound` once it is, and at the end what it saw, as JSON:

    plan    {"host", "port", "system_id", "password", "messages": [{"from", "to", "text"}],
             "receipts": how many to wait for, "inbound": how many MOs to wait for, "seconds": the deadline}
    result  {"answers": [{"text", "command_status", "message_id"}], "receipts": [{"id", "stat"}], "inbound": [text]}
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pytest

HERE = Path(__file__).parent
NODE_SMPP = HERE / "node" / "node_modules" / "smpp"
SECONDS = 20.0


class Answer(TypedDict):
    """One submit_sm_resp."""

    text: str
    command_status: int
    message_id: str


class SeenReceipt(TypedDict):
    """One receipt."""

    id: str
    stat: str


class Result(TypedDict):
    """What a peer saw."""

    answers: list[Answer]
    receipts: list[SeenReceipt]
    inbound: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One implementation. bring: the command that installs it where it is missing."""

    name: str
    command: Sequence[str]
    is_there: Callable[[], bool]
    bring: str


def has_node() -> bool:
    return shutil.which("node") is not None and NODE_SMPP.is_dir()


def has_net_smpp() -> bool:
    command = ["perl", "-MNet::SMPP", "-e1"]
    return shutil.which("perl") is not None and subprocess.run(command, capture_output=True).returncode == 0


NODE_BRING = "apt-get install nodejs npm && npm ci --prefix tests/interop/node"

ESMES = (
    Peer(
        name="smpplib",
        command=(sys.executable, "-W", "error", str(HERE / "peers" / "smpplib_esme.py")),
        is_there=lambda: importlib.util.find_spec("smpplib") is not None,
        bring="pip install smpplib",
    ),
    Peer(
        name="aiosmpplib",
        command=(sys.executable, "-W", "error", str(HERE / "peers" / "aiosmpplib_esme.py")),
        is_there=lambda: importlib.util.find_spec("aiosmpplib") is not None,
        bring="pip install aiosmpplib",
    ),
    Peer(
        name="smpp34",
        command=(sys.executable, "-W", "error", str(HERE / "peers" / "smpp34_esme.py")),
        is_there=lambda: importlib.util.find_spec("smpp34") is not None,
        bring="pip install smpp34",
    ),
    Peer(name="node-smpp", command=("node", str(HERE / "node" / "esme.js")), is_there=has_node, bring=NODE_BRING),
    Peer(
        name="net-smpp",
        command=("perl", str(HERE / "peers" / "net_smpp_esme.pl")),
        is_there=has_net_smpp,
        bring="apt-get install libnet-smpp-perl",
    ),
)


def esme_parameters() -> list[object]:
    """The peers as parameters of a test; one that is missing is skipped by name, with the command that brings it."""
    return [
        pytest.param(
            peer,
            id=peer.name,
            marks=() if peer.is_there() else pytest.mark.skip(reason=f"{peer.name} is missing: {peer.bring}"),
        )
        for peer in ESMES
    ]


def run_esme(
    peer: Peer,
    target: tuple[str, int, str, str],
    messages: Sequence[tuple[str, str]],
    *,
    receipts: int,
    inbound: int = 0,
    on_bound: Callable[[], object] | None = None,
) -> Result:
    """Run a peer to its end.

    target: host, port, system_id, password. messages: (destination, text) each. on_bound: called once it is bound.
    """
    host, port, system_id, password = target
    plan = {
        "host": host,
        "port": port,
        "system_id": system_id,
        "password": password,
        "messages": [{"from": "INTEROP", "to": to, "text": text} for to, text in messages],
        "receipts": receipts,
        "inbound": inbound,
        "seconds": SECONDS,
    }
    process = subprocess.Popen(
        peer.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE
    )
    with process:
        assert process.stdin and process.stdout and process.stderr
        try:
            process.stdin.write(json.dumps(plan))
            process.stdin.close()
            bound = process.stdout.readline()
            assert bound == "bound\n", process.stderr.read()
            if on_bound:
                on_bound()
            output = process.stdout.read()
            errors = process.stderr.read()
            code = process.wait(SECONDS)
            assert code == 0, f"it ended with {code}: {errors}"
        finally:
            process.kill()
    result: Result = json.loads(output)
    return result
