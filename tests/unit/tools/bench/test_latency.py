"""Percentiles of the benchmark are exact, by nearest rank."""

from tools.bench.latency import Latencies


def test_percentiles_are_of_nearest_rank() -> None:
    summary = Latencies(n / 1000 for n in range(1, 101)).summary()
    assert (summary["p50_ms"], summary["p95_ms"], summary["p99_ms"], summary["max_ms"]) == (50.0, 95.0, 99.0, 100.0)


def test_single_sample_is_every_percentile() -> None:
    summary = Latencies([0.0125]).summary()
    assert summary["count"] == 1
    assert summary["p50_ms"] == summary["p99_ms"] == 12.5


def test_no_samples_are_zeros() -> None:
    assert Latencies().summary()["count"] == 0
