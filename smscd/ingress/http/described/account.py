"""The account as the OpenAPI document has it: its balance, and what the balance changed by."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.described.parts import (
    LIST_CODES,
    NEXT_CURSOR,
    Example,
    Node,
    answer,
    link,
    paging,
    query,
    refusals,
    words,
)
from smscd.ingress.http.problems import INTERNAL, METHOD_NOT_ALLOWED, UNAUTHORIZED, UNAVAILABLE
from smscd.ingress.http.transactions import PATH as TRANSACTIONS
from smscd.ingress.http.transactions import Transaction, TransactionPage
from smscd.ingress.http.views import Balance, Money
from storage.postgres.account_entries import ENTRY_KINDS

KINDS: Final = (Balance, TransactionPage)
TAG: Final = "account"
_ONLY: Final = "Only these. A page may then hold fewer than limit and not be the last."

BALANCES: Final = {
    "prepaid": Example(
        "Prepaid", Balance(account="acme", balance=Money("12.3400", "EUR"), credit_limit=Money("0.0000", "EUR"))
    )
}
PAGES: Final = {
    "first": Example(
        "There is more",
        TransactionPage(
            data=[
                Transaction(
                    id="7236514482193408002",
                    kind="charge",
                    amount=Money("-0.1200", "EUR"),
                    balance=Money("12.3400", "EUR"),
                    messages=12,
                    created_at="2026-11-22T14:48:34.504Z",
                )
            ],
            next_cursor="AQAAAAAAAAAq",
        ),
    ),
    "last": Example("There is no more", TransactionPage(data=[])),
}


def paths() -> Node:
    """The paths of this group."""
    return {"/v1/balance": {"get": _balance()}, TRANSACTIONS: {"get": _transactions()}}


def _balance() -> Node:
    return {
        "operationId": "getBalance",
        "tags": [TAG],
        "summary": "The balance of the account, with every charge that was acknowledged.",
        "responses": {
            "200": answer("The balance.", Balance, BALANCES),
            **refusals((UNAUTHORIZED, METHOD_NOT_ALLOWED, INTERNAL, UNAVAILABLE)),
        },
    }


def _transactions() -> Node:
    links = {"next": link("listTransactions", "The next page, where next_cursor is not null.", cursor=NEXT_CURSOR)}
    return {
        "operationId": "listTransactions",
        "tags": [TAG],
        "summary": "What the balance changed by, newest first.",
        "description": "The charges and the refunds of each moment are one entry each; a payment or a correction is "
        "one of its own. They come from the record, so that a charge of this moment comes a little later.",
        "parameters": [
            *paging(),
            query("kind", words(ENTRY_KINDS), _ONLY, ["topup"]),
        ],
        "responses": {"200": answer("A page.", TransactionPage, PAGES, links=links), **refusals(LIST_CODES)},
    }
