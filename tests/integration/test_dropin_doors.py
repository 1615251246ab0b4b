"""Kannel's and Jasmin's doors of a running daemon: a message in, its reports back, and no secret in its log."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from smscd.core.callback_forms import message_id_of
from storage.embedded.process import free_port
from tools.children import SMSCD, DemoChild, ending, wait_until

SECONDS = 20.0
DELIVERED, REFUSED_BY_CARRIER = "447700900123", "447700900010"


@dataclass(slots=True)
class Told:
    """Who is called back; what came, by path."""

    port: int = 0
    came: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def of(self, path: str) -> list[dict[str, str]]:
        return [fields for at, _, fields in self.came if at == path]

    def until(self, path: str, count: int) -> list[dict[str, str]]:
        wait_until(lambda: len(self.of(path)) >= count, SECONDS, f"{count} callbacks at {path}")
        return self.of(path)


@dataclass(frozen=True, slots=True)
class Rig:
    demo: DemoChild
    told: Told
    kannel: str
    jasmin: str

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.told.port}{path}"

    def ask(self, base: str, path: str, **fields: str) -> tuple[int, str]:
        """A GET with the demo's own user, and a sender."""
        smpp = self.demo.ready.smpp
        given = {"username": smpp.system_id, "password": smpp.password, **fields}
        query = urlencode({name.rstrip("_").replace("_", "-"): value for name, value in given.items()})
        try:
            with urllib.request.urlopen(f"{base}{path}?{query}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    told = Told()

    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            told.came.append((url.path, self.command, dict(parse_qsl(url.query or body))))
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"ACK/Jasmin")

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    kannel, jasmin = free_port(), free_port()
    demo = DemoChild(tmp_path_factory.mktemp("dropin"))
    demo.environment = {
        "SMSCD_KANNEL_HOST": "127.0.0.1", "SMSCD_KANNEL_PORT": str(kannel),
        "SMSCD_JASMIN_HOST": "127.0.0.1", "SMSCD_JASMIN_PORT": str(jasmin), "SMSCD_LOG_LEVEL": "debug",
    }  # fmt: skip
    try:
        with ending(demo):
            demo.start()
            yield Rig(demo, told, f"http://127.0.0.1:{kannel}", f"http://127.0.0.1:{jasmin}")
            assert demo.stop() == 0
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("to", "types"), [(DELIVERED, ["8", "1"]), (REFUSED_BY_CARRIER, ["16"])])
def test_kannels_reports_come_to_the_dlr_url(rig: Rig, to: str, types: list[str]) -> None:
    path = f"/kannel/{to}"
    dlr = rig.url(path) + "?d=%d&A=%A&p=%p&P=%P&i=%i&I=%I&F=%F"
    asked = {"from_": "ACME", "to": "+" + to, "text": "hello", "dlr_mask": "31", "dlr_url": dlr}
    status, text = rig.ask(rig.kannel, "/cgi-bin/sendsms", **asked)
    assert status == 202 and text in ("0: Accepted for delivery", "3: Queued for later delivery")
    told = rig.told.until(path, len(types))
    assert sorted(each["d"] for each in told) == sorted(types)
    assert {(each["p"], each["P"], each["i"]) for each in told} == {("+" + to, "ACME", "carrier")}
    assert len({each["I"] for each in told}) == 1


@pytest.mark.parametrize(("method", "level"), [("POST", "3"), ("GET", "1")])
def test_jasmins_reports_come_to_the_dlr_url(rig: Rig, method: str, level: str) -> None:
    path = f"/jasmin/{method}"
    asked = {"from_": "ACME", "to": DELIVERED, "content": "hello", "dlr": "yes", "dlr_url": rig.url(path)}
    status, text = rig.ask(rig.jasmin, "/send", dlr_level=level, dlr_method=method, **asked)
    assert (status, text[:9]) == (200, 'Success "')
    id = text[9:-1]
    told = {each["level"]: each for each in rig.told.until(path, 2 if level == "3" else 1)}
    assert (told["1"]["id"], told["1"]["message_status"], told["1"]["connector"]) == (id, "ESME_ROK", "carrier")
    if level == "3":
        assert (told["2"]["id"], told["2"]["message_status"], told["2"]["text"]) == (id, "DELIVRD", "hello")
    assert {verb for at, verb, _ in rig.told.came if at == path} == {method}
    shown = subprocess.run(
        [*SMSCD, "message", "show", id, f"--data-dir={rig.demo.data}", "--json"],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(shown.stdout)["id"] == str(message_id_of(id))


def test_a_charge_shows_in_jasmins_balance_as_rate_said(rig: Rig) -> None:
    def balance() -> float:
        found: float = json.loads(rig.ask(rig.jasmin, "/balance")[1])["balance"]
        return found

    before = balance()
    rate = json.loads(rig.ask(rig.jasmin, "/rate", to=DELIVERED, from_="ACME", content="x" * 161)[1])
    assert rig.ask(rig.jasmin, "/send", to=DELIVERED, from_="ACME", content="x" * 161)[0] == 200
    assert before - balance() == pytest.approx(rate["unit_rate"] * rate["submit_sm_count"])


def test_neither_password_nor_number_nor_text_is_in_the_log_or_the_metrics(rig: Rig) -> None:
    """X1 of the fault list."""
    smpp = rig.demo.ready.smpp
    assert rig.ask(rig.kannel, "/cgi-bin/sendsms", password="wr0ng-pass", to=DELIVERED, text="hidden-text")[0] == 403
    assert rig.ask(rig.kannel, "/cgi-bin/sendsms", from_="ACME", to=DELIVERED, text="hidden-text")[0] == 202
    with urllib.request.urlopen(rig.demo.ready.admin.url + "/metrics", timeout=10) as page:
        metrics = page.read().decode()
    assert 'route="/cgi-bin/sendsms",status="2xx"' in metrics
    logged = [line for line in rig.demo.log.read_text().splitlines() if line.startswith("{")]
    assert any("http.listening" in line for line in logged)
    for secret in (smpp.password, "wr0ng-pass", "hidden-text", DELIVERED):
        assert secret not in metrics and not [line for line in logged if secret in line], secret


KANNEL_CONF = """
group = core
admin-port = 13000

group = smsc
smsc = smpp
smsc-id = main
host = 127.0.0.1
port = 1
smsc-username = us
smsc-password = pa55w0rd

group = sendsms-user
username = Shop
password = much-longer-than-8
default-sender = SHOP
max-messages = 3
"""


def import_(rig: Rig, file: Path, *options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SMSCD, "import", str(file), f"--data-dir={rig.demo.data}", *options],
        input=answer, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_kannel_configuration_is_shown_then_imported_and_its_user_may_send(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "kannel.conf"
    file.write_text(KANNEL_CONF)
    shown = import_(rig, file, answer="n\n")
    assert shown.returncode == 0 and shown.stdout.endswith("Nothing was changed.\n"), shown.stderr
    for words in ("smpp://us@127.0.0.1:1, transmitter x1", "shop", "core: admin-port: smscd has its own"):
        assert words in shown.stdout
    assert "pa55w0rd" not in shown.stdout and "much-longer" not in shown.stdout
    given = {"username": "Shop", "password": "much-longer-than-8", "to": DELIVERED, "text": "hello"}
    assert rig.ask(rig.kannel, "/cgi-bin/sendsms", **given)[0] == 403
    assert json.loads(import_(rig, file, "--json").stdout)["made"] is False
    assert import_(rig, file, "--yes").stdout.endswith("Made.\n")
    no_money = (403, "The balance and the credit of the account do not cover the price, rejected")
    wait_until(lambda: rig.ask(rig.kannel, "/cgi-bin/sendsms", **given) == no_money, SECONDS, "the user is known")
    again = json.loads(import_(rig, file, "--yes", "--json").stdout)
    assert (again["made"], again["plan"]) == (False, [])
    assert "account shop is there already and stays as it is." in again["notes"]


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("group = core\nnonsense", [], "kannel.conf:2: this is no 'name = value'"),
        ("# nothing", [], "has no group: it is no Kannel configuration."),
        (KANNEL_CONF, ["--plan=gone"], "There is no price plan gone"),
        (KANNEL_CONF, ["--mo-account=gone"], "There is no account gone, and the file makes none"),
    ],
)
def test_what_cannot_be_imported_is_said(
    rig: Rig, tmp_path: Path, content: str, options: list[str], words: str
) -> None:
    file = tmp_path / "kannel.conf"
    file.write_text(content)
    refused = import_(rig, file, "--yes", *options)
    assert refused.returncode == 1 and words in refused.stderr
