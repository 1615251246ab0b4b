"""`smscd doubt`: messages that may have been sent, or not, and what an operator rules on them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.output import (
    Failure,
    find_instance,
    instance_options,
    json_option,
    operator_name,
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from smscd.admin.doubts import Doubt, Doubts, Verb
    from smscd.supervision.locate import Location

MESSAGE_ID = click.IntRange(1, 2**63 - 1)


@click.group()
def doubt() -> None:
    """Messages that may have been sent, or not: their bind was lost before the answer came."""


@doubt.command("list")
@click.option("--upstream", help="Only those of this upstream.")
@click.option("--account", help="Only those of this account.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@instance_options
@json_option
def list_(
    upstream: str | None,
    account: str | None,
    limit: int,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """What stays in doubt now, oldest first: on hold, or sent again twice already."""
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[Doubt]:
        async with _doubts(location, as_json=as_json) as doubts:
            return await doubts.listed(upstream=upstream, account=account, limit=limit)

    found = run(work, as_json=as_json)
    if as_json:
        print_json([one.shown() for one in found])
        return
    if not found:
        click.echo("nothing is in doubt")
        return
    now_ms = int(time.time() * 1000)
    print_table(
        ("id", "account", "upstream", "from", "to", "segments", "for s", "valid for s"),
        [
            (
                one.message.id,
                one.message.account,
                one.message.upstream,
                one.message.source.decode("latin-1"),
                one.message.dest.decode("latin-1"),
                f"{len(one.segments)} of {len(one.message.segments)}",
                (now_ms - one.since_ms) // 1000 if one.since_ms else None,
                max(0, one.message.valid_until_ms - now_ms) // 1000,
            )
            for one in found
        ],
    )


@doubt.command()
@click.argument("message_ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@click.option("--upstream", help="All that is in doubt with this upstream.")
@instance_options
@json_option
def resend(
    message_ids: tuple[int, ...],
    upstream: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Send the segments in doubt again; the customer may get them twice. Exit status 1 unless all of it is done."""
    _rule("resend", message_ids, upstream, config_file, data_dir, as_json=as_json)


@doubt.command()
@click.argument("message_ids", metavar="[ID]...", nargs=-1, type=MESSAGE_ID)
@click.option("--upstream", help="All that is in doubt with this upstream.")
@instance_options
@json_option
def fail(
    message_ids: tuple[int, ...],
    upstream: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """End messages as failed: refunded by their tariff, and the customer is told. Exit status 1 unless all is done."""
    _rule("fail", message_ids, upstream, config_file, data_dir, as_json=as_json)


def _rule(
    verb: Verb,
    message_ids: Sequence[int],
    upstream: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    if bool(message_ids) == (upstream is not None):
        raise click.UsageError("Name messages by their ids, or all of an upstream with --upstream.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> tuple[dict[int, str], dict[str, int]]:
        async with _doubts(location, as_json=as_json) as doubts:
            if upstream is not None:
                counted = await doubts.rule_upstream(verb, upstream, operator_name())
                return {}, {str(what): count for what, count in counted.items()}
            ruled = await doubts.rule(verb, message_ids, operator_name())
            return {**ruled}, Counter(str(what) for what in ruled.values())

    ruled, counts = run(work, as_json=as_json)
    if as_json:
        print_json({"messages": {str(one): what for one, what in ruled.items()}, **counts})
    else:
        for one, what in ruled.items():
            click.echo(f"{one}  {_SAID[what]}")
        if upstream is not None:
            click.echo(", ".join(f"{count} {_SAID[what]}" for what, count in counts.items()) or "nothing is in doubt")
    if counts.keys() - {"done"}:
        raise SystemExit(1)


_SAID = {
    "done": "done",
    "not_in_doubt": "not in doubt, or over",
    "not_answered": "not answered: no process owns the upstream; list them again before you repeat it",
}


@asynccontextmanager
async def _doubts(location: Location, *, as_json: bool) -> AsyncIterator[Doubts]:
    from smscd.admin.doubts import Doubts, UnknownUpstream
    from smscd.cli.storage import opened
    from storage.redis.changes import ChangeAsks
    from storage.redis.keys import ShardKeys
    from storage.redis.rest import RestReader

    keys = ShardKeys(0)
    async with opened(location) as storage:
        try:
            yield Doubts(storage.database, RestReader(keys, storage.link), ChangeAsks(keys, storage.link))
        except UnknownUpstream as error:
            raise Failure(str(error), as_json=as_json, code="not_found") from error
