"""Quirk 33 in the whole daemon: parts of a message from a phone, a kill -9 between them, and what the record says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from protocols.gsm import udh
from protocols.smpp.pdu import DeliverSm, DeliverSmResp
from storage.postgres.pool import connect
from tests.integration.raw_esme import RawEsme
from tests.interop.demo_configuration import add_mo_number
from tools.children import SMSCD, CarrierChild, DemoChild, ending, wait_until

PHONE, NUMBER = "447700900999", "54321"


def add_account(demo: DemoChild, name: str) -> dict[str, str]:
    command = [*SMSCD, "account", "add", name, "--mo-delivery", "whole", "--json", f"--data-dir={demo.data}"]
    found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    return found


def deliver(carrier: CarrierChild, sequence: int, text: bytes) -> None:
    """A part of a message of three, from the carrier."""
    octets = udh.build([udh.concatenation_8(7, 3, sequence)]) + text
    fields = {
        "source_addr": PHONE, "destination_addr": NUMBER, "esm_class": 0x40, "short_message": {"hex": octets.hex()},
    }  # fmt: skip
    body = json.dumps({"command": "deliver_sm", "fields": fields}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{carrier.control_port}/pdu", body)
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 202


def metric(demo: DemoChild, start: str) -> float:
    with urllib.request.urlopen(f"{demo.ready.admin.url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


def waiting(demo: DemoChild) -> float:
    return metric(demo, "smscd_inbound_waiting_parts")


def is_bound(demo: DemoChild) -> bool:
    return metric(demo, "smscd_upstream_binds") > 0


async def rows(demo: DemoChild) -> list[dict[str, Any]]:
    database = await connect(demo.ready.postgres_dsn, name="test")
    try:
        found = await database.fetch(
            "SELECT id, group_id, via, body, account, callbacks_open FROM messages WHERE direction = 2 ORDER BY id"
        )
        return [dict(row) for row in found]
    finally:
        await database.close()


@pytest.mark.timeout(180)
def test_quirk_33_the_daemon_is_killed_between_the_parts_and_the_esme_gets_the_whole_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    carrier = CarrierChild(tmp_path)
    with ending(carrier):
        carrier.start()
        demo = DemoChild(tmp_path, "--upstream", carrier.upstream_url)
        with ending(demo):
            demo.start()
            patient = add_account(demo, "patient")
            add_mo_number(demo, NUMBER, "patient")
            wait_until(lambda: is_bound(demo), 20, "the upstream is bound")
            deliver(carrier, 3, b"kill.")
            deliver(carrier, 1, b"Before ")
            wait_until(lambda: waiting(demo) == 2, 20, "two parts wait")
            demo.kill()
            demo.start()
            wait_until(lambda: is_bound(demo) and waiting(demo) == 2, 30, "they wait again")
            with RawEsme(demo).bind(patient["system_id"], patient["password"]) as esme:
                deliver(carrier, 2, b"and after a ")
                pdu = esme.read()
                assert isinstance(pdu, DeliverSm)
                assert (pdu.short_message, pdu.esm_class, pdu.tlvs) == (b"Before and after a kill.", 0, b"")
                esme.write(DeliverSmResp(sequence_number=pdu.sequence_number))
                assert esme.is_alive(), "and nothing more"

            found: list[dict[str, Any]] = []

            def is_recorded() -> bool:
                found[:] = asyncio.run(rows(demo))
                return len(found) == 4 and not any(row["callbacks_open"] for row in found)

            wait_until(is_recorded, 20, "all of it is in the record")
            [whole] = [row for row in found if row["group_id"] is None]
            parts = [row for row in found if row["group_id"] is not None]
            assert (whole["body"], whole["via"], whole["account"]) == (b"Before and after a kill.", 1, "patient")
            assert {(row["group_id"], row["via"], row["account"]) for row in parts} == {(whole["id"], 0, "patient")}
            assert waiting(demo) == 0 and metric(demo, "smscd_inbound_messages_total") > 0
