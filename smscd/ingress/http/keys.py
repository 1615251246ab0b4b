"""Whose an HTTP key is."""

from __future__ import annotations

import hmac
from hashlib import sha256

from smscd.core.directory_index import AccountEntry, DirectoryIndex


def entry_of_key(directory: DirectoryIndex, key: bytes) -> AccountEntry | None:
    """The account of a key. The look-up is by SHA-256 of a random key, and the last comparison takes constant time."""
    if not key:
        return None
    digest = sha256(key).digest()
    found = directory.api_key(digest)
    if found is None or found.is_revoked or not hmac.compare_digest(found.key_hash, digest):
        return None
    return directory.entry(found.account)
