"""Logs: structlog on standard error, JSON or coloured, with numbers masked and texts and secrets never printed."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO
from urllib.parse import urlsplit, urlunsplit

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

# Fields that must not reach a log whatever they hold, and fields that hold phone numbers.
SECRET_FIELDS = frozenset(
    {"password", "text", "body", "short_message", "message_payload", "api_key", "token", "secret", "webhook_secret"}
    | {"pepper", "content", "excerpt", "authorization"}
)
NUMBER_FIELDS = frozenset({"to", "from", "source", "dest", "source_addr", "destination_addr", "number", "msisdn"})
URL_FIELDS = frozenset({"url", "redis_url", "postgres_dsn", "dsn", "valkey_url"})
_CREDENTIALS = re.compile(r"(\w+://)[^/@\s]+@")
_LONG_NUMBER = re.compile(r"(?<![\d.])\+?\d{9,15}(?!\d)")


def mask_number(number: str) -> str:
    """A phone number with only its country and last two digits left: +4477*****23. Short codes stay."""
    digits = number.lstrip("+")
    if len(digits) < 7:
        return number
    sign = number[: len(number) - len(digits)]
    return f"{sign}{digits[:4]}{'*' * (len(digits) - 6)}{digits[-2:]}"


def mask_url(url: str) -> str:
    """A URL without user, password and query."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def mask(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The structlog processor that keeps secrets, texts and whole numbers out."""
    for field, value in event.items():
        if field in SECRET_FIELDS:
            event[field] = "***"
        elif field in NUMBER_FIELDS and isinstance(value, str | bytes):
            event[field] = mask_number(value.decode("latin-1") if isinstance(value, bytes) else value)
        elif field in URL_FIELDS and isinstance(value, str):
            event[field] = mask_url(value)
        elif field in ("error", "exception", "detail") and isinstance(value, str):
            event[field] = mask_text(value)
    return event


def mask_text(text: str) -> str:
    """Free text (an error's words) without credentials in URLs and without whole phone numbers."""
    return _LONG_NUMBER.sub(lambda match: mask_number(match[0]), _CREDENTIALS.sub(r"\1***@", text))


def configure_logs(
    level: str = "info",
    format: Literal["auto", "json", "console"] = "auto",
    *,
    stream: TextIO | None = None,
    **fields: object,
) -> None:
    """Set up structlog and the standard library's logging for this process. fields: added to each line.

    Exceptions are printed without the values of local variables, which may be customers' texts.
    """
    out = stream or sys.stderr
    is_console = format == "console" or (format == "auto" and out.isatty())
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if is_console:
        processors += [
            mask,
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=28
            ),
        ]
    else:
        processors += [structlog.processors.format_exc_info, mask, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**fields)
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(logging.WARNING)


class _ToStructlog(logging.Handler):
    """What libraries say through the standard library's logging comes out in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record."""
        log = structlog.get_logger(record.name)
        log.log(
            record.levelno, "library.said", library=record.name, detail=record.getMessage(), exc_info=record.exc_info
        )
