"""Why a submission is refused, and the ONE table that turns a reason into an answer at either door."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

from protocols.smpp.constants import CommandStatus


class Reason(Enum):
    """Every refusal there is. What is said to the customer stands in `REASONS`."""

    INSUFFICIENT_BALANCE = auto()
    NO_ROUTE = auto()
    NO_ROUTE_AVAILABLE = auto()
    ACCOUNT_SUSPENDED = auto()
    SENDER_NOT_ALLOWED = auto()
    TOO_MANY_SEGMENTS = auto()
    RATE_LIMITED = auto()
    PREFIX_VELOCITY = auto()
    SPEND_LIMIT = auto()
    COUNTRY_NOT_ALLOWED = auto()
    QUEUE_FULL = auto()
    STORAGE_UNAVAILABLE = auto()
    RECORD_BEHIND = auto()
    IDEMPOTENCY_KEY_REUSED = auto()
    IDEMPOTENCY_IN_PROGRESS = auto()
    INVALID_SOURCE = auto()
    INVALID_DESTINATION = auto()
    INVALID_LENGTH = auto()
    INVALID_UDH = auto()
    INVALID_ENCODING = auto()
    INVALID_VALIDITY = auto()
    INVALID_SCHEDULE = auto()
    INVALID_REPLACE_FLAG = auto()
    INVALID_DEFAULT_MESSAGE = auto()
    INVALID_TLV_VALUE = auto()
    INVALID_TLV_LENGTH = auto()
    MISSING_TLV = auto()
    NOT_CONVERTIBLE = auto()


class Answer(msgspec.Struct, frozen=True):
    """One row of the table: what each door says for a reason.

    code: the `code` of the RFC 9457 problem. detail: its sentence, where the refusal brings none of its own.
    is_temporary: the same submission may be accepted later (HTTP sends Retry-After).
    """

    command_status: int
    http_status: int
    code: str
    detail: str
    is_temporary: bool = False

    @property
    def title(self) -> str:
        """The phrase of the HTTP status (RFC 9110), the `title` of the problem."""
        return HTTP_TITLES[self.http_status]


HTTP_TITLES: Final = {
    402: "Payment Required",
    403: "Forbidden",
    409: "Conflict",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    503: "Service Unavailable",
}

_INVALID: Final = "validation_failed"

REASONS: Final[dict[Reason, Answer]] = {
    Reason.INSUFFICIENT_BALANCE: Answer(
        CommandStatus.ESME_RSUBMITFAIL,
        402,
        "insufficient_balance",
        "The balance and the credit of the account do not cover the price.",
    ),
    Reason.NO_ROUTE: Answer(CommandStatus.ESME_RINVDSTADR, 422, "no_route", "No route serves this destination."),
    Reason.NO_ROUTE_AVAILABLE: Answer(
        CommandStatus.ESME_RINVDSTADR,
        503,
        "no_route_available",
        "Every route to this destination is paused.",
        is_temporary=True,
    ),
    Reason.ACCOUNT_SUSPENDED: Answer(
        CommandStatus.ESME_RSUBMITFAIL, 403, "account_suspended", "The account is suspended."
    ),
    Reason.SENDER_NOT_ALLOWED: Answer(
        CommandStatus.ESME_RINVSRCADR, 403, "sender_not_allowed", "The account may not send from this sender."
    ),
    Reason.TOO_MANY_SEGMENTS: Answer(
        CommandStatus.ESME_RINVMSGLEN,
        422,
        "too_many_segments",
        "The text needs more segments than the account may use.",
    ),
    Reason.RATE_LIMITED: Answer(
        CommandStatus.ESME_RTHROTTLED,
        429,
        "rate_limited",
        "The account's own rate of messages is exceeded.",
        is_temporary=True,
    ),
    Reason.PREFIX_VELOCITY: Answer(
        CommandStatus.ESME_RTHROTTLED,
        429,
        "prefix_velocity",
        "Too many messages to numbers that differ in their last four digits only: wait, or ask for a higher limit.",
        is_temporary=True,
    ),
    Reason.SPEND_LIMIT: Answer(
        CommandStatus.ESME_RTHROTTLED,
        429,
        "spend_limit",
        "What the account may spend in a day (UTC) does not cover the price: wait for the next day, or ask for more.",
        is_temporary=True,
    ),
    Reason.COUNTRY_NOT_ALLOWED: Answer(
        CommandStatus.ESME_RINVDSTADR,
        403,
        "country_not_allowed",
        "The account may not send to the country of this number: ask for it to be allowed.",
    ),
    Reason.QUEUE_FULL: Answer(
        CommandStatus.ESME_RMSGQFUL, 503, "queue_full", "Our queue is full; try again later.", is_temporary=True
    ),
    Reason.STORAGE_UNAVAILABLE: Answer(
        CommandStatus.ESME_RSYSERR,
        503,
        "storage_unavailable",
        "The message could not be stored; it was not accepted. Try again later.",
        is_temporary=True,
    ),
    Reason.RECORD_BEHIND: Answer(
        CommandStatus.ESME_RSYSERR,
        503,
        "record_behind",
        "The account's messages are accepted when they are recorded, and the record is behind. Try again later.",
        is_temporary=True,
    ),
    Reason.IDEMPOTENCY_KEY_REUSED: Answer(
        CommandStatus.ESME_RINVOPTPARAMVAL,
        422,
        "idempotency_key_reused",
        "This request key was used before with another message.",
    ),
    Reason.IDEMPOTENCY_IN_PROGRESS: Answer(
        CommandStatus.ESME_RSYSERR,
        409,
        "idempotency_in_progress",
        "The verdict on the first copy of this request is not known yet.",
        is_temporary=True,
    ),
    Reason.INVALID_SOURCE: Answer(
        CommandStatus.ESME_RINVSRCADR,
        422,
        _INVALID,
        "must be up to 11 letters and digits, a short code, or an E.164 number",
    ),
    Reason.INVALID_DESTINATION: Answer(CommandStatus.ESME_RINVDSTADR, 422, _INVALID, "must be E.164"),
    Reason.INVALID_LENGTH: Answer(
        CommandStatus.ESME_RINVMSGLEN, 422, _INVALID, "The length of the message is invalid."
    ),
    Reason.INVALID_UDH: Answer(
        CommandStatus.ESME_RINVESMCLASS, 422, _INVALID, "The user data header does not fit the message."
    ),
    Reason.INVALID_ENCODING: Answer(
        CommandStatus.ESME_RSUBMITFAIL, 422, _INVALID, "The text has characters that this encoding does not have."
    ),
    Reason.INVALID_VALIDITY: Answer(CommandStatus.ESME_RINVEXPIRY, 422, _INVALID, "The validity period is invalid."),
    Reason.INVALID_SCHEDULE: Answer(CommandStatus.ESME_RINVSCHED, 422, _INVALID, "The time to send is invalid."),
    Reason.INVALID_REPLACE_FLAG: Answer(
        CommandStatus.ESME_RINVREPFLAG,
        422,
        _INVALID,
        "Neither a part of a long message nor a message to several numbers replaces another one.",
    ),
    Reason.INVALID_DEFAULT_MESSAGE: Answer(
        CommandStatus.ESME_RINVDFTMSGID, 422, _INVALID, "No predefined message has this number."
    ),
    Reason.INVALID_TLV_VALUE: Answer(
        CommandStatus.ESME_RINVOPTPARAMVAL, 422, _INVALID, "The value of an optional parameter is invalid."
    ),
    Reason.INVALID_TLV_LENGTH: Answer(
        CommandStatus.ESME_RINVTLVLEN, 422, _INVALID, "The length of an optional parameter is invalid."
    ),
    Reason.MISSING_TLV: Answer(
        CommandStatus.ESME_RMISSINGTLV, 422, "missing_tlv", "The route needs an optional parameter that is missing."
    ),
    Reason.NOT_CONVERTIBLE: Answer(
        CommandStatus.ESME_RSUBMITFAIL,
        422,
        "not_convertible",
        "The text cannot be written in the alphabet of the route.",
    ),
}


class Rejected(msgspec.Struct, frozen=True):
    """A submission refused before admission.

    detail: what is wrong with this one; empty means the sentence of the table.
    pointer: the JSON pointer of the field at fault ("/to"), empty where no field of the body is.
    """

    reason: Reason
    detail: str = ""
    pointer: str = ""

    @property
    def answer(self) -> Answer:
        """The row of the table for this reason."""
        return REASONS[self.reason]

    @property
    def sentence(self) -> str:
        """The detail, or the table's sentence where there is none."""
        return self.detail or REASONS[self.reason].detail
