"""Request keys: X-Request-ID and its alias Idempotency-Key, by which a repeated request is known (law 3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smscd.ingress.http.problems import FieldError

if TYPE_CHECKING:
    from multidict import MultiMapping

REQUEST_KEY_MAX: Final = 128
_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{REQUEST_KEY_MAX}}}")
_RULE: Final = f"must have 1 to {REQUEST_KEY_MAX} visible ASCII characters"


def is_request_key(text: str) -> bool:
    """True for what may be a request key."""
    return _KEY.fullmatch(text) is not None


def request_key(headers: MultiMapping[str], errors: list[FieldError]) -> bytes | None:
    """The request key, None without one; what is wrong with the headers is added to `errors`."""
    given = headers.get("X-Request-ID")
    alias = headers.get("Idempotency-Key")
    if given is None and alias is None:
        return None
    for name in ("X-Request-ID", "Idempotency-Key"):
        if len(set(headers.getall(name, ()))) > 1:
            errors.append(FieldError("", f"{name} stands more than once, and must not differ"))
    if given is not None and not is_request_key(given):
        errors.append(FieldError("", f"X-Request-ID {_RULE}"))
    if alias is not None:
        if len(alias) >= 2 and alias[0] == alias[-1] == '"':
            alias = alias[1:-1]
        if not is_request_key(alias):
            errors.append(FieldError("", f"Idempotency-Key {_RULE}"))
        elif given is not None and given != alias:
            errors.append(FieldError("", "X-Request-ID and Idempotency-Key are one thing and must not differ"))
    key = given if given is not None else alias
    return None if errors or key is None else key.encode()
