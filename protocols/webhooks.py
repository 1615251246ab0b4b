"""Standard Webhooks: signs what we send, verifies what others send (standardwebhooks.com, symmetric `v1`)."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
TOLERANCE_SECONDS: Final = 300
SIGNATURES_MAX: Final = 16

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"


class SecretError(ValueError):
    """A secret of ours is no `whsec_` with 24 to 64 bytes in base64."""


class SignatureError(ValueError):
    """A message is not what it says: says why."""


def make_secret(random_bytes: bytes) -> str:
    """The text form of a secret. random_bytes: 24 to 64, from a cryptographic source."""
    if not SECRET_BYTES_MIN <= len(random_bytes) <= SECRET_BYTES_MAX:
        raise SecretError(f"a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, not {len(random_bytes)}")
    return SECRET_PREFIX + base64.b64encode(random_bytes).decode()


def parse_secret(secret: str) -> bytes:
    """The key in a secret. Raises SecretError, which never repeats the secret."""
    if not secret.startswith(SECRET_PREFIX):
        raise SecretError(f"a secret starts with {SECRET_PREFIX}")
    try:
        key = base64.b64decode(secret[len(SECRET_PREFIX) :], validate=True)
    except binascii.Error:
        raise SecretError("the secret is not base64") from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise SecretError(f"a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, not {len(key)}")
    return key


def sign(webhook_id: str, timestamp: int, body: bytes, secrets: Iterable[str]) -> str:
    """The value of webhook-signature: one `v1,...` for each secret, so that a secret can be changed without a gap.

    timestamp: of this attempt, seconds since the Unix epoch. webhook_id: the same on every attempt, without a dot.
    """
    return " ".join(_signature(webhook_id, timestamp, body, parse_secret(secret)) for secret in secrets)


def headers(webhook_id: str, timestamp: int, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """The three headers of one attempt."""
    return {
        ID_HEADER: webhook_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: sign(webhook_id, timestamp, body, secrets),
    }


def verify(
    webhook_id: str,
    timestamp: str,
    body: bytes,
    signatures: str,
    secrets: Iterable[str],
    now: float,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> None:
    """Check the headers of a webhook; return when one signature of one secret fits, raise SignatureError otherwise.

    timestamp, signatures: as in the headers. now: seconds since the Unix epoch.
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureError("the timestamp is no number")
    age = now - int(timestamp)
    if age > tolerance_seconds:
        raise SignatureError("the timestamp is too old")
    if age < -tolerance_seconds:
        raise SignatureError("the timestamp is in the future")
    given = [part.encode() for part in signatures.split(" ")[:SIGNATURES_MAX] if part.startswith("v1,")]
    fits = False
    for secret in secrets:
        expected = _signature(webhook_id, int(timestamp), body, parse_secret(secret)).encode()
        for signature in given:
            fits |= hmac.compare_digest(signature, expected)
    if not fits:
        raise SignatureError("no signature fits")


def _signature(webhook_id: str, timestamp: int, body: bytes, key: bytes) -> str:
    signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, sha256)).decode()
