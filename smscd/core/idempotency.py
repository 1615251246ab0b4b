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


def body_hash(
    submission: Submission, source: bytes, dest: bytes, content: bytes, data_coding: int, esm_class: int
) -> bytes:
    """16 bytes that are equal when two submissions ask for the same message, whichever door they came through.

    source, dest: as they are sent. content, data_coding, esm_class: in the canonical form (core.conversion), before
    anything was made of them for an upstream, so neither a random reference nor a profile is in them.
    """
    asked: tuple[object, ...] = (
        source,
        dest,
        data_coding,
        content,
        esm_class & ~ESM_MODE_MASK,
        submission.protocol_id,
        submission.service_type,
        submission.tlvs,
        submission.validity_seconds,
        submission.valid_until_ms,
        submission.client_ref,
        submission.callback_url,
        submission.metadata,
    )
    if submission.priority_flag:
        asked = (*asked, submission.priority_flag)
    if submission.send_after_seconds is not None or submission.send_at_ms is not None:
        asked = (*asked, "at", submission.send_after_seconds, submission.send_at_ms)
    if submission.named_tlvs is not None:
        # By name: which tags they are is the upstream's.
        asked = (*asked, sorted(submission.named_tlvs.items()))
    return blake2b(_encoder.encode(asked), digest_size=BODY_HASH_BYTES).digest()
