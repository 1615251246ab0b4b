"""Pauses, drains and keywords in the whole daemon, by command: across its workers, and over a kill -9."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from protocols.gsm import udh
from protocols.smpp.pdu import BindTransceiver, BindTransceiverResp, DeliverSm, DeliverSmResp, Unbind, UnbindResp
from tests.command_server import COMMANDS
from tests.integration.raw_esme import RawEsme, bound
from tests.integration.test_joined_messages_against_daemon import is_bound
from tools.children import CarrierChild, DemoChild, ending, wait_until
from tools.record import read_record

UPSTREAM = "upstream1"
SECONDS_MAX = 1.0
PHONE, NUMBER, SPRING = "447700900999", "54321", "ВЕСНА, до свидания"


def command(demo: DemoChild, *arguments: str) -> Any:
    """What a command says; it must do well."""
    done = COMMANDS.run((*arguments, "--json", f"--data-dir={demo.data}"), os.environ)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(url: str, headers: dict[str, str], body: object = None, method: str = "POST") -> tuple[int, Any]:
    """Status and body of a request on a connection of its own."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


class Operator:
    """One with a token of role admin, and a customer beside him."""

    def __init__(self, demo: DemoChild) -> None:
        self._demo = demo
        self._token = command(demo, "operator", "add", "ann", "--role=admin")["token"]

    def order(self, path: str, body: object = None, method: str = "POST") -> Any:
        """By the admin API; it must do well."""
        url = f"{self._demo.ready.admin.url}/admin/v1/{path}"
        status, answer = ask(url, {"Authorization": f"Bearer {self._token}"}, body, method)
        assert status in (200, 201), answer
        return answer

    def waiting(self) -> int:
        """How many messages wait."""
        [view] = self.order("queues", method="GET")["upstreams"]
        return int(view["waiting"])

    def send(self, text: str) -> tuple[int, Any]:
        """Submit over HTTP as the demo's account."""
        body = {"to": "+447700900123", "from": "ACME", "text": text}
        return ask(f"{self._demo.ready.http.url}/v1/messages", {"X-Api-Key": self._demo.ready.http.api_key}, body)


def deliver(carrier: CarrierChild, octets: bytes, **fields: object) -> None:
    """A message from a phone, from the carrier."""
    asked = {
        "source_addr": PHONE, "destination_addr": NUMBER, "short_message": {"hex": octets.hex()}, **fields,
    }  # fmt: skip
    body = json.dumps({"command": "deliver_sm", "fields": asked}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{carrier.control_port}/pdu", body)
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 202


@pytest.mark.timeout(180)
def test_operators_steer_the_traffic_of_a_running_daemon(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    carrier = CarrierChild(tmp_path)
    with ending(carrier):
        carrier.start()
        demo = DemoChild(tmp_path, "--workers=2", "--upstream", carrier.upstream_url)
        with ending(demo):
            demo.start()
            wait_until(lambda: is_bound(demo), 20, "the upstream is bound")
            operator = Operator(demo)
            spring = command(demo, "account", "add", "spring")
            command(demo, "mo", "add", NUMBER, "--keyword=весна", "--account=spring")
            operator.order("mo", {"number": NUMBER, "account": "demo"})
            _sessions(demo, operator)
            _pauses(demo, carrier, operator)
            _keywords(demo, carrier, spring)
            _cancels(demo, operator)
            assert demo.stop() == 0


def _sessions(demo: DemoChild, operator: Operator) -> None:
    """Those of both workers are seen by command and over HTTP, and the one that is meant is ended."""
    secrets = command(demo, "credential", "add", "demo", "second")
    wait_until(lambda: _binds(demo, "second", secrets["password"]), 10, "the new credential is known")
    esmes = [bound(demo) for _ in range(6)]
    try:
        listed = operator.order("sessions?side=esme", method="GET")
        assert listed["silent"] == []
        peers = {esme.address for esme in esmes}
        assert peers == {one["address"] for one in listed["sessions"]}
        assert len({one["id"] for one in listed["sessions"]}) == 6
        [carrier] = command(demo, "session", "list", "--side=upstream", f"--name={UPSTREAM}")["sessions"]
        assert (carrier["mode"], carrier["in_flight"], carrier["name"]) == ("trx", 0, UPSTREAM)
        first = listed["sessions"][0]
        assert (first["name"], first["mode"], first["window"], first["interface_version"]) == (
            "demo",
            "trx",
            1000,
            "3.4",
        )
        assert 0 <= time.time() * 1000 - first["since_ms"] < 60_000
        gone = next(esme for esme in esmes if esme.address == first["address"])
        assert operator.order(f"sessions/{first['id']}/disconnect")["address"] == first["address"]
        asked = gone.read()
        assert isinstance(asked, Unbind)
        assert gone.ask(UnbindResp(sequence_number=asked.sequence_number)) is None
        assert all(esme.is_alive() for esme in esmes if esme is not gone)
        assert len(operator.order("sessions?side=esme", method="GET")["sessions"]) == 5
        command(demo, "session", "disconnect", carrier["id"])
        wait_until(lambda: _bind_of_carrier(operator) not in (None, carrier["id"]), 10, "the upstream is bound anew")
        log = command(demo, "audit", "list", "--action=session")
        assert [(one["subject"], one["old"]["side"]) for one in log] == [(UPSTREAM, "upstream"), ("demo", "esme")]
        assert log[0]["operator"].startswith("cli:") and log[1]["address"] == "127.0.0.1"
    finally:
        for esme in esmes:
            esme.__exit__()


def _cancels(demo: DemoChild, operator: Operator) -> None:
    """A support desk looks at a message that waits, and takes it back; one that was sent it does not."""
    token = operator.order("operators", {"name": "sue", "role": "support"})["token"]
    admin, by = f"{demo.ready.admin.url}/admin/v1/messages/", {"Authorization": f"Bearer {token}"}
    sent = operator.send("goes out")[1]["id"]
    wait_until(lambda: ask(admin + sent, by, method="GET")[1].get("status") == "delivered", 20, "it is delivered")
    operator.order(f"halts/upstreams/{UPSTREAM}/pause")
    time.sleep(SECONDS_MAX)
    waiting = operator.send("waits")[1]["id"]
    assert ask(f"{admin}{waiting}/cancel", by) == (200, {"id": waiting, "status": "canceled"})
    wait_until(lambda: ask(admin + waiting, by, method="GET")[1].get("status") == "canceled", 10, "it is recorded")
    found = ask(admin + waiting, by, method="GET")[1]
    assert found["account"] == "demo" and "waits" not in str(found)
    assert [at["what"] for at in found["timeline"]][:2] == ["admitted", "canceled"]
    for message_id, status, code in ((sent, 409, "too_late"), ("1", 404, "not_found"), ("9" * 19, 404, "not_found")):
        refused = ask(f"{admin}{message_id}/cancel", by)
        assert (refused[0], refused[1]["code"]) == (status, code)
    log = [(one["operator"], one["action"]) for one in command(demo, "audit", "list", "--action=message")]
    assert log == [("sue", "message.cancel.refused"), ("sue", "message.cancel"), ("sue", "message.cancel")]
    operator.order(f"halts/upstreams/{UPSTREAM}/resume")


def _binds(demo: DemoChild, system_id: str, password: str) -> bool:
    with RawEsme(demo) as esme:
        bind = BindTransceiver(system_id=system_id.encode(), password=password.encode(), interface_version=0x34)
        answer = esme.ask(bind)
        return isinstance(answer, BindTransceiverResp) and not answer.command_status


def _bind_of_carrier(operator: Operator) -> str | None:
    found = operator.order("sessions?side=upstream", method="GET")["sessions"]
    return str(found[0]["id"]) if found else None


def _pauses(demo: DemoChild, carrier: CarrierChild, operator: Operator) -> None:
    def sent() -> int:
        return sum(line.kind == b"submit" for line in read_record(carrier.record))

    assert command(demo, "pause", "upstream", UPSTREAM)["changed"] is True
    time.sleep(SECONDS_MAX)
    for number in range(20):
        assert operator.send(f"paused {number}")[0] == 202
    [view] = command(demo, "queue", "list", f"--upstream={UPSTREAM}")
    [queue] = view["queues"]
    assert (view["state"], view["waiting"], queue["waiting"], queue["account"]) == ("paused", 20, 20, "demo")
    demo.kill()
    demo.start()
    wait_until(lambda: is_bound(demo), 30, "the upstream is bound again")
    assert (sent(), operator.waiting()) == (0, 20), "a paused upstream sent something"
    operator.order(f"halts/upstreams/{UPSTREAM}/resume")
    wait_until(lambda: sent() == 20, 2, "it goes on at once")

    operator.order("halts/accounts/demo/pause")
    time.sleep(SECONDS_MAX)
    assert operator.send("waits for its account")[0] == 202
    operator.order(f"halts/upstreams/{UPSTREAM}/drain")
    time.sleep(SECONDS_MAX)
    for _ in range(10):
        status, body = operator.send("refused")
        assert (status, body["code"]) == (503, "no_route_available")
    assert sent() == 20
    operator.order("halts/accounts/demo/resume")
    assert command(demo, "drain", "upstream", UPSTREAM, "--wait")["empty_after_seconds"] < 20
    assert (sent(), operator.waiting()) == (21, 0)
    operator.order(f"halts/upstreams/{UPSTREAM}/resume")
    wait_until(lambda: operator.send("accepted again")[0] == 202, 5, "it takes messages again")


def _keywords(demo: DemoChild, carrier: CarrierChild, spring: dict[str, str]) -> None:
    octets = SPRING.encode("utf-16-be")
    first, second = (udh.build([udh.concatenation_8(9, 2, number)]) for number in (1, 2))
    deliver(carrier, second + octets[10:], esm_class=0x40, data_coding=8)
    deliver(carrier, first + octets[:10], esm_class=0x40, data_coding=8)
    deliver(carrier, b"no keyword")
    with RawEsme(demo).bind(spring["system_id"], spring["password"]) as esme:
        pdu = esme.read()
        assert isinstance(pdu, DeliverSm), "it was kept while nobody was there"
        assert (pdu.short_message, pdu.data_coding, pdu.esm_class) == (octets, 8, 0)
        esme.write(DeliverSmResp(sequence_number=pdu.sequence_number))
        assert esme.is_alive(), "and nothing more"
