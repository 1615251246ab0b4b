"""The comparison of codecs compares what is the same."""

from __future__ import annotations

import pytest

from tools.bench import codec as bench


def test_every_library_gives_what_ours_gives() -> None:
    bench.check()


def test_every_line_has_ours_and_somebody_elses() -> None:
    for line in bench.lines():
        assert bench.OURS in line.by
        assert len(line.by) > 1


def test_a_library_that_gives_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "RustSubmitSm", bench.RustDeliverSm)
    with pytest.raises(ValueError, match="encode submit_sm: smpp34"):
        bench.check()


def test_the_table_shows_ratios_and_leaves_empty_what_is_not_offered() -> None:
    table = bench.report([("decode x", {"smscd": 100.0, "smpplib": 1500.0, "smpp34": 50.0})])
    (line,) = [each for each in table.splitlines() if each.startswith("decode x")]
    assert line.split() == ["decode", "x", "100", "1500", "(", "15.0", "x)", "-", "50", "(", "0.5", "x)"]


def test_measuring_gives_a_figure_for_every_line() -> None:
    results = bench.measure(rounds=1, round_seconds=1e-4)
    assert [name for name, _ in results] == [line.name for line in bench.lines()]
    assert all(0 < nanoseconds < float("inf") for _, best in results for nanoseconds in best.values())
