"""`smscd audit list`: what operators did, by command and over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.output import find_instance, instance_options, json_option, print_json, print_table, run

if TYPE_CHECKING:
    from storage.postgres.audit_log import AuditEntry

LIMIT_MAX = 10_000


class Moment(click.ParamType[datetime]):
    """A date, or a time with its zone."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Text to a moment; without a zone it is one of UTC."""
        if isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value} is not a time such as 2026-12-01 or 2026-12-01T00:00:00Z", param, ctx)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@click.group()
def audit() -> None:
    """What operators did."""


@audit.command("list")
@click.option("--operator", metavar="NAME", help="By this operator; a command's is cli:USER.")
@click.option("--action", metavar="WORD", help="Of this action, or of all that begin so: account, account.suspend.")
@click.option("--subject", metavar="NAME", help="Done to this account, upstream, ...")
@click.option("--since", type=Moment(), help="From this moment on.")
@click.option("--until", type=Moment(), help="Before this moment.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, LIMIT_MAX))
@instance_options
@json_option
def list_(
    operator: str | None,
    action: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Who did what to whom, when, whence, and what it was before; newest first."""
    import msgspec

    from smscd.admin.audit import shown
    from smscd.cli.storage import opened
    from storage.postgres.audit_log import read_page

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[AuditEntry]:
        async with opened(location) as storage:
            return await read_page(
                storage.database,
                limit=limit,
                operator=operator,
                action=action,
                subject=subject,
                since=since,
                until=until,
            )

    found = run(work, as_json=as_json)
    if as_json:
        print_json([msgspec.to_builtins(shown(entry)) for entry in found])
        return
    print_table(
        ("at", "operator", "from", "action", "subject", "what"),
        [
            (f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.operator, entry.address, entry.action, entry.subject, what(entry))
            for entry in found
        ],
    )


def what(entry: AuditEntry) -> str:
    """What changed, in a line."""
    old, new = entry.old or {}, entry.new or {}
    said = []
    for name in {**old, **new}:
        before, after = (json.dumps(side[name], ensure_ascii=False) if name in side else "" for side in (old, new))
        if before != after:
            said.append(f"{name}: {before} -> {after}" if before and after else f"{name}: {before or after}")
    return ", ".join(said)
