"""The life of a message after admission: what statuses and receipts make of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from protocols.smpp.constants import CommandStatus, MessageState
from smscd.core.ids import message_ms
from smscd.core.records import MessageRecord, State


class StatusKind(Enum):
    """What a command_status of an upstream means for the segment."""

    ACCEPTED = auto()
    THROTTLED = auto()
    QUEUE_FULL = auto()
    TEMPORARY = auto()
    PERMANENT = auto()


STANDARD_KINDS: Final[Mapping[int, StatusKind]] = {
    CommandStatus.ESME_ROK: StatusKind.ACCEPTED,
    CommandStatus.ESME_RTHROTTLED: StatusKind.THROTTLED,
    CommandStatus.ESME_RMSGQFUL: StatusKind.QUEUE_FULL,
    CommandStatus.ESME_RSYSERR: StatusKind.TEMPORARY,
    CommandStatus.ESME_RINVBNDSTS: StatusKind.TEMPORARY,
    CommandStatus.ESME_RX_T_APPN: StatusKind.TEMPORARY,
    CommandStatus.ESME_RSERTYPUNAVAIL: StatusKind.TEMPORARY,
}


def kind_of_status(status: int) -> StatusKind:
    """What a command_status means where no profile says otherwise (core.error_table).

    One that nobody knows, the vendors' 0x400 to 0x4FF included, is permanent: it is a failure of this request.
    """
    return STANDARD_KINDS.get(status, StatusKind.PERMANENT)


ORDINARY_LIFE_MS: Final = 25 * 3_600_000


def states_until(record: MessageRecord) -> int:
    """Until when Redis has to know what receipts said of a message of several submit_sm; 0 for the ordinary time.

    One that is tried for longer than a day may have a receipt of its first part days before the end of its last.
    """
    if len(record.segments) == 1:
        return 0
    starts_ms = max(message_ms(record.id), record.send_at_ms)
    return record.valid_until_ms if record.valid_until_ms > starts_ms + ORDINARY_LIFE_MS else 0


_STATES_BY_STAT: Final[dict[bytes, State]] = {
    b"DELIVRD": State.DELIVERED,
    b"DELIVERED": State.DELIVERED,
    b"EXPIRED": State.EXPIRED,
    b"DELETED": State.CANCELED,
    b"UNDELIV": State.UNDELIVERED,
    b"UNDELIVERABLE": State.UNDELIVERED,
    b"FAILED": State.UNDELIVERED,
    b"REJECTD": State.REJECTED,
    b"REJECTED": State.REJECTED,
    b"UNKNOWN": State.UNKNOWN,
    b"SKIPPED": State.REJECTED,
    b"ACCEPTD": State.SENT,
    b"ACCEPTED": State.SENT,
    b"ACKED": State.SENT,
    b"ENROUTE": State.SENT,
    b"BUFFRED": State.SENT,
    b"BUFFERED": State.SENT,
    b"SCHEDULED": State.SENT,
}

_STATES_BY_MESSAGE_STATE: Final[dict[int, State]] = {
    MessageState.SCHEDULED: State.SENT,
    MessageState.ENROUTE: State.SENT,
    MessageState.DELIVERED: State.DELIVERED,
    MessageState.EXPIRED: State.EXPIRED,
    MessageState.DELETED: State.CANCELED,
    MessageState.UNDELIVERABLE: State.UNDELIVERED,
    MessageState.ACCEPTED: State.SENT,
    MessageState.UNKNOWN: State.UNKNOWN,
    MessageState.REJECTED: State.REJECTED,
    MessageState.SKIPPED: State.REJECTED,
}

_REPORTS: Final[dict[State, tuple[bytes, MessageState]]] = {
    State.SCHEDULED: (b"ENROUTE", MessageState.SCHEDULED),
    State.QUEUED: (b"ENROUTE", MessageState.ENROUTE),
    State.SENDING: (b"ENROUTE", MessageState.ENROUTE),
    State.SENT: (b"ENROUTE", MessageState.ENROUTE),
    State.DELIVERED: (b"DELIVRD", MessageState.DELIVERED),
    State.UNDELIVERED: (b"UNDELIV", MessageState.UNDELIVERABLE),
    State.EXPIRED: (b"EXPIRED", MessageState.EXPIRED),
    State.REJECTED: (b"REJECTD", MessageState.REJECTED),
    State.FAILED: (b"UNDELIV", MessageState.UNDELIVERABLE),
    State.CANCELED: (b"DELETED", MessageState.DELETED),
    State.UNKNOWN: (b"UNKNOWN", MessageState.UNKNOWN),
}


NO_WORDS: Final[Mapping[str, str]] = {}


def state_of_receipt(stat: bytes, message_state: int | None, words: Mapping[str, str] = NO_WORDS) -> State | None:
    """What a receipt says of the message. The TLV message_state comes before the text's `stat`, in any case.

    words: the upstream's `receipt_stats`, which come before the table of what is known of all upstreams (quirk 1).
    ACCEPTD is not final, though the specification has it so: carriers send it before DELIVRD. None: nobody knows this
    `stat`; the receipt is recorded and does not end the message.
    """
    if message_state is not None:
        known = _STATES_BY_MESSAGE_STATE.get(message_state)
        if known is not None:
            return known
    word = stat.strip().upper()
    if words:
        mapped = words.get(word.decode("latin-1"))
        if mapped is not None:
            return _STATES_BY_STAT[mapped.encode()]
    if word.isdigit():
        return _STATES_BY_MESSAGE_STATE.get(int(word[:9]))
    return _STATES_BY_STAT.get(word)


def ends_message(policy: str, segment: int, segments: int, state: State) -> int | None:
    """What a final receipt of one segment of a long message means for the message.

    policy: the upstream's `receipt_segments`. Returns of how many segments such receipts end the message as delivered
    (a failure of one always ends it): all of them, or this one alone; None when this one does not count.
    """
    if policy == "any" or (policy == "last" and (segment == segments - 1 or state != State.DELIVERED)):
        return 1
    return None if policy == "last" else segments


def stat_of(state: State) -> bytes:
    """The `stat` that a receipt of ours says for a state."""
    return _REPORTS[state][0]


def message_state_of(state: State) -> MessageState:
    """The message_state that a receipt of ours, or query_sm_resp, says for a state."""
    return _REPORTS[state][1]
