"""Find the instance that a command means: by -c FILE, the environment, --data-dir, or as the newest live demo."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from smscd.config import Config, LimitsConfig
from smscd.config_file import load, parse
from smscd.core.limits import Limits
from smscd.supervision.instance import StateDirectory
from smscd.supervision.ready import RunFile, is_alive, read_run, write_run

RUN_FILE = "run.json"


class NotFound(Exception):
    """No instance was found; the text says how to name one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where an instance keeps its data, and how to talk to it if it runs.

    pepper is empty when it is not known (only a command that sets SMPP passwords needs it). run: None when the
    instance was found by its servers and not as a running process. new_account: the limits of one.
    """

    redis_url: str
    postgres_dsn: str
    postgres_owner_dsn: str
    pepper: str
    run: RunFile | None = None
    new_account: Limits = LimitsConfig().new_account


def registry_directory(environment: Mapping[str, str]) -> Path:
    """Where live instances of this user are listed: a directory that only this user can write to."""
    base = environment.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK | os.X_OK):
        return Path(base) / "smscd"
    return Path(environment.get("TMPDIR") or "/tmp") / f"smscd-{os.getuid()}"


def register(run: RunFile, environment: Mapping[str, str]) -> Path | None:
    """List a live instance; the path of its entry, or None when the directory is not safely ours."""
    directory = registry_directory(environment)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(directory):
            return None
        path = directory / f"{run.ready.pid}.json"
        write_run(path, run)
    except OSError:
        return None
    return path


def live_instances(environment: Mapping[str, str]) -> list[RunFile]:
    """The live instances of this user, newest first. Entries of dead ones, and their temporary data, are removed."""
    directory = registry_directory(environment)
    found: list[RunFile] = []
    if not directory.is_dir() or not _is_ours(directory):
        return found
    for path in directory.glob("*.json"):
        run = read_run(path)
        if run is not None and is_alive(run):
            found.append(run)
            continue
        if run is not None and run.is_temporary:
            _remove_temporary(Path(run.data_dir))
        with contextlib.suppress(OSError):
            path.unlink()
    return sorted(found, key=lambda run: run.started_at, reverse=True)


def locate(*, config_file: Path | None, data_dir: Path | None, environment: Mapping[str, str]) -> Location:
    """The instance that is meant. Raises NotFound, ConfigError."""
    if config_file is not None:
        return _of_config(load(config_file, environment))
    if data_dir is not None:
        run = read_run(data_dir / RUN_FILE)
        if run is None or not is_alive(run):
            raise NotFound(f"No smscd is running on {data_dir}. Start it: smscd demo --data-dir {data_dir}")
        return _of_run(run)
    if environment.get("SMSCD_REDIS_URL") and environment.get("SMSCD_POSTGRES_DSN"):
        return _of_config(parse({}, environment))
    for run in live_instances(environment):
        if run.kind == "demo":
            return _of_run(run)
    raise NotFound(
        "No running smscd was found. Name one with -c FILE or --data-dir DIR, set SMSCD_REDIS_URL and "
        "SMSCD_POSTGRES_DSN, or start a demo: smscd demo"
    )


def _of_config(config: Config) -> Location:
    state = StateDirectory(Path(config.state_dir))
    run = read_run(state.path / RUN_FILE)
    if run is not None and not is_alive(run):
        run = None
    if run is not None and not (config.redis_url and config.postgres_dsn):
        return replace(_of_run(run), new_account=config.limits.new_account)
    if not config.redis_url or not config.postgres_dsn:
        raise NotFound(
            f"The configuration uses embedded servers in {config.state_dir}, and no smscd is running there. "
            "Start it with `smscd serve`, or give redis_url and postgres_dsn."
        )
    pepper = config.pepper
    if not pepper:
        with contextlib.suppress(OSError):
            pepper = (state.path / "pepper").read_text().strip()
    return Location(
        redis_url=config.redis_url,
        postgres_dsn=config.postgres_dsn,
        postgres_owner_dsn=config.postgres_owner_dsn,
        pepper=pepper,
        run=run,
        new_account=config.limits.new_account,
    )


def _of_run(run: RunFile) -> Location:
    return Location(
        redis_url=run.ready.valkey_url,
        postgres_dsn=run.ready.postgres_dsn,
        postgres_owner_dsn=run.postgres_owner_dsn,
        pepper=run.pepper,
        run=run,
    )


def _is_ours(directory: Path) -> bool:
    """A directory of ours that nobody else can write to: /tmp is everybody's, and the entries hold passwords."""
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022


def _remove_temporary(directory: Path) -> None:
    """What a killed demo left, if it is what a demo makes and nobody uses it."""
    if not directory.name.startswith("smscd-demo-") or not directory.is_dir():
        return
    state = StateDirectory(directory)
    with contextlib.suppress(OSError):
        if state.try_lock():
            state.release()
            shutil.rmtree(directory, ignore_errors=True)
