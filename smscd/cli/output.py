"""How commands talk: plain lines or one JSON value, errors as one sentence, exit status 1."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from smscd.config_file import ConfigError
from smscd.supervision.locate import Location, NotFound, locate

PIPED_WIDTH = 400
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """A command failed: one sentence on standard error (or JSON on standard output), exit status 1."""

    def __init__(self, message: str, *, as_json: bool = False, **fields: object) -> None:
        super().__init__(message)
        self._as_json = as_json
        self._fields = fields

    def show(self, file: Any = None) -> None:
        """Print it."""
        if self._as_json:
            click.echo(json.dumps({"error": self.message, **self._fields}))
        else:
            click.echo(f"smscd: {self.message}", err=True)


def operator_name() -> str:
    """Who gives this command, for the ledger and the log."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a user without a name
        return "cli"


def json_option(command: F) -> F:
    """--json: print JSON instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def instance_options(command: F) -> F:
    """Which instance: -c FILE or --data-dir DIR; else the environment; else the newest live demo of this user."""
    data_dir: Callable[[F], F] = click.option(
        "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="The instance that runs on this directory."
    )
    config_file: Callable[[F], F] = click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The instance of this configuration file.",
    )
    return config_file(data_dir(command))


def find_instance(config_file: Path | None, data_dir: Path | None, *, as_json: bool) -> Location:
    """The instance that the options mean. Raises Failure."""
    try:
        return locate(config_file=config_file, data_dir=data_dir, environment=os.environ)
    except (NotFound, ConfigError) as error:
        raise Failure(str(error), as_json=as_json) from error


def run(work: Callable[[], Coroutine[Any, Any, T]], *, as_json: bool) -> T:
    """Run a command's work; what the world does to it becomes a Failure."""
    import asyncpg

    from storage.postgres.configuration import ConfigurationInvalid
    from storage.postgres.migrate import MigrationError
    from storage.redis.errors import StorageUnavailable

    try:
        return asyncio.run(work())
    except KeyboardInterrupt:
        raise Failure("interrupted", as_json=as_json) from None
    except (MigrationError, ConfigurationInvalid) as error:
        raise Failure(str(error), as_json=as_json) from error
    except StorageUnavailable as error:
        raise Failure(f"{error}", as_json=as_json) from error
    except asyncpg.PostgresError as error:
        raise Failure(f"PostgreSQL refuses: {error}", as_json=as_json) from error
    except asyncpg.InterfaceError as error:
        raise Failure(f"PostgreSQL went away ({error}). Does the instance still run?", as_json=as_json) from error
    except Exception as error:
        if not isinstance(error, (OSError, TimeoutError)) and not _is_of_http(error):
            raise
        raise Failure(str(error) or type(error).__name__, as_json=as_json) from error


def _is_of_http(error: Exception) -> bool:
    """True for what HTTP raises, where something was asked over HTTP: most commands do without, and start sooner."""
    if "aiohttp" not in sys.modules:
        return False
    from aiohttp import ClientError

    return isinstance(error, ClientError)


def print_json(value: object) -> None:
    """One JSON value, indented for a terminal and on one line for a program."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(value, indent=indent, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """A table as wide as it needs to be; without colours when the output is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column != columns[-1])
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    console.print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        if value is not None:
            click.echo(f"{name:<{width}}  {value}")


@contextmanager
def progress_bars(names: Mapping[str, str], *, as_json: bool) -> Iterator[Callable[[str, float], None]]:
    """Bars on standard error, when somebody looks at them. names: what is told of, to what is shown."""
    if as_json or not sys.stderr.isatty():
        yield lambda what, share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks = {what: bars.add_task(name, total=1.0, start=False) for what, name in names.items()}

        def show(what: str, share: float) -> None:
            bars.start_task(tasks[what])
            bars.update(tasks[what], completed=share)

        yield show


def give_up(message: str, *, as_json: bool) -> NoReturn:
    """End the command with a sentence and status 1."""
    raise Failure(message, as_json=as_json)
