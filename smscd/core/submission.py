"""A submission: what a customer asked for, the same value from both doors, before anything was decided."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from smscd.core.directory import Account
from smscd.core.records import Door

DETECT = -1


class Encoding(StrEnum):
    """How the text of an HTTP submission is to be encoded."""

    AUTO = "auto"
    GSM7 = "gsm7"
    UCS2 = "ucs2"


class Submission(msgspec.Struct, gc=False):
    """One submission. Over HTTP `text` is set and `content` is None; over SMPP it is the other way round.

    Kannel's and Jasmin's doors are HTTP and may give content, in our own alphabets whatever the account's ESMEs write.

    account: as the directory has it now; planning reads the directory's own, so a stale one does no harm.
    source, dest: as given, ASCII; their ton and npi as given, or DETECT (-1) where the door has none.
    content: what is sent, UDH included when esm_class has UDHI; data_coding and esm_class belong to it.
    validity_seconds: from now, or from when it is to be sent, as the customer asked. valid_until_ms: the same as a
        moment. At most one is given.
    send_after_seconds: from now, as the customer asked. send_at_ms: the same as a moment. At most one is given.
    request_key: what makes a repetition of the same request known; None without.
    body_hash: 16 bytes that two submissions share when they ask for the same; empty: planning computes it from what
        is sent, so that it is the same at both doors.
    tlvs: raw TLVs that are passed on; without message_payload and the request key.
    metadata: the customer's JSON, encoded.
    callback_url: after its form where that is not ours (core.callback_forms).
    named_tlvs: TLVs by the names that the upstream's profile gives them (over HTTP).
    """

    account: Account
    door: Door
    source: bytes
    dest: bytes
    content: bytes | None = None
    data_coding: int = 0
    esm_class: int = 0
    registered_delivery: int = 0
    protocol_id: int = 0
    source_ton: int = DETECT
    source_npi: int = DETECT
    dest_ton: int = DETECT
    dest_npi: int = DETECT
    service_type: bytes = b""
    tlvs: bytes = b""
    validity_seconds: int | None = None
    valid_until_ms: int | None = None
    request_key: bytes | None = None
    body_hash: bytes = b""
    text: str | None = None
    encoding: Encoding = Encoding.AUTO
    smart_encoding: bool = False
    client_ref: str | None = None
    callback_url: str | None = None
    metadata: bytes | None = None
    named_tlvs: dict[str, int | str] | None = None
    priority_flag: int = 0
    send_after_seconds: int | None = None
    send_at_ms: int | None = None
