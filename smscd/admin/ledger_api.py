"""The proof of the ledger over the admin API."""

from __future__ import annotations

from smscd.admin import ledger_audit, queries
from smscd.admin.desk import Desk
from smscd.admin.ledger_audit import Verified
from smscd.admin.one_at_a_time import PARAMETER, SECONDS, OneAtATime
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, answered
from smscd.archive.audit import Audit
from smscd.ingress.http.problems import Problem
from storage.postgres.pool import acquired
from storage.redis.journal import JournalReader


class LedgerResources:
    """Answers for /ledger."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turn = OneAtATime("A proof of the ledger")

    def operations(self) -> list[Operation]:
        """The one that there is."""
        return [
            Operation(
                method="GET",
                path="ledger/verification",
                id="verifyLedger",
                summary="Every entry, chain and balance computed again while traffic flows; what does not add up.",
                call=self._verify,
                query={"account": queries.text("Its chain and its balance alone."), "seconds": PARAMETER},
                answer=Verified,
                example=Verified(
                    accounts=1,
                    entries=12,
                    entries_without_record=0,
                    journal_entries=3,
                    differences=[{"kind": "balance", "account": "acme", "what": "is 5 too high in Redis", "micros": 5}],
                ),
            )
        ]

    async def _verify(self, asked: Asked) -> Done | Problem:
        accounts = [asked.query["account"]] if "account" in asked.query else []
        found = await self._turn.do(self._found(accounts), asked.query.get("seconds", SECONDS))
        return answered(found if isinstance(found, Refusal) else ledger_audit.shown(found))

    async def _found(self, accounts: list[str]) -> Audit | Refusal:
        desk = self._desk
        async with acquired(desk.database) as connection:
            journal = JournalReader(desk.keys, desk.link)
            return await ledger_audit.verify(connection, desk.balances, journal, accounts)
