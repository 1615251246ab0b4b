"""The second pass over a body that was refused: every field at fault, and what it must be."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from protocols.smpp.times import to_ms
from smscd.core.addresses import find_destination, find_source
from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.planning import encode_text, too_far_ahead
from smscd.core.profiles import encode_named
from smscd.core.reasons import REASONS, Reason, Rejected
from smscd.core.submission import DETECT, Encoding
from smscd.ingress.http.messages import (
    CALLBACK_URL_MAX,
    CLIENT_REF_MAX,
    METADATA_ITEMS_MAX,
    TEXT_CHARACTERS_MAX,
    TLV_CHARACTERS_MAX,
    TLV_NUMBER_MAX,
    TLVS_MAX,
    VALIDITY_SECONDS_MAX,
    MetadataKey,
    MetadataValue,
    SendRequest,
    TlvName,
    TlvValue,
    is_callback_url,
)
from smscd.ingress.http.problems import MALFORMED_JSON, VALIDATION_FAILED, FieldError, Problem, invalid, problem

FIELD_ERRORS_MAX: Final = 50
POINTER_CHARACTERS_MAX: Final = 80

RULES: Final = {
    "to": REASONS[Reason.INVALID_DESTINATION].detail,
    "from": REASONS[Reason.INVALID_SOURCE].detail,
    "text": f"must be a string of 1 to {TEXT_CHARACTERS_MAX:,} characters",
    "encoding": "must be auto, gsm7 or ucs2",
    "smart_encoding": "must be true or false",
    "validity": f"must be a whole number of seconds from 1 to {VALIDITY_SECONDS_MAX:,}",
    "send_at": "must be a date and a time with its zone (RFC 3339), as 2027-01-31T08:00:00Z",
    "priority": "must be 0, 1, 2 or 3",
    "client_ref": f"must be a string of 1 to {CLIENT_REF_MAX} characters without control characters",
    "callback_url": f"must be an absolute http or https URL of up to {CALLBACK_URL_MAX:,} characters",
    "metadata": f"must be an object of up to {METADATA_ITEMS_MAX} strings",
    "tlvs": f"must be an object of up to {TLVS_MAX} numbers and strings",
}
"""What is said of a field that does not validate."""


class Items(NamedTuple):
    """An object with names of the customer's: its bounds, and what is said of a name or a value at fault."""

    items_max: int
    key_decoder: msgspec.json.Decoder[Any]
    value_decoder: msgspec.json.Decoder[Any]
    key_rule: str
    value_rule: str


OBJECTS: Final = {
    "metadata": Items(
        METADATA_ITEMS_MAX,
        msgspec.json.Decoder(MetadataKey),
        msgspec.json.Decoder(MetadataValue),
        "must have 1 to 40 characters without control characters",
        "must be a string of up to 500 characters",
    ),
    "tlvs": Items(
        TLVS_MAX,
        msgspec.json.Decoder(TlvName),
        msgspec.json.Decoder(TlvValue),
        "is no name of a TLV: a letter, then up to 39 letters, digits, dots, hyphens and underscores",
        f"must be a whole number from 0 to {TLV_NUMBER_MAX:,} or a string of up to {TLV_CHARACTERS_MAX:,} characters",
    ),
}

_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


def _field_decoders() -> dict[str, tuple[str, bool, msgspec.json.Decoder[Any]]]:
    """For each field by its JSON name: attribute, whether it is required, and a decoder of its type alone."""
    hints = get_type_hints(SendRequest, include_extras=True)
    return {
        field.encode_name: (field.name, field.required, msgspec.json.Decoder(hints[field.name]))
        for field in msgspec.structs.fields(SendRequest)
    }


_FIELDS: Final = _field_decoders()


def problem_of(
    body: bytes,
    entry: AccountEntry,
    directory: DirectoryIndex,
    others: list[FieldError],
    now_ms: int,
    refusal: Rejected | None = None,
) -> Problem:
    """Every field error of a body that was refused, after `others` (of headers).

    now_ms: milliseconds since the Unix epoch, as planning was told.
    refusal: what planning said of a body that validates; it is told when nothing here says as much.
    """
    try:
        if body.lstrip()[:1] == b"{":
            errors = others + _field_errors(_fields_decoder.decode(body), entry, directory, now_ms)
        else:
            msgspec.json.decode(body)
            errors = [*others, FieldError("", "must be a JSON object")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return problem(MALFORMED_JSON)
    if not errors and refusal is not None:
        errors = [FieldError(refusal.pointer, refusal.sentence)]
    if not errors:
        errors = [FieldError("", "is not valid: does a member stand twice?")]
    return invalid(errors[:FIELD_ERRORS_MAX])


def _field_errors(
    fields: dict[str, msgspec.Raw], entry: AccountEntry, directory: DirectoryIndex, now_ms: int
) -> list[FieldError]:
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
            errors += _item_errors(name, raw) if name in OBJECTS else [FieldError("/" + name, RULES[name])]
    url = values.get("callback_url")
    if url is not None and not is_callback_url(url):
        errors.append(FieldError("/callback_url", RULES["callback_url"]))
    errors += _planning_errors(values, entry, directory, now_ms)
    errors += [FieldError(pointer(name), "unknown field") for name in fields if name not in _FIELDS]
    return errors


def _planning_errors(
    values: dict[str, Any], entry: AccountEntry, directory: DirectoryIndex, now_ms: int
) -> list[FieldError]:
    """What planning would say of each field that is there and validates."""
    found: list[Any] = []
    if "to" in values:
        dest = find_destination(DETECT, DETECT, values["to"].encode())
        found.append(dest)
        if values.get("tlvs") and not isinstance(dest, Rejected):
            found += _tlv_refusals(values["tlvs"], entry, directory, dest.digits, now_ms)
    if "sender" in values:
        found.append(find_source(entry, DETECT, DETECT, values["sender"].encode()))
    if values.get("send_at") is not None and to_ms(values["send_at"]) > now_ms + directory.schedule_max_ms:
        found.append(Rejected(Reason.INVALID_SCHEDULE, too_far_ahead(directory.schedule_max_ms), "/send_at"))
    if "text" in values:
        encoding = values.get("encoding", Encoding.AUTO)
        found.append(encode_text(values["text"], encoding, values.get("smart_encoding", False), entry.languages))
    return [
        FieldError(rejection.pointer, rejection.sentence)
        for rejection in found
        if isinstance(rejection, Rejected) and rejection.answer.code == VALIDATION_FAILED
    ]


def _tlv_refusals(
    tlvs: dict[str, int | str], entry: AccountEntry, directory: DirectoryIndex, digits: bytes, now_ms: int
) -> list[bytes | Rejected]:
    """Each TLV by itself against the profile of the upstream that the message would go to."""
    offer = directory.offer(entry, digits, now_ms)
    if isinstance(offer, Rejected):
        return []
    profile = offer.text_converter.tlvs if offer.text_converter is not None else None
    return [encode_named(profile, {name: value}) for name, value in tlvs.items()]


def _item_errors(name: str, raw: msgspec.Raw) -> list[FieldError]:
    """One error for each item at fault; msgspec itself does not say which."""
    rules = OBJECTS[name]
    try:
        items = _fields_decoder.decode(raw)
    except msgspec.DecodeError:
        return [FieldError("/" + name, RULES[name])]
    errors = []
    if len(items) > rules.items_max:
        errors.append(FieldError("/" + name, RULES[name]))
    for key, value in items.items():
        for decoder, octets, rule in (
            (rules.key_decoder, _encoder.encode(key), rules.key_rule),
            (rules.value_decoder, value, rules.value_rule),
        ):
            try:
                decoder.decode(octets)
            except msgspec.DecodeError:
                errors.append(FieldError("/" + name + pointer(key), rule))
    return errors[:FIELD_ERRORS_MAX]


def pointer(name: str) -> str:
    """A member's name as a JSON pointer (RFC 6901), shortened where it is absurd."""
    return "/" + name[:POINTER_CHARACTERS_MAX].replace("~", "~0").replace("/", "~1")
