"""`make simulate`: many seeds, each a world of its own; those that fail are printed, with their story on request."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from pathlib import Path

import click
import structlog

from tests.simulation.run import run_seed
from tests.simulation.store import Server, scripts_on_virtual_time


@click.command()
@click.option("--seeds", default=200, show_default=True, help="How many seeds to run.")
@click.option("--first", default=0, show_default=True, help="The first of them.")
@click.option("--story", is_flag=True, help="Print what happened in each that failed.")
@click.option("--log", is_flag=True, help="Print what the gateway logs.")
def main(seeds: int, first: int, story: bool, log: bool) -> None:
    """Run seeds. Exits with 1 when one fails."""
    if not log:
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[lambda *args: ""])
    failed = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder, scripts_on_virtual_time() as bells:
        server = Server(Path(folder))
        try:
            for seed in range(first, first + seeds):
                try:
                    run_seed(seed, server, bells)
                except Exception as error:  # noqa: BLE001  # reported, and the next seed is run
                    failed.append(seed)
                    click.echo(f"seed {seed}: {type(error).__name__}: {str(error)[:600]}")
                    if story:
                        click.echo("".join(traceback.format_exception(error)))
        finally:
            server.close()
    click.echo(f"{seeds - len(failed)} of {seeds} seeds hold, in {time.monotonic() - started:.0f} s; failed: {failed}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(prog_name="python -m tests.simulation")
