"""Small JSON bodies, read strictly: the struct that a body is, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from smscd.ingress.http.problems import MALFORMED_JSON, FieldError, Problem, invalid, problem

FIELD_ERRORS_MAX: Final = 50
POINTER_CHARACTERS_MAX: Final = 80
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_T = TypeVar("_T", bound=msgspec.Struct)


def read_strict(body: bytes, kind: type[_T], rules: Mapping[str, str]) -> _T | Problem:
    """kind: forbids unknown fields. rules: what each of its fields must be, in words."""
    try:
        return msgspec.json.decode(body, type=kind)
    except _BROKEN:
        return faults_of(body, kind, rules)


def faults_of(body: bytes, kind: type[msgspec.Struct], rules: Mapping[str, str]) -> Problem:
    """Why a body is no such struct: every field at fault."""
    try:
        fields = _fields_decoder.decode(body)
    except msgspec.ValidationError:
        return invalid([FieldError("", "must be a JSON object")])
    except _BROKEN:
        return problem(MALFORMED_JSON)
    hints = _hints(kind)
    needed = [field.name for field in msgspec.structs.fields(kind) if field.required]
    errors = [FieldError("/" + name, "is required") for name in needed if name not in fields]
    for name, raw in fields.items():
        if name not in hints:
            shown = name.replace("~", "~0").replace("/", "~1")[:POINTER_CHARACTERS_MAX]
            errors.append(FieldError("/" + shown, "unknown field"))
            continue
        try:
            msgspec.json.decode(raw, type=hints[name])
        except _BROKEN:
            errors.append(FieldError("/" + name, rules[name]))
    return invalid(errors[:FIELD_ERRORS_MAX] or [FieldError("", "is not valid: does a member stand twice?")])


@lru_cache
def _hints(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)
