"""`smscd upstream test`: what an upstream does with one message, and what of it to pin."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.output import (
    Failure,
    find_instance,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    run,
)
from smscd.cli.upstream import upstream

if TYPE_CHECKING:
    from smscd.admin.orders import Refusal
    from smscd.admin.upstream_findings import Observed
    from smscd.core.upstream import Upstream


@upstream.command()
@click.argument("name")
@click.option("--to", required=True, metavar="NUMBER", help="A phone of yours.")
@click.option("--from", "sender", default="", metavar="SENDER", help="The sender; the carrier's default otherwise.")
@click.option(
    "--wait", default=60.0, show_default=True, type=click.FloatRange(0, 3600), help="Seconds for the receipt."
)
@instance_options
@json_option
def test(
    name: str, to: str, sender: str, wait: float, config_file: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    """Bind, send one message to a number of yours, wait for its receipt, and say what to pin.

    It binds from this process, which is ONE BIND MORE than the profile has (two where it has pairs): a carrier that
    allows no more refuses it, or ends another. The message costs what the carrier asks; no account is charged. A
    receipt that comes over a bind of the daemon instead is not seen here: disable the upstream for the test then. What
    comes here for others is answered ESME_RX_T_APPN, and the carrier sends it again.

    Exit status 1 when the bind or the message was refused, or no final receipt came.
    """
    from smscd.admin import upstreams
    from smscd.admin.orders import Refusal
    from smscd.admin.upstream_findings import findings, looks
    from smscd.admin.upstream_test import UpstreamTest
    from smscd.cli.storage import opened
    from smscd.core.addresses import detect_source, find_destination
    from smscd.core.directory_index import PlannedSource
    from smscd.core.reasons import Rejected
    from smscd.core.submission import DETECT
    from smscd.core.upstream_fields import BY_NAME, to_text
    from smscd.transport.dial import connect
    from storage.postgres import operators

    dest = find_destination(DETECT, DETECT, to.encode("ascii", "replace"))
    source = detect_source(DETECT, DETECT, sender.encode("ascii", "replace")) if sender else PlannedSource(0, 0, b"")
    if isinstance(dest, Rejected):
        raise click.UsageError(f"--to {to} is no number: write it as +447700900123.")
    if source is None:
        raise click.UsageError(f"--from {sender} is no sender: a number, a short code, or up to 11 letters and digits.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> tuple[Upstream, Observed] | Refusal:
        async with opened(location) as storage:
            found = await upstreams.find(name, storage.database)
            if isinstance(found, Refusal):
                return found
            if found.bind_mode == "receiver":
                detail = f"{name} has receivers only, which send nothing: test an upstream that sends."
                return Refusal("upstream_cannot_send", 409, detail)
            await operators.log(storage.database, operator_name(), "upstream.test", name)
        loop = asyncio.get_running_loop()
        tested = UpstreamTest(found, dial=connect, clock=loop.time, wall_ms=lambda: int(time.time() * 1000))
        return found, await tested.run(source, dest, wait)

    outcome = run(work, as_json=as_json)
    if isinstance(outcome, Refusal):
        raise Failure(outcome.detail, as_json=as_json, code=outcome.code)
    profile, seen = outcome
    found = findings(profile, seen)
    shows = dict(looks(seen.octets)) if seen.submit_status == 0 and profile.default_alphabet in _SHOWN else {}
    if as_json:
        print_json(
            {
                "upstream": name,
                "good": found.is_good,
                "facts": found.facts,
                "remarks": found.remarks,
                "suggestion": found.suggestion,
                "looks": shows,
            }
        )
    else:
        print_fields(found.facts)
        for remark in found.remarks:
            click.echo(remark)
        if shows:
            click.echo("Look at the phone. What it shows tells what data_coding 0 is to the carrier (--alphabet):")
            print_fields({f"  {alphabet}": text for alphabet, text in shows.items()})
        if found.suggestion:
            pinned = " ".join(
                f"--{BY_NAME[field].option}" + ("" if value is True else f" {to_text(value)}")
                for field, value in found.suggestion.items()
            )
            click.echo(f"To pin what was learned: smscd upstream set {name} {pinned}")
    if not found.is_good:
        raise SystemExit(1)


_SHOWN = ("unknown", "gsm")
