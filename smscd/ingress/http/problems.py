"""Problems: every HTTP refusal as an RFC 9457 document, from the table of reasons or from HTTP's own refusals."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from smscd.core.reasons import REASONS, Reason, Rejected

PROBLEM_JSON: Final = "application/problem+json"
TYPE_BASE: Final = "/problems/"
VALIDATION_FAILED: Final = "validation_failed"


class FieldError(msgspec.Struct, frozen=True):
    """One field at fault. pointer: a JSON pointer into the body, or into the query; "" for either or for a header."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal before it is written down. headers: what the answer carries besides the document."""

    status: int
    code: str
    title: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False


class ProblemDocument(msgspec.Struct, kw_only=True, rename={"kind": "type"}):
    """The body of every refusal (application/problem+json, RFC 9457)."""

    kind: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    request_id: str
    errors: tuple[FieldError, ...] = ()


class Code(msgspec.Struct, frozen=True):
    """What HTTP itself refuses, before there is a submission."""

    status: int
    code: str
    title: str
    detail: str


MALFORMED_JSON: Final = Code(400, "malformed_json", "Bad Request", "The body is not valid JSON in UTF-8.")
BAD_REQUEST: Final = Code(400, "bad_request", "Bad Request", "The request is not valid HTTP.")
UNAUTHORIZED: Final = Code(401, "unauthorized", "Unauthorized", "X-Api-Key is missing or not valid.")
KEY_EXPIRED: Final = Code(401, "key_expired", "Unauthorized", "This key has expired: use a newer one.")
SCOPE_MISSING: Final = Code(403, "scope_missing", "Forbidden", "The key does not have the scope that this needs.")
ADDRESS_NOT_ALLOWED: Final = Code(
    403, "address_not_allowed", "Forbidden", "Requests of this account may not come from this address."
)
KEY_NOT_VALID: Final = Code(409, "key_not_valid", "Conflict", "A key that has ended cannot be replaced.")
TOO_MANY_KEYS: Final = Code(
    409, "too_many_keys", "Conflict", "The account has as many keys as it may have, or has made too many in a day."
)
NOT_FOUND: Final = Code(404, "not_found", "Not Found", "There is nothing here.")
METHOD_NOT_ALLOWED: Final = Code(405, "method_not_allowed", "Method Not Allowed", "This resource has other methods.")
TOO_MANY_WEBHOOKS: Final = Code(
    409, "too_many_webhooks", "Conflict", "The account has 16 webhooks, which is as many as it may have."
)
TOO_MANY_SECRETS: Final = Code(
    409, "too_many_secrets", "Conflict", "Four old secrets of this webhook still sign; wait, or give overlap 0."
)
REQUEST_TIMEOUT: Final = Code(408, "request_timeout", "Request Timeout", "The request did not arrive in time.")
EVENTS_GONE: Final = Code(
    410, "events_gone", "Gone", "Some of the events after this one are not kept any more, or it is of another record."
)
NOT_CANCELABLE: Final = Code(
    409, "not_cancelable", "Conflict", "The message has left already, or it is over: it can no longer be canceled."
)
TOO_LARGE: Final = Code(413, "content_too_large", "Content Too Large", "The body is larger than is taken here.")
UNSUPPORTED: Final = Code(415, "unsupported_media_type", "Unsupported Media Type", "The body must be application/json.")
BATCH_REFUSED: Final = Code(
    422, "batch_refused", "Unprocessable Content", "No message of the batch was accepted, for different reasons."
)
EXPECTATION_FAILED: Final = Code(417, "expectation_failed", "Expectation Failed", "Only 100-continue may be expected.")
INVALID: Final = Code(422, VALIDATION_FAILED, "Unprocessable Content", "The request is not valid.")
HEADERS_TOO_LARGE: Final = Code(
    431, "headers_too_large", "Request Header Fields Too Large", "The request line or a header is too long."
)
INTERNAL: Final = Code(500, "internal_error", "Internal Server Error", "Something failed here; it is not your fault.")
BUSY: Final = Code(503, "busy", "Service Unavailable", "Too much is being received at once; try again.")
UNAVAILABLE: Final = Code(503, "storage_unavailable", "Service Unavailable", "The storage does not answer; try again.")

BAD_GATEWAY: Final = Code(502, "bad_gateway", "Bad Gateway", "The service behind this proxy cannot be reached.")
GATEWAY_TIMEOUT: Final = Code(
    504, "gateway_timeout", "Gateway Timeout", "The service behind this proxy did not answer in time."
)
"""These two are said by a proxy in front, such as conf/nginx/smscd.conf makes one."""

HTTP_CODES: Final = (
    MALFORMED_JSON,
    BAD_REQUEST,
    UNAUTHORIZED,
    KEY_EXPIRED,
    SCOPE_MISSING,
    ADDRESS_NOT_ALLOWED,
    KEY_NOT_VALID,
    TOO_MANY_KEYS,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    NOT_CANCELABLE,
    EVENTS_GONE,
    TOO_MANY_WEBHOOKS,
    TOO_MANY_SECRETS,
    TOO_LARGE,
    UNSUPPORTED,
    EXPECTATION_FAILED,
    INVALID,
    BATCH_REFUSED,
    HEADERS_TOO_LARGE,
    INTERNAL,
    BUSY,
    UNAVAILABLE,
    BAD_GATEWAY,
    GATEWAY_TIMEOUT,
)

_encoder = msgspec.json.Encoder()


def problem(
    code: Code,
    detail: str = "",
    *,
    headers: tuple[tuple[str, str], ...] = (),
    closes: bool = False,
) -> Problem:
    """A refusal of HTTP's own. closes: the connection cannot be used after it."""
    return Problem(
        status=code.status,
        code=code.code,
        title=code.title,
        detail=detail or code.detail,
        headers=headers,
        closes=closes,
    )


def invalid(errors: list[FieldError]) -> Problem:
    """422 with every field at fault."""
    count = len(errors)
    detail = "1 field is invalid" if count == 1 else f"{count} fields are invalid"
    return Problem(status=INVALID.status, code=INVALID.code, title=INVALID.title, detail=detail, errors=tuple(errors))


def unavailable(detail: str = "") -> Problem:
    """503 for a storage that does not answer, or not in time."""
    return problem(UNAVAILABLE, detail, headers=(("Retry-After", "1"),))


def refused(reason: Reason, retry_after_seconds: float = 0.0) -> Problem:
    """What the table of reasons says over HTTP; a temporary reason carries Retry-After, at least a second."""
    answer = REASONS[reason]
    headers: tuple[tuple[str, str], ...] = ()
    if answer.is_temporary:
        headers = (("Retry-After", str(max(1, math.ceil(retry_after_seconds)))),)
    return Problem(
        status=answer.http_status, code=answer.code, title=answer.title, detail=answer.detail, headers=headers
    )


def rejected(rejection: Rejected) -> Problem:
    """What planning refused: a field at fault where it names one, else the row of the table with its own detail."""
    answer = rejection.answer
    if answer.code == VALIDATION_FAILED:
        return invalid([FieldError(rejection.pointer, rejection.sentence)])
    found = refused(rejection.reason)
    errors = (FieldError(rejection.pointer, rejection.sentence),) if rejection.pointer else ()
    return msgspec.structs.replace(found, detail=rejection.sentence, errors=errors)


def encode(found: Problem, instance: str, request_id: str) -> bytes:
    """The document for one request. instance: the path asked for, whatever bytes were in it."""
    instance = instance if instance.isascii() else instance.encode("ascii", "backslashreplace").decode()
    return _encoder.encode(
        ProblemDocument(
            kind=TYPE_BASE + found.code,
            title=found.title,
            status=found.status,
            code=found.code,
            detail=found.detail,
            instance=instance,
            request_id=request_id,
            errors=found.errors,
        )
    )
