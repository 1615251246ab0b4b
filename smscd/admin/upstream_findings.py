"""What one test message taught of an upstream, pure: what was seen, and which fields of its profile to pin for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from protocols.gsm.alphabets import GSM
from protocols.smpp.constants import CommandStatus
from protocols.smpp.message_ids import relations
from protocols.smpp.receipt import Receipt
from smscd.core.error_table import ErrorTable
from smscd.core.lifecycle import state_of_receipt
from smscd.core.upstream import FIRST_WITH_TLVS, Upstream
from smscd.core.upstream_fields import status_name
from smscd.egress.receipts.forms import FormWatch

TEXT: Final = "@\u00a3$\u00e4\u00f6\u00f1 smscd test"
"""Its first characters are other octets in each alphabet; 17 characters, so that excerpts of 20 have all of it."""
QUARTER_MS: Final = 900_000
CLOCK_MS: Final = 300_000
"""How far a carrier's clock may be off, minutes without seconds included, for its zone to be known."""
_DATE: Final = re.compile(rb"(?i)submit[ _]?date:\s*([0-9]+)")
_DATE_FORMS: Final = {10: "YYMMDDhhmm", 12: "YYMMDDhhmmss or YYYYMMDDhhmm", 14: "YYYYMMDDhhmmss"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenReceipt:
    """A receipt of the test message. command: the PDU that it came in. seconds: after the response."""

    receipt: Receipt
    command: str
    esm_class: int
    has_tlvs: bool
    by_text_alone: bool
    seconds: float


@dataclass(slots=True, kw_only=True)
class Observed:
    """What happened. bind_status, submit_status: None while there was no answer; else 0, or a refusal.

    failure: of the connection. sent_ms: when the message went out. foreign: deliveries that were another message's, and
    were given back to be sent again.
    """

    failure: str = ""
    bind_status: int | None = None
    system_id: bytes = b""
    interface_version: int = 0
    told_version: int | None = None
    submit_status: int | None = None
    message_id: bytes = b""
    response_seconds: float = 0.0
    sent_ms: int = 0
    octets: bytes = b""
    receipts: list[SeenReceipt] = field(default_factory=list)
    foreign: int = 0
    foreign_ids: list[bytes] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Findings:
    """facts: what was seen, by its name. suggestion: fields to pin, as `smscd upstream set` takes them. remarks: what
    to look at. is_good: a final receipt came, or none could."""

    facts: dict[str, str] = field(default_factory=dict)
    suggestion: dict[str, object] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    is_good: bool = False


def findings(profile: Upstream, seen: Observed) -> Findings:
    """What the test taught."""
    found = Findings()
    if seen.failure:
        found.remarks.append(f"There is no session: {seen.failure}.")
    if seen.bind_status is None:
        return found
    if seen.bind_status:
        found.facts["bind"] = status_name(seen.bind_status)
        found.remarks.append("The bind was refused: ask the carrier for system_id, password, type and number of binds.")
        if seen.bind_status == CommandStatus.ESME_RINVCMDID and profile.bind_mode == "transceiver":
            found.remarks.append("It does not know bind_transceiver, which is of SMPP 3.4: try --bind-mode pair.")
        return found
    _bind(profile, seen, found)
    if seen.submit_status is None:
        found.remarks.append("submit_sm was not answered in time: whether the message was sent is not known.")
        return found
    found.facts["response"] = f"after {seen.response_seconds:.3f} s"
    if seen.submit_status:
        kind = ErrorTable(profile).kind(seen.submit_status).name.lower().replace("_", " ")
        found.facts["submit_sm"] = f"{status_name(seen.submit_status)}, to this profile {kind}"
        found.remarks.append("The message was refused: nothing is known of receipts.")
        return found
    found.facts["id in the response"] = seen.message_id.decode("latin-1") or "none: no receipt can be matched"
    _receipts(profile, seen, found)
    return found


def _bind(profile: Upstream, seen: Observed, found: Findings) -> None:
    found.facts["bind"] = f"accepted by {seen.system_id.decode('latin-1') or 'an SMSC without a name'}"
    asked = profile.interface_version
    told = seen.told_version
    found.facts["interface_version"] = f"{_version(asked)} asked, {_version(told) if told is not None else 'none'} told"
    if told is not None and told < FIRST_WITH_TLVS <= asked:
        found.suggestion["interface_version"] = "3.3"
        found.remarks.append("It says that it is older than 3.4: no TLVs are sent to it.")


def _receipts(profile: Upstream, seen: Observed, found: Findings) -> None:
    if seen.foreign:
        found.remarks.append(
            f"{seen.foreign} deliveries of other messages came over this bind; they were answered ESME_RX_T_APPN, so "
            "that the carrier sends them again."
        )
    if not seen.receipts:
        if profile.bind_mode == "transmitter":
            found.is_good = True
            found.remarks.append("The profile has transmitters only: its receipts come some other way.")
        elif seen.foreign_ids:
            ids = ", ".join(each.decode("latin-1") for each in seen.foreign_ids[:5])
            found.remarks.append(f"Receipts for this number came with ids that no form explains: {ids}.")
        else:
            found.remarks.append(
                "No receipt came in time. It may have come over a bind of the daemon: disable the upstream, test again."
            )
        return
    final = [one for one in seen.receipts if _is_final(profile, one.receipt)]
    last = final[-1] if final else seen.receipts[-1]
    found.is_good = bool(final)
    _receipt(profile, last, found)
    _id(profile, seen.message_id, last.receipt.message_id, found)
    _date(profile, last.receipt, seen.sent_ms, found)
    _alphabet(seen.octets, last.receipt, found)
    if not final:
        found.remarks.append("No final receipt came in time.")


def _is_final(profile: Upstream, receipt: Receipt) -> bool:
    state = state_of_receipt(receipt.stat, receipt.message_state, profile.receipt_stats)
    return state is not None and state.is_final and not receipt.is_intermediate


def _receipt(profile: Upstream, seen: SeenReceipt, found: Findings) -> None:
    receipt = seen.receipt
    stat, err = receipt.stat.decode("latin-1"), receipt.err.decode("latin-1")
    tlvs = "with TLVs" if seen.has_tlvs else "without TLVs"
    found.facts["receipt"] = f"{seen.command} {tlvs}, esm_class 0x{seen.esm_class:02x}, after {seen.seconds:.3f} s"
    found.facts["stat"] = f"{stat or 'none'}, err {err or 'none'}"
    if seen.by_text_alone and not profile.receipt_by_text_alone:
        found.suggestion["receipt_by_text_alone"] = True
        found.remarks.append("Only its text makes it a receipt: somebody could write such a text, pin it if you must.")
    if stat and state_of_receipt(receipt.stat, receipt.message_state, profile.receipt_stats) is None:
        found.remarks.append(f"Nobody knows the word {stat}: say what it means with --receipt-stats {stat}=DELIVRD.")


def _id(profile: Upstream, response: bytes, receipt: bytes, found: Findings) -> None:
    forms = [str(form) for form in relations(response, receipt)]
    found.facts["id in the receipt"] = receipt.decode("latin-1")
    if not forms:
        return
    found.facts["receipt_id"] = " or ".join(forms)
    if profile.receipt_id not in forms:
        found.suggestion["receipt_id"] = str(FormWatch(profile.receipt_id).matched(response, receipt))


def _date(profile: Upstream, receipt: Receipt, sent_ms: int, found: Findings) -> None:
    match = _DATE.search(receipt.raw)
    if match is None or receipt.submit_date is None:
        found.facts["dates"] = "none that can be read"
        return
    ahead_ms = receipt.submit_date - sent_ms
    quarters = round(ahead_ms / QUARTER_MS)
    found.facts["dates"] = f"{_DATE_FORMS.get(len(match[1]), f'{len(match[1])} digits')}, {_offset(quarters)}"
    if abs(ahead_ms - quarters * QUARTER_MS) > CLOCK_MS:
        found.remarks.append(f"Its clock is off: its submit date is {ahead_ms / 60_000:+.0f} minutes from ours.")
    elif abs(quarters) > 48:
        found.remarks.append("Its submit date is more than 12 hours from ours: its clock is wrong.")
    elif quarters != profile.validity_offset_quarters:
        found.suggestion["validity_offset_quarters"] = quarters


def _alphabet(octets: bytes, receipt: Receipt, found: Findings) -> None:
    excerpt = receipt.text[: len(octets)]
    if excerpt:
        same = "the octets that were sent" if octets.startswith(excerpt) else "other octets than were sent"
        found.facts["excerpt"] = f"{_printable(receipt.text.decode('latin-1'))} ({same})"


def looks(octets: bytes) -> Sequence[tuple[str, str]]:
    """What a phone shows of the test message when data_coding 0 is this alphabet to the carrier: name and text."""
    return (
        ("gsm", _printable(GSM.decode(octets))),
        ("latin1 or ascii", _printable(octets.decode("latin-1"))),
    )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\u00b7" for character in text)


def _offset(quarters: int) -> str:
    minutes = abs(quarters) * 15
    return f"UTC{'-' if quarters < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def _version(version: int) -> str:
    return f"{version >> 4}.{version & 15}"
