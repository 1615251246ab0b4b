"""Which scope a key needs for a resource, where the resource does not say so itself."""

from __future__ import annotations

from typing import Final

from smscd.core.scopes import ADMIN, READ, SEND

_ADMINISTERED: Final = ("/v1/webhooks", "/v1/keys")


def scope_of(template: str, method: str) -> int:
    """Looking is read; changing an account's webhooks or keys is admin; any other doing is send."""
    if method == "GET":
        return READ
    return ADMIN if template.startswith(_ADMINISTERED) else SEND
