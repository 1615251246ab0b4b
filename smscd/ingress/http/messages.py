"""What /v1/messages takes and gives: the types that validate and document it, and all field errors at once."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta
from yarl import URL

from smscd.core.addresses import find_destination, find_source
from smscd.core.callbacks import address_text, encoding_name
from smscd.core.directory_index import AccountEntry
from smscd.core.ids import message_ms
from smscd.core.planning import Planned, encode_text
from smscd.core.reasons import REASONS, Reason, Rejected
from smscd.core.records import Door
from smscd.core.submission import DETECT, Encoding, Submission
from smscd.ingress.http.problems import MALFORMED_JSON, VALIDATION_FAILED, FieldError, Problem, invalid, problem
from smscd.ingress.http.views import Message, Money, moment, money

BODY_BYTES_MAX: Final = 262_144
TEXT_CHARACTERS_MAX: Final = 39_015
VALIDITY_SECONDS_MAX: Final = 7 * 24 * 3_600
CALLBACK_URL_MAX: Final = 2_000
CLIENT_REF_MAX: Final = 128
METADATA_ITEMS_MAX: Final = 20
FIELD_ERRORS_MAX: Final = 50
POINTER_CHARACTERS_MAX: Final = 80

MetadataKey = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")]
MetadataValue = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")]


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
        Meta(description="Seconds after which the message is not sent any more; a day by default.", examples=[3600]),
    ] = None
    send_at: Annotated[None, Meta(description="Scheduling is not available: null, or left out.")] = None
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


RULES: Final = {
    "to": REASONS[Reason.INVALID_DESTINATION].detail,
    "from": REASONS[Reason.INVALID_SOURCE].detail,
    "text": f"must be a string of 1 to {TEXT_CHARACTERS_MAX:,} characters",
    "encoding": "must be auto, gsm7 or ucs2",
    "smart_encoding": "must be true or false",
    "validity": f"must be a whole number of seconds from 1 to {VALIDITY_SECONDS_MAX:,}",
    "send_at": "must be null: messages cannot be scheduled yet",
    "client_ref": f"must be a string of 1 to {CLIENT_REF_MAX} characters without control characters",
    "callback_url": f"must be an absolute http or https URL of up to {CALLBACK_URL_MAX:,} characters",
    "metadata": f"must be an object of up to {METADATA_ITEMS_MAX} strings",
}
"""What is said of a field that does not validate."""

_METADATA_KEY_RULE: Final = "must have 1 to 40 characters without control characters"
_METADATA_VALUE_RULE: Final = "must be a string of up to 500 characters"

_decoder = msgspec.json.Decoder(SendRequest)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_key_decoder = msgspec.json.Decoder(MetadataKey)
_value_decoder = msgspec.json.Decoder(MetadataValue)
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_encoder = msgspec.json.Encoder()


def _field_decoders() -> dict[str, tuple[str, bool, msgspec.json.Decoder[Any]]]:
    """For each field by its JSON name: attribute, whether it is required, and a decoder of its type alone."""
    hints = get_type_hints(SendRequest, include_extras=True)
    return {
        field.encode_name: (field.name, field.required, msgspec.json.Decoder(hints[field.name]))
        for field in msgspec.structs.fields(SendRequest)
    }


_FIELDS: Final = _field_decoders()


def decode(body: bytes) -> SendRequest | None:
    """A request that validates by itself; None when problem_of() has to say what is wrong."""
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if request.callback_url is not None and not is_callback_url(request.callback_url):
        return None
    return request


def problem_of(body: bytes, entry: AccountEntry, others: list[FieldError]) -> Problem:
    """The second pass over a body that was refused: every field error, after `others` (of headers)."""
    try:
        if body.lstrip()[:1] == b"{":
            errors = others + _field_errors(_fields_decoder.decode(body), entry)
        else:
            msgspec.json.decode(body)
            errors = [*others, FieldError("", "must be a JSON object")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return problem(MALFORMED_JSON)
    if not errors:
        errors = [FieldError("", "is not valid: does a member stand twice?")]
    return invalid(errors[:FIELD_ERRORS_MAX])


def _field_errors(fields: dict[str, msgspec.Raw], entry: AccountEntry) -> list[FieldError]:
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, (attribute, is_required, decoder) in _FIELDS.items():
        raw = fields.get(name)
        if raw is None:
            if is_required:
                errors.append(FieldError("/" + name, "is required"))
            continue
        try:
            values[attribute] = decoder.decode(raw)
        except msgspec.DecodeError:
            errors += _metadata_errors(raw) if name == "metadata" else [FieldError("/" + name, RULES[name])]
    url = values.get("callback_url")
    if url is not None and not is_callback_url(url):
        errors.append(FieldError("/callback_url", RULES["callback_url"]))
    errors += _planning_errors(values, entry)
    errors += [FieldError(pointer(name), "unknown field") for name in fields if name not in _FIELDS]
    return errors


def _planning_errors(values: dict[str, Any], entry: AccountEntry) -> list[FieldError]:
    """What planning would say of each field that is there and validates."""
    found: list[Any] = []
    if "to" in values:
        found.append(find_destination(DETECT, DETECT, values["to"].encode()))
    if "sender" in values:
        found.append(find_source(entry, DETECT, DETECT, values["sender"].encode()))
    if "text" in values:
        encoding = values.get("encoding", Encoding.AUTO)
        found.append(encode_text(values["text"], encoding, values.get("smart_encoding", False)))
    return [
        FieldError(rejection.pointer, rejection.sentence)
        for rejection in found
        if isinstance(rejection, Rejected) and rejection.answer.code == VALIDATION_FAILED
    ]


def _metadata_errors(raw: msgspec.Raw) -> list[FieldError]:
    """One error for each item at fault; msgspec itself does not say which."""
    try:
        items = _fields_decoder.decode(raw)
    except msgspec.DecodeError:
        return [FieldError("/metadata", RULES["metadata"])]
    errors = []
    if len(items) > METADATA_ITEMS_MAX:
        errors.append(FieldError("/metadata", RULES["metadata"]))
    for key, value in items.items():
        try:
            _key_decoder.decode(_encoder.encode(key))
        except msgspec.DecodeError:
            errors.append(FieldError("/metadata" + pointer(key), _METADATA_KEY_RULE))
        try:
            _value_decoder.decode(value)
        except msgspec.DecodeError:
            errors.append(FieldError("/metadata" + pointer(key), _METADATA_VALUE_RULE))
    return errors[:FIELD_ERRORS_MAX]


def pointer(name: str) -> str:
    """A member's name as a JSON pointer (RFC 6901), shortened where it is absurd."""
    return "/" + name[:POINTER_CHARACTERS_MAX].replace("~", "~0").replace("/", "~1")


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
    return Submission(
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
    )


def queued_message(
    planned: Planned, message_id: int, price_micros: int, segments: int, data_coding: int, currency: str
) -> bytes:
    """The body of the 202. What follows `planned` is what was stored under the request key, for a replay."""
    record = planned.record
    return _encoder.encode(
        Message(
            id=str(message_id),
            status="queued",
            to=address_text(record.dest_ton, record.dest),
            sender=address_text(record.source_ton, record.source),
            encoding=encoding_name(data_coding),
            segments=segments,
            price=Money(money(price_micros), currency),
            client_ref=record.client_ref,
            created_at=moment(message_ms(message_id)),
        )
    )
