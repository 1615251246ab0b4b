"""The terms of an account: what they may hold, what is shown of them, and what a change is."""

from __future__ import annotations

import pytest

from smscd.admin.account_terms import HIDDEN, AccountTerms, TermsInvalid, applied, differences, shown
from smscd.core.directory import Account

ACCOUNT = Account(id="acme", webhook_secret="whsec_x", outbind_password="hidden")
NOT_TERMS = {"currency", "tariff", "is_suspended"}


def test_every_term_of_an_account_can_be_given_but_what_stays_or_has_a_verb() -> None:
    assert set(AccountTerms.__struct_fields__) == set(Account.__struct_fields__) - (HIDDEN | NOT_TERMS) | {
        "outbind_password"
    }


def test_what_is_not_given_stays() -> None:
    made = applied(ACCOUNT, AccountTerms(burst=3, senders=["A", "A"], languages=["turkish", "spanish"]))
    assert (made.burst, made.senders, made.languages) == (3, {"A"}, {1, 2})
    assert (made.webhook_secret, made.rate_per_second) == ("whsec_x", ACCOUNT.rate_per_second)
    assert applied(made, AccountTerms()) == made
    assert applied(made, AccountTerms(senders=[], low_balance_micros=None)).senders == frozenset()


def test_networks_are_kept_in_one_form() -> None:
    made = applied(ACCOUNT, AccountTerms(allowed_networks=["192.0.2.7", "::ffff:198.51.100.0/120"]))
    assert made.allowed_networks == {"192.0.2.7/32", "198.51.100.0/24"}


def test_all_that_is_wrong_is_said_at_once() -> None:
    terms = AccountTerms(allowed_networks=["x", "1.2.3.4/8"], languages=["klingon"], allowed_countries=["XX"])
    with pytest.raises(TermsInvalid) as caught:
        applied(ACCOUNT, terms)
    assert [name for name, _ in caught.value.faults] == [
        "languages", "allowed_networks", "allowed_networks", "allowed_countries",
    ]  # fmt: skip


def test_no_secret_is_shown_and_a_changed_one_is_only_said_to_have_changed() -> None:
    assert "hidden" not in str(shown(ACCOUNT)) and "whsec_x" not in str(shown(ACCOUNT))
    assert shown(ACCOUNT)["has_outbind_password"] is True
    made = applied(ACCOUNT, AccountTerms(outbind_password="another", tags=["vip"]))
    assert differences(ACCOUNT, made) == {
        "tags": ([], ["vip"]), "outbind_password": ("(secret)", "(another)"),
    }  # fmt: skip
