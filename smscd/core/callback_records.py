"""The plain values of callbacks, as outboxes, retries and the journal hold them: what is told, and how it ended.

They are msgpack arrays like those of records, with the same rules and units.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class CallbackKind(IntEnum):
    """What a callback tells: the state of a message, a mobile-originated message, or that a balance is low."""

    RECEIPT = 1
    INBOUND = 2
    LOW_BALANCE = 3


class CallbackRecord(msgspec.Struct, array_like=True, gc=False):
    """One callback that is due to a customer: an item of `out:<account>` or of `hooks`.

    source and dest are those of the message that it speaks of (for a receipt: of the customer's own message, so the
    receipt's deliver_sm has them swapped). body is the excerpt of the text for a receipt, the whole body for an MO.
    group_id: the id that the customer knows the message by, when it is not its own; 0 otherwise.
    is_from_network: err is what the network said, not the command_status with which the upstream refused.
    named_tlvs: what the upstream's profile names of the TLVs that came, for a webhook; None: nothing.
    For LOW_BALANCE, which only a webhook tells: id is the ledger entry's, body the event's data in JSON.
    parts, parts_total: of a message from a phone that was joined, how many of its parts are there; 0 for any other.
    upstream, upstream_message_id: who says it, by which id; where the form of `url` tells them (core.callback_forms).
    endpoint: the WebhookEndpoint that it is for; 0 as long as nobody has looked which want it, and for `url`.
    is_replay: it has ended before, and was asked for again.
    """

    kind: int
    id: int
    account: str
    state: int
    stat: bytes
    err: bytes
    submit_ms: int
    done_ms: int
    source_ton: int
    source_npi: int
    source: bytes
    dest_ton: int
    dest_npi: int
    dest: bytes
    esm_class: int
    data_coding: int
    segments: int
    body: bytes
    registered_delivery: int = 0
    client_ref: str | None = None
    url: str | None = None
    attempt: int = 0
    tlvs: bytes = b""
    group_id: int = 0
    is_from_network: bool = False
    named_tlvs: dict[str, int | str] | None = None
    parts: int = 0
    parts_total: int = 0
    upstream: str = ""
    upstream_message_id: bytes = b""
    endpoint: int = 0
    is_replay: bool = False


class CallbackOutcome(IntEnum):
    """How a callback ended (journal kind C), or what became of it on the way to endpoints of its account.

    FANNED: it became `attempts` callbacks, one for each endpoint that wants it; 0: nobody does, and that is its end.
    PENDING: it waits for its next attempt at an endpoint.
    """

    DELIVERED = 1
    DEAD = 2
    FANNED = 3
    PENDING = 4


class CallbackResult(msgspec.Struct, array_like=True, gc=False):
    """The end of one callback, or a step of one for an endpoint (journal kind C).

    The rest is of an endpoint's alone. event, event_type: as it is told. code: how the receiver answered, 0 for no
    answer. next_ms: when it is tried again. revision: of the endpoint that answered. record: the CallbackRecord, as it
    is kept for a replay.
    """

    id: int
    kind: int
    account: str
    outcome: int
    at_ms: int
    attempts: int
    detail: str = ""
    endpoint: int = 0
    event: str = ""
    event_type: str = ""
    code: int = 0
    next_ms: int = 0
    revision: int = 0
    is_replay: bool = False
    record: bytes = b""
