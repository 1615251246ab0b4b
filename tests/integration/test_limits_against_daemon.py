"""Limits against fraud on a running daemon: refused at both doors, shown and changed by the operator."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import SmeAddress, SubmitMulti, SubmitMultiResp, SubmitSm, SubmitSmResp
from smscd.supervision.seed import PRICE_MICROS
from storage.embedded.process import free_port
from tests.integration.raw_esme import RawEsme, balance_micros, bound
from tools.children import SMSCD, DemoChild, ending, wait_until

OK, THROTTLED = 0, int(CommandStatus.ESME_RTHROTTLED)
FROM: dict[str, Any] = {"source_addr_ton": 5, "source_addr": b"ACME"}
PUMPED = 120


def account(demo: DemoChild, *arguments: str) -> Any:
    """Run a command on accounts; what it says as JSON."""
    done = subprocess.run(
        [*SMSCD, "account", *arguments, "--json", f"--data-dir={demo.data}"],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return json.loads(done.stdout)


def submit(esme: RawEsme, number: str) -> int:
    """Send one message; the status it is answered with. Nobody asked for receipts, so nothing comes in between."""
    to: dict[str, Any] = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": number.encode()}
    answer = esme.ask(SubmitSm(short_message=b"hello", **FROM, **to))
    assert isinstance(answer, SubmitSmResp)
    return answer.command_status


def post(demo: DemoChild, key: str, number: str) -> tuple[int, str, int]:
    """POST a message: status, code of the problem, Retry-After."""
    body = json.dumps({"to": f"+{number}", "from": "ACME", "text": "hello"}).encode()
    headers = {"X-Api-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(demo.ready.http.url + "/v1/messages", body, headers)
    try:
        with urllib.request.urlopen(request) as done:
            return done.status, "", 0
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)["code"], int(refused.headers.get("Retry-After", "0"))


def counted(demo: DemoChild, verdict: str) -> float:
    """How many submissions had this verdict, by the metrics."""
    with urllib.request.urlopen(demo.ready.admin.url + "/metrics") as page:
        lines = page.read().decode().splitlines()
    name = "smscd_admission_messages_total{"
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name) and f'"{verdict}"' in line)


@pytest.mark.timeout(180)
def test_pumping_is_refused_at_both_doors_and_never_billed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    demo = DemoChild(tmp_path, "--upstream", f"smpp://a:b@127.0.0.1:{free_port()}")
    with ending(demo):
        demo.start()
        made = account(demo, "add", "fresh", "--any-sender", "--balance=5", "--rate=1000", "--burst=1000")
        key = made["api_key"]
        shown = account(demo, "limits", "fresh")
        assert (shown["velocity_per_minute"], shown["velocity_per_day"]) == (50, 500)
        assert (shown["spend_per_day_micros"], shown["allowed_countries"]) == (None, [])
        wait_until(lambda: post(demo, key, "447911000000")[0] == 202, 10, "the account is known")

        with RawEsme(demo).bind(made["system_id"], made["password"]) as esme:
            paid = balance_micros(demo, key)
            statuses = Counter(submit(esme, f"44770090{number:04d}") for number in range(PUMPED))
            assert statuses == {OK: 50, THROTTLED: PUMPED - 50}
            status, code, retry_after = post(demo, key, "447700909999")
            assert (status, code) == (429, "prefix_velocity") and 0 < retry_after <= 70
            assert counted(demo, "prefix_velocity") == PUMPED - 50 + 1
            dests = [f"44770091{n:04d}".encode() for n in range(51)]
            multi = SubmitMulti(
                short_message=b"hello", **FROM,
                dest_address=[SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=dest) for dest in dests],
            )  # fmt: skip
            answer = esme.ask(multi)
            assert isinstance(answer, SubmitMultiResp) and answer.command_status == THROTTLED
            assert submit(esme, "447700910001") == OK
            assert balance_micros(demo, key) == paid - 51 * PRICE_MICROS

            held = account(demo, "limits", "fresh", "--country=GB", "--spend-per-day=0.03", "--velocity-minute=0")
            assert (held["allowed_countries"], held["spend_per_day_micros"]) == (["GB"], 30_000)
            abroad = "33612345678"
            wait_until(lambda: post(demo, key, abroad) == (403, "country_not_allowed", 0), 10, "the change is known")
            wait_until(lambda: submit(esme, abroad) == CommandStatus.ESME_RINVDSTADR, 10, "and to the other worker")
            statuses = Counter(submit(esme, "447700900123") for _ in range(5))
            assert statuses == {OK: 3, THROTTLED: 2}
            status, code, retry_after = post(demo, key, "447911000000")
            assert (status, code) == (429, "spend_limit") and 0 < retry_after <= 86_400
            assert counted(demo, "spend_limit") == 3
            assert account(demo, "limits", "fresh")["spent_today_micros"] == 30_000
            assert balance_micros(demo, key) == paid - 54 * PRICE_MICROS

        account(demo, "add", "fresh", "--any-sender")
        assert account(demo, "limits", "fresh") == held | {"spent_today_micros": 30_000}
        assert "There is no account nobody" in account(demo, "limits", "nobody")["error"]
        with bound(demo) as esme:
            assert Counter(submit(esme, f"44770090{number:04d}") for number in range(PUMPED)) == {OK: PUMPED}
