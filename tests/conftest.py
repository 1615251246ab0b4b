"""For all tests: in CI a skipped test is a failed run, because a check that never runs is none."""

from __future__ import annotations

import os

import pytest

_skipped: list[str] = []


def pytest_configure() -> None:
    """Open thousands of connections, also where an ordinary user may have 1,024 files by default."""
    from smscd.supervision.supervisor import raise_file_limit

    raise_file_limit()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run when anything was skipped and nothing may be."""
    if _skipped and os.environ.get("SMSCD_FAIL_ON_SKIP") and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why."""
    if _skipped and os.environ.get("SMSCD_FAIL_ON_SKIP"):
        terminalreporter.write_line(f"{len(_skipped)} tests were skipped, and SMSCD_FAIL_ON_SKIP is set", red=True)
