"""`smscd orphan`: receipts whose message nobody found, listed and matched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
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
    from smscd.admin.orphans import Orphans, Refused
    from smscd.supervision.locate import Location
    from storage.postgres.orphans import Orphan


@click.group()
def orphan() -> None:
    """Receipts whose message nobody found, a quarter of an hour after they came."""


@orphan.command("list")
@click.option("--upstream", help="Only those of this upstream.")
@click.option("--since", type=click.DateTime(), help="Only those that came since then (UTC).")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@instance_options
@json_option
def list_(
    upstream: str | None,
    since: datetime | None,
    limit: int,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Those that are not matched, oldest first."""
    from smscd.admin.orphans import shown

    location = find_instance(config_file, data_dir, as_json=as_json)
    since = since.replace(tzinfo=UTC) if since is not None else None

    async def work() -> list[Orphan]:
        async with _orphans(location) as orphans:
            return await orphans.listed(upstream=upstream, since=since, limit=limit)

    found = [shown(one) for one in run(work, as_json=as_json)]
    if as_json:
        print_json(found)
    elif not found:
        click.echo("there are no orphans")
    else:
        print_table(tuple(found[0]), [tuple(one.values()) for one in found])


@orphan.command()
@click.argument("number", metavar="[ORPHAN]", required=False, type=click.IntRange(1, 2**63 - 1))
@click.option("--message", "message_id", type=click.IntRange(1, 2**63 - 1), help="The message that ORPHAN is of.")
@click.option("--segment", default=1, show_default=True, type=click.IntRange(1), help="The segment that it is of.")
@click.option("--upstream", help="Only those of this upstream.")
@click.option(
    "--form",
    type=click.Choice(["same", "case", "zeros", "decimal", "hex"]),
    help="How its receipts spell ids; as the profile says otherwise.",
)
@instance_options
@json_option
def match(
    number: int | None,
    message_id: int | None,
    segment: int,
    upstream: str | None,
    form: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Look all open orphans up again, or match one by hand. Matched ones are applied as if they had come now."""
    from smscd.admin.orphans import Refused
    from smscd.egress.receipts.record import RecordAway

    if (number is None) != (message_id is None) or (number is not None and (upstream or form)):
        raise click.UsageError("Give ORPHAN with --message, and neither --upstream nor --form; or no ORPHAN at all.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> dict[str, object] | Refused:
        async with _orphans(location) as orphans:
            if number is not None and message_id is not None:
                return await orphans.match_one(number, message_id, operator_name(), segment=segment)
            try:
                found = await orphans.match(operator_name(), upstream=upstream, form=form)
            except RecordAway as error:
                raise Failure(f"PostgreSQL went away ({error}).", as_json=as_json) from error
            return found if isinstance(found, Refused) else {**found}

    found = run(work, as_json=as_json)
    if isinstance(found, Refused):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        print_json(found)
    else:
        click.echo(", ".join(f"{name} {value}" for name, value in found.items()) or "there are no orphans")
    if "not_answered" in (*found, *found.values()):
        raise SystemExit(1)


@asynccontextmanager
async def _orphans(location: Location) -> AsyncIterator[Orphans]:
    from smscd.admin.orphans import Orphans
    from smscd.cli.storage import opened
    from storage.redis.keys import ShardKeys
    from storage.redis.matches import MatchAsks

    async with opened(location) as storage:
        yield Orphans(storage.database, MatchAsks(ShardKeys(0), storage.link))
