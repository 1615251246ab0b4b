"""Events that are asked for, as the OpenAPI document has them."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.described.parts import CURSOR, LIST_CODES, Example, Node, answer, link, query, refusals
from smscd.ingress.http.events import PATH, Event, EventPage
from smscd.ingress.http.problems import EVENTS_GONE
from smscd.ingress.http.queries import LIMIT_DEFAULT, LIMIT_MAX

KINDS: Final = (EventPage, Event)
PAGES: Final = {
    "one": Example(
        "A message was delivered",
        {
            "data": [
                {
                    "id": "msg_7236514482193408001_delivered",
                    "type": "message.delivered",
                    "timestamp": "2026-11-22T14:48:39Z",
                    "data": {
                        "id": "7236514482193408001",
                        "client_ref": "order-77",
                        "status": "delivered",
                        "to": "+447700900123",
                        "smpp": {"stat": "DELIVRD", "err": "000"},
                        "error": None,
                        "segments": 1,
                    },
                }
            ],
            "next_after": "AQAAAAAAAAAq",
            "has_more": False,
        },
    )
}


def paths() -> Node:
    """The paths of this group."""
    return {PATH: {"get": _page()}}


def _page() -> Node:
    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    links = {"next": link("listEvents", "What comes after these.", after="$response.body#/next_after")}
    return {
        "operationId": "listEvents",
        "tags": ["events"],
        "summary": "What webhooks tell, for those who would rather ask: oldest first, none left out.",
        "description": "Events are kept from the first time that you ask, and for seven days: ask once before you rely "
        "on them, and then at least once in seven days. Each has the id and the data of its webhook, but for the TLVs "
        "of a receipt and how many parts a long message had. An event may come twice; its id tells. They are there for "
        "every message, whether or not it has a webhook.",
        "parameters": [
            query("after", CURSOR, "The next_after of an earlier answer. Without it, from the oldest on."),
            query("limit", limit, "How many at most.", 50),
        ],
        "responses": {
            "200": answer("Events.", EventPage, PAGES, links=links),
            **refusals((*LIST_CODES, EVENTS_GONE)),
        },
    }
