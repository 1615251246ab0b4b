"""Receipts that waited for their message when Redis was lost, as the record has kept them."""

from __future__ import annotations

import msgspec

from smscd.core.directory_index import DirectoryIndex
from smscd.core.upstream import Upstream
from smscd.egress.receipts.judging import key_of
from storage.postgres.orphans import parked_since
from storage.postgres.pool import Connection

_encode = msgspec.msgpack.Encoder().encode


async def kept_receipts(
    database: Connection, directory: DirectoryIndex, since_ms: int
) -> dict[str, dict[bytes, tuple[int, list[bytes]]]]:
    """By upstream and key, when the first came and all of them, encoded.

    One that has matched since then is among them: it finds its message again, and changes nothing twice. One of an
    upstream that is gone is not: nobody would look at it.
    """
    found: dict[str, dict[bytes, tuple[int, list[bytes]]]] = {}
    for upstream, receipt in await parked_since(database, since_ms):
        profile: Upstream | None = directory.upstream(upstream)
        if profile is not None:
            key = key_of(receipt, profile.receipt_id)
            found.setdefault(upstream, {}).setdefault(key, (receipt.at_ms, []))[1].append(_encode(receipt))
    return found
