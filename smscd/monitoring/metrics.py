"""What a process counts, and how the counts of all workers become one page for Prometheus.

A worker holds plain numbers and no registry: the hot path adds to a bound Counter or Histogram once per batch, and
other parts keep figures of their own, which a source reads when somebody asks. A process answers with `snapshot()`;
the supervisor merges the snapshots (sums, except where a family says otherwise) and renders them. FAMILIES is the one
list of names; what is not in it cannot be exported.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import accumulate
from typing import Final, TypeAlias

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Labels: TypeAlias = tuple[str, ...]


class Kind(Enum):
    """How a family is merged over workers: counters and histograms are summed, gauges by their rule."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE_SUM = "gauge_sum"
    GAUGE_MAX = "gauge_max"
    GAUGE_MIN = "gauge_min"


class Family(msgspec.Struct, frozen=True):
    """One metric name. labels: the names of its labels, whose values are small enums or configured ids."""

    name: str
    kind: Kind
    help: str
    labels: Labels = ()


C, H = Kind.COUNTER, Kind.HISTOGRAM
SUM, MAX, MIN = Kind.GAUGE_SUM, Kind.GAUGE_MAX, Kind.GAUGE_MIN

FAMILIES: Final[tuple[Family, ...]] = (
    Family("sms_sent_total", C, "Messages that a carrier accepted.", ("upstream",)),
    Family("sms_failed_total", C, "Messages that ended without delivery.", ("reason",)),
    Family("smscd_admission_messages_total", C, "Submissions by door and verdict.", ("door", "verdict")),
    Family("smscd_admission_seconds", H, "From a submission's arrival to its verdict, of the oldest in each batch."),
    Family("smscd_admission_batch_messages", H, "Messages in one admission call."),
    Family("smscd_admission_pending_messages", SUM, "Submissions that wait for their verdict."),
    Family("smscd_admission_unannounced_total", C, "Refused, then found admitted: cancelled and refunded, or flagged."),
    Family("smscd_smpp_connections", SUM, "Open connections of ESMEs."),
    Family("smscd_smpp_sessions", SUM, "Bound ESME sessions by mode.", ("mode",)),
    Family("smscd_smpp_binds_total", C, "Bind requests by outcome.", ("outcome",)),
    Family("smscd_smpp_binds_without_redis_total", C, "Bind requests that a worker decided by what it knows itself."),
    Family("smscd_smpp_refused_connections_total", C, "Connections closed before their first PDU.", ("reason",)),
    Family("smscd_smpp_certificate_reloads_total", C, "Changed certificate files by outcome.", ("outcome",)),
    Family("smscd_smpp_outbinds_total", C, "Calls to ESMEs that have something waiting.", ("outcome",)),
    Family("smscd_smpp_pdu_errors_total", C, "PDUs answered with an error or fatal to the session.", ("kind",)),
    Family("smscd_http_requests_total", C, "HTTP requests by route and status class.", ("route", "status")),
    Family("smscd_http_request_seconds", H, "From an HTTP request's headers to its answer.", ("route",)),
    Family("smscd_http_connections", SUM, "Open HTTP connections."),
    Family("smscd_http_replays_total", C, "Requests answered from what is stored under their key."),
    Family("smscd_smpp_closed_total", C, "Ended connections of ESMEs by reason.", ("reason",)),
    Family("smscd_queue_messages", MAX, "Messages that wait for an upstream.", ("upstream",)),
    Family("smscd_overflow_messages", MAX, "Messages that wait in PostgreSQL alone, of those.", ("upstream",)),
    Family("smscd_upstream_binds", SUM, "Binds to an upstream that are up.", ("upstream",)),
    Family("smscd_upstream_held_binds", SUM, "Binds that wait because they were refused for good.", ("upstream",)),
    Family("smscd_upstream_refused_binds_total", C, "Refused binds by status.", ("upstream", "command_status")),
    Family("smscd_upstream_window_segments", SUM, "Segments that may be under way on bound binds.", ("upstream",)),
    Family("smscd_upstream_alerts_total", C, "alert_notification: a number can be reached again.", ("upstream",)),
    Family("smscd_upstream_in_flight_messages", SUM, "Segments sent and not answered.", ("upstream",)),
    Family("smscd_upstream_out_since_seconds", MAX, "Since when it is out (Unix time); 0: it is not.", ("upstream",)),
    Family("smscd_upstream_throttled", MAX, "1 while it has only throttled for a long while.", ("upstream",)),
    Family("smscd_upstream_moved_messages_total", C, "Went to another upstream: this one was out.", ("upstream",)),
    Family("smscd_upstream_breaker_state", MAX, "Circuit breaker: 0 closed, 1 half open, 2 open.", ("upstream",)),
    Family("smscd_upstream_breaker_opened_total", C, "Times that the circuit breaker opened.", ("upstream",)),
    Family("smscd_upstream_response_seconds", H, "From submit_sm to submit_sm_resp.", ("upstream",)),
    Family("smscd_upstream_results_total", C, "Segments by what became of an attempt.", ("upstream", "outcome")),
    Family("smscd_doubt_messages", SUM, "Messages that stay in doubt: they may have been sent, or not.", ("upstream",)),
    Family("smscd_doubt_oldest_seconds", MAX, "For how long the oldest of them has been in doubt.", ("upstream",)),
    Family(
        "smscd_doubt_segments_settled_total", C, "Segments in doubt by what ended it: receipt, late, operator.",
        ("upstream", "outcome"),
    ),
    Family("smscd_upstream_timeouts_total", C, "submit_sm without an answer in time.", ("upstream",)),
    Family("smscd_upstream_turns_total", C, "Turns of the dispatcher.", ("upstream",)),
    Family("smscd_upstream_tls_failures_total", C, "Dials that ended in the TLS handshake.", ("upstream",)),
    Family(
        "smscd_upstream_pdu_errors_total", C, "PDUs of an upstream answered with an error or fatal to the session.",
        ("upstream", "kind"),
    ),
    Family("smscd_receipt_seconds", H, "From a receipt's arrival to its answer, durable by then.", ("upstream",)),
    Family("smscd_receipts_total", C, "Receipts by what became of them.", ("upstream", "outcome")),
    Family("smscd_parked_receipts", SUM, "Ids whose receipts wait for the response that they are of.", ("upstream",)),
    Family(
        "smscd_receipts_other_form_total", C, "Receipts matched by another form of their id than the profile says.",
        ("upstream", "form"),
    ),
    Family("smscd_inbound_messages_total", C, "Mobile-originated messages.", ("upstream", "outcome")),
    Family("smscd_inbound_waiting_parts", SUM, "Parts of messages from phones that wait for others.", ("upstream",)),
    Family("smscd_outbox_callbacks_total", C, "deliver_sm to ESMEs by outcome.", ("outcome",)),
    Family("smscd_outbox_response_seconds", H, "From deliver_sm to an ESME's deliver_sm_resp."),
    Family("smscd_webhook_deliveries_total", C, "Webhook attempts by outcome.", ("outcome",)),
    Family("smscd_webhook_seconds", H, "From a webhook's request to its answer."),
    Family("smscd_webhook_pending_deliveries", SUM, "Webhook requests that are under way."),
    Family("smscd_writer_lag_seconds", H, "Age of a journal entry when PostgreSQL has committed it."),
    Family("smscd_writer_behind_seconds", MAX, "Age of the oldest journal entry that PostgreSQL does not have yet."),
    Family("smscd_writer_commit_seconds", H, "Time of one writer transaction."),
    Family("smscd_writer_rows_total", C, "Rows written, by table.", ("table",)),
    Family("smscd_writer_entries_total", C, "Journal entries committed."),
    Family("smscd_writer_dead_letters_total", C, "Rows that PostgreSQL refused and that were set aside."),
    Family("smscd_writer_interruptions_total", C, "Times that the writer lost PostgreSQL or Redis."),
    Family("smscd_ledger_audits_total", C, "Audits of a sample of the ledger."),
    Family("smscd_ledger_audited_entries_total", C, "Ledger entries that audits looked at."),
    Family("smscd_ledger_differences", MAX, "What did not add up in the last audit; alert above 0.", ("kind",)),
    Family("smscd_halts", MAX, "What operators have paused or drained.", ("kind", "state")),
    Family("smscd_halt_oldest_seconds", MAX, "For how long, of the oldest of these.", ("kind", "state")),
    Family("smscd_account_low_balance", MAX, "1 while the balance is below what is warned at.", ("account",)),
    Family("smscd_partitions_ahead_seconds", MAX, "How long from now there are partitions."),
    Family("smscd_partitions_stray_rows", MAX, "Rows in DEFAULT partitions (counted to 10,000 a table)."),
    Family("smscd_directory_loads_total", C, "Times that a worker took a changed configuration."),
    Family("smscd_loop_lag_seconds", H, "How late the event loop of a worker ran a timer."),
    Family("smscd_process_cpu_seconds_total", C, "CPU time by kind of process.", ("process",)),
    Family("smscd_process_resident_bytes", SUM, "Resident memory by kind of process.", ("process",)),
    Family("smscd_service_restarts_total", C, "Services that crashed and were started again.", ("service",)),
    Family("smscd_worker_restarts_total", C, "Workers that died and were started again."),
    Family("smscd_server_restarts_total", C, "Embedded servers that died and were started again.", ("server",)),
    Family("smscd_workers", SUM, "Workers that are alive."),
    Family("smscd_build_info", MAX, "Always 1; the version is a label.", ("version",)),
)  # fmt: skip
BY_NAME: Final = {family.name: family for family in FAMILIES}


class Counter:
    """A number that only grows. Hot path: `counter.value += n`, once per batch."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Histogram:
    """Counts by upper bound, the last one unbounded, and the sum of what was observed."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS_BOUNDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count one value, or several that are equal as far as anybody can tell."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.total += value * count


class Sample(msgspec.Struct, array_like=True):
    """One value of one process. A histogram has its bounds, its counts (one more than bounds) and its sum."""

    name: str
    labels: Labels
    value: float
    bounds: tuple[float, ...] = ()
    counts: list[int] = []


Source: TypeAlias = Callable[[], Iterable[Sample]]


class Metrics:
    """The counts of one process."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, Labels], Counter] = {}
        self._histograms: dict[tuple[str, Labels], Histogram] = {}
        self._sources: list[Source] = []

    def counter(self, name: str, *labels: str) -> Counter:
        """The counter of these label values; bind it once, outside of the hot path."""
        check(name, labels)
        return self._counters.setdefault((name, labels), Counter())

    def histogram(self, name: str, *labels: str, bounds: Sequence[float] = SECONDS_BOUNDS) -> Histogram:
        """The histogram of these label values; bind it once, outside of the hot path."""
        check(name, labels)
        return self._histograms.setdefault((name, labels), Histogram(bounds))

    def add_source(self, source: Source) -> None:
        """Have figures that another part keeps read at each snapshot."""
        self._sources.append(source)

    def snapshot(self) -> list[Sample]:
        """Everything, as it is now."""
        samples = [Sample(name, labels, counter.value) for (name, labels), counter in self._counters.items()]
        samples += [histogram_sample(name, labels, found) for (name, labels), found in self._histograms.items()]
        for source in self._sources:
            samples += source()
        return samples


def histogram_sample(name: str, labels: Labels, histogram: Histogram) -> Sample:
    """The sample of a histogram, or of anything with bounds, counts and total."""
    return Sample(name, labels, histogram.total, histogram.bounds, list(histogram.counts))


def check(name: str, labels: Labels) -> None:
    """Raise KeyError or ValueError for a name or a number of labels that FAMILIES does not have."""
    if len(BY_NAME[name].labels) != len(labels):
        raise ValueError(f"{name} has the labels {BY_NAME[name].labels}, not {len(labels)} of them")


def merge(snapshots: Iterable[Iterable[Sample]]) -> dict[str, dict[Labels, Sample]]:
    """One value for each name and label values out of those of all processes."""
    merged: dict[str, dict[Labels, Sample]] = {}
    for snapshot in snapshots:
        for sample in snapshot:
            family = BY_NAME.get(sample.name)
            if family is None:
                continue  # a worker of another release, during an upgrade
            held = merged.setdefault(sample.name, {})
            before = held.get(sample.labels)
            held[sample.labels] = sample if before is None else _joined(family.kind, before, sample)
    return merged


def _joined(kind: Kind, one: Sample, other: Sample) -> Sample:
    if kind is Kind.GAUGE_MAX:
        return one if one.value >= other.value else other
    if kind is Kind.GAUGE_MIN:
        return one if one.value <= other.value else other
    if kind is Kind.HISTOGRAM:
        if one.bounds != other.bounds:
            return other
        counts = [a + b for a, b in zip(one.counts, other.counts, strict=True)]
        return Sample(one.name, one.labels, one.value + other.value, one.bounds, counts)
    return Sample(one.name, one.labels, one.value + other.value)


class _Page(Collector):
    """Merged samples as prometheus-client wants them."""

    def __init__(self, merged: dict[str, dict[Labels, Sample]]) -> None:
        self._merged = merged

    def collect(self) -> Iterator[Metric]:
        """The families in the order of FAMILIES. One without samples still shows its name."""
        for family in FAMILIES:
            samples = self._merged.get(family.name, {})
            if not samples and not family.labels and family.kind is Kind.COUNTER:
                samples = {(): Sample(family.name, (), 0)}
            yield _metric(family, samples)


def _metric(family: Family, samples: dict[Labels, Sample]) -> Metric:
    name, text, labels = family.name, family.help, family.labels
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for values, sample in sorted(samples.items()):
            edges = [*(str(float(bound)) for bound in sample.bounds), "+Inf"]
            buckets = list(zip(edges, accumulate(sample.counts), strict=True))
            histogram.add_metric(values, buckets, sample.value)
        return histogram
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(name, text, labels=labels)
    for values, sample in sorted(samples.items()):
        metric.add_metric(values, sample.value)
    return metric


def render(merged: dict[str, dict[Labels, Sample]]) -> str:
    """The page in the Prometheus text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(merged))
    return generate_latest(registry).decode()
