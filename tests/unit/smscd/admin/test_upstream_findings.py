"""What one test message teaches of an upstream."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.gsm.alphabets import GSM
from protocols.gsm.septets import pack
from protocols.smpp.constants import CommandStatus
from protocols.smpp.receipt import Receipt
from smscd.admin.upstream_findings import TEXT, Findings, Observed, SeenReceipt, findings, looks
from smscd.admin.upstream_test import content_for
from smscd.core.upstream import Upstream

SENT_MS = 1_795_000_000_000
OCTETS = GSM.encode(TEXT)


def profile(**fields: Any) -> Upstream:
    return Upstream(id="u", host="h", port=1, system_id="s", password="p", **fields)


def learned(upstream: Upstream | None = None, *, by_text_alone: bool = False, **receipt: Any) -> Findings:
    """Of a receipt with these values."""
    values: dict[str, Any] = {
        "message_id": b"1A", "stat": b"DELIVRD", "err": b"000", "submit_date": SENT_MS, "done_date": SENT_MS,
        "raw":
        b"id:1A submit date:2611181146 done date:2611181146 stat:DELIVRD err:000 text:", "text": OCTETS, **receipt,
    }  # fmt: skip
    seen = SeenReceipt(
        receipt=Receipt(**values), command="deliver_sm", esm_class=4, has_tlvs=False, by_text_alone=by_text_alone,
        seconds=1.0,
    )  # fmt: skip
    observed = Observed(
        bind_status=0, system_id=b"smsc", told_version=0x34, submit_status=0, message_id=b"1a", response_seconds=0.1,
        sent_ms=SENT_MS, octets=OCTETS, receipts=[seen],
    )  # fmt: skip
    return findings(upstream or profile(), observed)


@pytest.mark.parametrize(("receipt", "form"), [(b"1a", None), (b"1A", "case"), (b"001a", "zeros"), (b"26", "decimal")])
def test_quirk_2_the_plainest_form_that_explains_the_ids_is_suggested(receipt: bytes, form: str | None) -> None:
    assert learned(message_id=receipt).suggestion.get("receipt_id") == form


def test_a_pinned_form_that_explains_the_ids_is_left_alone() -> None:
    found = learned(profile(receipt_id="zeros"))
    assert found.facts["receipt_id"] == "case or zeros" and found.suggestion == {}


@pytest.mark.parametrize(
    ("minutes", "suggested", "shown"),
    [(-1, None, "UTC+00:00"), (119, 8, "UTC+02:00"), (330, 22, "UTC+05:30"), (-301, -20, "UTC-05:00")],
)
def test_quirk_38_the_zone_of_the_carriers_clock_is_suggested(minutes: int, suggested: int | None, shown: str) -> None:
    found = learned(profile(receipt_id="case"), submit_date=SENT_MS + minutes * 60_000)
    assert found.suggestion.get("validity_offset_quarters") == suggested
    assert found.facts["dates"] == f"YYMMDDhhmm, {shown}"


def test_a_clock_that_is_off_is_told_and_no_zone_suggested() -> None:
    for minutes, remark in ((7, "Its clock is off"), (14_400, "more than 12 hours")):
        found = learned(submit_date=SENT_MS + minutes * 60_000)
        assert "validity_offset_quarters" not in found.suggestion
        assert any(remark in line for line in found.remarks)
    assert learned(submit_date=None).facts["dates"] == "none that can be read"


def test_quirk_5_a_receipt_by_its_text_alone_may_be_pinned_with_a_warning() -> None:
    assert learned(by_text_alone=True).suggestion["receipt_by_text_alone"] is True
    assert "receipt_by_text_alone" not in learned(profile(receipt_by_text_alone=True), by_text_alone=True).suggestion


def test_quirk_1_a_word_that_nobody_knows_is_no_end_and_can_be_mapped() -> None:
    found = learned(stat=b"SENT2U")
    assert not found.is_good and any("--receipt-stats SENT2U=DELIVRD" in line for line in found.remarks)
    assert learned(profile(receipt_stats={"SENT2U": "DELIVRD"}), stat=b"SENT2U").is_good


def test_quirk_25_an_smsc_of_before_3_4_is_suggested_as_such() -> None:
    observed = Observed(bind_status=0, told_version=0x33, submit_status=0x58)
    found = findings(profile(), observed)
    assert found.suggestion == {"interface_version": "3.3"}
    assert found.facts["submit_sm"] == "ESME_RTHROTTLED, to this profile throttled"
    assert findings(profile(), Observed(bind_status=0)).facts["interface_version"] == "3.4 asked, none told"


def test_quirk_27_each_alphabet_shows_another_text_on_the_phone() -> None:
    shown = dict(looks(OCTETS))
    assert shown == {"gsm": TEXT, "latin1 or ascii": "\u00b7\u00b7\u00b7{|} smscd test"}
    assert learned(text=OCTETS).facts["excerpt"].endswith("(the octets that were sent)")
    assert learned(text=TEXT.encode("latin-1")).facts["excerpt"].endswith("(other octets than were sent)")
    assert learned(text=OCTETS + b" ...").facts["excerpt"].endswith("(the octets that were sent)")


@pytest.mark.parametrize(
    ("fields", "octets", "data_coding"),
    [
        ({"default_alphabet": "unknown"}, OCTETS, 0),
        ({"default_alphabet": "gsm"}, OCTETS, 0),
        ({"default_alphabet": "gsm_packed"}, pack(OCTETS), 0),
        ({"default_alphabet": "latin1"}, TEXT.encode("latin-1"), 0),
        ({"default_alphabet": "ascii"}, TEXT.encode("utf-16-be"), 8),
        ({"default_alphabet": "ascii", "is_little_endian": True}, TEXT.encode("utf-16-le"), 8),
    ],
)
def test_quirk_27_the_text_is_sent_as_the_profile_has_it(fields: Any, octets: bytes, data_coding: int) -> None:
    assert content_for(profile(**fields)) == (octets, data_coding)


def test_ids_that_no_form_explains_are_named() -> None:
    observed = Observed(bind_status=0, submit_status=0, message_id=b"1", foreign=1, foreign_ids=[b"xyz"])
    assert "ids that no form explains: xyz" in findings(profile(), observed).remarks[-1]


def test_a_carrier_that_knows_no_transceivers_is_to_be_bound_to_in_pairs() -> None:
    refused = Observed(bind_status=CommandStatus.ESME_RINVCMDID)
    assert "--bind-mode pair" in findings(profile(), refused).remarks[-1]
    assert "--bind-mode pair" not in findings(profile(bind_mode="pair"), refused).remarks[-1]
