"""The planted bugs fit the code as it is, and the tool says so when one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.checks.mutant import Edit, Mutant
from tools.checks.mutant_list import MUTANTS
from tools.checks.mutants import ROOT, EditError, chosen, edited, planted, planted_files


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_fits_its_files_and_names_tests_that_exist(mutant: Mutant) -> None:
    files = planted_files(ROOT, mutant)
    for name, text in files.items():
        assert text != (ROOT / name).read_text()
        if name.endswith(".py"):
            compile(text, name, "exec")
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text() if name else (ROOT / path).exists()


def test_each_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 12


@pytest.mark.parametrize("text", ["nothing of it", "twice and twice"])
def test_a_text_that_does_not_stand_there_exactly_once_is_refused(text: str) -> None:
    with pytest.raises(EditError, match="not once"):
        edited(text, Edit("a.py", "twice", "once"))


def test_a_bug_is_in_the_tree_only_while_it_is_planted(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\ny = 2\n")
    mutant = Mutant("both", (Edit("a.py", "x = 1", "x = 2"), Edit("a.py", "y = 2", "y = 3")), ())
    with pytest.raises(ZeroDivisionError), planted(tmp_path, mutant):
        assert file.read_text() == "x = 2\ny = 3\n"
        raise ZeroDivisionError
    assert file.read_text() == "x = 1\ny = 2\n"


def test_words_choose_by_name() -> None:
    assert chosen([]) == list(MUTANTS)
    assert [mutant.name for mutant in chosen(["fsync"])] == ["an answer before its fsync"]
