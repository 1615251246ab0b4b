"""Kannel's sendsms, pure: its parameters to submissions, and outcomes to its words (Kannel 1.4.5 user guide, ch. 10).

`smsc` does not choose a route: ours do. It is kept with the message, as account, binfo and meta-data are. `rpi`,
`compress` and `alt-dcs` are not read.
"""

from __future__ import annotations

import encodings
import pkgutil
from collections.abc import Callable
from encodings.aliases import aliases
from typing import Final

import msgspec

from protocols.smpp.constants import DataCoding, EsmClass
from smscd.core.callback_forms import EVERYTHING, MASK_ALL, CallbackForm, FormKind, fill_escapes, write_form
from smscd.core.directory_index import AccountEntry
from smscd.core.planning import encode_text
from smscd.core.reasons import Rejected
from smscd.core.records import Door
from smscd.core.submission import Encoding, Submission
from smscd.core.verdicts import Refused
from smscd.ingress.dropin.fields import Fields, number
from smscd.ingress.dropin.sending import Outcome, Said, Taken, is_report_url, only_sender

RECEIVERS_MAX: Final = 254
KEPT_MAX: Final = 500
MINUTES_MAX: Final = 525_600
SEVEN_BIT, EIGHT_BIT, UCS2 = 0, 1, 2

ACCEPTED: Final = (202, "0: Accepted for delivery")
QUEUED: Final = (202, "3: Queued for later delivery")
UNAUTHORIZED: Final = (403, "Authorization failed for sendsms")
TEMPORAL: Final = (503, "Temporal failure, try again later.")

_KEPT: Final = ("account", "binfo", "meta-data", "smsc")
_NAMES: Final = {"dlr-mask": "DLR-Mask", "dlr-url": "DLR-URL", "mclass": "MClass", "mwi": "MWI", "udh": "UDH"}
_IN_HEADERS: Final = (
    "username", "password", "from", "to", "udh", "smsc", "mclass", "mwi", "coding", "validity", "deferred", "dlr-mask",
    "dlr-url", "priority", "binfo", "account", "meta-data", "pid",
)  # fmt: skip
# Python's codecs but those that are no charset: two of them take time that grows with the square of the text's length.
_CHARSETS: Final = frozenset(module.name for module in pkgutil.iter_modules(encodings.__path__)) - {
    "aliases", "idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape",
}  # fmt: skip
_encode = msgspec.json.Encoder(order="sorted").encode


class _Misformed(Exception):
    """A parameter that Kannel would refuse; the text is its answer."""


def fields_of_headers(header: Callable[[str], str | None], body: bytes, charset: str) -> Fields:
    """The parameters of a POST whose body is the text, and whose headers X-Kannel-* are the rest.

    header: gives a header by its name. charset: of the Content-Type, empty where it says none.
    """
    found: Fields = {"text": body}
    if charset:
        found["charset"] = charset.encode()
    for name in _IN_HEADERS:
        value = header(f"X-Kannel-{name}")
        if value is not None:
            found[name] = value.encode("utf-8", "surrogateescape")
    if "udh" in found:
        try:
            found["udh"] = bytes.fromhex(found["udh"].decode("ascii"))
        except ValueError:
            found["udh"] = b"\xff"
    return found


def credentials_of(fields: Fields) -> tuple[bytes, bytes]:
    """User and password, under either name."""
    user = fields.get("username", fields.get("user", b""))
    return user, fields.get("password", fields.get("pass", b""))


def submissions_of(
    fields: Fields, entry: AccountEntry, user: bytes, request_key: bytes | None
) -> list[Submission] | Said:
    """A submission for each receiver, or what Kannel says of the first thing that is wrong."""
    try:
        return _submissions(fields, entry, user, request_key)
    except _Misformed as error:
        return Said(400, str(error))


def said_of(outcome: Outcome, *, is_upstream_bound: bool) -> Said:
    """The answer to a request that was well-formed."""
    if isinstance(outcome, Taken):
        return Said(*(ACCEPTED if is_upstream_bound else QUEUED))
    rejected = Rejected(outcome.reason) if isinstance(outcome, Refused) else outcome
    answer = rejected.answer
    if answer.is_temporary:
        return Said(*TEMPORAL)
    # A sentence of a field begins with a small letter, and goes after the field's name.
    field = f"{rejected.pointer[1:]} " if rejected.sentence[0].islower() else ""
    return Said(403 if answer.http_status in (402, 403) else 400, f"{field}{rejected.sentence.rstrip('.')}, rejected")


def _submissions(fields: Fields, entry: AccountEntry, user: bytes, request_key: bytes | None) -> list[Submission]:
    if "to" not in fields:
        raise _Misformed("Missing receiver number, rejected")
    receivers = fields["to"].split()
    if not receivers:
        raise _Misformed("Empty receiver number not allowed, rejected")
    if len(receivers) > RECEIVERS_MAX:
        raise _Misformed(f"Too many receiver numbers, at most {RECEIVERS_MAX} in one request, rejected")
    receivers = list(dict.fromkeys(receivers))
    source = fields.get("from", b"") or only_sender(entry)
    if not source:
        raise _Misformed("Sender missing and no global set, rejected")
    minutes = _number(fields, "validity", 0, MINUTES_MAX)
    deferred = _number(fields, "deferred", 0, MINUTES_MAX)
    common = Submission(
        entry.account,
        Door.HTTP,
        source,
        b"",
        validity_seconds=minutes * 60 if minutes else None,
        metadata=_kept(fields),
        priority_flag=_number(fields, "priority", 0, 3) or 0,
        protocol_id=_number(fields, "pid", 0, 255) or 0,
        send_after_seconds=deferred * 60 if deferred else None,
    )
    _write_content(fields, common)
    url, mask = _report(fields)
    found = []
    for receiver in receivers:
        submission = msgspec.structs.replace(common, dest=_international(receiver), request_key=request_key)
        if url:
            filled = fill_escapes(url, _known(fields, user, receiver, source))
            submission.callback_url = write_form(CallbackForm(FormKind.KANNEL, mask, filled))
            submission.registered_delivery = EVERYTHING
        found.append(submission)
    return found


def _international(receiver: bytes) -> bytes:
    return b"+" + receiver[2:] if receiver.startswith(b"00") else receiver


def _write_content(fields: Fields, into: Submission) -> None:
    """The text where it is no more than that, else the octets with what they are."""
    coding = _number(fields, "coding", SEVEN_BIT, UCS2)
    mclass, mwi = _number(fields, "mclass", 0, 3), _number(fields, "mwi", 0, 7)
    header = fields.get("udh", b"")
    if header and len(header) != header[0] + 1:
        raise _Misformed("UDH field misformed, rejected")
    given = fields.get("text", b"")
    if coding is None and header:
        coding = EIGHT_BIT
    if coding == EIGHT_BIT:
        content, data_coding = given, int(DataCoding.BINARY)
    else:
        text = _text(given, fields.get("charset", b""), coding)
        encoding = {None: Encoding.AUTO, SEVEN_BIT: Encoding.GSM7, UCS2: Encoding.UCS2}[coding]
        if text and not header and mclass is None and mwi is None:
            into.text, into.encoding, into.smart_encoding = text, encoding, True
            return
        content, data_coding = b"", int(DataCoding.UCS2) if coding == UCS2 else 0
        if text:
            encoded = encode_text(text, encoding, True)
            if isinstance(encoded, Rejected):
                raise _Misformed(f"text {encoded.sentence}, rejected")
            content, data_coding, _ = encoded
    into.content = header + content
    into.data_coding = _data_coding(data_coding, mclass, mwi)
    into.esm_class = int(EsmClass.UDHI) if header else 0


def _text(given: bytes, charset: bytes, coding: int | None) -> str:
    """coding 2 without a charset is UTF-16 with the high octet first, everything else UTF-8."""
    name = charset.decode("latin-1").lower() or ("utf-16-be" if coding == UCS2 else "utf-8")
    plain = encodings.normalize_encoding(name).replace(".", "_")
    codec = "utf_16_be" if plain in ("iso_10646_ucs_2", "ucs_2") else aliases.get(plain, plain)
    try:
        # A name that is not known never gets to the registry, which remembers each for good.
        if codec in _CHARSETS:
            return given.decode(codec)
    except (LookupError, ValueError):
        pass
    raise _Misformed("Charset or body misformed, rejected")


def _data_coding(data_coding: int, mclass: int | None, mwi: int | None) -> int:
    """What Kannel makes of coding, message class and waiting indication (3GPP TS 23.038 section 4)."""
    if mwi is not None and mclass is None:
        group = 0xE0 if data_coding == DataCoding.UCS2 else 0xD0
        return group | mwi & 3 | (8 if mwi < 4 else 0)
    return data_coding if mclass is None else data_coding | 0x10 | mclass


def _report(fields: Fields) -> tuple[str, int]:
    """The dlr-url and the dlr-mask; "" where nothing is to be told."""
    url = fields.get("dlr-url", fields.get("dlrurl", b"")).decode("utf-8", "replace")
    if url and not is_report_url(url):
        raise _Misformed("DLR-URL field misformed, rejected")
    name = "dlr-mask" if "dlr-mask" in fields else "dlrmask"
    mask = _number(fields, name, 0, MASK_ALL, shown="DLR-Mask") or 0
    return (url, mask) if mask else ("", 0)


def _known(fields: Fields, user: bytes, receiver: bytes, source: bytes) -> dict[str, str]:
    """Escapes of a dlr-url whose values only the submission has. A report goes from the receiver to the sender."""
    to, sender = receiver.decode("latin-1"), source.decode("latin-1")
    return {
        "p": to,
        "P": sender,
        "q": _international(receiver).decode("latin-1"),
        "Q": _international(source).decode("latin-1"),
        "n": user.decode("latin-1"),
        "o": (fields.get("account") or user).decode("latin-1"),
        "D": fields.get("meta-data", b"").decode("latin-1"),
    }


def _kept(fields: Fields) -> bytes | None:
    kept = {name: fields[name].decode("utf-8", "replace") for name in _KEPT if fields.get(name)}
    for name, value in kept.items():
        if len(value) > KEPT_MAX or "\0" in value:
            raise _Misformed(f"{name} field misformed, rejected")
    return _encode(kept) if kept else None


def _number(fields: Fields, name: str, least: int, most: int, shown: str = "") -> int | None:
    given = fields.get(name, b"")
    if not given:
        return None
    found = number(given)
    if found is None or not least <= found <= most:
        raise _Misformed(f"{shown or _NAMES.get(name, name.capitalize())} field misformed, rejected")
    return found
