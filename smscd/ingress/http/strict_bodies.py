"""Small JSON bodies, read strictly: the struct that a body is, or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType, UnionType
from typing import Any, Final, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET

from smscd.ingress.http.field_errors import pointer
from smscd.ingress.http.problems import MALFORMED_JSON, FieldError, Problem, invalid, problem

FIELD_ERRORS_MAX: Final = 50
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_T = TypeVar("_T", bound=msgspec.Struct)


Checks: TypeAlias = Mapping[str, Callable[[Any], bool]]


def read_strict(
    body: bytes, kind: type[_T], rules: Mapping[str, str], checks: Checks = MappingProxyType({})
) -> _T | Problem:
    """kind: forbids unknown fields. rules: what a field must be, in words, where the type does not say it well.

    checks: what a field must pass besides being of its type; each of these has a rule.
    """
    try:
        found = msgspec.json.decode(body, type=kind)
    except _BROKEN:
        return faults_of(body, kind, rules, checks)
    given = ((check, getattr(found, name, UNSET)) for name, check in checks.items())
    if any(value is not UNSET and not check(value) for check, value in given):
        return faults_of(body, kind, rules, checks)
    return found


def faults_of(body: bytes, kind: type[msgspec.Struct], rules: Mapping[str, str], checks: Checks) -> Problem:
    """Why a body is no such struct: every field at fault."""
    try:
        if body.lstrip()[:1] != b"{":
            msgspec.json.decode(body)
            return invalid([FieldError("", "must be a JSON object")])
        fields = _fields_decoder.decode(body)
    except _BROKEN:
        return problem(MALFORMED_JSON)
    hints = _hints(kind)
    needed = [field.name for field in msgspec.structs.fields(kind) if field.required]
    errors = [FieldError("/" + name, "is required") for name in needed if name not in fields]
    for name, raw in fields.items():
        if name not in hints:
            errors.append(FieldError(pointer(name), "unknown field"))
            continue
        try:
            value = msgspec.json.decode(raw, type=hints[name])
            is_right = name not in checks or checks[name](value)
        except _BROKEN as error:
            errors.append(FieldError(pointer(name), rules.get(name) or said(error)))
        else:
            if not is_right:
                errors.append(FieldError(pointer(name), rules[name]))
    return invalid(errors[:FIELD_ERRORS_MAX] or [FieldError("", "is not valid: does a member stand twice?")])


def said(error: Exception) -> str:
    """What msgspec says of one value, as a rule."""
    text = str(error).partition(" - at `")[0]
    return "must be " + text.removeprefix("Expected ") if text.startswith("Expected ") else text


@lru_cache
def _hints(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: _value_type(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _value_type(hint: Any) -> Any:
    """The type of a field without "not given", which JSON cannot say."""
    kinds = [kind for kind in get_args(hint) if kind is not msgspec.UnsetType]
    is_optional = isinstance(hint, UnionType) or get_origin(hint) is Union
    return Union[tuple(kinds)] if is_optional and len(kinds) < len(get_args(hint)) else hint  # noqa: UP007  # made here
