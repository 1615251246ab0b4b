"""Addresses: destinations to E.164 digits or short codes, senders to type, plan and what may go out."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from protocols.smpp.constants import Npi, Ton
from smscd.core.directory_index import SOURCES_MAX, AccountEntry, PlannedSource
from smscd.core.reasons import Reason, Rejected
from smscd.core.submission import DETECT

E164_LENGTHS: Final = range(7, 16)
SHORT_CODE_TONS: Final = frozenset((int(Ton.NETWORK_SPECIFIC), int(Ton.ABBREVIATED)))

_E164: Final = re.compile(rb"\+?([1-9][0-9]{6,14})")
_SHORT_CODE: Final = re.compile(rb"[0-9]{3,8}")
_SHORT_SOURCE: Final = re.compile(rb"[0-9]{1,6}")
_DIGITS: Final = re.compile(rb"[0-9]{1,20}")
_ALPHANUMERIC: Final = re.compile(rb"[ -?A-Z_a-z]{1,11}")
_LETTER: Final = re.compile(rb"[A-Za-z]")
_PRINTABLE: Final = re.compile(rb"[ -~]{1,20}")
_DETECTED_TONS: Final = frozenset((DETECT, int(Ton.UNKNOWN), int(Ton.INTERNATIONAL)))


class Destination(msgspec.Struct, frozen=True, gc=False):
    """A destination as it is routed and sent; digits without a plus sign."""

    ton: int
    npi: int
    digits: bytes


def find_destination(ton: int, npi: int, address: bytes) -> Destination | Rejected:
    """Normalise a destination.

    What looks like E.164 is E.164, with or without a plus sign and whatever its type says (many ESMEs send
    everything as unknown or national). A short code is taken only where the ESME says that it is one (type network
    specific or abbreviated), and is passed on as it came.
    """
    if ton in SHORT_CODE_TONS and _SHORT_CODE.fullmatch(address):
        return Destination(ton, npi, address)
    match = _E164.fullmatch(address)
    if match is None:
        return Rejected(Reason.INVALID_DESTINATION, pointer="/to")
    return Destination(int(Ton.INTERNATIONAL), int(Npi.E164), match[1])


def find_source(entry: AccountEntry, ton: int, npi: int, address: bytes) -> PlannedSource | Rejected:
    """Normalise a sender and see whether the account may use it.

    Type unknown, international or none given: decided by its looks. Any other type is passed on as it came, numbers
    that no specification knows included. No address at all means the SMSC's default and needs `any_sender`.
    """
    if not address:
        source: PlannedSource | None = PlannedSource(max(ton, 0), max(npi, 0), b"")
    elif ton in _DETECTED_TONS:
        source = detect_source(ton, npi, address)
    elif (_ALPHANUMERIC if ton == Ton.ALPHANUMERIC else _PRINTABLE).fullmatch(address):
        source = PlannedSource(ton, npi, address)
    else:
        source = None
    if source is None:
        return Rejected(Reason.INVALID_SOURCE, pointer="/from")
    if not entry.account.any_sender and (not address or source.address.removeprefix(b"+") not in entry.senders):
        return Rejected(Reason.SENDER_NOT_ALLOWED, pointer="/from")
    return source


def remember_source(entry: AccountEntry, asked: tuple[int, int, bytes]) -> PlannedSource | Rejected:
    """find_source, remembered in the entry, which holds at most SOURCES_MAX."""
    if len(entry.sources) >= SOURCES_MAX:
        entry.sources.clear()
    source = entry.sources[asked] = find_source(entry, *asked)
    return source


def detect_source(ton: int, npi: int, address: bytes) -> PlannedSource | None:
    """A sender by its looks; None for what no sender looks like. ton: DETECT, or what the ESME wrote."""
    if match := _E164.fullmatch(address):
        return PlannedSource(int(Ton.INTERNATIONAL), int(Npi.E164), match[1])
    if ton != DETECT and _DIGITS.fullmatch(address):
        return PlannedSource(ton, npi, address)
    if _SHORT_SOURCE.fullmatch(address):
        return PlannedSource(int(Ton.NETWORK_SPECIFIC), int(Npi.UNKNOWN), address)
    if _ALPHANUMERIC.fullmatch(address) and _LETTER.search(address):
        return PlannedSource(int(Ton.ALPHANUMERIC), int(Npi.UNKNOWN), address)
    return None
