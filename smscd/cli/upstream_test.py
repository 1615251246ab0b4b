"""`smscd upstream test`: what an upstream does with one message, and what of it to pin."""

from __future__ import annotations

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
    from smscd.admin.upstream_trial import Trial


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
    from smscd.admin import upstream_trial
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened
    from smscd.core.upstream_fields import BY_NAME, to_text
    from smscd.transport.dial import connect

    addresses = upstream_trial.addresses_of(to, sender)
    if isinstance(addresses, Refusal):
        raise click.UsageError(" ".join(f"--{option}: {rule}" for option, rule in addresses.faults))
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> Trial | Refusal:
        async with opened(location) as storage:
            profile = await upstream_trial.begin(name, addresses, operator_name(), storage.database)
        if isinstance(profile, Refusal):
            return profile
        return await upstream_trial.run(
            profile, addresses, dial=connect, wall_ms=lambda: int(time.time() * 1000), receipt_seconds=wait
        )

    outcome = run(work, as_json=as_json)
    if isinstance(outcome, Refusal):
        raise Failure(outcome.detail, as_json=as_json, code=outcome.code)
    found, shows = outcome.found, outcome.looks
    if as_json:
        print_json(outcome.shown())
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
