"""Examples of messages: what is sent, and what is answered."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.described.parts import Example
from smscd.ingress.http.listing import MessagePage
from smscd.ingress.http.queries import write_cursor
from smscd.ingress.http.views import Estimate, Message, MessageDetail, Money, TimelineItem

_ID: Final = "7236514482193408001"
_PRICE: Final = Money("0.0100", "EUR")
_CREATED: Final = "2026-11-22T14:48:34.504Z"
_SEND_AT: Final = "2026-11-29T08:00:00.000Z"

REQUESTS: Final = {
    "code": Example("A code, with a reference of your own", {
        "to": "+447700900123", "from": "ACME", "text": "Code 123456", "client_ref": "order-77",
    }),
    "unicode": Example("Any text: here in UCS-2, as two segments", {
        "to": "+447700900123",
        "from": "ACME",
        "text": "Ваш заказ 77 отправлен и будет у вас завтра с 9:00 до 12:00. Спасибо, что выбрали нас! 📦",
    }),
    "scheduled": Example("To be sent at a time of yours", {
        "to": "+447700900123",
        "from": "447700900100",
        "text": "Your table is booked for tonight.",
        "send_at": "2026-11-29T09:00:00+01:00",
        "validity": 3600,
    }),
    "callback": Example("With its callbacks to an address of its own", {
        "to": "+447700900123",
        "from": "ACME",
        "text": "It costs 5 “pounds”",
        "smart_encoding": True,
        "callback_url": "https://app.example/dlr",
        "metadata": {"campaign": "autumn"},
    }),
}  # fmt: skip
"""Each is taken as it stands, by any installation that has a route and a price for the number."""

QUEUED: Final = Message(
    id=_ID,
    status="queued",
    to="+447700900123",
    sender="ACME",
    encoding="gsm7",
    segments=1,
    price=_PRICE,
    client_ref="order-77",
    created_at=_CREATED,
)
SENT: Final = {
    "code": Example("On its way", QUEUED),
    "scheduled": Example(
        "Waiting for its time",
        Message(
            id=_ID,
            status="scheduled",
            to="+447700900123",
            sender="+447700900100",
            encoding="gsm7",
            segments=1,
            price=_PRICE,
            created_at=_CREATED,
            send_at=_SEND_AT,
        ),
    ),
}
ESTIMATED: Final = {
    "code": Example(
        "One segment",
        Estimate(to="+447700900123", sender="ACME", encoding="gsm7", segments=1, price=_PRICE),
    ),
    "unicode": Example(
        "Two segments",
        Estimate(to="+447700900123", sender="ACME", encoding="ucs2", segments=2, price=Money("0.0200", "EUR")),
    ),
}
SHOWN: Final = {
    "delivered": Example(
        "Delivered",
        MessageDetail(
            id=_ID,
            status="delivered",
            to="+447700900123",
            sender="ACME",
            encoding="gsm7",
            segments=1,
            price=_PRICE,
            client_ref="order-77",
            created_at=_CREATED,
            done_at="2026-11-22T14:48:39.112Z",
            timeline=[
                TimelineItem(at=_CREATED, what="admitted"),
                TimelineItem(at="2026-11-22T14:48:34.611Z", what="sent", segment=0, attempt=1, upstream="carrier"),
                TimelineItem(at="2026-11-22T14:48:39.112Z", what="receipt", segment=0, detail="DELIVRD"),
            ],
        ),
    )
}
PAGES: Final = {
    "first": Example("There is more", MessagePage(data=[QUEUED], next_cursor=write_cursor(int(_ID)))),
    "last": Example("There is no more", MessagePage(data=[])),
}
