"""How a simulated carrier behaves beyond the magic numbers."""

from __future__ import annotations

from dataclasses import dataclass

from tools.carrier.trouble import NONE, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierOptions:
    """How the carrier behaves beyond the magic numbers.

    system_id, password: who may bind; anybody while they are None.
    latency_seconds: how long an answer takes. receipt_delay_seconds: how long after the answer its receipt is sent.
    response_ids, receipt_ids: "decimal" or "hex", the form of the id in submit_sm_resp and in the receipt.
    rate: messages a second, above it ESME_RTHROTTLED; 0 is no limit.
    receipt_window: deliver_sm that one session may leave unanswered. waiting_max: deliveries kept for each system_id.
    as_data_sm: receipts and MOs are data_sm instead of deliver_sm. takes_transceivers: False as an SMSC of 3.3.
    congestion_state: what every response to a peer of 5.0 says of us; None says nothing.
    trouble: how it misbehaves as a whole.
    """

    system_id: str | None = None
    password: str | None = None
    latency_seconds: float = 0.0
    receipt_delay_seconds: float = 0.0
    response_ids: str = "decimal"
    receipt_ids: str = "decimal"
    rate: float = 0.0
    receipt_window: int = 500
    receipt_tlvs: bool = True
    waiting_max: int = 1_000_000
    as_data_sm: bool = False
    takes_transceivers: bool = True
    congestion_state: int | None = None
    trouble: Trouble = NONE
