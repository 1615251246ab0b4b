"""Many messages in one request, as the OpenAPI document has it."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.batch_types import BatchAnswer, BatchItem, BatchProblem, BatchRequest, item_problem
from smscd.ingress.http.batches import PATH
from smscd.ingress.http.described.messages import SENDING
from smscd.ingress.http.described.parts import BODY_CODES, Example, Node, answer, body, ref, refusals, request_keys
from smscd.ingress.http.problems import BATCH_REFUSED, PROBLEM_JSON, FieldError, invalid
from smscd.ingress.http.views import Message, Money

KINDS: Final = (BatchRequest, BatchAnswer, BatchProblem)
REQUESTS: Final = {
    "two": Example(
        "Two messages",
        {
            "messages": [
                {"to": "+447700900123", "from": "ACME", "text": "Code 123456", "client_ref": "order-77"},
                {"to": "+447700900124", "from": "ACME", "text": "Code 654321", "client_ref": "order-78"},
            ]
        },
    )
}
ANSWERS: Final = {
    "partly": Example(
        "One was accepted, one was not",
        BatchAnswer(
            accepted=1,
            refused=1,
            results=[
                BatchItem(
                    message=Message(
                        id="7236514482193408001",
                        status="queued",
                        to="+447700900123",
                        sender="ACME",
                        encoding="gsm7",
                        segments=1,
                        price=Money("0.0100", "EUR"),
                        client_ref="order-77",
                        created_at="2026-11-22T14:48:34.504Z",
                    )
                ),
                item_problem(invalid([FieldError("/to", "must be E.164")]), 1),
            ],
        ),
    )
}


def paths() -> Node:
    """The paths of this group."""
    return {PATH: {"post": _send()}}


def _send() -> Node:
    names = ("RateLimit", "RateLimit-Policy", "Retry-After", "Idempotent-Replayed", "X-Request-ID")
    responses = refusals((*BODY_CODES, BATCH_REFUSED), SENDING)
    for response in responses.values():
        response["content"][PROBLEM_JSON]["schema"] = ref(BatchProblem)
    return {
        "operationId": "sendBatch",
        "tags": ["messages"],
        "summary": "Send up to 1,000 messages, in a body of up to 1,048,576 bytes.",
        "description": "Each message is accepted or refused by itself; 202 when at least one was accepted. When none "
        "was, the answer is the problem that all of them share, or batch_refused, and results has that of each. With a "
        "request key, the messages have the keys `<key>#0`, `<key>#1` and so on: send the same batch again to send "
        "what was refused, and nothing twice. Retry-After is for the messages whose refusal is temporary.",
        "parameters": request_keys(),
        "requestBody": body(BatchRequest, REQUESTS),
        "responses": {
            "202": answer("All that was accepted is on disk and paid for.", BatchAnswer, ANSWERS, headers=names),
            **responses,
        },
    }
