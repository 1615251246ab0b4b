"""What an order of money must be before anything is asked of a storage."""

from __future__ import annotations

import msgspec
import pytest

from smscd.admin.orders import Outcome, check, shown
from smscd.core.records import LedgerRecord
from storage.postgres.ledger import Head, next_entry

TOP_UP = LedgerRecord("acme", "topup", 5, "invoice 7", 1, "ann")
ADJUSTMENT = LedgerRecord("acme", "adjust", -5, "fee", 1, "ann", "a fee")
CORRECTION = LedgerRecord("acme", "correction", -5, "fix", 1, "ann", "a typo", "invoice 7")


@pytest.mark.parametrize("order", [TOP_UP, ADJUSTMENT, CORRECTION])
def test_each_kind_of_order_can_be_placed(order: LedgerRecord) -> None:
    assert check(order) is None


@pytest.mark.parametrize(
    ("order", "changed"),
    [
        (TOP_UP, {"amount_micros": 0}),
        (TOP_UP, {"amount_micros": -1}),
        (TOP_UP, {"amount_micros": 2**53}),
        (TOP_UP, {"reference": ""}),
        (TOP_UP, {"reference": "x" * 129}),
        (TOP_UP, {"reference": "a\n"}),
        (TOP_UP, {"reference": "a/b"}),
        (TOP_UP, {"note": "a\0"}),
        (TOP_UP, {"note": "x" * 501}),
        (TOP_UP, {"corrects": "invoice 6"}),
        (ADJUSTMENT, {"note": ""}),
        (ADJUSTMENT, {"corrects": "invoice 7"}),
        (CORRECTION, {"note": " "}),
        (CORRECTION, {"corrects": ""}),
        (CORRECTION, {"kind": "charge"}),
    ],
)
def test_what_an_order_may_not_be_is_refused(order: LedgerRecord, changed: dict[str, object]) -> None:
    refusal = check(msgspec.structs.replace(order, **changed))
    assert refusal is not None
    assert (refusal.code, refusal.status) == ("validation_failed", 422)


def test_an_outcome_is_pending_until_the_ledger_has_it() -> None:
    pending = Outcome(CORRECTION, True, 95, None)
    assert shown(pending, "EUR") == {
        "account": "acme", "reference": "fix", "kind": "correction", "amount_micros": -5, "note": "a typo",
        "corrects": "invoice 7", "operator": "ann", "status": "pending", "applied": True, "balance_micros": 95,
        "currency": "EUR", "ledger_entry": None,
    }  # fmt: skip
    entry = next_entry(
        Head(seq=6), id=1, account="acme", kind="correction", amount_micros=-5, messages=0, journal_from="1-0",
        journal_to="1-0", at_ms=1,
    )  # fmt: skip
    found = shown(Outcome(CORRECTION, False, 95, entry), "EUR")
    assert (found["status"], found["applied"], found["ledger_entry"]) == ("committed", False, 7)
