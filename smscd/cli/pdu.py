"""`smscd pdu decode`: what SMPP bytes mean."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from smscd.cli.output import Failure, find_instance, give_up, instance_options, json_option, print_json, run

if TYPE_CHECKING:
    from smscd.supervision.locate import Location
    from smscd.transport.trace import TracedPdu

_PATH_SIZE_MAX = 255
_SESSION_ID = re.compile(r"[0-9a-f]{6}-[0-9]+")


@click.group()
def pdu() -> None:
    """Look at SMPP bytes."""


@pdu.command()
@click.argument("given", metavar="[HEX|FILE|-]...", nargs=-1)
@click.option("--show-passwords", is_flag=True, help="Print passwords of binds as they are.")
@json_option
def decode(given: tuple[str, ...], show_passwords: bool, as_json: bool) -> None:
    """Decode PDUs, one after the other, from hexadecimal digits, a file, or standard input (-, or nothing).

    A file and standard input may hold the bytes themselves or their digits. In digits spaces, colons and 0x are
    ignored.
    """
    from protocols.smpp import codec
    from protocols.smpp.errors import FramingError, PduError
    from smscd.cli.pdu_text import lines_of

    data = _read(given)
    if not data:
        raise click.UsageError("There are no bytes to decode.")
    described: list[dict[str, Any]] = []
    bad = 0
    for position, frame in _frames(data):
        try:
            decoded = codec.decode(frame)
        except FramingError as error:
            _give_up(f"at octet {position}: {error}", described, as_json=as_json)
        except PduError as error:
            bad += 1
            lines = [*_header_lines(frame), ("error", str(error))]
            described.append(dict(lines))
        else:
            lines = lines_of(decoded, len(frame), show_passwords=show_passwords)
            described.append(describe(frame, show_passwords=show_passwords))
        if not as_json:
            _print(position, lines)
    if bad:
        _give_up(f"{bad} of {len(described)} PDUs cannot be read", described, as_json=as_json)
    if as_json:
        print_json(described if len(described) > 1 else described[0])


def _give_up(message: str, described: list[dict[str, Any]], *, as_json: bool) -> NoReturn:
    if as_json:
        raise Failure(message, as_json=True, decoded=described)
    give_up(message, as_json=False)


def _read(given: tuple[str, ...]) -> bytes:
    """The bytes that the arguments mean. Raises click.UsageError."""
    if not given or given == ("-",):
        return _bytes_of(sys.stdin.buffer.read())
    (path,) = given if len(given) == 1 else ("",)
    if path and len(path) <= _PATH_SIZE_MAX and Path(path).is_file():
        return _bytes_of(Path(path).read_bytes())
    digits = _digits("".join(given))
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise click.UsageError(f"That is neither a file nor hexadecimal: {error}.") from error


def _bytes_of(content: bytes) -> bytes:
    """What a file holds: digits when it has nothing else, for a PDU begins with a NUL."""
    try:
        return bytes.fromhex(_digits(content.decode("ascii")))
    except ValueError:
        return content


def _digits(text: str) -> str:
    return re.sub(r"0[xX]|[\s:,]", "", text)


def _frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each PDU with its position; what is not framed as one is the last."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        frame = data[position : position + max(length, 16)]
        yield position, frame
        position += len(frame)


def _header_lines(frame: bytes) -> list[tuple[str, str]]:
    """The header of a PDU that cannot be read further."""
    from protocols.smpp.codec import HEADER
    from protocols.smpp.constants import CommandId, CommandStatus
    from smscd.cli.pdu_text import named

    length, command_id, command_status, sequence_number = HEADER.unpack_from(frame)
    return [
        ("command_length", str(length)),
        ("command_id", named(CommandId, command_id).lower()),
        ("command_status", named(CommandStatus, command_status)),
        ("sequence_number", str(sequence_number)),
        ("body", "0x" + frame[16:].hex()),
    ]


def describe(frame: bytes, *, show_passwords: bool = False) -> dict[str, Any]:
    """One PDU as names and values, in wire order, for programs. Raises SmppError."""
    from protocols.smpp import codec, tlv
    from protocols.smpp.constants import CommandId, CommandStatus, TlvTag
    from smscd.cli.pdu_text import named, receipt_of, shown

    decoded = codec.decode(frame)
    fields: dict[str, Any] = {
        "command": CommandId(decoded.command_id).name.lower(),
        "command_length": len(frame),
        "command_status": named(CommandStatus, decoded.command_status),
        "sequence_number": decoded.sequence_number,
    }
    for field in dataclasses.fields(decoded):
        if field.name in ("sequence_number", "command_status", "tlvs"):
            continue
        value = getattr(decoded, field.name)
        is_hidden = field.name == "password" and bool(value) and not show_passwords
        fields[field.name] = "***" if is_hidden else _plain(value)
    tags = {int(tag): tag.name.lower() for tag in TlvTag}
    tlvs: dict[str, list[object]] = {}
    for tag, octets in tlv.parse(decoded.tlvs):
        name, value = tags.get(tag, f"0x{tag:04x}"), tlv.read(tlv.encode([(tag, octets)])).get(tag, octets)
        tlvs.setdefault(name, []).append(shown(value))
    if tlvs:
        # A tag that comes more than once keeps all its values.
        fields["tlvs"] = {name: values if len(values) > 1 else values[0] for name, values in tlvs.items()}
    receipt = receipt_of(decoded)
    if receipt is not None:
        fields["receipt"] = {field.name: shown(getattr(receipt, field.name)) for field in dataclasses.fields(receipt)}
    return fields


def _plain(value: Any) -> Any:
    """A field's value for JSON; structures as objects."""
    from smscd.cli.pdu_text import shown

    if isinstance(value, tuple):
        return [{name: shown(part) for name, part in dataclasses.asdict(row).items()} for row in value]
    return shown(value)


def _print(position: int, lines: list[tuple[str, str]]) -> None:
    if position:
        click.echo()
    click.echo(f"PDU at octet {position}")
    for name, value in lines:
        click.echo(f"  {name}: {value}" if value else f"  {name}:")


@pdu.command()
@click.argument("target", metavar="SESSION")
@click.option("--seconds", default=0.0, type=click.FloatRange(min=0), help="Stop after this long; 0: until Ctrl-C.")
@instance_options
@json_option
def trace(target: str, seconds: float, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Show the PDUs of a session as they pass, passwords, texts and numbers hidden.

    SESSION is an id of `smscd session list`, a system_id, an account, an upstream, or the address of a peer
    (127.0.0.1 or 127.0.0.1:40123). An id is watched by the address of its peer.
    """
    import msgspec

    from smscd.transport.trace import TracedPdu
    from storage.redis.keys import ShardKeys
    from storage.redis.link import RedisLink
    from storage.redis.traces import WATCH_SECONDS, Traces, listen

    location = find_instance(config_file, data_dir, as_json=as_json)
    keys = ShardKeys(0)
    if _SESSION_ID.fullmatch(target):
        target = _address_of(target, location, as_json=as_json)

    async def work() -> None:
        link = RedisLink(location.redis_url, name="smscd-command")
        traces = Traces(keys, link)

        async def renew() -> None:
            while True:
                await traces.watch(target)
                await asyncio.sleep(WATCH_SECONDS / 3)

        renewing = asyncio.create_task(renew())
        try:
            async with asyncio.timeout(seconds or None):
                async for record in listen(location.redis_url, keys, target):
                    _print_traced(msgspec.msgpack.decode(record, type=TracedPdu), as_json=as_json)
        except TimeoutError:
            pass
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await traces.unwatch(target)
            await link.close()

    if not as_json:
        click.echo(f"Watching {target}; Ctrl-C ends it.", err=True)
    run(work, as_json=as_json)


def _address_of(session: str, location: Location, *, as_json: bool) -> str:
    """Where the peer of a live session is; of none, what was asked for, because it may be somebody's name."""
    from smscd.admin.sessions import LiveSessions
    from smscd.cli.storage import opened
    from storage.redis.keys import ShardKeys

    async def work() -> str | None:
        async with opened(location) as storage:
            listed = await LiveSessions(storage.database, ShardKeys(0), storage.link).listed()
        return next((one.address for one in listed.found if one.id == session), None)

    found = run(work, as_json=as_json)
    if found is None:
        click.echo(f"There is no session {session}: `smscd session list` shows those that there are.", err=True)
    return found or session


def _print_traced(traced: TracedPdu, *, as_json: bool) -> None:
    from protocols.smpp import codec
    from protocols.smpp.errors import SmppError
    from smscd.cli.pdu_text import lines_of

    at = time.strftime("%H:%M:%S", time.gmtime(traced.at_ms // 1000)) + f".{traced.at_ms % 1000:03d}"
    direction = "to" if traced.is_ours else "from"
    try:
        decoded = codec.decode(traced.frame)
        described, lines = describe(traced.frame), lines_of(decoded, len(traced.frame), show_passwords=False)
    except SmppError as error:
        lines = [*_header_lines(traced.frame), ("error", str(error))]
        described = dict(lines)
    if as_json:
        head = {"at_ms": traced.at_ms, "session": traced.session, "direction": direction, "lost": traced.lost}
        click.echo(json.dumps(head | described, default=str))
        return
    if traced.lost:
        click.echo(f"({traced.lost} PDUs are not shown: there were too many)")
    click.echo(f"{at} {direction} {traced.session}")
    for name, value in lines:
        click.echo(f"    {name}: {value}")
