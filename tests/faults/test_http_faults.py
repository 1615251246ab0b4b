"""H1, H2 and X1 of the fault catalogue on one daemon: hostile requests, one key a hundred times, and what logs say."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from protocols.smpp.pdu import DeliverSm, DeliverSmResp, SubmitSm, SubmitSmResp
from smscd.supervision.processes import process_tree
from storage.embedded.process import free_port
from tests.faults.rig import IS_FULL
from tests.integration.http_victim import NESTED, Victim, all_of, bomb
from tests.integration.raw_esme import RawEsme, balance_micros, bound
from tests.unit.smscd.ingress.http_fixture import BODY, Reply
from tools.children import SMSCD, DemoChild, ending, wait_until

pytestmark = pytest.mark.timeout(300)

ATTACKERS = 300 if IS_FULL else 30
"""Of each of seven kinds."""
ROUNDS = 5 if IS_FULL else 1
COPIES = 100
SETTLED_SECONDS = 15.0
GROWTH_MAX = (20 * 1024 + (8 * 7 * ATTACKERS if IS_FULL else 0)) * 1024
"""Python keeps for reuse the 8 KiB of small objects that each connection took: with thousands at once, that counts."""
PEAK_MAX = (24 * 1024 + 20 * 7 * ATTACKERS + 20 * 1024) * 1024
"""24 MiB of what is not answered; 8 KiB of it and 12 of objects for each connection; and what grows besides."""
REQUEST_SECONDS = 10.0 if IS_FULL else 6.0
HEADER_SECONDS = 8.0 if IS_FULL else 5.0
PRICE_MICROS = 10_000
KEPT = ("valkey/aof", "postgres/data")
TEXT = "Quetzalcanary 7f3a"
NUMBER = "447711955177"


@pytest.fixture(scope="module")
def kannel_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, kannel_port: int) -> Iterator[DemoChild]:
    """One worker, at DEBUG, as journald would have it, with Kannel's door open."""
    directory = tmp_path_factory.mktemp("http")
    directory.chmod(0o755)
    child = DemoChild(directory, "--workers=1")
    child.environment = {
        "SMSCD_KANNEL_HOST": "127.0.0.1",
        "SMSCD_KANNEL_PORT": str(kannel_port),
        "SMSCD_HTTP_HEADER_SECONDS": str(HEADER_SECONDS),
        "SMSCD_HTTP_REQUEST_SECONDS": str(REQUEST_SECONDS),
        "SMSCD_LOG_LEVEL": "debug",
        "SMSCD_LOG_FORMAT": "json",
    }
    with ending(child):
        child.start()
        yield child
        assert child.stop() == 0


def victim_of(demo: DemoChild) -> Victim:
    return Victim(pid_of(demo, "smscd.worker"), int(demo.ready.http.url.rpartition(":")[2]), demo.ready.http.api_key)


def pid_of(demo: DemoChild, mark: str) -> int:
    """The process of the demo whose command line has this in it, the one nearest to the demo; 0 when there is none."""
    for pid in process_tree(demo.pid)[1:]:
        with suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


async def test_hostile_requests_are_refused_or_cut_off_in_time(demo: DemoChild) -> None:
    victim = victim_of(demo)
    bomb()
    await asyncio.gather(*(victim.send(json.dumps(BODY).encode()) for _ in range(50)))
    before, peak = victim.resident_bytes, 0
    found: dict[str, set[int]] = {}
    for _ in range(ROUNDS):
        peak = max(peak, await attacked(victim, found))
    grown = await settled(victim, before)
    statuses = {name: sorted(seen) for name, seen in found.items()}
    print(json.dumps({
        "row": "H1", "attackers": 7 * ATTACKERS, "rounds": ROUNDS, "statuses": statuses,
        "slowest_seconds": round(victim.slowest_seconds, 1),
        "grown_mib": round(grown / 2**20, 1), "peak_mib": round((peak - before) / 2**20, 1),
    }))  # fmt: skip
    assert found.pop("slow") <= {408, 0}
    assert all(400 <= status < 500 or status in (0, 503) for statuses in found.values() for status in statuses)
    assert 415 in found["gzip bomb"]
    assert 1.0 < victim.slowest_seconds < REQUEST_SECONDS
    assert await victim.sends_well()
    assert grown < GROWTH_MAX
    assert peak - before < PEAK_MAX


async def settled(victim: Victim, before: int) -> int:
    """What memory has grown by when it has had time to be given back."""
    ends = time.monotonic() + SETTLED_SECONDS
    while (grown := victim.resident_bytes - before) >= GROWTH_MAX and time.monotonic() < ends:
        await asyncio.sleep(0.1)
    return grown


async def attacked(victim: Victim, found: dict[str, set[int]]) -> int:
    """Every attack at once; their statuses are added to `found`. Returns the most memory that the victim had."""
    declared, chunked = victim.pours(ATTACKERS)
    attacks = {
        "declared too large": declared,
        "too large in chunks": chunked,
        "gzip bomb": [victim.send(bomb(), b"Content-Encoding: gzip\r\n") for _ in range(ATTACKERS)],
        "nested": [victim.send(NESTED) for _ in range(ATTACKERS)],
        "129 headers": [victim.send_many_headers() for _ in range(ATTACKERS)],
        "slow": victim.stalls(ATTACKERS),
    }
    running = {name: asyncio.ensure_future(all_of(work)) for name, work in attacks.items()}
    peak = 0
    while not all(attack.done() for attack in running.values()):
        peak = max(peak, victim.resident_bytes)
        await asyncio.sleep(0.05)
    for name, attack in running.items():
        found.setdefault(name, set()).update(attack.result())
    return peak


async def test_a_hundred_copies_are_one_message_before_and_after_a_kill(demo: DemoChild) -> None:
    victim = victim_of(demo)
    held = balance_micros(demo)
    body = json.dumps(BODY | {"to": "+447700900321"}).encode()

    async def send(data: bytes) -> Reply:
        head = b"X-Request-ID: h2-key\r\nContent-Length: %d\r\n\r\n" % len(data)
        return await victim.ask(victim.post + head + data)

    copies = await asyncio.gather(*(send(body) for _ in range(COPIES)))
    assert ({copy.status for copy in copies}, len({copy.body for copy in copies})) == ({202}, 1)
    assert sum("idempotent-replayed" in copy.headers for copy in copies) == COPIES - 1
    other = await send(body.replace(b"Code", b"Kode"))
    assert (other.status, other.problem["code"]) == (422, "idempotency_key_reused")
    await asyncio.to_thread(restart, demo)
    again = await asyncio.gather(*(send(body) for _ in range(3)))
    assert {copy.body for copy in again} == {copies[0].body}
    assert {copy.headers["idempotent-replayed"] for copy in again} == {"true"}
    assert (await send(body.replace(b"Code", b"Kode"))).status == 422
    await asyncio.to_thread(wait_until, lambda: len(listed(demo, "447700900321")) == 1, 20.0, "the message is recorded")
    charged = held - balance_micros(demo)
    print(json.dumps({"row": "H2", "copies": COPIES + 3, "messages": 1, "charged_micros": charged}))
    assert charged == PRICE_MICROS


def restart(demo: DemoChild) -> None:
    """kill -9 of the daemon, and a start on the same data."""
    demo.kill()
    demo.start()


def listed(demo: DemoChild, number: str) -> list[Any]:
    """What was sent to a number."""
    status, page = ask(demo, f"/v1/messages?to={number}")
    assert status == 200
    return list(json.loads(page)["data"])


def ask(demo: DemoChild, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """Status and body. body: bytes as they are, anything else as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given = {"X-Api-Key": demo.ready.http.api_key, "Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    url = path if path.startswith("http") else demo.ready.http.url + path
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, given), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_no_text_and_no_number_is_in_any_log_metric_or_trace(demo: DemoChild, kannel_port: int) -> None:
    with bound(demo) as esme, traced(demo, "carrier") as upstream, traced(demo, demo.ready.smpp.system_id) as session:
        wait_until(lambda: by_http(demo) or is_shown(upstream), 20.0, "the trace of the carrier")
        wait_until(lambda: esme.is_alive() and is_shown(session), 20.0, "the trace of the ESME")
        by_kannel(demo, kannel_port)
        by_smpp(demo, esme)
    pages = look(demo)
    crash(demo)
    pages += look(demo)
    logs = {path: path.read_bytes() for path in sorted(demo.data.parent.rglob("*")) if is_log(path, demo)}
    log = logs[demo.log].decode(errors="replace")
    assert '"level": "debug"' in log and "worker.died" in log
    assert b"crashed by signal: 11" in logs[demo.data / "valkey" / "valkey.log"]
    assert {"valkey.log", "postgres.log", "demo.log", upstream.name, session.name} <= {path.name for path in logs}
    kept = b"".join(path.read_bytes() for path in (demo.data / "valkey" / "aof").iterdir())
    assert TEXT.encode() in kept and NUMBER.encode() in kept, "it was there to be found"
    searched = [*logs.items(), *((f"page {n}", page.encode()) for n, page in enumerate(pages))]
    hits = [(str(where), needle) for where, text in searched for needle in needles() if needle in text.lower()]
    octets = sum(len(text) for _, text in searched)
    print(json.dumps({"row": "X1", "places": len(searched), "octets": octets, "hits": len(hits)}))
    assert hits == []


def is_log(path: Path, demo: DemoChild) -> bool:
    """Everything but what is kept on purpose."""
    return path.is_file() and not any(path.is_relative_to(demo.data / kept) for kept in KEPT)


def needles() -> list[bytes]:
    """The canaries as they may be written down, in lower case."""
    found = []
    for canary in (TEXT.split()[0], NUMBER):
        raw = canary.encode()
        wide = canary.encode("utf-16-be")
        found += [raw, raw.hex().encode(), wide.hex().encode(), raw.replace(b"", b"\\x00")[4:-4]]
        found += [base64.b64encode(raw[:12]), urllib.parse.quote(canary).encode()]
    return [needle.lower() for needle in found]


@contextmanager
def traced(demo: DemoChild, session: str) -> Iterator[Path]:
    """`smscd pdu trace` of a session meanwhile; the file that it writes to."""
    command = [*SMSCD, "pdu", "trace", session, "--data-dir", str(demo.data), "--json"]
    shown = demo.data.parent / f"trace-{session}.json"
    with shown.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as running:
        try:
            yield shown
        finally:
            running.kill()


def is_shown(trace: Path) -> bool:
    """True when a PDU is in it."""
    return b'"command"' in trace.read_bytes()


def look(demo: DemoChild) -> list[str]:
    """What an operator looks at."""
    return [ask(demo, f"{demo.ready.admin.url}{path}")[1] for path in ("/metrics", "/health/")]


def by_http(demo: DemoChild) -> None:
    """Accepted, and refused in every way that has something of the customer's in it."""
    message = {"to": f"+{NUMBER}", "from": "ACME", "text": TEXT}
    away = f"http://127.0.0.1:1/dlr?to={NUMBER}"
    assert ask(demo, "/v1/messages", message)[0] == 202
    assert ask(demo, "/v1/messages", message | {"from": NUMBER, "callback_url": away})[0] == 202
    assert ask(demo, "/v1/messages/estimate", message)[0] == 200
    if "/v1/messages/batch" in ask(demo, "/api/openapi.json")[1]:
        assert ask(demo, "/v1/messages/batch", {"messages": [message, message | {"to": TEXT}]})[0] in (200, 202, 207)
    assert ask(demo, "/v1/messages", message | {"to": TEXT, TEXT: TEXT})[0] == 422
    assert ask(demo, "/v1/messages", message | {"text": TEXT * 3_000})[0] == 422
    assert ask(demo, "/v1/messages", f'{{"text": "{TEXT}"'.encode())[0] == 400
    assert ask(demo, "/v1/messages", message, X_Request_ID="canary key\x7f")[0] in (400, 422)
    assert ask(demo, "/v1/messages", message, X_Api_Key=TEXT)[0] == 401
    assert ask(demo, f"/v1/messages/{NUMBER}")[0] == 404
    assert ask(demo, f"/{NUMBER}/{urllib.parse.quote(TEXT)}?text={urllib.parse.quote(TEXT)}")[0] == 404
    assert ask(demo, f"/v1/messages?to={NUMBER}&from={urllib.parse.quote(TEXT)}&limit=0")[0] == 422
    assert ask(demo, f"{demo.ready.admin.url}/{NUMBER}")[0] == 404
    victim = victim_of(demo)
    broken = f"GET /{NUMBER} HTTP/1.1\r\nHost: t\r\n{TEXT}\r\n\r\n".encode()
    assert asyncio.run(victim.ask(broken)).status == 400


def by_kannel(demo: DemoChild, port: int) -> None:
    smpp = demo.ready.smpp
    asked = {"username": smpp.system_id, "password": smpp.password, "from": "ACME", "to": NUMBER, "text": TEXT}
    asked |= {"dlr-mask": "31", "dlr-url": f"http://127.0.0.1:1/?to=%p&text={NUMBER}"}
    for changed, status in (({}, 202), ({"password": TEXT}, 403), ({"to": ""}, 400), ({"to": TEXT}, 400)):
        url = f"http://127.0.0.1:{port}/cgi-bin/sendsms?{urllib.parse.urlencode(asked | changed)}"
        assert ask(demo, url)[0] == status, changed


def by_smpp(demo: DemoChild, esme: RawEsme) -> None:
    """A message with its receipt, one from a phone, refusals, and octets that are no PDU."""
    submit = SubmitSm(
        source_addr_ton=5, source_addr=b"ACME", dest_addr_ton=1, dest_addr_npi=1, destination_addr=NUMBER.encode(),
        registered_delivery=1, short_message=TEXT.encode(),
    )  # fmt: skip
    wrong = SubmitSm(**{name: getattr(submit, name) for name in ("destination_addr", "short_message")})
    wrong.schedule_delivery_time = b"no such time"
    esme.write(submit)
    esme.write(wrong)
    mo = {"from": NUMBER, "to": "12345", "text": TEXT}
    assert demo.ready.carrier is not None
    assert ask(demo, f"http://127.0.0.1:{demo.ready.carrier.control_port}/mo", mo)[0] == 202
    answered, delivered = [], []
    while len(answered) < 2 or len([each for each in delivered if TEXT.encode() in each]) < 2:
        pdu = esme.read()
        assert pdu is not None
        if isinstance(pdu, SubmitSmResp):
            answered.append(pdu.command_status)
        elif isinstance(pdu, DeliverSm):
            delivered.append(pdu.short_message)
            esme.write(DeliverSmResp(sequence_number=pdu.sequence_number))
    assert sorted(bool(status) for status in answered) == [False, True]
    for octets in (TEXT.encode() * 4, (40).to_bytes(4, "big") + TEXT.encode() * 2):
        with suppress(ConnectionError), RawEsme(demo) as stranger:
            stranger.write(octets)
            while stranger.read() is not None:
                pass


def crash(demo: DemoChild) -> None:
    """With messages on the way: Valkey by a fault of memory, whose report shows what it has; a worker; the daemon."""
    message = {"to": f"+{NUMBER}", "from": "ACME", "text": TEXT}
    for program, number in (("valkey-server", signal.SIGSEGV), ("smscd.worker", signal.SIGABRT)):
        assert ask(demo, "/v1/messages", message)[0] == 202
        old = pid_of(demo, program)
        os.kill(old, number)
        wait_until(partial(is_back, demo, message, program, old), 60.0, f"{program} is back")
    restart(demo)
    assert ask(demo, "/v1/messages", message)[0] == 202


def is_back(demo: DemoChild, message: dict[str, str], program: str, old: int) -> bool:
    """True when there is a new process, and messages are taken again."""
    if pid_of(demo, program) in (0, old):
        return False
    with suppress(OSError):
        return ask(demo, "/v1/messages", message)[0] == 202
    return False
