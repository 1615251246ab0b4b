"""Planning, pure: a submission becomes a message that can be admitted, or a refusal with its reason.

Normalises addresses, checks the sender, chooses encoding, route and price, cuts into segments. This is the one way
in: both doors build a `Submission` and plan it here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM, Alphabet, encode_ucs2, smart
from protocols.gsm.choice import choose
from protocols.gsm.segmentation import TooManySegmentsError, fits, split
from protocols.gsm.transcode import Dialect, counting_of
from protocols.smpp import tlv
from protocols.smpp.constants import DataCoding, EsmClass, TlvTag
from smscd.core.addresses import E164_LENGTHS, SHORT_CODE_TONS, find_destination, remember_source
from smscd.core.conversion import canonical, reference_of
from smscd.core.countries import PREFIX_DIGITS_MAX, country_of
from smscd.core.directory import Account
from smscd.core.directory_index import SCHEDULE_MAX_MS, DirectoryIndex
from smscd.core.idempotency import StoredAnswer, body_hash, encode_answer
from smscd.core.limits import Limits
from smscd.core.profiles import encode_named, is_plain
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Conversion, Door, MessageRecord, Via
from smscd.core.routing import NONE_CLOSED
from smscd.core.submission import Encoding, Submission

VALIDITY_MAX_MS: Final = 7 * 24 * 3_600_000
LIFE_MAX_MS: Final = SCHEDULE_MAX_MS + VALIDITY_MAX_MS
UDHI: Final = int(EsmClass.UDHI)
RECEIPT_BITS: Final = 0x13
FINAL_RECEIPT: Final = 0x01
GSM7_DATA_CODING: Final = int(DataCoding.DEFAULT)
UCS2_DATA_CODING: Final = int(DataCoding.UCS2)

_COUNTING: Final = tuple(counting_of(data_coding, Dialect()) for data_coding in range(256))
_SMPP: Final = int(Door.SMPP)
_HTTP: Final = int(Door.HTTP)
URGENT: Final = 0
"""The priority that goes before all others."""
_VIA_NONE: Final = int(Via.NONE)
_VIA_SMPP: Final = int(Via.SMPP)
_VIA_WEBHOOK: Final = int(Via.WEBHOOK)


class Planned(msgspec.Struct, gc=False):
    """A message ready for admission, with all that the admission script needs to decide on it.

    record: its price_micros is the price of the whole message. messages: what it counts against rate and queue.
    others: the further messages of a submit_multi, admitted with the first or not at all.
    idem_key: the request key; None without, and then idem_value and body_hash are empty.
    idem_value: what is stored under the key (core.idempotency). body_hash: to compare with what is stored there.
    floor_micros: the balance may not fall below it. limits: of the account, None where it has none.
    is_strict: it is accepted, and sent, when PostgreSQL has it.
    """

    record: MessageRecord
    messages: int
    rate_per_second: float
    burst: int
    floor_micros: int
    queue_messages_max: int
    idem_key: bytes | None = None
    idem_value: bytes = b""
    body_hash: bytes = b""
    others: tuple[MessageRecord, ...] = ()
    limits: Limits | None = None
    is_strict: bool = False

    @property
    def records(self) -> tuple[MessageRecord, ...]:
        """All messages of it, the first first."""
        return (self.record, *self.others)


def plan(
    submission: Submission,
    directory: DirectoryIndex,
    id: int,
    now_ms: int,
    closed: frozenset[str] = NONE_CLOSED,
) -> Planned | Rejected:
    """Decide what becomes of a submission; no I/O, no clock, no chance.

    id: the message's id, of an IdSource. now_ms: milliseconds since the Unix epoch. closed: upstreams that are passed
    over while another of the route can be used.
    """
    entry = directory.entry(submission.account.id)
    if entry is None or entry.account.is_suspended:
        return Rejected(Reason.ACCOUNT_SUSPENDED)
    account = entry.account

    dest, dest_ton, dest_npi = submission.dest, 1, 1
    if not (
        len(dest) in E164_LENGTHS and dest.isdigit() and dest[0] != 0x30 and submission.dest_ton not in SHORT_CODE_TONS
    ):
        found = find_destination(submission.dest_ton, submission.dest_npi, dest)
        if isinstance(found, Rejected):
            return found
        dest_ton, dest_npi, dest = found.ton, found.npi, found.digits

    if entry.countries and country_of(dest[:PREFIX_DIGITS_MAX].decode()) not in entry.countries:
        return Rejected(Reason.COUNTRY_NOT_ALLOWED)

    asked = (submission.source_ton, submission.source_npi, submission.source)
    source = entry.sources.get(asked) or remember_source(entry, asked)
    if isinstance(source, Rejected):
        return source

    offer = directory.offer(entry, dest, now_ms, source.address, id, closed)
    if isinstance(offer, Rejected):
        return offer

    starts_ms = now_ms
    if submission.send_after_seconds is not None or submission.send_at_ms is not None:
        starts_ms = _starts(submission, now_ms)
        if starts_ms > now_ms + directory.schedule_max_ms:
            return Rejected(Reason.INVALID_SCHEDULE, too_far_ahead(directory.schedule_max_ms), "/send_at")
    valid_until_ms = starts_ms + directory.validity_default_ms
    if submission.validity_seconds is not None or submission.valid_until_ms is not None:
        valid_until_ms = _valid_until(submission, starts_ms)
        if valid_until_ms <= starts_ms:
            over = "already" if starts_ms == now_ms else "before the message is to be sent"
            return Rejected(Reason.INVALID_VALIDITY, f"The validity period is over {over}.", "/validity")

    tlvs = submission.tlvs
    content = submission.content
    if content is not None:
        data_coding, esm_class = submission.data_coding, submission.esm_class
        converter = offer.converter if submission.door is Door.SMPP else offer.text_converter
    else:
        text = submission.text or ""
        encoded = encode_text(text, submission.encoding, submission.smart_encoding, entry.languages)
        if isinstance(encoded, Rejected):
            return encoded
        content, data_coding, esm_class = given = encoded
        converter = offer.text_converter
        if submission.named_tlvs is not None:
            named = encode_named(converter.tlvs if converter is not None else None, submission.named_tlvs)
            if isinstance(named, Rejected):
                return named
            tlvs += named
    conversion: Conversion | None = None
    if converter is not None:
        converted = converter.convert(content, data_coding, esm_class, tlvs, id, account.segments_max)
        if isinstance(converted, Rejected):
            return converted
        segments, data_coding, esm_class, tlvs, conversion = converted
    elif len(content) <= 140 and not esm_class & UDHI:
        segments = [content]
    else:
        cut = _segments(submission, account, content, data_coding, esm_class, id)
        if isinstance(cut, Rejected):
            return cut
        segments = cut
        if len(segments) > 1:
            esm_class |= UDHI

    registered_delivery = submission.registered_delivery
    if submission.door is Door.SMPP:
        door = _SMPP
        via = _VIA_SMPP if registered_delivery & RECEIPT_BITS else _VIA_NONE
    else:
        door = _HTTP
        has_webhook = submission.callback_url is not None or entry.has_webhook
        via = _VIA_WEBHOOK if has_webhook else _VIA_NONE
        registered_delivery = (registered_delivery or FINAL_RECEIPT) if has_webhook else 0

    upstream = offer.upstream
    key = submission.request_key
    parts = len(segments) if conversion is None else conversion.parts
    price_micros = offer.price_micros * parts
    record = MessageRecord(
        id,
        account.id,
        upstream.id,
        account.priority,
        door,
        source.ton,
        source.npi,
        source.address,
        dest_ton,
        dest_npi,
        dest,
        esm_class,
        submission.protocol_id,
        data_coding,
        registered_delivery,
        segments,
        price_micros,
        valid_until_ms,
        via,
        account.tariff,
        submission.service_type,
        tlvs,
        submission.client_ref,
        submission.callback_url,
        submission.metadata,
        key.decode("ascii", "backslashreplace") if key is not None else None,
    )
    if offer.cost_micros:
        record.cost_micros = offer.cost_micros * parts
    if conversion is not None:
        record.conversion = conversion
    if starts_ms > now_ms:
        record.send_at_ms = starts_ms
    if offer.in_doubt:
        record.in_doubt = offer.in_doubt
    if submission.priority_flag:
        record.priority_flag = submission.priority_flag
        if 0 < account.urgent_from <= submission.priority_flag:
            record.priority = URGENT
    if key is None:
        return Planned(
            record,
            1,
            account.rate_per_second,
            account.burst,
            entry.floor_micros,
            upstream.queue_messages_max,
            limits=entry.limits,
            is_strict=entry.is_strict,
        )
    same = submission.body_hash
    if not same:
        if submission.content is not None:
            given = content, submission.data_coding, submission.esm_class
            if submission.door is Door.SMPP and not is_plain(entry.dialect):
                given = canonical(*given, entry.dialect)
        same = body_hash(submission, source.address, dest, *given)
    record.stored_answer = stored = encode_answer(StoredAnswer(id, same, price_micros, parts, data_coding))
    return Planned(
        record,
        1,
        account.rate_per_second,
        account.burst,
        entry.floor_micros,
        upstream.queue_messages_max,
        key,
        stored,
        same,
        limits=entry.limits,
        is_strict=entry.is_strict,
    )


def encode_text(
    text: str, encoding: Encoding, smart_encoding: bool, languages: tuple[int, ...] = ()
) -> tuple[bytes, int, int] | Rejected:
    """The octets, the data_coding and the esm_class for a text: GSM 7-bit where it can be, UCS-2 where it must.

    smart_encoding replaces typographic characters where that is what makes the text fit GSM 7-bit; a text that
    would not fit even so keeps them. languages: whose national tables may be used when they save segments; what says
    so is a header before the octets.
    """
    if not text:
        return Rejected(Reason.INVALID_LENGTH, "must not be empty", "/text")
    if encoding is not Encoding.UCS2:
        try:
            return GSM.encode(text), GSM7_DATA_CODING, 0
        except UnicodeEncodeError as error:
            at_fault = f"U+{ord(text[error.start]):04X}"
        if smart_encoding and (plain := smart(text)):
            try:
                return GSM.encode(plain), GSM7_DATA_CODING, 0
            except UnicodeEncodeError:
                pass
        if encoding is Encoding.GSM7:
            return Rejected(Reason.INVALID_ENCODING, f"the GSM alphabet does not have {at_fault}", "/text")
    try:
        if encoding is Encoding.UCS2 or not languages:
            return encode_ucs2(text), UCS2_DATA_CODING, 0
        found = choose(text, languages)
    except UnicodeEncodeError:
        return Rejected(Reason.INVALID_ENCODING, "has half of a surrogate pair", "/text")
    if found.alphabet is Alphabet.UCS2:
        return found.content, UCS2_DATA_CODING, 0
    return udh.build(found.elements) + found.content, GSM7_DATA_CODING, UDHI


def _starts(submission: Submission, now_ms: int) -> int:
    """When a message is to be sent: what was asked for, or now when that is over."""
    if submission.send_after_seconds is not None:
        return now_ms + max(0, submission.send_after_seconds) * 1000
    return max(now_ms, submission.send_at_ms or 0)


def too_far_ahead(schedule_max_ms: int) -> str:
    """What is said of a time to send that is later than we keep messages for."""
    if not schedule_max_ms:
        return "Messages cannot be scheduled here: leave the time out."
    return f"The time to send must be within {schedule_max_ms // 1000:,} seconds from now: choose an earlier one."


def _valid_until(submission: Submission, starts_ms: int) -> int:
    """The end of the validity that was asked for, not later than the longest there is. It counts from starts_ms."""
    if submission.validity_seconds is not None:
        asked = starts_ms + submission.validity_seconds * 1000
    else:
        asked = submission.valid_until_ms or 0
    return min(asked, starts_ms + VALIDITY_MAX_MS)


def _segments(
    submission: Submission, account: Account, content: bytes, data_coding: int, esm_class: int, id: int
) -> list[bytes] | Rejected:
    """The short_message of each segment, for content that may be too long for one or has a header of its own.

    A Latin-1 or ASCII text of the GSM alphabet's characters is counted in septets, which it is on the air.
    """
    alphabet, latin = _COUNTING[data_coding & 0xFF]
    elements: tuple[tuple[int, bytes], ...] = ()
    if esm_class & UDHI:
        try:
            header = udh.parse(content)
        except udh.UdhError as error:
            return Rejected(Reason.INVALID_UDH, f"The user data header is invalid: {error}.")
        if fits(content[header.length :], alphabet, header.length, latin):
            return [content]
        if header.concatenation is not None:
            return Rejected(Reason.INVALID_LENGTH, "A part of a concatenated message is longer than a short message.")
        elements, content = header.elements, content[header.length :]
    elif fits(content, alphabet, latin=latin):
        return [content]
    elif submission.tlvs and any(tag == TlvTag.SAR_MSG_REF_NUM for tag, _ in tlv.parse(submission.tlvs)):
        return Rejected(Reason.INVALID_LENGTH, "A part of a concatenated message is longer than a short message.")
    try:
        return split(content, alphabet, reference_of(id), account.segments_max, elements, latin=latin)
    except TooManySegmentsError as error:
        detail = f"The text needs {error.count} segments; the account may use {account.segments_max}."
        return Rejected(Reason.TOO_MANY_SEGMENTS, detail, "/text")
    except udh.UdhError as error:
        return Rejected(Reason.INVALID_UDH, f"The user data header is invalid: {error}.")
