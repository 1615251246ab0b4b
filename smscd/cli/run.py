"""`smscd demo` and `smscd serve`: the same supervisor, once with everything on board, once for production."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd import __version__
from smscd.cli.output import Failure, json_option

if TYPE_CHECKING:
    from smscd.supervision.ready import ReadyFile
    from smscd.supervision.supervisor import Launch

PORT = click.IntRange(0, 65_535)


class PrintedSteps:
    """A line on the terminal for each step of the start, or a line of JSON."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def began(self, what: str) -> None:
        """Nothing: steps overlap and are short; the line comes when one is done."""

    def done(self, what: str, detail: str, seconds: float) -> None:
        """One line."""
        if self._as_json:
            click.echo(json.dumps({"step": what, "detail": detail, "seconds": round(seconds, 3)}))
        else:
            click.echo(f"  {click.style('ok', fg='green')}  {what:<11} {detail}  {seconds:.2f} s")


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep everything here; a second start goes on where the first stopped. A temporary directory otherwise.",
)
@click.option("--smpp-port", type=PORT, default=2775, show_default=True, help="0 picks a free one, here and below.")
@click.option("--http-port", type=PORT, default=8080, show_default=True)
@click.option("--admin-port", type=PORT, default=8081, show_default=True)
@click.option("--carrier-port", type=PORT, default=2776, show_default=True)
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="smpp://SYSTEM_ID:PASSWORD@HOST:PORT[?FIELD=VALUE&...]",
    help="Bind to this SMSC instead of the simulated carrier. Repeatable; the first one is the first choice. FIELD is "
    "one of its profile's: default_alphabet=latin1, long_message=sar, receipt_id=hex, ...",
)
@click.option("--workers", type=click.IntRange(0, 256), default=0, help="Worker processes; 0 is one for each core.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write addresses and credentials here as JSON.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning")
@json_option
def demo(
    data_dir: Path | None,
    smpp_port: int,
    http_port: int,
    admin_port: int,
    carrier_port: int,
    upstreams: tuple[str, ...],
    workers: int,
    ready_file: Path | None,
    log_level: str,
    as_json: bool,
) -> None:
    """Run everything on this machine: Valkey, PostgreSQL, a simulated carrier, and the gateway. Ctrl-C ends it all."""
    started = time.monotonic()
    if not as_json:
        click.echo(f"smscd {__version__} demo")
    sys.stdout.flush()
    from smscd.config_file import ConfigError, parse
    from smscd.supervision.seed import UpstreamUrlError, upstream_of_url
    from smscd.supervision.supervisor import Demo, Launch

    environment = {name: value for name, value in os.environ.items() if name not in _DEMO_IGNORES}
    try:
        for url in upstreams:
            upstream_of_url(url, "upstream")
        config = parse(
            {
                "workers": workers,
                "smpp": {"port": smpp_port},
                "http": {"port": http_port},
                "admin": {"port": admin_port},
                "log": {"level": log_level},
            },
            environment,
        )
    except (ConfigError, UpstreamUrlError) as error:
        raise click.UsageError(str(error)) from error
    is_temporary = data_dir is None
    state_dir = data_dir or Path(tempfile.mkdtemp(prefix="smscd-demo-"))
    if is_temporary and os.geteuid() == 0:
        state_dir.chmod(0o711)  # PostgreSQL does not run as root, and its user has to come in
    launch = Launch(
        config=config,
        state_dir=state_dir,
        is_temporary=is_temporary,
        version=__version__,
        is_console=sys.stderr.isatty(),
        demo=Demo(carrier_port=carrier_port, upstream_urls=upstreams),
        ready_file=ready_file,
        on_ready=lambda ready: _invite(ready, state_dir, is_temporary, time.monotonic() - started, as_json),
    )
    try:
        _supervise(launch, PrintedSteps(as_json), as_json)
    finally:
        if is_temporary:
            shutil.rmtree(state_dir, ignore_errors=True)
    if not as_json:
        click.echo("smscd has stopped.")


# A demo has servers of its own, whatever the environment says of others.
_DEMO_IGNORES = ("SMSCD_REDIS_URL", "SMSCD_POSTGRES_DSN", "SMSCD_POSTGRES_OWNER_DSN", "SMSCD_STATE_DIR")


@click.command()
@click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file; see conf/smscd.toml.",
)
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Overrules state_dir.")
@click.option("--workers", type=click.IntRange(0, 256), help="Overrules workers.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write addresses and credentials here as JSON.",
)
@click.option("--check", is_flag=True, help="Only check the configuration.")
@json_option
def serve(
    config_file: Path | None,
    data_dir: Path | None,
    workers: int | None,
    ready_file: Path | None,
    check: bool,
    as_json: bool,
) -> None:
    """Run the daemon. Without redis_url or postgres_dsn it runs that server itself, in the state directory."""
    import msgspec

    from smscd.config_file import ConfigError, load
    from smscd.supervision.steps import LoggedSteps
    from smscd.supervision.supervisor import Launch

    try:
        config = load(config_file, os.environ)
    except ConfigError as error:
        raise Failure(str(error), as_json=as_json, mistakes=error.mistakes) from error
    if check:
        click.echo(json.dumps({"ok": True}) if as_json else "The configuration is good.")
        return
    if workers is not None:
        config = msgspec.structs.replace(config, workers=workers)
    launch = Launch(
        config=config,
        state_dir=data_dir or Path(config.state_dir),
        is_temporary=False,
        version=__version__,
        is_console=sys.stderr.isatty(),
        ready_file=ready_file,
    )
    _supervise(launch, LoggedSteps(), as_json)


def _supervise(launch: Launch, steps: object, as_json: bool) -> None:
    """Run until the end. Raises Failure when it cannot start."""
    import asyncio
    from typing import cast

    from smscd.supervision.steps import Steps
    from smscd.supervision.supervisor import REFUSALS, Supervisor, raise_file_limit
    from smscd.telemetry import configure_logs

    log = launch.config.log
    configure_logs(log.level, log.format)
    raise_file_limit()

    async def work() -> None:
        await Supervisor(launch, cast("Steps", steps), os.environ).run()

    try:
        asyncio.run(work())
    except REFUSALS as error:
        raise Failure(str(error), as_json=as_json) from error


def _invite(ready: ReadyFile, state_dir: Path, is_temporary: bool, seconds: float, as_json: bool) -> None:
    """Say where everything is, and what to try next."""
    if as_json:
        import msgspec

        click.echo(json.dumps({"ready": msgspec.to_builtins(ready), "seconds": round(seconds, 3)}))
        return
    own = own_name()
    smpp, http, admin = ready.smpp, ready.http, ready.admin
    kept = "removed at the end" if is_temporary else "kept"
    click.echo(
        f"""
smscd is ready after {seconds:.1f} s. Ctrl-C drains and ends everything.

  SMPP     {smpp.host}:{smpp.port}   system_id {smpp.system_id}   password {smpp.password}
  HTTP     {http.url}/v1/messages   X-Api-Key {http.api_key}
  Docs     {http.url}/api/docs/   {http.url}/api/schema/
  Metrics  {admin.url}/metrics
  Health   {admin.url}/health/
  Data     {state_dir} ({kept})

Try next, in another terminal:

  curl -s {http.url}/v1/messages -H 'X-Api-Key: {http.api_key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"to": "+447700900123", "from": "ACME", "text": "Hello from smscd"}}'

  {own} message show ID                               its timeline, with the receipt
  {own} send --to +447700900001 --text Hi --wait      a number ending in 001 is never delivered
  {own} bench smpp                                    a load of 10,000 messages, receipts included
"""
    )


def own_name() -> str:
    """How this command is called from here: smscd when it is on the PATH, else by its path."""
    called = Path(sys.argv[0]).absolute()
    if called.name != "smscd" or shutil.which("smscd") == str(called):
        return "smscd"
    return os.path.relpath(called) if called.is_relative_to(Path.cwd()) else str(called)
