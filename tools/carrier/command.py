"""`smscd carrier`: the simulated carrier as a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
from dataclasses import dataclass
from pathlib import Path

import click
import uvloop

from protocols.smpp.constants import InterfaceVersion
from protocols.smpp.limits import SessionConfig
from smscd.transport.connection import Callbacks
from smscd.transport.listener import listen
from tools.carrier.behaviour import BEHAVIOURS
from tools.carrier.control import start_control
from tools.carrier.options import CarrierOptions
from tools.carrier.outbind import OutbindOptions, keep_calling
from tools.carrier.receipts import ID_FORMS
from tools.carrier.smsc import Carrier
from tools.carrier.trouble import Trouble
from tools.record import RecordWriter

WINDOW_SIZE = 10_000
CLOSE_SECONDS = 2.0
GC_THRESHOLD = 50_000
"""PDUs and receipts are no garbage cycles: the collector need not look through them every 700."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where the carrier listens and what it writes beside its answers."""

    host: str = "127.0.0.1"
    port: int = 2776
    control_port: int | None = None
    record: Path | None = None
    ready_file: Path | None = None
    as_json: bool = False
    outbind: OutbindOptions | None = None


async def serve_carrier(options: CarrierOptions, serve: ServeOptions) -> None:
    """Run a carrier until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    record = RecordWriter(serve.record) if serve.record else None
    carrier = Carrier(options, loop, record)
    is_of_5_0 = options.congestion_state is not None
    version = InterfaceVersion.V5_0 if is_of_5_0 else InterfaceVersion.V3_4
    config = SessionConfig(window_size=WINDOW_SIZE, interface_version=version)
    callbacks = Callbacks(carrier.on_open, carrier.on_events, carrier.on_closed)
    listener = await listen(serve.host, serve.port, config=config, callbacks=callbacks)
    ready: dict[str, object] = {"host": serve.host, "port": listener.port}
    runner = None
    if serve.control_port is not None:
        runner, ready["control_port"] = await start_control(carrier, serve.host, serve.control_port)
    announce(ready, serve)
    calling = asyncio.create_task(keep_calling(carrier, serve.outbind, config)) if serve.outbind else None
    try:
        await stopping.wait()
    finally:
        listener.stop_accepting()
        if calling is not None:
            calling.cancel()
        if runner is not None:
            await runner.cleanup()
        await carrier.close(CLOSE_SECONDS)
        listener.abort_all()
        if record is not None:
            record.close()


def announce(ready: dict[str, object], serve: ServeOptions) -> None:
    """Say where the carrier is: on standard output, and in the ready file, which appears complete or not at all."""
    if serve.as_json:
        click.echo(json.dumps(ready))
    else:
        control = f", control http://{ready['host']}:{ready['control_port']}" if "control_port" in ready else ""
        click.echo(f"carrier listens on smpp://{ready['host']}:{ready['port']}{control}")
    if serve.ready_file:
        partial = serve.ready_file.with_name(serve.ready_file.name + ".partial")
        partial.write_text(json.dumps(ready))
        partial.replace(serve.ready_file)


def outbind_of(target: str, system_id: str, password: str) -> OutbindOptions:
    """The options of --outbind HOST:PORT. Raises click.UsageError."""
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise click.UsageError("--outbind is written HOST:PORT.")
    return OutbindOptions(host=host.strip("[]"), port=int(port), system_id=system_id, password=password)


@click.command(name="carrier")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=2776, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option("--system-id", help="Accept only this system_id; anybody's otherwise.")
@click.option("--password", help="Accept only this password; any otherwise.")
@click.option("--latency", default=0.0, type=click.FloatRange(0), help="Seconds until a message is answered.")
@click.option("--receipt-delay", default=0.0, type=click.FloatRange(0), help="Seconds from the answer to the receipt.")
@click.option("--response-ids", default="decimal", type=click.Choice(sorted(ID_FORMS)), help="Ids in submit_sm_resp.")
@click.option("--receipt-ids", default="decimal", type=click.Choice(sorted(ID_FORMS)), help="Ids in receipts.")
@click.option("--receipt-tlvs/--no-receipt-tlvs", default=True, help="receipted_message_id and message_state.")
@click.option("--receipt-window", default=500, show_default=True, type=click.IntRange(1, 10_000), help="Unanswered.")
@click.option("--rate", default=0.0, type=click.FloatRange(0), help="Messages a second; above it ESME_RTHROTTLED.")
@click.option("--data-sm", "as_data_sm", is_flag=True, help="Receipts and MOs as data_sm instead of deliver_sm.")
@click.option("--no-transceivers", is_flag=True, help="Only transmitters and receivers may bind, as before SMPP 3.4.")
@click.option("--congestion", type=click.IntRange(0, 100), help="congestion_state in responses to peers of SMPP 5.0.")
@click.option(
    "--mood",
    default="000",
    show_default=True,
    type=click.Choice([suffix.decode() for suffix in BEHAVIOURS]),
    help="What other numbers get than those below.",
)
@click.option("--garbage", is_flag=True, help="Answer every submit_sm with what is no PDU.")
@click.option("--close-after", default=0, type=click.IntRange(0), help="Cut a session off at this submit_sm of it.")
@click.option("--reverse", default=0.0, type=click.FloatRange(0), help="Answer out of order, half so much later.")
@click.option("--flap", default=0.0, type=click.FloatRange(0), help="Seconds to be there, and to be away, in turn.")
@click.option("--binds-max", default=0, type=click.IntRange(0), help="More binds are refused (ESME_RALYBND); 0: any.")
@click.option(
    "--outbind", metavar="HOST:PORT", help="Call this ESME, say outbind, and let it bind; again when it ends."
)
@click.option("--outbind-system-id", default="carrier", show_default=True, help="What the outbind says.")
@click.option("--outbind-password", default="secret", show_default=True)
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), help="Append a line for each PDU.")
@click.option(
    "--control", "control_port", type=click.IntRange(0, 65535), help="Port of POST /mo, /alert, /pdu, GET /stats."
)
@click.option(
    "--ready-file", type=click.Path(path_type=Path, dir_okay=False), help="JSON with the ports, once it serves."
)
@click.option("--json", "as_json", is_flag=True, help="Print the ports as JSON.")
def carrier(
    host: str,
    port: int,
    system_id: str | None,
    password: str | None,
    latency: float,
    receipt_delay: float,
    response_ids: str,
    receipt_ids: str,
    receipt_tlvs: bool,
    receipt_window: int,
    rate: float,
    as_data_sm: bool,
    no_transceivers: bool,
    congestion: int | None,
    mood: str,
    garbage: bool,
    close_after: int,
    reverse: float,
    flap: float,
    binds_max: int,
    outbind: str | None,
    outbind_system_id: str,
    outbind_password: str,
    record: Path | None,
    control_port: int | None,
    ready_file: Path | None,
    as_json: bool,
) -> None:
    """Run a simulated carrier (SMSC). What it does is chosen by the last three digits of the destination.

    \b
    000 and all others  accepted, receipt DELIVRD
    001 002 003         accepted, receipt UNDELIV, EXPIRED, REJECTD
    008                 ESME_RSYSERR twice for a number, then accepted
    010                 ESME_RINVDSTADR
    058                 ESME_RTHROTTLED, always
    088                 ESME_RTHROTTLED three times for a number, then accepted
    404                 never answered
    500                 drops the connection once for a number, then accepted
    777                 receipt before the answer
    888                 receipt twice
    999                 no receipt

    \b
    The control port takes JSON:
    POST /mo     {"from": "447700900999", "to": "12345", "text": "hello"}   a message from a phone
    POST /alert  {"number": "447700900123"}                                 alert_notification
    POST /pdu    {"command": "deliver_sm", "fields": {"source_addr": "1", "short_message": {"hex": "00"}},
                  "tlvs": [{"tag": 30, "hex": "313200"}]} or {"hex": "00000010..."}, to every bound session;
                  "everybody": false is one of them, "system_id" those of one ESME
    GET /stats   what happened so far
    """
    options = CarrierOptions(
        system_id=system_id,
        password=password,
        latency_seconds=latency,
        receipt_delay_seconds=receipt_delay,
        response_ids=response_ids,
        receipt_ids=receipt_ids,
        receipt_tlvs=receipt_tlvs,
        receipt_window=receipt_window,
        rate=rate,
        as_data_sm=as_data_sm,
        takes_transceivers=not no_transceivers,
        congestion_state=congestion,
        trouble=Trouble(
            mood=mood.encode(),
            garbage=garbage,
            closes_after=close_after,
            reversed_seconds=reverse,
            flap_seconds=flap,
            binds_max=binds_max,
        ),
    )
    serve = ServeOptions(
        host=host,
        port=port,
        control_port=control_port,
        record=record,
        ready_file=ready_file,
        as_json=as_json,
        outbind=outbind_of(outbind, outbind_system_id, outbind_password) if outbind else None,
    )
    gc.set_threshold(GC_THRESHOLD)
    try:
        uvloop.run(serve_carrier(options, serve))
    except OSError as error:
        raise click.ClickException(f"{host}:{port}: {error}") from error
