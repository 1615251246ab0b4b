"""Message ids as SMSCs spell them: the one in submit_sm_resp and the one in the receipt are often not the same octets.

Which receipt belongs to which response is never guessed: more than one possible response is no match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple


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


class Match(NamedTuple):
    """Which response a receipt belongs to. message_id: None when there is none, or more than one.

    possible: all of them, for the list of receipts that somebody has to look at.
    """

    message_id: bytes | None
    possible: tuple[bytes, ...] = ()

    @property
    def is_ambiguous(self) -> bool:
        """True when several responses may be meant."""
        return len(self.possible) > 1


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


def candidates(receipt: bytes) -> tuple[bytes, ...]:
    """The ids of responses to look for, given that of a receipt: itself first, each once.

    A response with leading zeros that the receipt does not have is found by relations() only: nobody knows how many.
    """
    given = bare(receipt)
    if not given:
        return ()
    found = [given, given.upper(), given.lower(), given.lstrip(b"0") or b"0"]
    decimal, hexadecimal = _number(given, 10), _number(given, 16)
    if decimal is not None:
        found += [b"%X" % decimal, b"%x" % decimal]
    if hexadecimal is not None:
        found.append(b"%d" % hexadecimal)
    return tuple(dict.fromkeys(found))


def match(receipt: bytes, responses: Iterable[bytes], form: IdForm | None = None) -> Match:
    """The one response that the receipt can mean, of those that are waiting for one.

    form: the upstream's, when it is known; by default every form counts, and then "10" may be the response "10" or
    the response "A", so that with both waiting there is no match.
    """
    wanted = set(IdForm) if form is None else {form}
    possible = tuple(
        response for response in dict.fromkeys(responses) if not wanted.isdisjoint(relations(response, receipt))
    )
    return Match(possible[0] if len(possible) == 1 else None, possible)


def suggest(pairs: Iterable[tuple[bytes, bytes]]) -> IdForm | None:
    """The plainest form that explains all pairs of response and receipt that are known to belong together.

    For an operator to pin. None when there is no pair, or no form explains them all.
    """
    common: set[IdForm] | None = None
    for response, receipt in pairs:
        forms = set(relations(response, receipt))
        common = forms if common is None else common & forms
    return next((form for form in IdForm if form in common), None) if common else None


_PADDING: Final = b"\0 \t\r\n"
_DIGITS: Final = {10: re.compile(rb"[0-9]{1,64}"), 16: re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{1,64}")}


def _number(octets: bytes, base: int) -> int | None:
    return int(octets, base) if _DIGITS[base].fullmatch(octets) else None


def _stripped(octets: bytes) -> bytes:
    return octets.upper().lstrip(b"0")
