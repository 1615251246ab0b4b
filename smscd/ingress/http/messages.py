"""What /v1/messages takes and gives: the types that validate and document it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta
from yarl import URL

from protocols.smpp.times import to_ms
from smscd.core.callbacks import address_text, encoding_name
from smscd.core.directory_index import AccountEntry
from smscd.core.ids import message_ms
from smscd.core.planning import Planned
from smscd.core.records import Door
from smscd.core.submission import Encoding, Submission
from smscd.ingress.http.views import Estimate, Message, Money, moment, money

BODY_BYTES_MAX: Final = 262_144
TEXT_CHARACTERS_MAX: Final = 39_015
VALIDITY_SECONDS_MAX: Final = 7 * 24 * 3_600
CALLBACK_URL_MAX: Final = 2_000
CLIENT_REF_MAX: Final = 128
METADATA_ITEMS_MAX: Final = 20
TLVS_MAX: Final = 20
TLV_CHARACTERS_MAX: Final = 2_048
TLV_NUMBER_MAX: Final = (1 << 63) - 1

MetadataKey = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")]
MetadataValue = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")]
TlvName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,39}$")]
TlvValue = Annotated[int, Meta(ge=0, le=TLV_NUMBER_MAX)] | Annotated[str, Meta(max_length=TLV_CHARACTERS_MAX)]


class SendRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"sender": "from"}):
    """A message to send. A field that may be null may as well be left out."""

    to: Annotated[
        str,
        Meta(
            pattern=r"^\+?[1-9][0-9]{6,14}$",
            description="The destination in E.164, with or without a plus sign.",
            examples=["+447700900123"],
        ),
    ]
    sender: Annotated[
        str,
        Meta(
            pattern=r"^(\+?[1-9][0-9]{6,14}|[0-9]{1,6}|(?=.*[A-Za-z])[ -?A-Z_a-z]{1,11})$",
            description="The sender: up to 11 letters and digits, a short code, or an E.164 number.",
            examples=["ACME"],
        ),
    ]
    text: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=TEXT_CHARACTERS_MAX,
            description="The text. How many segments it needs depends on its characters.",
            examples=["Code 123456"],
        ),
    ]
    encoding: Annotated[
        Encoding, Meta(description="auto takes GSM 7-bit where the text fits it, else UCS-2.", examples=["auto"])
    ] = Encoding.AUTO
    smart_encoding: Annotated[
        bool,
        Meta(description="Replace typographic characters where that makes the text fit GSM 7-bit.", examples=[True]),
    ] = False
    validity: Annotated[
        Annotated[int, Meta(ge=1, le=VALIDITY_SECONDS_MAX)] | None,
        Meta(
            description="Seconds after which the message is not sent any more, from send_at where there is one; a day "
            "by default.",
            examples=[3600],
        ),
    ] = None
    send_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(
            description="When to send it, at most 14 days ahead; at once when that is over, null, or left out. The "
            "price is that of now.",
            examples=["2026-12-01T08:00:00+01:00"],
        ),
    ] = None
    priority: Annotated[
        int,
        Meta(
            ge=0,
            le=3,
            description="From 0, bulk, to 3, urgent, as SMPP's priority_flag. From which one on a message "
            "goes before all others is what your account has agreed; the carrier gets it too.",
            examples=[0],
        ),
    ] = 0
    client_ref: Annotated[
        Annotated[str, Meta(min_length=1, max_length=CLIENT_REF_MAX, pattern=r"^[^\x00-\x1f\x7f]*$")] | None,
        Meta(description="Your own reference; it comes back in answers and callbacks.", examples=["order-77"]),
    ] = None
    callback_url: Annotated[
        Annotated[str, Meta(max_length=CALLBACK_URL_MAX, pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s\x00-\x1f\x7f]+$")]
        | None,
        Meta(
            description="Where this message's callbacks go instead of the account's webhook: an absolute http(s) URL.",
            examples=["https://app.example/dlr"],
        ),
    ] = None
    metadata: Annotated[
        Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=METADATA_ITEMS_MAX)] | None,
        Meta(description="Up to 20 strings of your own, kept with the message.", examples=[{"k": "v"}]),
    ] = None
    tlvs: Annotated[
        Annotated[dict[TlvName, TlvValue], Meta(max_length=TLVS_MAX)] | None,
        Meta(
            description="Optional parameters (TLVs) for the carrier, by the names that the route gives them: numbers, "
            "ASCII text, or octets in hexadecimal digits.",
            examples=[{"dlt_entity_id": "1101234567890", "campaign": 7, "trace": "00ff"}],
        ),
    ] = None


_decoder = msgspec.json.Decoder(SendRequest)
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_encoder = msgspec.json.Encoder()


def decode(body: bytes) -> SendRequest | None:
    """A request that validates by itself; None when problem_of() has to say what is wrong."""
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if request.callback_url is not None and not is_callback_url(request.callback_url):
        return None
    return request


def is_callback_url(text: str) -> bool:
    """True for an absolute http or https URL that can be posted to."""
    try:
        url = URL(text)
        return url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        return False


def submission_of(request: SendRequest, entry: AccountEntry, request_key: bytes | None) -> Submission:
    """The request as both doors hand it to planning."""
    metadata = request.metadata
    submission = Submission(
        entry.account,
        Door.HTTP,
        request.sender.encode(),
        request.to.encode(),
        validity_seconds=request.validity,
        request_key=request_key,
        text=request.text,
        encoding=request.encoding,
        smart_encoding=request.smart_encoding,
        client_ref=request.client_ref,
        callback_url=request.callback_url,
        metadata=_sorted_encoder.encode(metadata) if metadata is not None else None,
        named_tlvs=request.tlvs or None,
    )
    if request.priority:
        submission.priority_flag = request.priority
    if request.send_at is not None:
        submission.send_at_ms = to_ms(request.send_at)
    return submission


def accepted_message(
    planned: Planned,
    message_id: int,
    price_micros: int,
    segments: int,
    data_coding: int,
    currency: str,
    send_at: datetime | None = None,
) -> Message:
    """A message as the 202 shows it. What follows `planned` is what was stored under the request key, for a replay.

    send_at: as it was asked for. A replay after that time says what the first answer said.
    """
    record, created_ms = planned.record, message_ms(message_id)
    send_at_ms = to_ms(send_at) if send_at is not None else 0
    return Message(
        id=str(message_id),
        status="scheduled" if send_at_ms > created_ms else "queued",
        to=address_text(record.dest_ton, record.dest),
        sender=address_text(record.source_ton, record.source),
        encoding=encoding_name(data_coding),
        segments=segments,
        price=Money(money(price_micros), currency),
        client_ref=record.client_ref,
        created_at=moment(created_ms),
        send_at=moment(send_at_ms) if send_at_ms > created_ms else UNSET,
    )


def queued_message(
    planned: Planned,
    message_id: int,
    price_micros: int,
    segments: int,
    data_coding: int,
    currency: str,
    send_at: datetime | None = None,
) -> bytes:
    """The body of the 202: see accepted_message."""
    return _encoder.encode(
        accepted_message(planned, message_id, price_micros, segments, data_coding, currency, send_at)
    )


def estimated_message(planned: Planned, currency: str) -> bytes:
    """The body of the answer to an estimate. The upstream is ours to know."""
    record = planned.record
    return _encoder.encode(
        Estimate(
            to=address_text(record.dest_ton, record.dest),
            sender=address_text(record.source_ton, record.source),
            encoding=encoding_name(record.data_coding),
            segments=record.parts,
            price=Money(money(record.price_micros), currency),
        )
    )
