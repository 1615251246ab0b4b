"""Jasmin's HTTP API, pure: its arguments to a submission, and outcomes to its words (Jasmin 0.11, "HTTP API").

A message's id is a UUID, as Jasmin's customers keep it. `tags` are kept with the message and choose no route.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.smpp.constants import DataCoding
from smscd.core.callback_forms import EVERYTHING, CallbackForm, FormKind, jasmin_id, write_form
from smscd.core.directory_index import AccountEntry
from smscd.core.money import money
from smscd.core.planning import Planned
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Door
from smscd.core.submission import Encoding, Submission
from smscd.core.verdicts import Refused
from smscd.ingress.dropin.fields import Fields, number
from smscd.ingress.dropin.sending import Outcome, Said, Taken, is_report_url, only_sender
from smscd.ingress.smpp.submissions import take_schedule

CODINGS: Final = frozenset((*range(11), 13, 14))
TAGS_MAX: Final = 500
MINUTES_MAX: Final = 525_600
SEND: Final = frozenset(
    (
        "username", "password", "to", "from", "content", "hex-content", "coding", "priority", "sdt", "validity-period",
        "dlr", "dlr-url", "dlr-level", "dlr-method", "tags",
    )
)  # fmt: skip
RATE: Final = SEND - {"dlr", "dlr-url", "dlr-level", "dlr-method", "sdt"}
BALANCE: Final = frozenset(("username", "password"))

NO_ROUTE: Final = "No route found"
THROUGHPUT: Final = "User throughput exceeded"

_OCTETS_OF_TEXT: Final = {3: "latin-1", 8: "utf-16-be"}


class Wrong(Exception):
    """An argument that Jasmin would refuse. status: of the answer; the text is what stands in Error "..."."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def fields_of_json(body: bytes) -> Fields:
    """The arguments of a JSON object; text in the octets that its coding means. Raises Wrong."""
    try:
        given = msgspec.json.decode(body, type=dict[str, str | int])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Wrong("The body is not a JSON object of texts and numbers.") from None
    found: Fields = {}
    for name, value in given.items():
        charset = _OCTETS_OF_TEXT.get(_int(given.get("coding")), "utf-8") if name == "content" else "utf-8"
        try:
            found[name] = str(value).encode(charset)
        except UnicodeEncodeError:
            raise Wrong(f"Argument [{name}] has characters that its coding does not have.") from None
    return found


def check_names(fields: Fields, known: frozenset[str]) -> None:
    """Refuse what is missing or not known. Raises Wrong."""
    for name in fields:
        if name not in known:
            raise Wrong(f"Argument [{shown(name.encode('latin-1', 'replace'))}] is unknown.")
    for name in ("username", "password"):
        if not fields.get(name):
            raise Wrong(f"Mandatory argument [{name}] is not found.")


def submission_of(
    fields: Fields, entry: AccountEntry, request_key: bytes | None, now_ms: int, *, is_estimate: bool = False
) -> Submission:
    """What is asked for. now_ms: since the Unix epoch. is_estimate: of /rate, which needs no text. Raises Wrong."""
    if not fields.get("to"):
        raise Wrong("Mandatory argument [to] is not found.")
    tags = fields.get("tags", b"").decode("utf-8", "replace")
    if len(tags) > TAGS_MAX or "\0" in tags:
        raise _invalid("tags")
    minutes = _number(fields, "validity-period", 1, MINUTES_MAX)
    submission = Submission(
        entry.account,
        Door.HTTP,
        fields.get("from", b"") or only_sender(entry),
        fields["to"],
        validity_seconds=minutes * 60 if minutes else None,
        request_key=request_key,
        metadata=msgspec.json.encode({"tags": tags}) if tags else None,
        priority_flag=_number(fields, "priority", 0, 3) or 0,
    )
    sdt = fields.get("sdt")
    if sdt and not take_schedule(submission, sdt, now_ms):
        raise _invalid("sdt")
    _write_content(fields, submission, is_estimate=is_estimate)
    form = _report(fields)
    if form is not None:
        submission.callback_url = write_form(form)
        submission.registered_delivery = EVERYTHING
    return submission


def said_of(outcome: Outcome) -> Said:
    """The answer of /send to well-formed arguments."""
    if isinstance(outcome, Taken):
        return Said(200, f'Success "{jasmin_id(outcome.id)}"')
    return said_of_refusal(Rejected(outcome.reason) if isinstance(outcome, Refused) else outcome)


def said_of_refusal(rejected: Rejected) -> Said:
    """The answer to what planning or admission refused."""
    match rejected.reason:
        case Reason.NO_ROUTE | Reason.NO_ROUTE_AVAILABLE:
            return error(NO_ROUTE, 412)
        case Reason.RATE_LIMITED:
            return error(THROUGHPUT, 403)
    answer = rejected.answer
    field = f"Argument [{_argument(rejected.pointer)}] " if rejected.sentence[0].islower() else ""
    if answer.http_status == 503 or answer.http_status == 409:
        return error(f"Cannot send submit_sm: {rejected.sentence}", 503)
    return error(f"{field}{rejected.sentence}", 403 if answer.http_status in (402, 403, 429) else 400)


def error(text: str, status: int) -> Said:
    """Jasmin's way to refuse."""
    return Said(status, f'Error "{text}"')


def rate_of(planned: Planned) -> bytes:
    """The body of /rate: the price of a short message, and how many there would be."""
    parts = planned.record.parts
    return f'{{"unit_rate":{money(planned.record.price_micros // parts)},"submit_sm_count":{parts}}}'.encode()


def balance_of(micros: int) -> bytes:
    """The body of /balance. micros: what may still be spent. There is no count of messages: "ND"."""
    return f'{{"balance":{money(micros)},"sms_count":"ND"}}'.encode()


def _write_content(fields: Fields, into: Submission, *, is_estimate: bool) -> None:
    """Text in UTF-8 where the coding is none or 0, else octets as they came."""
    content, digits = fields.get("content"), fields.get("hex-content")
    if content is not None and digits is not None:
        raise Wrong("content and hex-content cannot be used both in same request.")
    coding = _number(fields, "coding", 0, 14)
    if coding is not None and coding not in CODINGS:
        raise _invalid("coding")
    if digits is not None:
        try:
            into.content, into.data_coding = bytes.fromhex(digits.decode("ascii")), coding or 0
        except ValueError:
            raise Wrong("Invalid hex-content data: give an even number of hexadecimal digits.") from None
        return
    if content is None:
        if not is_estimate:
            raise Wrong("content or hex-content not present.")
        content = b""
    if coding or not content:
        if coding == DataCoding.UCS2 and len(content) % 2:
            raise Wrong("Argument [content] is not UTF-16 with the high octet first, which coding 8 means.")
        into.content, into.data_coding = content, coding or 0
        return
    try:
        into.text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong("Argument [content] is not UTF-8.") from None
    into.encoding = Encoding.AUTO if coding is None else Encoding.GSM7
    into.smart_encoding = True


def _report(fields: Fields) -> CallbackForm | None:
    """Where and how it is told; None for dlr=no, which is the default."""
    wanted = fields.get("dlr", b"no").lower()
    if wanted not in (b"yes", b"no"):
        raise _invalid("dlr")
    url = fields.get("dlr-url", b"").decode("utf-8", "replace")
    level = _number(fields, "dlr-level", 1, 3) or 1
    method = fields.get("dlr-method", b"POST").upper().decode("latin-1")
    if method not in ("GET", "POST"):
        raise _invalid("dlr-method")
    if url and not is_report_url(url):
        raise _invalid("dlr-url")
    if wanted == b"no":
        return None
    if not url:
        raise Wrong("Mandatory argument [dlr-url] is not found.")
    return CallbackForm(FormKind.JASMIN, level, url, method)


def _number(fields: Fields, name: str, least: int, most: int) -> int | None:
    given = fields.get(name, b"")
    if not given:
        return None
    found = number(given)
    if found is None or not least <= found <= most:
        raise _invalid(name)
    return found


def _int(value: str | int | None) -> int:
    return number(str(value).encode()) or 0 if value is not None else 0


def _invalid(name: str) -> Wrong:
    return Wrong(f"Argument [{name}] has an invalid value.")


def _argument(pointer: str) -> str:
    """Its name for a field of our own interface."""
    return {"/text": "content", "/validity": "validity-period"}.get(pointer, pointer[1:])


def shown(name: bytes) -> str:
    """What a customer wrote, for the answer to him."""
    text = name[:40].decode("ascii", "replace")
    return "".join(sign if sign.isprintable() and sign not in '"\\' else "?" for sign in text)
