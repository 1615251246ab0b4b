"""`smscd bench`: load generators for both doors, and the whole benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import msgspec
import uvloop

from smscd.cli.output import Failure, find_instance, instance_options, json_option, print_fields, print_json
from smscd.supervision.ready import ReadyFile
from tools.bench.http import HttpOptions, run_http
from tools.bench.run import run
from tools.bench.smpp import BenchError, SmppOptions, run_smpp
from tools.bench.workload import COUNT_MAX, DESTINATION_PREFIX

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(name="bench")
def bench() -> None:
    """Measure a gateway, or anything else that speaks SMPP, from outside."""


bench.add_command(run)


def ready_of(
    ready_file: Path | None, config_file: Path | None, data_dir: Path | None, *, as_json: bool
) -> ReadyFile | None:
    """What a running instance says of itself: by its ready file, else found as every command finds its instance."""
    if ready_file is None:
        run = find_instance(config_file, data_dir, as_json=as_json).run
        return run.ready if run else None
    try:
        return msgspec.json.decode(ready_file.read_bytes(), type=ReadyFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise Failure(f"{ready_file}: {error}", as_json=as_json) from error


def print_report(report: Mapping[str, object], as_json: bool) -> None:
    """One report: as JSON, or a line for each figure."""
    if as_json:
        print_json(report)
        return
    shown: dict[str, object] = {}
    for name, value in report.items():
        if isinstance(value, Mapping):
            value = "  ".join(f"{key} {part}" for key, part in value.items()) or "none"
        shown[name.replace("_", " ")] = value
    print_fields(shown)


@bench.command()
@instance_options
@click.option("--ready-file", type=FILE, help="Take address and credentials from this ready file.")
@click.option("--host", help="Any SMSC, instead of a running instance.")
@click.option("--port", default=2775, show_default=True, type=click.IntRange(1, 65535), help="With --host.")
@click.option("--system-id", default="bench", show_default=True, help="With --host.")
@click.option("--password", default="", help="With --host.")
@click.option("--count", default=10_000, show_default=True, type=click.IntRange(1, COUNT_MAX), help="Messages.")
@click.option("--connections", default=1, show_default=True, type=click.IntRange(1, 1000), help="ESME connections.")
@click.option("--window", default=100, show_default=True, type=click.IntRange(1, 100_000), help="Each connection's.")
@click.option("--rate", default=0.0, type=click.FloatRange(0), help="Messages a second; 0 keeps the windows full.")
@click.option("--text-length", default=60, show_default=True, type=click.IntRange(24, 160), help="Characters.")
@click.option("--sender", default="BENCH", show_default=True, help="Source address.")
@click.option(
    "--prefix", "prefixes", multiple=True, default=(DESTINATION_PREFIX,), help="Of the destinations; several in turn."
)
@click.option("--receipts/--no-receipts", default=True, show_default=True, help="Ask for receipts.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the receipts.")
@click.option("--keys", is_flag=True, help="Send an idempotency key with every message (TLV 0x1500).")
@click.option("--reconnect", is_flag=True, help="Bind again when a connection is lost; with --keys send again.")
@click.option("--record", type=FILE, help="Append a line for each message sent, answered, receipted.")
@click.option(
    "--patience", default=10.0, show_default=True, type=click.FloatRange(0.1), help="Idle seconds to the end."
)
@click.option("--linger", default=0.0, type=click.FloatRange(0), help="Idle seconds to stay bound at the end.")
@click.option("--burst", is_flag=True, help="50,000 messages over ten connections with a window of 1,000.")
@json_option
def smpp(
    config_file: Path | None,
    data_dir: Path | None,
    ready_file: Path | None,
    host: str | None,
    port: int,
    system_id: str,
    password: str,
    count: int,
    connections: int,
    window: int,
    rate: float,
    text_length: int,
    sender: str,
    prefixes: tuple[str, ...],
    receipts: bool,
    wait: bool,
    keys: bool,
    reconnect: bool,
    record: Path | None,
    patience: float,
    linger: float,
    burst: bool,
    as_json: bool,
) -> None:
    """Submit messages as an ESME and time every answer and every receipt. Exits with 1 when a receipt is missing."""
    if host is None:
        ready = ready_of(ready_file, config_file, data_dir, as_json=as_json)
        if ready is None or not ready.smpp.system_id:
            raise click.UsageError("this instance has no credentials of its own: give --host, --port, --system-id")
        host, port, system_id, password = (
            ready.smpp.host,
            ready.smpp.port,
            ready.smpp.system_id,
            ready.smpp.password,
        )
    if burst:
        count, connections, window, rate = 50_000, 10, 1000, 0.0
    options = SmppOptions(
        host=host,
        port=port,
        system_id=system_id,
        password=password,
        count=count,
        connections=connections,
        window=window,
        rate=rate,
        text_length=text_length,
        sender=sender,
        prefixes=prefixes,
        registered_delivery=int(receipts),
        waits_for_receipts=wait,
        with_keys=keys,
        reconnects=reconnect,
        record=record,
        patience_seconds=patience,
        linger_seconds=linger,
    )
    try:
        report = uvloop.run(run_smpp(options))
    except BenchError as error:
        raise Failure(str(error), as_json=as_json) from error
    print_report(report, as_json)
    if report["lost"] or report["duplicated"] or report["unanswered"]:
        raise SystemExit(1)


@bench.command()
@instance_options
@click.option("--ready-file", type=FILE, help="Take URL and API key from this ready file.")
@click.option("--url", help="http://host:port, instead of a running instance.")
@click.option("--api-key", help="The key for X-Api-Key.")
@click.option("--count", default=10_000, show_default=True, type=click.IntRange(1, COUNT_MAX), help="Requests.")
@click.option("--connections", default=10, show_default=True, type=click.IntRange(1, 1000), help="Keep-alive.")
@click.option("--rate", default=0.0, type=click.FloatRange(0), help="Requests a second; 0 as answers come.")
@click.option("--text-length", default=60, show_default=True, type=click.IntRange(24, 160), help="Characters.")
@click.option("--sender", default="BENCH", show_default=True, help="The from of each message.")
@click.option("--keys", is_flag=True, help="Send an X-Request-ID with every request.")
@click.option("--batch", default=0, type=click.IntRange(0, 1000), help="Messages of a request to /v1/messages/batch.")
@click.option("--callback-url", help="The callback_url of each message.")
@click.option("--record", type=FILE, help="Append a line for each message sent and answered.")
@json_option
def http(
    config_file: Path | None,
    data_dir: Path | None,
    ready_file: Path | None,
    url: str | None,
    api_key: str | None,
    count: int,
    connections: int,
    rate: float,
    text_length: int,
    sender: str,
    keys: bool,
    batch: int,
    callback_url: str | None,
    record: Path | None,
    as_json: bool,
) -> None:
    """Submit messages with POST /v1/messages, or in batches, and time the answers. Exits with 1 when one is missing."""
    if url is None:
        ready = ready_of(ready_file, config_file, data_dir, as_json=as_json)
        url, api_key = (ready.http.url, api_key or ready.http.api_key) if ready else (None, api_key)
    if not url or not api_key:
        raise click.UsageError("give --url and --api-key")
    options = HttpOptions(
        url=url,
        api_key=api_key,
        count=count,
        connections=connections,
        rate=rate,
        text_length=text_length,
        sender=sender,
        with_keys=keys,
        batch=batch,
        callback_url=callback_url,
        record=record,
    )
    try:
        report = uvloop.run(run_http(options))
    except (OSError, ValueError) as error:
        raise Failure(str(error), as_json=as_json) from error
    print_report(report, as_json)
    if report["unanswered"]:
        raise SystemExit(1)
