"""Message ids as SMSCs spell them: the one in submit_sm_resp and the one in the receipt are often not the same octets.

How the two are understood to be one is an upstream's form; what else they may mean is told by relations().
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class IdForm(StrEnum):
    """How a receipt spells the id that the response gave, the plainest first.

    SAME: the same octets. CASE: capitals or small letters. ZEROS: other leading zeros, or another case as well.
    DECIMAL: the response has it in hexadecimal and the receipt in decimal. HEX: the other way round.
    """

    SAME = "same"
    CASE = "case"
    ZEROS = "zeros"
    DECIMAL = "decimal"
    HEX = "hex"


def bare(raw: bytes) -> bytes:
    """The id without the NULs and blanks that some SMSCs pad it with."""
    return raw.strip(_PADDING)


def relations(response: bytes, receipt: bytes) -> tuple[IdForm, ...]:
    """Every form by which the id of a receipt can be that of a response; empty when it is another one."""
    response, receipt = bare(response), bare(receipt)
    if not response or not receipt:
        return ()
    forms: list[IdForm] = []
    if response == receipt:
        forms.append(IdForm.SAME)
    if response.upper() == receipt.upper():
        forms.append(IdForm.CASE)
    if _stripped(response) == _stripped(receipt):
        forms.append(IdForm.ZEROS)
    if _number(response, 16) == _number(receipt, 10) is not None:
        forms.append(IdForm.DECIMAL)
    if _number(response, 10) == _number(receipt, 16) is not None:
        forms.append(IdForm.HEX)
    return tuple(forms)


def canonical_id(raw: bytes, form: str = "same", *, is_receipt: bool = False) -> bytes:
    """What a response and its receipt have in common when receipts are of this form; for both to be looked up by.

    An id that is no number where the form wants one is kept.
    """
    given = raw.strip(_PADDING)
    # Plain strings: comparing with a member of an enum takes as long as all the rest.
    if form == "same":
        return given
    if form == "case":
        return given.upper()
    if form == "zeros":
        return _stripped(given) or given[:1]
    number = _number(given, 16 if (form == "hex") == is_receipt else 10)
    return b"%d" % number if number is not None else given


def candidates(receipt: bytes) -> tuple[bytes, ...]:
    """The ids of responses to look for, given that of a receipt: itself first, each once.

    A response with leading zeros that the receipt does not have is not among them: nobody knows how many. Nor is a
    number of more digits than a message_id has octets.
    """
    given = bare(receipt)
    if not given:
        return ()
    found = [given, given.upper(), given.lower(), given.lstrip(b"0") or b"0"]
    decimal, hexadecimal = _number(given, 10), _number(given, 16)
    if decimal is not None:
        found += [b"%X" % decimal, b"%x" % decimal]
    if hexadecimal is not None and hexadecimal < 10**DIGITS_MAX:
        found.append(b"%d" % hexadecimal)
    return tuple(dict.fromkeys(found))


def responses(receipt: bytes, form: str) -> tuple[bytes, ...]:
    """How the response may have spelled the id of a receipt of this form, each once: ids are recorded as they came.

    Leading zeros make an id up to ZEROS_UP_TO octets long. Whoever finds one of these compares the canonical ids.
    """
    given = bare(receipt)
    if not given:
        return ()
    if form == "same":
        return (given,)
    if form == "case":
        return tuple(dict.fromkeys((given, given.upper(), given.lower())))
    spelled = [given]
    if form == "zeros":
        kept = _stripped(given)
        spelled += [way.rjust(length, b"0") for way in (kept, kept.lower()) for length in _lengths(kept)]
    else:
        number = _number(given, 16 if form == "hex" else 10)
        if number is not None:
            ways = (b"%d" % number,) if form == "hex" else (b"%X" % number, b"%x" % number)
            spelled += [way.rjust(length, b"0") for way in ways for length in _lengths(way)]
            if form == "decimal":
                spelled += [mark + way for way in ways for mark in (b"0x", b"0X")]
    return tuple(dict.fromkeys(spelled))


def _lengths(kept: bytes) -> range:
    return range(max(1, len(kept)), max(ZEROS_UP_TO, len(kept)) + 1)


ZEROS_UP_TO: Final = 20
DIGITS_MAX: Final = 64
_PADDING: Final = b"\0 \t\r\n"
_DIGITS: Final = {
    10: re.compile(rb"[0-9]{1,%d}" % DIGITS_MAX),
    16: re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{1,%d}" % DIGITS_MAX),
}


def _number(octets: bytes, base: int) -> int | None:
    return int(octets, base) if _DIGITS[base].fullmatch(octets) else None


def _stripped(octets: bytes) -> bytes:
    return octets.upper().lstrip(b"0")
