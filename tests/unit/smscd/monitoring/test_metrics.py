"""Metrics: counted in plain numbers, merged over processes, rendered as Prometheus reads it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from smscd.monitoring.metrics import (
    BY_NAME,
    FAMILIES,
    Histogram,
    Kind,
    Metrics,
    Sample,
    histogram_sample,
    merge,
    render,
)


def value_of(text: str, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise AssertionError(f"{name} {labels} is not there")


def test_every_family_has_a_unit_a_help_and_a_known_shape_of_name() -> None:
    assert len(BY_NAME) == len(FAMILIES)
    for family in FAMILIES:
        assert family.name.startswith(("smscd_", "sms_"))
        assert family.help.endswith(".")
        if family.kind is Kind.COUNTER:
            assert family.name.endswith("_total")
        else:
            assert not family.name.endswith("_total")


def test_counters_and_histograms_of_workers_are_summed() -> None:
    workers = [Metrics(), Metrics()]
    for worker in workers:
        worker.counter("sms_sent_total", "carrier").value += 5
        worker.histogram("smscd_admission_seconds").observe(0.002, 3)
    text = render(merge(worker.snapshot() for worker in workers))
    assert value_of(text, "sms_sent_total", upstream="carrier") == 10
    assert value_of(text, "smscd_admission_seconds_count") == 6
    assert value_of(text, "smscd_admission_seconds_sum") == pytest.approx(0.012)
    assert value_of(text, "smscd_admission_seconds_bucket", le="0.001") == 0
    assert value_of(text, "smscd_admission_seconds_bucket", le="0.0025") == 6
    assert value_of(text, "smscd_admission_seconds_bucket", le="+Inf") == 6


def test_gauges_are_merged_by_their_rule() -> None:
    merged = merge(
        [
            [Sample("smscd_smpp_connections", (), 2), Sample("smscd_writer_behind_seconds", (), 0.5)],
            [Sample("smscd_smpp_connections", (), 3), Sample("smscd_writer_behind_seconds", (), 4.0)],
        ]
    )
    assert merged["smscd_smpp_connections"][()].value == 5
    assert merged["smscd_writer_behind_seconds"][()].value == 4.0


def test_a_value_on_a_bound_belongs_to_that_bound() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.1, 0.11, 1.0, 5.0):
        histogram.observe(value)
    assert histogram.counts == [1, 2, 1]
    assert histogram_sample("smscd_admission_seconds", (), histogram).value == pytest.approx(6.21)


def test_a_name_that_is_not_declared_cannot_be_counted() -> None:
    with pytest.raises(KeyError):
        Metrics().counter("smscd_surprise_total")
    with pytest.raises(ValueError, match="labels"):
        Metrics().counter("sms_sent_total")


def test_samples_of_another_release_are_left_out() -> None:
    assert merge([[Sample("smscd_from_the_future_total", (), 1)]]) == {}


def test_figures_of_other_parts_are_read_when_asked() -> None:
    metrics, figure = Metrics(), {"value": 1.0}
    metrics.add_source(lambda: [Sample("smscd_smpp_connections", (), figure["value"])])
    figure["value"] = 7.0
    assert [sample.value for sample in metrics.snapshot()] == [7.0]


def test_the_names_that_the_readme_promises_are_there_before_the_first_message() -> None:
    text = render(merge([]))
    for name in ("sms_sent_total", "sms_failed_total", "smscd_admission_seconds", "smscd_receipt_seconds"):
        assert f"# TYPE {name} " in text
    assert "smscd_writer_lag_seconds" in text


def test_label_values_are_escaped() -> None:
    text = render(merge([[Sample("sms_sent_total", ('a"b\\c\nd',), 1)]]))
    assert value_of(text, "sms_sent_total", upstream='a"b\\c\nd') == 1
