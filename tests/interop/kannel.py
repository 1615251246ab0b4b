"""Kannel's bearerbox and smsbox as an ESME of the daemon, unpatched, with its HTTP interfaces at our end.

Messages go in through smsbox's sendsms; what Kannel learns of them it tells at their dlr-url, and what phones send at
its service's get-url: both lead to a small HTTP server of the test.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from smscd.supervision.ready import SmppAddress
from storage.embedded.process import free_port
from tools.children import wait_until

BEARERBOX, SMSBOX = "/usr/sbin/bearerbox", "/usr/sbin/smsbox"
BRING = "apt-get install kannel"
needs_kannel = pytest.mark.skipif(
    not (Path(BEARERBOX).exists() and Path(SMSBOX).exists()), reason=f"kannel is missing: {BRING}"
)

SECONDS = 20.0
DELIVERED, UNDELIVERED, ACCEPTED, REFUSED = 1, 2, 8, 16
DLR_MASK = DELIVERED | UNDELIVERED | ACCEPTED | REFUSED
"""Kannel's own numbers for what became of a message: the last two are the SMSC's answer, not a receipt."""

CONFIGURATION = """
group = core
admin-port = {admin_port}
admin-password = interop
smsbox-port = {smsbox_port}
box-allow-ip = 127.0.0.1
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = smscd
host = {host}
port = {port}
transceiver-mode = true
smsc-username = {system_id}
smsc-password = {password}
system-type = kannel
dest-addr-ton = 1
dest-addr-npi = 1
reconnect-delay = 1
enquire-link-interval = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms_port}

group = sendsms-user
username = interop
password = interop
concatenation = true
max-messages = 10

group = sms-service
keyword = default
catch-all = true
max-messages = 0
get-url = "http://127.0.0.1:{sink_port}/mo?from=%p&to=%P&text=%b&coding=%c"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dlr:
    """One request at a dlr-url. id: the message_id of our submit_sm_resp. reply: a receipt's text, or ACK, or NACK."""

    name: str
    type: int
    id: str
    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One request at the get-url."""

    source: str
    to: str
    text: str


class Sink:
    """The HTTP server that Kannel calls; what it was told is in `dlrs` and `inbound`, of other paths in `told`."""

    def __init__(self) -> None:
        self.dlrs: list[Dlr] = []
        self.inbound: list[Inbound] = []
        self.told: list[tuple[str, dict[str, str]]] = []
        sink = self

        class Requests(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sink.take(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def take(self, path: str) -> None:
        url = urllib.parse.urlsplit(path)
        fields = dict(urllib.parse.parse_qsl(url.query, encoding="latin-1", keep_blank_values=True))
        if url.path == "/dlr":
            type, id = int(fields["type"]), fields.get("id", "")
            self.dlrs.append(Dlr(name=fields["name"], type=type, id=id, reply=fields.get("reply", "")))
        elif url.path != "/mo":
            self.told.append((url.path, fields))
        else:
            text = fields["text"].encode("latin-1").decode("utf-16-be" if fields["coding"] == "2" else "ascii")
            self.inbound.append(Inbound(source=fields["from"], to=fields["to"], text=text))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def of(self, name: str) -> list[Dlr]:
        """What became of one message, oldest first."""
        return [dlr for dlr in self.dlrs if dlr.name == name]


class Kannel:
    """Both boxes, bound to a daemon once start() has returned."""

    def __init__(self, directory: Path, smpp: SmppAddress, sink: Sink) -> None:
        self.sink = sink
        self._directory = directory
        self._configuration = directory / "kannel.conf"
        self._admin_port, self._sendsms_port = free_port(), free_port()
        self._boxes: list[subprocess.Popen[bytes]] = []
        content = CONFIGURATION.format(
            admin_port=self._admin_port,
            smsbox_port=free_port(),
            sendsms_port=self._sendsms_port,
            sink_port=sink.port,
            host=smpp.host,
            port=smpp.port,
            system_id=smpp.system_id,
            password=smpp.password,
        )
        self._configuration.write_text(content)

    def start(self) -> None:
        self._run(BEARERBOX)
        self.wait_for("(online ")
        self._run(SMSBOX)
        self.wait_for("smsbox:")
        wait_until(self._takes_messages, SECONDS, "sendsms listens")

    def stop(self) -> list[int]:
        """End smsbox, then bearerbox; their exit codes."""
        for box in reversed(self._boxes):
            box.terminate()
        return [box.wait(SECONDS) for box in reversed(self._boxes)]

    def kill(self) -> None:
        for box in self._boxes:
            if box.poll() is None:
                box.kill()
                box.wait(SECONDS)

    def wait_for(self, words: str) -> None:
        """Until bearerbox's status page says something."""
        wait_until(lambda: words in self.status(), SECONDS, f"kannel's status has {words!r}")

    def status(self) -> str:
        """Bearerbox's status page; empty while there is none."""
        try:
            return self._get(self._admin_port, "/status.txt", {"password": "interop"})
        except OSError:
            return ""

    def send(self, name: str, to: str, text: str, **options: object) -> None:
        """Hand a message to sendsms; what becomes of it is told to the sink under its name."""
        dlr_url = f"http://127.0.0.1:{self.sink.port}/dlr?name={urllib.parse.quote(name)}&type=%d&id=%F&reply=%A"
        answer = self._get(
            self._sendsms_port,
            "/cgi-bin/sendsms",
            {
                "username": "interop", "password": "interop", "from": "KANNEL", "to": to, "text": text,
                "charset": "UTF-8", "dlr-mask": DLR_MASK, "dlr-url": dlr_url, **options,
            },
        )  # fmt: skip
        assert answer in ("0: Accepted for delivery", "3: Queued for later delivery")

    def ask(self, query: str, port: int = 0) -> tuple[int, bytes]:
        """Status and body of a raw query to sendsms; port: another's that says it is the same."""
        url = f"http://127.0.0.1:{port or self._sendsms_port}/cgi-bin/sendsms?{query}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    def _run(self, box: str) -> None:
        with (self._directory / f"{Path(box).name}.log").open("ab") as log:
            command = [box, "-v", "1", str(self._configuration)]
            self._boxes.append(subprocess.Popen(command, cwd=self._directory, stdout=log, stderr=log))

    def _takes_messages(self) -> bool:
        try:
            self._get(self._sendsms_port, "/", {})
        except urllib.error.HTTPError as refused:
            refused.close()
        except OSError:
            return False
        return True

    @staticmethod
    def _get(port: int, path: str, query: dict[str, object]) -> str:
        url = f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.read().decode()


@contextlib.contextmanager
def running_kannel(directory: Path, smpp: SmppAddress) -> Iterator[Kannel]:
    """Both boxes, bound; killed at the end if they still run."""
    with contextlib.closing(Sink()) as sink:
        kannel = Kannel(directory, smpp, sink)
        try:
            kannel.start()
            yield kannel
        finally:
            kannel.kill()
