"""Refusals of the functions behind commands and the API: every field at fault in one answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smscd.admin import credentials, keys, mo_rules, orders
from smscd.admin.orders import Refusal, refused
from smscd.admin.resources import problem_of
from smscd.core.records import LedgerRecord
from smscd.ingress.http.strict_bodies import FIELD_ERRORS_MAX

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("found", "pointers"),
    [
        (orders.check(LedgerRecord("a", "gift", 0, "a/b", 0, "ann", "\n")),
         ["/kind", "/reference", "/note", "/amount", "/note"]),
        (orders.check(LedgerRecord("a", "correction", 1, "r", 0, "ann", " ", "")), ["/note", "/corrects"]),
        (orders.check(LedgerRecord("a", "topup", -1, "", 0, "ann", "")), ["/reference", "/amount"]),
        (mo_rules.rule_of("1 2", "a", "post", "two words", is_prefix=False), ["/keyword", "/number", "/via"]),
        (keys.terms_of("\t", ["send", "fly", "swim"], PAST, NOW), ["/scopes", "/scopes", "/label", "/expires_at"]),
        (credentials.check("", "nobody"), ["/system_id", "/client_certificate"]),
    ],
)  # fmt: skip
def test_every_field_at_fault_is_named_with_a_sentence(found: object, pointers: list[str]) -> None:
    assert isinstance(found, Refusal)
    told = problem_of(found)
    assert (told.status, told.code, [error.pointer for error in told.errors]) == (422, "validation_failed", pointers)
    assert told.detail == " ".join(error.detail for error in told.errors)


def test_no_faults_are_no_refusal_and_many_are_cut() -> None:
    assert refused([]) is None
    many = refused([("a", "It is wrong.")] * (FIELD_ERRORS_MAX + 1))
    assert many is not None and len(problem_of(many).errors) == FIELD_ERRORS_MAX
    assert problem_of(Refusal("not_found", 404, "There is none.")).errors == ()
