"""Grouping, pure: several planned messages that are admitted together or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from smscd.core.idempotency import BODY_HASH_BYTES, StoredAnswer, encode_answer
from smscd.core.planning import Planned


def grouped(planned: Sequence[Planned]) -> Planned:
    """Several planned messages as one that is admitted whole or not at all; they get the id of the first."""
    first = planned[0]
    records = [one.record for one in planned]
    for record in records:
        record.group_id = first.record.id
    first.others = tuple(records[1:])
    first.messages = len(records)
    if first.idem_key is not None:
        same = _same(one.body_hash for one in planned)
        price_micros = sum(record.price_micros for record in records)
        answer = StoredAnswer(first.record.id, same, price_micros, first.record.parts, first.record.data_coding)
        first.idem_value, first.body_hash = encode_answer(answer), same
        for record in records:
            record.stored_answer = None
        first.record.stored_answer = first.idem_value
    return first


def _same(hashes: Iterable[bytes]) -> bytes:
    return blake2b(b"".join(hashes), digest_size=BODY_HASH_BYTES).digest()
