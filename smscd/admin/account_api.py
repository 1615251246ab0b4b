"""Accounts over the admin API: their terms, their money, and whether they may send."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Final
from urllib.parse import quote

import structlog

from smscd.admin import account_terms, accounts, orders, queries
from smscd.admin.account_terms import AccountTerms, NewAccount, TermsInvalid
from smscd.admin.accounts import Made
from smscd.admin.bodies import OrderRequest, check_order
from smscd.admin.desk import Desk
from smscd.admin.orders import Outcome, Refusal
from smscd.admin.resources import Asked, Done, Operation, StructBody, answered
from smscd.core.records import LedgerRecord
from smscd.ingress.http.problems import NOT_FOUND, FieldError, Problem, invalid, problem
from smscd.ingress.http.queries import LIMIT_DEFAULT
from storage.postgres.operators import find_account

_PLACE: Final = "/admin/v1/accounts/{account}/topups/{reference}"
_log = structlog.get_logger(__name__)


class AccountResources:
    """Answers for /accounts and what is below an account."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        account = "accounts/{account}"
        return [
            Operation(
                method="GET",
                path="accounts",
                id="listAccounts",
                summary="Accounts by name, with their balances and terms.",
                call=self._list,
                query={
                    "after": queries.text("The next_after of an earlier answer."),
                    "limit": queries.LIMITED,
                },
            ),
            Operation(
                method="POST",
                path="accounts",
                id="addAccount",
                summary="A new account, and the secret of its webhooks, which is shown only now.",
                call=self._add,
                body=StructBody(NewAccount),
                statuses=(201,),
            ),
            Operation(
                method="GET", path=account, id="getAccount", summary="Its balance and its terms.", call=self._view
            ),
            Operation(
                method="PATCH",
                path=account,
                id="changeAccount",
                summary="Other values of some of its terms; followed at once.",
                call=self._change,
                body=StructBody(AccountTerms),
            ),
            Operation(
                method="POST",
                path=f"{account}/topups",
                id="orderMoney",
                summary="A top-up, an adjustment or a correction, once for each reference.",
                call=self._order,
                body=StructBody(OrderRequest),
                statuses=(200, 201, 202),
            ),
            Operation(
                method="GET",
                path=f"{account}/topups/{{reference}}",
                id="getOrder",
                summary="What became of an order of money.",
                call=self._order_again,
            ),
            Operation(
                method="POST",
                path=f"{account}/suspend",
                id="suspendAccount",
                summary="Refuse all that it submits, from now on, on every worker.",
                call=self._suspend,
            ),
            Operation(
                method="POST",
                path=f"{account}/resume",
                id="resumeAccount",
                summary="Take its messages again.",
                call=self._resume,
            ),
        ]

    async def _list(self, asked: Asked) -> Done | Problem:
        limit = asked.query.get("limit", LIMIT_DEFAULT)
        desk, after = self._desk, asked.query.get("after", "")
        found = await accounts.page(desk.database, desk.balances, after=after, limit=limit)
        return Done(200, {"accounts": found, "next_after": found[-1]["account"] if len(found) == limit else None})

    async def _add(self, asked: Asked) -> Done | Problem:
        desk = self._desk
        work = accounts.create(asked.body, desk.new_account, asked.operator.name, desk.database)
        return await self._made(work, asked.operator.name, 201)

    async def _change(self, asked: Asked) -> Done | Problem:
        work = accounts.change(asked.names["account"], asked.body, asked.operator.name, self._desk.database)
        return await self._made(work, asked.operator.name, 200)

    async def _made(self, work: Awaitable[Made | Refusal], operator: str, status: int) -> Done | Problem:
        try:
            found = await work
        except TermsInvalid as error:
            return invalid([FieldError(f"/{name}", rule) for name, rule in error.faults])
        if isinstance(found, Refusal):
            return answered(found)
        account = found.account.id
        _log.info(
            "account.added" if status == 201 else "account.changed",
            account=account,
            operator=operator,
            fields=sorted(found.differences),
        )
        changes = {name: {"before": before, "after": after} for name, (before, after) in found.differences.items()}
        more = {"webhook_secret": found.secret} if found.secret else {"changed": changes}
        body = {"account": account, **account_terms.shown(found.account), **more, "told": await self._desk.told()}
        return Done(status, body, {"Location": f"/admin/v1/accounts/{quote(account)}"} if status == 201 else {})

    async def _view(self, asked: Asked) -> Done | Problem:
        return answered(await accounts.view(asked.names["account"], self._desk.database, self._desk.balances))

    async def _order(self, asked: Asked) -> Done | Problem:
        body: OrderRequest = asked.body
        if (fault := check_order(body)) is not None:
            return fault
        desk, account, operator = self._desk, asked.names["account"], asked.operator.name
        order = LedgerRecord(
            account, body.kind, body.micros, body.reference, desk.now_ms(), operator, body.note, body.corrects or ""
        )
        outcome = await orders.place(
            order, desk.database, desk.balances, is_forced=body.force, wait_seconds=desk.wait_seconds
        )
        if isinstance(outcome, Refusal):
            given = "amount" if body.amount is not None else "amount_micros"
            faults = tuple((given if name == "amount" else name, rule) for name, rule in outcome.faults)
            return answered(replace(outcome, faults=faults))
        _log.info(
            "account.ordered",
            account=account,
            operator=operator,
            kind=body.kind,
            amount_micros=body.micros,
            reference=body.reference,
            status=outcome.status,
        )
        place = _PLACE.format(account=quote(account), reference=quote(body.reference, safe=""))
        status = 202 if outcome.entry is None else 201 if outcome.is_new else 200
        return await self._outcome(outcome, status, {"Location": place})

    async def _order_again(self, asked: Asked) -> Done | Problem:
        account, reference = asked.names["account"], asked.names["reference"]
        outcome = await orders.find(reference, account, self._desk.database, self._desk.balances)
        if outcome is None:
            return problem(NOT_FOUND, f"{account} has no order {reference}.")
        return answered(outcome) if isinstance(outcome, Refusal) else await self._outcome(outcome, 200, {})

    async def _outcome(self, outcome: Outcome, status: int, headers: dict[str, str]) -> Done:
        terms = await find_account(self._desk.database, outcome.order.account)
        return Done(status, orders.shown(outcome, terms.currency if terms is not None else ""), headers)

    async def _suspend(self, asked: Asked) -> Done | Problem:
        return await self._set_suspended(asked, is_suspended=True)

    async def _resume(self, asked: Asked) -> Done | Problem:
        return await self._set_suspended(asked, is_suspended=False)

    async def _set_suspended(self, asked: Asked, *, is_suspended: bool) -> Done | Problem:
        account, operator, desk = asked.names["account"], asked.operator.name, self._desk
        found = await accounts.suspend(account, operator, desk.database, desk.tell, is_suspended=is_suspended)
        if isinstance(found, Refusal):
            return answered(found)
        _log.info("account.suspended" if is_suspended else "account.resumed", account=account, operator=operator)
        return Done(
            200,
            {"account": account, "is_suspended": is_suspended, "changed": found.has_changed, "told": found.is_told},
        )
