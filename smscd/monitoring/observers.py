"""Connects parts that tell how they do, batch by batch, with the metrics of the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from smscd.archive.audit import DIFFERENCE_KINDS, Difference
from smscd.archive.writer import Commit
from smscd.ingress.admission import AdmissionMetrics
from smscd.monitoring.metrics import Metrics

VERDICTS: Final = {
    b"A": "admitted",
    b"D": "duplicate",
    b"T": "throttled",
    b"I": "insufficient_balance",
    b"Q": "queue_full",
    b"L": "too_late",
    b"S": "spend_limit",
    b"V": "prefix_velocity",
}
BATCH_BOUNDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def admission_metrics(metrics: Metrics) -> AdmissionMetrics:
    """What the admitter reports once a batch."""
    seconds = metrics.histogram("smscd_admission_seconds")
    sizes = metrics.histogram("smscd_admission_batch_messages", bounds=BATCH_BOUNDS)
    late = metrics.counter("smscd_admission_unannounced_total")
    verdict_counters = [
        (letter, metrics.counter("smscd_admission_messages_total", "both", verdict))
        for letter, verdict in VERDICTS.items()
    ]

    def on_batch(count: int, oldest_seconds: float, verdicts: bytes) -> None:
        seconds.observe(oldest_seconds)
        sizes.observe(count)
        for letter, counter in verdict_counters:
            counter.value += verdicts.count(letter)

    def on_refused_yet_admitted(count: int) -> None:
        late.value += count

    return AdmissionMetrics(on_batch, on_refused_yet_admitted)


class WriterMetrics:
    """A smscd.archive.writer.WriterObserver."""

    def __init__(self, metrics: Metrics) -> None:
        self.behind_seconds = 0.0
        self._metrics = metrics
        self._lag = metrics.histogram("smscd_writer_lag_seconds")
        self._commit = metrics.histogram("smscd_writer_commit_seconds")
        self._behind = metrics.counter("smscd_writer_behind_seconds")
        self._entries = metrics.counter("smscd_writer_entries_total")
        self._dead = metrics.counter("smscd_writer_dead_letters_total")
        self._interruptions = metrics.counter("smscd_writer_interruptions_total")

    def committed(self, commit: Commit) -> None:
        """A batch is in PostgreSQL."""
        for entry_ms in commit.entry_ms:
            self._lag.observe(max(0.0, (commit.committed_ms - entry_ms) / 1000))
        self._commit.observe(commit.seconds)
        self._entries.value += commit.entries
        self._dead.value += commit.rows.get("journal_dead_letters", 0)
        for table, rows in commit.rows.items():
            self._metrics.counter("smscd_writer_rows_total", table).value += rows

    def behind(self, seconds: float) -> None:
        """The age of the oldest entry that PostgreSQL does not have."""
        self.behind_seconds = self._behind.value = seconds

    def interrupted(self, error: BaseException) -> None:
        """PostgreSQL or Redis is away; logged by the writer itself."""
        self._interruptions.value += 1


class AuditMetrics:
    """A smscd.archive.audit_task.AuditObserver. differences: of the last audit; None before the first."""

    def __init__(self, metrics: Metrics) -> None:
        self.differences: int | None = None
        self._metrics = metrics
        self._audits = metrics.counter("smscd_ledger_audits_total")
        self._entries = metrics.counter("smscd_ledger_audited_entries_total")

    def audited(self, entries: int, differences: Sequence[Difference]) -> None:
        """An audit is over."""
        self.differences = len(differences)
        self._audits.value += 1
        self._entries.value += entries
        for kind in DIFFERENCE_KINDS:
            found = sum(difference.kind == kind for difference in differences)
            self._metrics.counter("smscd_ledger_differences", kind).value = found


class PartitionMetrics:
    """A smscd.archive.partitions_task.PartitionsObserver."""

    def __init__(self, metrics: Metrics) -> None:
        self._ahead = metrics.counter("smscd_partitions_ahead_seconds")
        self._stray = metrics.counter("smscd_partitions_stray_rows")

    def partitions_made(self, ahead_seconds: float, stray_rows: int) -> None:
        """Until when there are partitions, from now; and how many rows lie in DEFAULT."""
        self._ahead.value = ahead_seconds
        self._stray.value = stray_rows
