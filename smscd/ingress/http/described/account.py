"""The account as the OpenAPI document has it: its balance, and what the balance changed by."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.described.parts import LIST_CODES, Node, answer, paging, query, refusals
from smscd.ingress.http.problems import UNAUTHORIZED, UNAVAILABLE
from smscd.ingress.http.transactions import PATH as TRANSACTIONS
from smscd.ingress.http.transactions import TransactionPage
from smscd.ingress.http.views import Balance
from storage.postgres.account_entries import ENTRY_KINDS

KINDS: Final = (Balance, TransactionPage)
TAG: Final = "account"


def paths() -> Node:
    """The paths of this group."""
    return {"/v1/balance": {"get": _balance()}, TRANSACTIONS: {"get": _transactions()}}


def _balance() -> Node:
    return {
        "operationId": "getBalance",
        "tags": [TAG],
        "summary": "The balance of the account, with every charge that was acknowledged.",
        "responses": {"200": answer("The balance.", Balance), **refusals((UNAUTHORIZED, UNAVAILABLE))},
    }


def _transactions() -> Node:
    kinds = {"type": "array", "items": {"type": "string", "enum": list(ENTRY_KINDS)}}
    return {
        "operationId": "listTransactions",
        "tags": [TAG],
        "summary": "What the balance changed by, newest first.",
        "description": "The charges and the refunds of each moment are one entry each; a payment or a correction is "
        "one of its own. They come from the record, so that a charge of this moment comes a little later.",
        "parameters": [
            *paging(),
            query("kind", kinds, "Only these. A page may then hold fewer than limit and not be the last.", ["topup"]),
        ],
        "responses": {"200": answer("A page.", TransactionPage), **refusals(LIST_CODES)},
    }
