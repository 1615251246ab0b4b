"""Turns the plain figures that the parts of a worker keep into samples for the metrics page, when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from protocols.smpp.constants import CommandId
from smscd.egress.binds.upstreams import Upstreams
from smscd.egress.figures import OutboxFigures, UpstreamFigures
from smscd.egress.webhooks.webhooks import WebhookFigures
from smscd.ingress.http.figures import SECONDS_BOUNDS as HTTP_BOUNDS
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.smpp.server import SmppServer
from smscd.monitoring.metrics import Sample, histogram_sample
from smscd.transport.connection import CloseReason
from smscd.transport.tls import ServerTls

RESULTS: Final = (
    "accepted", "failed", "retried", "throttled", "expired", "canceled", "doubted", "resent", "unknown",
)  # fmt: skip
_SUBMITS: Final = (CommandId.SUBMIT_SM, CommandId.DATA_SM, CommandId.SUBMIT_MULTI)
BREAKER_STATES: Final = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


def upstream_samples(upstreams: Upstreams) -> Iterator[Sample]:
    """Of every upstream that this process owns or owned."""
    for figures in list(upstreams.figures.values()):
        yield from _upstream(figures)


def _upstream(figures: UpstreamFigures) -> Iterator[Sample]:
    labels = (figures.upstream,)
    tally = figures.tally
    yield Sample("sms_sent_total", labels, tally.accepted)
    for reason in ("failed", "expired", "unknown"):
        yield Sample("sms_failed_total", (reason,), getattr(tally, reason))
    yield Sample("sms_failed_total", ("undelivered",), figures.receipts_undelivered)
    for outcome in RESULTS:
        yield Sample("smscd_upstream_results_total", (figures.upstream, outcome), getattr(tally, outcome))
    yield Sample("smscd_upstream_results_total", (figures.upstream, "without_id"), tally.without_id)
    yield Sample("smscd_doubt_messages", labels, figures.doubts)
    yield Sample("smscd_doubt_oldest_seconds", labels, figures.doubt_oldest_seconds)
    settled = {
        "receipt": figures.doubts_settled,
        "late": tally.late,
        "operator_resent": tally.ruled_resent,
        "operator_failed": tally.ruled_failed,
    }
    for outcome, count in settled.items():
        yield Sample("smscd_doubt_segments_settled_total", (figures.upstream, outcome), count)
    yield Sample("smscd_upstream_timeouts_total", labels, tally.timed_out)
    yield Sample("smscd_upstream_turns_total", labels, figures.turns)
    yield Sample("smscd_upstream_tls_failures_total", labels, figures.tls_failures)
    yield Sample("smscd_upstream_pdu_errors_total", (figures.upstream, "unreadable"), figures.unreadable)
    yield Sample("smscd_upstream_pdu_errors_total", (figures.upstream, "framing"), figures.framing_errors)
    yield Sample("smscd_queue_messages", labels, figures.queued)
    yield Sample("smscd_upstream_binds", labels, figures.binds_bound)
    yield Sample("smscd_upstream_held_binds", labels, figures.binds_held)
    for status, count in figures.binds_refused.items():
        yield Sample("smscd_upstream_refused_binds_total", (figures.upstream, status), count)
    yield Sample("smscd_upstream_window_segments", labels, figures.window)
    yield Sample("smscd_upstream_alerts_total", labels, figures.alerts)
    yield Sample("smscd_upstream_in_flight_messages", labels, figures.in_flight)
    yield Sample("smscd_upstream_breaker_state", labels, BREAKER_STATES.get(figures.breaker_state, 0.0))
    yield Sample("smscd_upstream_breaker_opened_total", labels, figures.breaker_opened)
    yield Sample("smscd_upstream_out_since_seconds", labels, figures.out_since_ms / 1000)
    yield Sample("smscd_upstream_throttled", labels, float(figures.is_throttled))
    yield Sample("smscd_upstream_moved_messages_total", labels, figures.moved)
    yield histogram_sample("smscd_upstream_response_seconds", labels, figures.response_seconds)
    yield histogram_sample("smscd_receipt_seconds", labels, figures.receipt_seconds)
    receipts = {
        "read": figures.receipts,
        "parked": figures.receipts_parked,
        "repeated": figures.receipts_repeated,
        "unreadable": figures.receipts_unreadable,
        "deferred": figures.receipts_deferred,
        "ambiguous": figures.receipts_ambiguous,
        "unknown_stat": figures.receipts_unknown_stat,
        "looked_up": figures.receipts_looked_up,
        "cold": figures.receipts_cold,
        "orphaned": figures.receipts_orphaned,
    }
    yield Sample("smscd_parked_receipts", labels, figures.parked)
    for form, count in figures.receipts_by_form.items():
        yield Sample("smscd_receipts_other_form_total", (figures.upstream, form), count)
    for outcome, count in receipts.items():
        yield Sample("smscd_receipts_total", (figures.upstream, outcome), count)
    yield Sample("smscd_inbound_messages_total", (figures.upstream, "read"), figures.inbound)
    yield Sample("smscd_inbound_messages_total", (figures.upstream, "unknown_number"), figures.inbound_unknown)
    yield Sample("smscd_inbound_messages_total", (figures.upstream, "repeated"), figures.inbound_repeated)
    yield Sample("smscd_inbound_messages_total", (figures.upstream, "joined"), figures.inbound_joined)
    yield Sample("smscd_inbound_messages_total", (figures.upstream, "partial"), figures.inbound_partial)
    yield Sample("smscd_inbound_waiting_parts", labels, figures.inbound_waiting)


def outbox_samples(figures: OutboxFigures) -> Iterator[Sample]:
    """Of deliver_sm to ESMEs."""
    for outcome in ("sent", "delivered", "refused", "timed_out", "unanswered", "dead"):
        yield Sample("smscd_outbox_callbacks_total", (outcome,), getattr(figures, outcome))
    yield histogram_sample("smscd_outbox_response_seconds", (), figures.response_seconds)


def smpp_samples(server: SmppServer) -> Iterator[Sample]:
    """Of the sessions of ESMEs."""
    yield Sample("smscd_smpp_connections", (), server.connection_count)
    for mode, count in server.session_counts().items():
        yield Sample("smscd_smpp_sessions", (mode,), count)
    for outcome, count in server.figures.binds.items():
        yield Sample("smscd_smpp_binds_total", (outcome.value,), count)
    yield Sample("smscd_smpp_binds_without_redis_total", (), server.binds_without_redis)
    for refusal, count in server.refused.items():
        yield Sample("smscd_smpp_refused_connections_total", (str(refusal),), count)
    for reason, count in server.figures.rejected.items():
        yield Sample("smscd_admission_messages_total", ("smpp", reason.name.lower()), count)
    unreadable = server.unreadable_counts()
    malformed = server.figures.malformed + sum(unreadable[command] for command in _SUBMITS)
    yield Sample("smscd_admission_messages_total", ("smpp", "malformed"), malformed)
    yield Sample("smscd_smpp_pdu_errors_total", ("unreadable",), unreadable.total())
    yield Sample("smscd_smpp_pdu_errors_total", ("forbidden",), server.figures.malformed)
    yield Sample("smscd_smpp_pdu_errors_total", ("framing",), server.figures.closed[CloseReason.FRAMING])
    for outcome_text, count in server.figures.outbinds.items():
        yield Sample("smscd_smpp_outbinds_total", (outcome_text,), count)
    for reason_text, count in server.figures.closed.items():
        yield Sample("smscd_smpp_closed_total", (reason_text,), count)


def tls_samples(tls: ServerTls) -> Iterator[Sample]:
    """Of the listener's certificate."""
    yield Sample("smscd_smpp_certificate_reloads_total", ("taken",), tls.reloads)
    yield Sample("smscd_smpp_certificate_reloads_total", ("unusable",), tls.failures)


def http_samples(figures: HttpFigures) -> Iterator[Sample]:
    """Of the HTTP interface."""
    for name, route in figures.routes.items():
        by_class: dict[str, int] = {}
        for status, count in route.by_status.items():
            by_class[f"{status // 100}xx"] = by_class.get(f"{status // 100}xx", 0) + count
        for status_class, count in by_class.items():
            yield Sample("smscd_http_requests_total", (name, status_class), count)
        yield Sample("smscd_http_request_seconds", (name,), route.seconds, HTTP_BOUNDS, list(route.counts))
    yield Sample("smscd_http_connections", (), figures.connections)
    yield Sample("smscd_http_replays_total", (), figures.replayed)


def webhook_samples(figures: WebhookFigures) -> Iterator[Sample]:
    """Of deliveries to customers' URLs."""
    for outcome in ("delivered", "retried", "postponed", "dead"):
        yield Sample("smscd_webhook_deliveries_total", (outcome,), getattr(figures, outcome))
    yield Sample("smscd_webhook_pending_deliveries", (), figures.active)
    yield histogram_sample("smscd_webhook_seconds", (), figures.seconds)
