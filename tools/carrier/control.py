"""The carrier's control interface: POST /mo, /alert and /pdu send something to whoever is bound, GET /stats tells.

/mo sends a mobile-originated message, /alert an alert_notification, /pdu anything at all.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from protocols.smpp.codec import encode_body
from protocols.smpp.constants import CommandId, DataCoding, Npi, Ton
from protocols.smpp.pdu import AlertNotification, DeliverSm
from smscd.transport.connection import SmppConnection
from tools.carrier.injection import PduRequest, octets_of, write_octets
from tools.carrier.receipts import Delivery
from tools.carrier.smsc import Carrier
from tools.record import token_of

ADDRESS_MAX = 20
TEXT_OCTETS_MAX = 254


class MoRequest(msgspec.Struct, rename={"source": "from", "destination": "to"}, forbid_unknown_fields=True):
    """The body of POST /mo. system_id: whose sessions get it; without it, those of anybody who can receive."""

    source: str
    destination: str
    text: str
    system_id: str | None = None


class AlertRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /alert: the number that can be reached again, and whose sessions are told."""

    number: str
    system_id: str | None = None


def mo_delivery(request: MoRequest) -> Delivery:
    """An MO as deliver_sm: ASCII as it is, anything else as UCS-2.

    Raises ValueError when an address or the text does not fit into one PDU.
    """
    is_ascii = request.text.isascii()
    text = request.text.encode("ascii" if is_ascii else "utf-16-be")
    if len(text) > TEXT_OCTETS_MAX:
        raise ValueError(f"the text has {len(text)} octets, at most {TEXT_OCTETS_MAX} fit")
    for address in (request.source, request.destination):
        if not address or not address.isascii() or len(address) > ADDRESS_MAX:
            raise ValueError(f"an address has 1 to {ADDRESS_MAX} ASCII characters")
    is_number = request.source.lstrip("+").isdigit()
    data_coding = DataCoding.DEFAULT if is_ascii else DataCoding.UCS2
    body = encode_body(
        DeliverSm(
            source_addr_ton=Ton.INTERNATIONAL if is_number else Ton.ALPHANUMERIC,
            source_addr_npi=Npi.E164 if is_number else Npi.UNKNOWN,
            source_addr=request.source.lstrip("+").encode(),
            dest_addr_npi=Npi.E164,
            destination_addr=request.destination.lstrip("+").encode(),
            data_coding=data_coding,
            short_message=text,
        )
    )
    return Delivery(body, token_of(text, 0, data_coding))


def _problem(status: int, detail: str) -> web.Response:
    return web.json_response({"status": status, "detail": detail}, status=status)


class Control:
    """The endpoints."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    async def post_mo(self, request: web.Request) -> web.Response:
        """202 once the MO is on its way to a session, or waits for one of the named system_id."""
        try:
            mo = msgspec.json.decode(await request.read(), type=MoRequest)
            delivery = mo_delivery(mo)
        except (msgspec.DecodeError, ValueError) as error:
            return _problem(422, str(error))
        system_id = mo.system_id.encode() if mo.system_id else self._carrier.receiving_system_id()
        if system_id is None:
            return _problem(409, "no receiver is bound: bind one, or name a system_id")
        self._carrier.deliver(system_id, [delivery])
        return web.json_response({"system_id": system_id.decode("latin-1")}, status=202)

    async def post_alert(self, request: web.Request) -> web.Response:
        """202 once every bound receiver was told."""
        try:
            alert = msgspec.json.decode(await request.read(), type=AlertRequest)
            number = alert.number.lstrip("+").encode("ascii")
            if not 0 < len(number) <= ADDRESS_MAX:
                raise ValueError(f"a number has 1 to {ADDRESS_MAX} ASCII characters")
        except (msgspec.DecodeError, ValueError) as error:
            return _problem(422, str(error))
        pdu = AlertNotification(source_addr_ton=Ton.INTERNATIONAL, source_addr_npi=Npi.E164, source_addr=number)
        told = 0
        for connection in self._bound(alert.system_id):
            if connection.session.can_send(CommandId.ALERT_NOTIFICATION):
                connection.session.send_alerts([pdu], connection.now)
                connection.flush()
                told += 1
        return web.json_response({"sessions": told}, status=202) if told else _problem(409, "no receiver is bound")

    async def post_pdu(self, request: web.Request) -> web.Response:
        """202 once the octets were written to the bound sessions, or to one of them."""
        try:
            wanted = msgspec.json.decode(await request.read(), type=PduRequest)
            octets = octets_of(wanted)
        except (msgspec.DecodeError, ValueError) as error:
            return _problem(422, str(error))
        connections = self._bound(wanted.system_id)
        if not wanted.everybody:
            connections = connections[:1]
        for connection in connections:
            write_octets(connection, octets)
        told = len(connections)
        return web.json_response({"sessions": told}, status=202) if told else _problem(409, "nobody is bound")

    def _bound(self, system_id: str | None) -> list[SmppConnection]:
        return self._carrier.bound(system_id.encode("latin-1", "replace") if system_id else None)

    async def get_stats(self, _: web.Request) -> web.Response:
        """What Carrier.stats() gives."""
        stats: dict[str, Any] = self._carrier.stats()
        return web.json_response(stats)


async def start_control(carrier: Carrier, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Serve the control interface; returns what must be cleaned up at the end, and the port."""
    control = Control(carrier)
    app = web.Application(client_max_size=64 * 1024)
    app.add_routes(
        [
            web.post("/mo", control.post_mo),
            web.post("/alert", control.post_alert),
            web.post("/pdu", control.post_pdu),
            web.get("/stats", control.get_stats),
        ]
    )
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    bound_port: int = runner.addresses[0][1]
    return runner, bound_port
