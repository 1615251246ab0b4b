"""`smscd send` and `smscd message show`: one message in by HTTP, and what became of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from smscd.cli.account import shown_money
from smscd.cli.output import (
    find_instance,
    give_up,
    instance_options,
    json_option,
    print_fields,
    print_json,
    run,
)

POLL_SECONDS = 0.1
# What was just accepted is on its way into the record.
RECORD_SECONDS = 2.0
FINAL = ("delivered", "undelivered", "expired", "rejected", "failed", "canceled", "unknown")


@click.command()
@instance_options
@click.option("--to", required=True, help="The destination, E.164.")
@click.option("--from", "sender", default="smscd", show_default=True, help="The sender.")
@click.option("--text", required=True)
@click.option("--url", help="The HTTP interface; that of the instance otherwise.")
@click.option("--api-key", envvar="SMSCD_API_KEY", help="The account's key; that of a demo otherwise.")
@click.option("--request-id", help="Idempotency key: the same one sends once.")
@click.option("--client-ref", help="Your own reference.")
@click.option("--wait", is_flag=True, help="Wait until the message is final, at most --patience seconds.")
@click.option("--patience", default=30.0, show_default=True, type=click.FloatRange(0))
@json_option
def send(
    config_file: Path | None,
    data_dir: Path | None,
    to: str,
    sender: str,
    text: str,
    url: str | None,
    api_key: str | None,
    request_id: str | None,
    client_ref: str | None,
    wait: bool,
    patience: float,
    as_json: bool,
) -> None:
    """Send a message. Exit status 1 when it is refused, or with --wait when it was not delivered."""
    url, key = _interface(config_file, data_dir, url, api_key, as_json)
    body = {"to": to, "from": sender, "text": text}
    if client_ref is not None:
        body["client_ref"] = client_ref
    headers = {"X-Api-Key": key} | ({"X-Request-ID": request_id} if request_id else {})

    async def work() -> tuple[int, dict[str, Any]]:
        import aiohttp

        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=15)) as session:
            async with session.post(f"{url}/v1/messages", json=body) as answer:
                status, message = answer.status, await answer.json(content_type=None)
            deadline = time.monotonic() + patience
            while wait and status < 300 and message["status"] not in FINAL and time.monotonic() < deadline:
                await asyncio.sleep(POLL_SECONDS)
                async with session.get(f"{url}/v1/messages/{message['id']}") as answer:
                    if answer.status == 200:
                        message = await answer.json()
            return status, message

    status, message = run(work, as_json=as_json)
    if status >= 300:
        reasons = [f"{error['pointer']} {error['detail']}" for error in message.get("errors", ())]
        give_up("; ".join(reasons) or message.get("detail") or f"HTTP status {status}", as_json=as_json)
    if as_json:
        print_json(message)
    else:
        shown = {name: message[name] for name in ("id", "status", "to", "from", "encoding", "segments")}
        print_fields({**shown, "price": f"{message['price']['amount']} {message['price']['currency']}"})
    if wait and message["status"] != "delivered":
        raise SystemExit(1)


def _interface(
    config_file: Path | None, data_dir: Path | None, url: str | None, api_key: str | None, as_json: bool
) -> tuple[str, str]:
    """The HTTP interface to talk to, and a key for it."""
    if not url or not api_key:
        location = find_instance(config_file, data_dir, as_json=as_json)
        known = location.run.ready.http if location.run is not None else None
        url = url or (known.url if known is not None else None)
        api_key = api_key or (known.api_key if known is not None else None)
    if not url:
        give_up("The HTTP interface is not known: give --url.", as_json=as_json)
    if not api_key:
        give_up("The account's key is not known: give --api-key or set SMSCD_API_KEY.", as_json=as_json)
    return url.rstrip("/"), api_key


@click.group()
def message() -> None:
    """Look at messages."""


class MessageIdParameter(click.IntRange):
    """A message's id, or the UUID that a customer of Jasmin's door has for it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to an id."""
        from smscd.core.callback_forms import message_id_of

        return super().convert(message_id_of(str(value)) or value, param, ctx)


@message.command()
@click.argument("message_id", metavar="ID", type=MessageIdParameter(1, 2**63 - 1))
@instance_options
@json_option
def show(message_id: int, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """A message with its timeline, as the record has it. The text is not shown.

    ID is the message's own, or the UUID that Jasmin's door gave.
    """
    from smscd.core.records import State
    from storage.postgres.messages import StoredMessage, get_message
    from storage.postgres.pool import connect

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> StoredMessage | None:
        database = await connect(location.postgres_dsn, name="smscd command")
        try:
            deadline = time.monotonic() + RECORD_SECONDS
            while True:
                found = await get_message(database, message_id, with_timeline=True)
                if found is not None or time.monotonic() > deadline:
                    return found
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await database.close()

    found = run(work, as_json=as_json)
    if found is None:
        give_up(f"There is no message {message_id} in the record.", as_json=as_json)
    fields: dict[str, Any] = {
        "id": str(found.id),
        "account": found.account,
        "status": State(found.state).name.lower(),
        "from": found.source.decode("latin-1"),
        "to": found.dest.decode("latin-1"),
        "upstream": found.upstream or None,
        "segments": found.parts,
        "price": shown_money(found.price_micros, ""),
        "refunded": shown_money(found.refunded_micros, "") if found.refunded_micros else None,
        "maybe_duplicate": True if found.maybe_duplicate else None,
        "error": found.error_code,
        "client_ref": found.client_ref,
        "request_key": found.request_key,
        "done_at": found.done_at,
    }
    timeline = [
        {"at": at.at, "what": at.what, "segment": at.segment, "attempt": at.attempt, "upstream": at.upstream}
        | {"detail": at.detail}
        for at in found.timeline
    ]
    if as_json:
        print_json(fields | {"timeline": timeline})
        return
    print_fields(fields)
    click.echo("\ntimeline (UTC)")
    for at in found.timeline:
        where = [
            at.upstream,
            f"segment {at.segment + 1}" if at.segment is not None and len(found.segments) > 1 else None,
            f"attempt {at.attempt + 1}" if at.attempt else None,
        ]
        line = f"{at.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {at.what:<10}  {', '.join(filter(None, where))}"
        click.echo(line.rstrip())
        if at.detail:
            click.echo(f"{'':<25}{at.detail}")
