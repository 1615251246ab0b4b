"""`smscd recover`: builds a Redis that was lost, or that is an old copy, from PostgreSQL."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.output import (
    Failure,
    give_up,
    json_option,
    operator_name,
    print_fields,
    print_json,
    progress_bars,
    run,
)

if TYPE_CHECKING:
    from smscd.config import Config
    from smscd.recovery.report import Report

_EMBEDDED = ("SMSCD_REDIS_URL", "SMSCD_POSTGRES_DSN", "SMSCD_POSTGRES_OWNER_DSN", "SMSCD_STATE_DIR")
NAMES = {"balances": "balances from the ledger", "record": "messages of the record"}


@click.command()
@click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file of the instance, as for `smscd serve`.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Overrules state_dir; alone: the directory of a demo.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--force",
    is_flag=True,
    help="Also when Redis is not behind the record, and when the ledger of an account cannot be believed.",
)
@json_option
def recover(
    config_file: Path | None, data_dir: Path | None, dry_run: bool, yes: bool, force: bool, as_json: bool
) -> None:
    """Build Redis from PostgreSQL while smscd is stopped: balances, unsent messages, answers, callbacks.

    For a Redis that is empty or an older copy, which smscd refuses to serve from. Everything of ours in it is removed
    first. It may be interrupted, and is then begun again.
    """
    from smscd.config_file import ConfigError, load
    from smscd.telemetry import configure_logs

    environment = dict(os.environ)
    if data_dir is not None and config_file is None:
        environment = {name: value for name, value in environment.items() if name not in _EMBEDDED}
    try:
        config = load(config_file, environment)
    except ConfigError as error:
        raise Failure(str(error), as_json=as_json, mistakes=error.mistakes) from error
    if not (dry_run or yes or (sys.stdin.isatty() and not as_json)):
        give_up("This removes what is in Redis: say --yes, or --dry-run to see what it would do.", as_json=as_json)
    configure_logs("warning", config.log.format)
    state_dir = data_dir or Path(config.state_dir)
    report = run(lambda: _recover(config, state_dir, dry_run, yes, force, as_json), as_json=as_json)
    if report is None:
        give_up("Nothing was changed.", as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **_figures(report)})
        return
    _print(report)
    click.echo("\nNothing was changed." if dry_run else "\nRedis is rebuilt. Start smscd.")


async def _recover(
    config: Config, state_dir: Path, dry_run: bool, yes: bool, force: bool, as_json: bool
) -> Report | None:
    """The report of what was done, or would be; None when the operator said no."""
    from smscd.recovery.instance import opened
    from smscd.recovery.recover import RecoveryRefused
    from smscd.supervision.instance import InstanceError
    from smscd.supervision.startup import StartupError

    try:
        async with opened(config, state_dir, changes_nothing=dry_run, is_forced=force) as recovery:
            if dry_run or not yes:
                with progress_bars(NAMES, as_json=as_json) as progress:
                    planned = await recovery.plan(progress)
                if dry_run:
                    return planned
                _print(planned)
                if not click.confirm("\nRemove what is in Redis and build it so?"):
                    return None
            with progress_bars(NAMES, as_json=as_json) as progress:
                return await recovery.run(progress, operator_name())
    except (RecoveryRefused, InstanceError, StartupError) as error:
        raise Failure(str(error), as_json=as_json) from error


def _print(report: Report) -> None:
    waiting = ", ".join(f"{name} {count:,}" for name, count in sorted(report.waiting.items()))
    print_fields(
        {
            "recorded up to": f"{report.recorded} ({_moment(report.recorded)}); what was accepted after it is lost",
            "balances": f"{report.accounts:,} accounts",
            "to send": f"{report.waiting.total():,}" + (f" ({waiting})" if waiting else ""),
            "  in doubt": f"{report.doubtful.total():,} may have been sent already: flagged, their upstream's policy "
            "decides",
            "  apart": f"{report.apart.total():,} wait in PostgreSQL alone, and stay there until there is room or time",
            "  later": f"{report.later:,} wait for their next attempt",
            "  to cancel": f"{report.cancels:,} whose customer was refused",
            "answers": f"{report.answers:,} requests with a key get the same answer again",
            "receipts": f"{report.correlations:,} segments find their receipts",
            "  parked": f"{report.parked:,} receipts wait for their message, or are looked up once more",
            "callbacks": f"{report.callbacks_esme:,} to ESMEs, {report.callbacks_webhook:,} to webhooks",
            "from phones": f"{report.parts:,} parts wait for others of their message",
        }
    )
    for fault in report.faults.values():
        click.echo(f"ledger: {fault}")


def _moment(journal_id: str) -> str:
    milliseconds = int(journal_id.partition("-")[0])
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if milliseconds else "never"


def _figures(report: Report) -> dict[str, object]:
    return {
        "recorded": report.recorded,
        "accounts": report.accounts,
        "to_send": dict(report.waiting),
        "in_doubt": dict(report.doubtful),
        "apart": dict(report.apart),
        "later": report.later,
        "to_cancel": report.cancels,
        "answers": report.answers,
        "correlations": report.correlations,
        "parts": report.parts,
        "parked": report.parked,
        "callbacks": {"esme": report.callbacks_esme, "webhook": report.callbacks_webhook},
        "ledger_faults": report.faults,
    }
