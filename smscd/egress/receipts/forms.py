"""Receipts whose id is of another form than the upstream's profile says, pure: what they mean, if sure (quirk 2).

A receipt that nothing matched in its profile's form is looked at in every other one once its response must have come.
It is believed when one message alone fits, by id and by number: "10" may be the response "10", "A" or "16". The
operator is told which form to pin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from protocols.smpp.message_ids import IdForm, candidates, canonical_id, relations
from smscd.core.records import ParkedReceipt, SentContext

SUGGESTED_AFTER: Final = 20
NUMBER_DIGITS_MIN: Final = 7
_DIGITS: Final = bytes(range(0x30, 0x3A))
_OTHERS: Final = bytes(octet for octet in range(256) if octet not in _DIGITS)


def other_keys(receipt_id: bytes, pinned: str) -> dict[bytes, bytes]:
    """Where to look for the response, other than where the profile's form says: key to the id of the response."""
    tried = canonical_id(receipt_id, pinned, is_receipt=True)
    keys = {canonical_id(response, pinned): response for response in candidates(receipt_id)}
    keys.pop(tried, None)
    return keys


def former_keys(receipt_id: bytes, pinned: str) -> dict[bytes, bytes]:
    """The same for responses that were kept while the profile said "same", which are those of the profile's form now.

    Whoever pins a form must not lose the receipts of what was sent before. Numbers are left out: a response of now may
    be kept under them.
    """
    if pinned == "same":
        return {}
    tried = canonical_id(receipt_id, pinned, is_receipt=True)
    return {
        response: response
        for response in candidates(receipt_id)
        if response != tried == canonical_id(response, pinned) and not response.isdigit()
    }


def meant(
    receipts: Sequence[ParkedReceipt], keys: Mapping[bytes, bytes], known: Mapping[bytes, SentContext | None]
) -> tuple[bytes, SentContext] | bool | None:
    """The response and the message that parked receipts of one id speak of; None when nothing fits.

    known: of the keys, what they speak of, None for an id of several messages. False: more than one may be meant.
    """
    found: dict[tuple[int, int], tuple[bytes, SentContext]] = {}
    for key, response in keys.items():
        if key not in known:
            continue
        context = known[key]
        if context is None:
            return False
        if all(is_about(context, receipt) for receipt in receipts):
            found[context.id, context.segment] = response, context
    if len(found) > 1:
        return False
    return next(iter(found.values()), None)


def is_about(context: SentContext, receipt: ParkedReceipt) -> bool:
    """True when the receipt is about the message's number; quirk 10: on either side, with a prefix more or less."""
    number = _digits(context.dest)
    return any(_is_same_number(number, _digits(address)) for address in (receipt.source, receipt.dest))


def _digits(address: bytes) -> bytes:
    return address.translate(None, _OTHERS).lstrip(b"0")


def _is_same_number(one: bytes, other: bytes) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return one == other != b"" or (len(shorter) >= NUMBER_DIGITS_MIN and longer.endswith(shorter))


class FormWatch:
    """Learns by which form all receipts of an upstream would have been understood."""

    def __init__(self, pinned: str) -> None:
        self.pinned = pinned
        self._common: set[IdForm] | None = None
        self._pairs = 0
        self._is_told = False

    def matched(self, response: bytes, receipt: bytes) -> IdForm:
        """Note a pair that belongs together, and say by which form: the plainest that explains it."""
        forms = relations(response, receipt)
        self._common = set(forms) if self._common is None else self._common.intersection(forms)
        self._pairs += 1
        return forms[0]

    def is_open(self, in_profiles_form: int) -> bool:
        """True while other forms are worth a look: an upstream writes its ids in one form.

        Once receipts are understood in the profile's, one that is not is an orphan, and a message that fits it in
        another form does so by chance.
        """
        return in_profiles_form < SUGGESTED_AFTER or self._pairs >= in_profiles_form

    def suggestion(self, in_profiles_form: int) -> IdForm | None:
        """The form to pin, once: when it explains all pairs, and they outnumber what matched in the profile's form."""
        if self._is_told or self._pairs < max(SUGGESTED_AFTER, in_profiles_form) or not self._common:
            return None
        self._is_told = True
        return next(form for form in IdForm if form in self._common)
