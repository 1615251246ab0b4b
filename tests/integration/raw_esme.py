"""An ESME that writes whatever octets it is told to, and reads what comes, one PDU at a time."""

from __future__ import annotations

import json
import socket
import urllib.request

from protocols.smpp import codec
from protocols.smpp.pdu import BindTransceiver, BindTransceiverResp, EnquireLink, EnquireLinkResp, Pdu
from tools.children import DemoChild

SECONDS = 20.0


class RawEsme:
    """One connection to a demo."""

    def __init__(self, demo: DemoChild) -> None:
        self._socket = socket.create_connection((demo.ready.smpp.host, demo.ready.smpp.port), timeout=SECONDS)
        self._stream = self._socket.makefile("rb")
        self.address = "{}:{}".format(*self._socket.getsockname())

    def __enter__(self) -> RawEsme:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def read(self) -> Pdu | None:
        """The next PDU; None when the connection is closed."""
        head = self._stream.read(16)
        if not head:
            return None
        return codec.decode(head + self._stream.read(int.from_bytes(head[:4], "big") - 16))

    def write(self, pdu: bytes | Pdu) -> None:
        """Write a PDU, or octets."""
        self._socket.sendall(pdu if isinstance(pdu, bytes) else codec.encode(pdu))

    def ask(self, request: bytes | Pdu) -> Pdu | None:
        """Write a request, and return the next PDU: its answer, where no other comes first."""
        self.write(request)
        return self.read()

    def bind(self, system_id: str, password: str) -> RawEsme:
        """Bind as a transceiver."""
        bind = BindTransceiver(system_id=system_id.encode(), password=password.encode(), interface_version=0x34)
        answer = self.ask(bind)
        assert isinstance(answer, BindTransceiverResp) and not answer.command_status
        return self

    def is_alive(self) -> bool:
        """True when an enquire_link is answered."""
        return self.ask(EnquireLink(sequence_number=7)) == EnquireLinkResp(sequence_number=7)


def bound(demo: DemoChild) -> RawEsme:
    """A transceiver of the demo's own account."""
    return RawEsme(demo).bind(demo.ready.smpp.system_id, demo.ready.smpp.password)


def balance_micros(demo: DemoChild, api_key: str = "") -> int:
    """What the account of a key has; the demo's own without one."""
    headers = {"X-Api-Key": api_key or demo.ready.http.api_key}
    request = urllib.request.Request(f"{demo.ready.http.url}/v1/balance", headers=headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        whole, _, part = json.load(response)["balance"]["amount"].partition(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0"))
