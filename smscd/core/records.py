"""The plain values that travel between processes: what queues, journal and correlation hold, as msgpack.

Every record is a msgspec array: the order of the fields is the format. A field may be added at the end with a
default; nothing is removed or reordered, because blobs written by the previous release are still in Redis when the
next one starts.

Units: ids are 64-bit message ids, times are milliseconds since the Unix epoch, money is integer micro-units.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NewType

import msgspec

MessageId = NewType("MessageId", int)
AccountId = NewType("AccountId", str)
UpstreamId = NewType("UpstreamId", str)
Micros = NewType("Micros", int)


class Door(IntEnum):
    """The interface through which a submission came in."""

    SMPP = 1
    HTTP = 2


class State(IntEnum):
    """What the customer sees of a message; from DELIVERED on it is final."""

    SCHEDULED = 0
    QUEUED = 1
    SENDING = 2
    SENT = 3
    DELIVERED = 4
    UNDELIVERED = 5
    EXPIRED = 6
    REJECTED = 7
    FAILED = 8
    CANCELED = 9
    UNKNOWN = 10

    @property
    def is_final(self) -> bool:
        """True when no later fact may change the state."""
        return self >= State.DELIVERED


class Via(IntEnum):
    """How the customer is told: not at all, by deliver_sm to the bound ESME, or by a webhook."""

    NONE = 0
    SMPP = 1
    WEBHOOK = 2


class Tariff(IntEnum):
    """When a charge becomes final: at the carrier's acceptance, or only at delivery."""

    ON_ACCEPT = 0
    ON_DELIVERY = 1


class Outcome(IntEnum):
    """What became of one attempt to hand a segment to an upstream (journal kind T).

    No attempts are: UNANNOUNCED, the message was admitted although its customer had been refused (its cancellation is
    asked for; CANCELED says that it came in time), and REPLACED, the customer exchanged what is to be sent.
    """

    ACCEPTED = 1
    FAILED = 2
    RETRIED = 3
    EXPIRED = 4
    DOUBTED = 5
    UNKNOWN = 6
    CANCELED = 7
    UNANNOUNCED = 8
    REPLACED = 9


class InDoubt(IntEnum):
    """What is done with a segment that may have been sent: as its upstream says, or as the message does."""

    AS_UPSTREAM = 0
    RESEND = 1
    HOLD = 2
    FAIL = 3


class JournalKind:
    """The kinds of journal entry, one byte each; storage/redis/lua writes them, archive reads them."""

    ADMITTED = b"A"
    TURN = b"T"
    RECEIPTS = b"R"
    INBOUND = b"M"
    CALLBACKS = b"C"
    LEDGER = b"L"
    REPLACED = b"P"
    ORPHANS = b"O"
    PARKED = b"H"


class Form(IntEnum):
    """How the segments of a message leave: with the header that they have, with sar_* beside them, or in the TLV
    message_payload."""

    AS_THEY_ARE = 0
    SAR = 1
    PAYLOAD = 2


class Conversion(msgspec.Struct, array_like=True, gc=False):
    """What planning made of a message for its upstream, and what it was before: who reroutes it begins there.

    form: Form. parts: the short messages that it is on the air, and in the price. content to tlvs: as the customer sent
    them, in the account's alphabet (over HTTP in ours), before anything was cut. excerpt: the first characters of the
    text in ASCII, for its receipts.
    """

    form: int
    parts: int
    content: bytes
    data_coding: int
    esm_class: int
    tlvs: bytes
    excerpt: bytes


class MessageRecord(msgspec.Struct, array_like=True, gc=False):
    """One admitted message as the queue and the journal hold it.

    segments: the short_message of each submit_sm, UDH included, in order; at least one.
    tlvs: raw TLVs of the customer that are passed through to the upstream.
    valid_until_ms: the message is EXPIRED when it was not accepted by then.
    registered_delivery: what the customer asked for; the upstream is asked by its profile.
    attempt: how many temporary errors it has had. resends: how often a doubt was re-sent.
    group_id: of a submit_multi, the id that the customer was given for all its messages; 0 for every other message.
    conversion: None when the upstream gets what the customer sent, cut at most.
    priority_flag: what the ESME wrote, for the upstream alone; what counts here is priority, which is its account's.
    cost_micros: what the upstream asks for it, as it was known at admission; 0 when it was not.
    callback_url: where it is told, after its form where that is not ours (core.callback_forms).
    stored_answer: what is kept under request_key (core.idempotency), so that the record has it too; None without a key,
    and in all messages of a submit_multi but the first.
    send_at_ms: it is not sent before; 0 where it was to be sent at once.
    in_doubt: InDoubt, of its route.
    """

    id: int
    account: str
    upstream: str
    priority: int
    door: int
    source_ton: int
    source_npi: int
    source: bytes
    dest_ton: int
    dest_npi: int
    dest: bytes
    esm_class: int
    protocol_id: int
    data_coding: int
    registered_delivery: int
    segments: list[bytes]
    price_micros: int
    valid_until_ms: int
    via: int = 0
    tariff: int = 0
    service_type: bytes = b""
    tlvs: bytes = b""
    client_ref: str | None = None
    callback_url: str | None = None
    metadata: bytes | None = None
    request_key: str | None = None
    attempt: int = 0
    resends: int = 0
    group_id: int = 0
    conversion: Conversion | None = None
    priority_flag: int = 0
    cost_micros: int = 0
    stored_answer: bytes | None = None
    send_at_ms: int = 0
    in_doubt: int = 0

    @property
    def parts(self) -> int:
        """The short messages that it is on the air, and in the price; there may be fewer submit_sm."""
        return self.conversion.parts if self.conversion is not None else len(self.segments)


class ResultRecord(msgspec.Struct, array_like=True, gc=False):
    """What one turn learned of one segment (journal kind T).

    state: the message's State after this result. It is final when this result ends the message.
    refund_micros: proposed refund; the entry's effect string says whether the script made it.
    """

    id: int
    segment: int
    outcome: int
    at_ms: int
    upstream: str
    upstream_message_id: bytes
    command_status: int
    attempt: int
    state: int
    refund_micros: int = 0
    account: str = ""
    due: bool = False


class ReceiptRecord(msgspec.Struct, array_like=True, gc=False):
    """One receipt matched to its segment (journal kind R). text is what the upstream sent, kept raw."""

    id: int
    segment: int
    segments: int
    account: str
    at_ms: int
    upstream: str
    upstream_message_id: bytes
    state: int
    stat: bytes
    err: bytes
    done_ms: int
    text: bytes
    refund_micros: int = 0
    due: bool = False


class InboundRecord(msgspec.Struct, array_like=True, gc=False):
    """One mobile-originated message, or a part of one (journal kind M).

    account: empty when no number of ours matched.
    group_id: of a part that is joined with others, the id of the whole, which is a record of its own; 0 otherwise.
    """

    id: int
    account: str
    upstream: str
    source_ton: int
    source_npi: int
    source: bytes
    dest_ton: int
    dest_npi: int
    dest: bytes
    esm_class: int
    protocol_id: int
    data_coding: int
    body: bytes
    at_ms: int
    tlvs: bytes = b""
    via: int = 0
    group_id: int = 0


class HeldPart(msgspec.Struct, array_like=True, gc=False):
    """A part of a message from a phone that waits for the others, as `join` holds it.

    whole: the id that they get together. via: how the account is told. numbering: joining.Numbering, whose reference
    it is. body to elements: text as protocols.gsm.transcode.Content has it, and what else is in the header.
    """

    whole: int
    at_ms: int
    account: str
    via: int
    numbering: int
    reference: int
    total: int
    sequence: int
    source_ton: int
    source_npi: int
    source: bytes
    dest_ton: int
    dest_npi: int
    dest: bytes
    esm_class: int
    protocol_id: int
    body: bytes
    data_coding: int
    elements: tuple[tuple[int, bytes], ...] = ()
    tlvs: bytes = b""


class SentContext(msgspec.Struct, array_like=True, gc=False):
    """What correlation keeps of an accepted segment: all that its receipt needs to reach the customer.

    segments: how many submit_sm the message is. parts: short messages, when these are more; 0 otherwise.
    data_coding: of the excerpt. states_until_ms: core.lifecycle.states_until().
    """

    id: int
    segment: int
    segments: int
    account: str
    via: int
    registered_delivery: int
    source_ton: int
    source_npi: int
    source: bytes
    dest_ton: int
    dest_npi: int
    dest: bytes
    data_coding: int
    price_micros: int
    tariff: int
    excerpt: bytes = b""
    client_ref: str | None = None
    callback_url: str | None = None
    group_id: int = 0
    parts: int = 0
    states_until_ms: int = 0


class ParkedReceipt(msgspec.Struct, array_like=True, gc=False):
    """A receipt that came before its submit_sm_resp, as `park` holds it.

    named_tlvs: as a CallbackRecord has them. source, dest: of the PDU.
    """

    upstream_message_id: bytes
    stat: bytes
    err: bytes
    state: int
    done_ms: int
    text: bytes
    at_ms: int
    is_intermediate: bool = False
    named_tlvs: dict[str, int | str] | None = None
    source: bytes = b""
    dest: bytes = b""


class OrphanRecord(msgspec.Struct, array_like=True, gc=False):
    """A parked receipt whose message nobody found in time (journal kind O), or not yet (kind H, whatever the reason).

    mark: the same when it is told twice. reason: unknown, ambiguous (several messages have its id) or unreadable.
    """

    upstream: str
    mark: bytes
    reason: str
    receipt: ParkedReceipt


class MatchRequest(msgspec.Struct, array_like=True, gc=False):
    """An orphan that an operator has matched, as the owner of its upstream is asked to apply it.

    states: what was known of the message, as ColdFound has it.
    """

    context: SentContext
    receipt: ParkedReceipt
    states: list[tuple[bytes, int]]


class ChangeKind(IntEnum):
    """What a customer wants changed of a message that was not sent yet, or an operator of one that is in doubt."""

    CANCEL = 1
    REPLACE = 2
    RESEND = 3
    FAIL = 4


class ChangeRequest(msgspec.Struct, array_like=True, gc=False):
    """A change, as the owner of the message's upstream is asked for it.

    message: for REPLACE as it shall be, else as it is. is_queued: the owner said that it does not have the message, and
    the record, which has come further than that, says that it is not over: so it waits in a queue that was not read.
    """

    kind: int
    message: MessageRecord
    is_queued: bool = False


class LedgerRecord(msgspec.Struct, array_like=True, gc=False):
    """An order of an operator (journal kind L): a top-up, an adjustment or a correction, as `kind` says.

    reference: the operator's own id, of one order in the whole installation; it happens once. corrects: of a
    correction, the reference of the entry that it corrects.
    """

    account: str
    kind: str
    amount_micros: int
    reference: str
    at_ms: int
    operator: str = ""
    note: str = ""
    corrects: str = ""
