"""Idempotency: what is stored under a request key, how it is read back, and when two requests ask for the same."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from protocols.smpp.constants import ESM_MODE_MASK
from smscd.core.submission import Submission
from smscd.core.verdicts import Duplicate

BODY_HASH_BYTES = 16


class StoredAnswer(msgspec.Struct, array_like=True, gc=False):
    """What a replay needs to get the same answer; with the replayed request itself that is all of it.

    The creation time is in the id.
    """

    id: int
    body_hash: bytes
    price_micros: int
    segments: int
    data_coding: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(StoredAnswer)


def encode_answer(answer: StoredAnswer) -> bytes:
    """The value stored under the request key: about 35 bytes of msgpack."""
    return _encoder.encode(answer)


def duplicate_of(stored: bytes, body_hash: bytes) -> Duplicate:
    """The verdict for a request whose key holds `stored`; body_hash is that of the request at hand."""
    answer = _decoder.decode(stored)
    return Duplicate(answer.id, answer.price_micros, answer.segments, answer.data_coding, answer.body_hash == body_hash)


def body_hash(submission: Submission, source: bytes, dest: bytes, data_coding: int, content: bytes) -> bytes:
    """16 bytes that are equal when two submissions ask for the same message, whichever door they came through.

    source, dest, data_coding, content: as they are sent, before segmentation (so no random reference is in them).
    """
    canonical = _encoder.encode(
        (
            source,
            dest,
            data_coding,
            content,
            submission.esm_class & ~ESM_MODE_MASK,
            submission.protocol_id,
            submission.service_type,
            submission.tlvs,
            submission.validity_seconds,
            submission.valid_until_ms,
            submission.client_ref,
            submission.callback_url,
            submission.metadata,
        )
    )
    return blake2b(canonical, digest_size=BODY_HASH_BYTES).digest()
