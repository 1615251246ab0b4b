"""`make mutants`: plant known bugs one by one in a copy of the tree, and see that the suite finds each.

A suite that lets a planted bug through is not believed about the others. The checkout is never touched. Before anything
is planted, the tests that are to find the bugs have to pass in the copy as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from tools.checks.mutant import Edit, Mutant
from tools.checks.mutant_list import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 600.0
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class EditError(Exception):
    """A planted bug does not fit the code any more; the text says which."""


def edited(text: str, edit: Edit) -> str:
    """The file with the bug in it. Raises EditError unless what it replaces stands there exactly once."""
    found = text.count(edit.old)
    if found != 1:
        raise EditError(f"{edit.file} has {found} times, not once: {edit.old.strip().splitlines()[0]}")
    return text.replace(edit.old, edit.new)


def planted_files(root: Path, mutant: Mutant) -> dict[str, str]:
    """The files that a bug changes, as they are with it. Raises EditError."""
    files: dict[str, str] = {}
    for edit in mutant.edits:
        text = files.get(edit.file) or (root / edit.file).read_text()
        files[edit.file] = edited(text, edit)
    return files


@contextmanager
def planted(root: Path, mutant: Mutant) -> Iterator[None]:
    """The bug in the tree below `root`, for a while."""
    files = planted_files(root, mutant)
    originals = {name: (root / name).read_text() for name in files}
    for name, text in files.items():
        (root / name).write_text(text)
    try:
        yield
    finally:
        for name, text in originals.items():
            (root / name).write_text(text)


def copy_tree(root: Path, target: Path) -> None:
    """Copy what git knows, or would know, of the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = root / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def run_tests(root: Path, tests: Iterable[str]) -> tuple[int, str]:
    """Run tests in a tree until one fails; pytest's exit code, and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "SMSCD_SHRINKING": "off"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line", *tests]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    return done.returncode, done.stdout + done.stderr


def finder(root: Path, mutant: Mutant) -> str:
    """The first test that fails with this bug; empty when none does."""
    with planted(root, mutant):
        code, said = run_tests(root, mutant.tests)
    if code == 0:
        return ""
    failed = FAILED.search(said)
    if code != 1 or failed is None:
        raise click.ClickException(f"{mutant.name}: pytest ended with {code}\n{said[-3000:]}")
    return failed[1]


def chosen(words: Sequence[str]) -> list[Mutant]:
    """The bugs whose names have one of the words; all without words."""
    return [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]


@click.command()
@click.argument("words", nargs=-1)
def main(words: tuple[str, ...]) -> None:
    """Plant every bug, or those whose names contain one of WORDS. Exits with 1 when one is not found."""
    mutants = chosen(words)
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        copy_tree(ROOT, root)
        code, said = run_tests(root, dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        if code != 0:
            raise click.ClickException(f"the tests do not pass as it is:\n{said[-3000:]}")
        survivors = 0
        for mutant in mutants:
            started = time.monotonic()
            found_by = finder(root, mutant)
            survivors += not found_by
            click.echo(f"{mutant.name:<60} {time.monotonic() - started:5.1f} s  {found_by or 'SURVIVED'}")
    click.echo(f"{len(mutants) - survivors} of {len(mutants)} planted bugs were found")
    if survivors:
        raise SystemExit(1)


if __name__ == "__main__":
    main(prog_name="python -m tools.checks.mutants")
