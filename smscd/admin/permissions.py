"""Who may do what over the admin API: the least role that each route needs. What is not in the table nobody may do."""

from __future__ import annotations

from typing import Final

from storage.postgres.operators import OperatorRole

RANKS: Final[dict[OperatorRole, int]] = {"read": 0, "support": 1, "admin": 2}
"""Each role may do what the ones before it may. support helps messages and sessions along; it moves no money of its
own accord and configures nothing."""

NEEDED: Final[dict[str, OperatorRole]] = {
    "GET accounts": "read",
    "POST accounts": "admin",
    "GET accounts/{account}": "read",
    "PATCH accounts/{account}": "admin",
    "GET accounts/{account}/credentials": "read",
    "POST accounts/{account}/credentials": "admin",
    "POST accounts/{account}/credentials/{system_id}/rotate": "admin",
    "DELETE accounts/{account}/credentials/{system_id}": "admin",
    "GET accounts/{account}/keys": "read",
    "POST accounts/{account}/keys": "admin",
    "POST accounts/{account}/keys/{key}/rotate": "admin",
    "DELETE accounts/{account}/keys/{key}": "admin",
    "GET accounts/{account}/networks": "read",
    "PUT accounts/{account}/networks": "admin",
    "GET accounts/{account}/transactions": "read",
    "GET accounts/{account}/spent": "read",
    "GET totals": "read",
    "GET ledger/verification": "support",
    "POST accounts/{account}/topups": "admin",
    "GET accounts/{account}/topups/{reference}": "read",
    "POST accounts/{account}/suspend": "admin",
    "POST accounts/{account}/resume": "admin",
    "GET upstreams": "read",
    "POST upstreams": "admin",
    "GET upstreams/{upstream}": "read",
    "PATCH upstreams/{upstream}": "admin",
    "DELETE upstreams/{upstream}": "admin",
    "POST upstreams/{upstream}/test": "admin",
    "POST declarations": "admin",
    "GET routes": "read",
    "GET routes/explain": "read",
    "GET routes/{label*}": "read",
    "PUT routes/{label*}": "admin",
    "DELETE routes/{label*}": "admin",
    "GET prices": "read",
    "GET prices/plans/{plan}": "read",
    "GET prices/plans/{plan}/lookup": "read",
    "POST prices/plans/{plan}": "admin",
    "GET prices/upstreams/{upstream}": "read",
    "GET prices/upstreams/{upstream}/lookup": "read",
    "POST prices/upstreams/{upstream}": "admin",
    "GET halts": "read",
    "POST halts/{kind}/{name}/{verb}": "admin",
    "GET queues": "read",
    "GET mo": "read",
    "POST mo": "admin",
    "DELETE mo/{number}": "admin",
    "GET messages/{message}": "read",
    "POST messages/{message}/cancel": "support",
    "GET sessions": "read",
    "POST sessions/{session}/disconnect": "support",
    "GET doubts": "read",
    "POST doubts/resend": "support",
    "POST doubts/fail": "admin",
    "GET orphans": "read",
    "POST orphans/match": "support",
    "POST orphans/{number}/match": "support",
    "GET dead-letters/journal": "read",
    "POST dead-letters/journal/{number}/discard": "support",
    "GET dead-letters/esmes": "read",
    "POST dead-letters/esmes/redrive": "support",
    "GET operators": "read",
    "POST operators": "admin",
    "DELETE operators/{operator}": "admin",
    "GET dead-letters/callbacks": "read",
    "POST dead-letters/callbacks/replay": "support",
    "GET audit": "read",
}


def may(role: OperatorRole, route: str) -> bool:
    """Whether an operator of this role may call a route, which is its method and its path."""
    return RANKS[role] >= RANKS[NEEDED[route]]
