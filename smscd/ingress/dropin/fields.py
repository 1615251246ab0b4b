"""The parameters of a request as octets: they need not be UTF-8, so the raw query is read, and never aiohttp's."""

from __future__ import annotations

from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from aiohttp import web

FIELDS_MAX: Final = 100
FORM: Final = "application/x-www-form-urlencoded"

Fields: TypeAlias = dict[str, bytes]


def query_of(request: web.BaseRequest) -> Fields:
    """The parameters of the URL."""
    return parse_fields(request.raw_path.partition("?")[2].encode("utf-8", "surrogateescape"))


def parse_fields(data: bytes) -> Fields:
    """A query or a form. Of a name that stands twice the first counts; after FIELDS_MAX of them nothing is read."""
    found: Fields = {}
    for piece in data.split(b"&", FIELDS_MAX)[:FIELDS_MAX]:
        name, _, value = piece.partition(b"=")
        if name:
            decoded = unquote_to_bytes(name.replace(b"+", b" ")).decode("latin-1")
            found.setdefault(decoded, unquote_to_bytes(value.replace(b"+", b" ")))
    return found


def media_type(request: web.BaseRequest) -> tuple[str, str]:
    """The type of the body and its charset, both in lower case, empty where nothing is said."""
    kind, _, parameters = request.headers.get("Content-Type", "").partition(";")
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset":
            return kind.strip().lower(), value.strip().strip('"').lower()
    return kind.strip().lower(), ""


def number(text: bytes) -> int | None:
    """A decimal number of up to nine digits, with or without a minus sign; None for anything else."""
    digits = text.removeprefix(b"-")
    return int(text) if digits.isdigit() and len(digits) <= 9 else None
