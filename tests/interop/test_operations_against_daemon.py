"""node's smpp asks, cancels, replaces and sends in every form while the carrier is away; then it comes back."""

import json
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from protocols.smpp.constants import CommandStatus, MessageState
from smscd.supervision.seed import PRICE_MICROS
from tests.interop.esme_peers import HERE, NODE_BRING, has_node
from tools.children import BenchChild, CarrierChild, DemoChild, ending
from tools.record import read_record

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not has_node(), reason=f"node-smpp is missing: {NODE_BRING}"),
]

QUEUED_BEFORE = 1_500
SOURCE = {"source_addr_ton": 5, "source_addr": "ACME"}


def to(number: str) -> dict[str, object]:
    return {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": number}


def submit(number: str, text: str) -> dict[str, object]:
    fields = {**SOURCE, **to(number), "short_message": text, "registered_delivery": 1}
    return {"command": "submit_sm", "fields": fields}


def about(command: str, step: int, **fields: object) -> dict[str, object]:
    return {"command": command, "fields": {"message_id": {"id_of": step}, **SOURCE, **fields}}


STEPS = [
    submit("447700900101", "cancelled"),
    submit("447700900102", "original"),
    about("query_sm", 0),
    about("cancel_sm", 0),
    about("query_sm", 0),
    about("cancel_sm", 0),
    about("replace_sm", 1, short_message="replaced", registered_delivery=1),
    about("query_sm", 1, source_addr="OTHER"),
    {
        "command": "submit_multi",
        "fields": {
            **SOURCE,
            "dest_address": [to("447700900104"), to("abc"), to("447700900105")],
            "short_message": "several",
            "registered_delivery": 1,
        },
    },
    {
        "command": "data_sm",
        "fields": {**SOURCE, **to("447700900106"), "message_payload": "data", "registered_delivery": 1},
    },
    submit("447700900107", "pending"),
    {"command": "cancel_sm", "fields": {"message_id": "", **SOURCE, **to("447700900107")}},
    {"command": "broadcast_sm", "fields": {**SOURCE}},
    about("query_sm", 9),
]


def balance_micros(demo: DemoChild) -> int:
    url = f"{demo.ready.http.url}/v1/balance"
    request = urllib.request.Request(url, headers={"X-Api-Key": demo.ready.http.api_key})
    with urllib.request.urlopen(request, timeout=5) as response:
        whole, _, part = json.load(response)["balance"]["amount"].partition(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0"))


@pytest.mark.parametrize("queued", [0, QUEUED_BEFORE], ids=["read by the owner", "deep in the queue"])
def test_every_operation_does_what_it_says(tmp_path: Path, queued: int) -> None:
    tmp_path.chmod(0o755)
    carrier = CarrierChild(tmp_path)
    carrier.start()
    demo = DemoChild(tmp_path, "--upstream", carrier.upstream_url)
    carrier.stop()
    with ending(carrier, demo):
        demo.start()
        if queued:
            ahead = BenchChild(tmp_path, "ahead", "http", f"--ready-file={demo.ready_file}", f"--count={queued}")
            ahead.start()
            assert ahead.report(60)["accepted"] == queued
        before = balance_micros(demo)
        smpp = demo.ready.smpp
        plan = {"host": smpp.host, "port": smpp.port, "system_id": smpp.system_id, "password": smpp.password}
        process = subprocess.Popen(
            ("node", str(HERE / "node" / "operations.js")),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE,
        )  # fmt: skip
        with process:
            assert process.stdin and process.stdout and process.stderr
            try:
                process.stdin.write(json.dumps({**plan, "steps": STEPS, "receipts": 6, "seconds": 40}))
                process.stdin.close()
                line = process.stdout.readline()
                assert line, process.stderr.read()
                answers = json.loads(line)["answers"]
                assert balance_micros(demo) == before - 4 * PRICE_MICROS
                carrier.start()
                receipts = json.loads(process.stdout.readline())["receipts"]
            finally:
                process.kill()
        judge(answers, receipts)
        taken = Counter(line.token for line in read_record(carrier.record) if line.kind == b"submit")
        ours = {token: count for token, count in taken.items() if token in (b"replaced", b"several", b"data")}
        assert ours == {b"replaced": 1, b"several": 2, b"data": 1}
        assert not taken.keys() & {b"cancelled", b"original", b"pending"}
        assert demo.stop() == 0


def judge(answers: list[dict[str, Any]], receipts: list[dict[str, str]]) -> None:
    statuses = [answer["command_status"] for answer in answers]
    assert statuses == [
        0, 0, 0, 0, 0, 0, 0, CommandStatus.ESME_RINVMSGID, 0, 0, 0, 0, CommandStatus.ESME_RINVCMDID, 0,
    ]  # fmt: skip
    assert [answers[step]["message_state"] for step in (2, 4, 13)] == [
        MessageState.ENROUTE,
        MessageState.DELETED,
        MessageState.ENROUTE,
    ]
    [left_out] = answers[8]["unsuccess_sme"]
    assert (left_out["destination_addr"], left_out["error_status_code"]) == ("abc", CommandStatus.ESME_RINVDSTADR)
    told = sorted((receipt["id"], receipt["source"], receipt["stat"]) for receipt in receipts)
    ids = {step: answers[step]["message_id"] for step in (0, 1, 8, 9, 10)}
    assert told == sorted(
        [
            (ids[0], "447700900101", "DELETED"),
            (ids[1], "447700900102", "DELIVRD"),
            (ids[8], "447700900104", "DELIVRD"),
            (ids[8], "447700900105", "DELIVRD"),
            (ids[9], "447700900106", "DELIVRD"),
            (ids[10], "447700900107", "DELETED"),
        ]
    )
