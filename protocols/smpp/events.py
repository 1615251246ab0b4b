"""What a session tells its owner: lists, so that the owner works on batches and not on messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from protocols.smpp.pdu import (
    AlertNotification,
    Bind,
    CancelSm,
    DataSm,
    DeliverSm,
    Outbind,
    QuerySm,
    ReplaceSm,
    Response,
    SubmitMulti,
    SubmitSm,
)


class DeathReason(StrEnum):
    """Why a session gives its connection up by itself."""

    SESSION_INIT = "session_init_timeout"
    BIND_UNANSWERED = "bind_unanswered"
    ENQUIRE_LINK = "enquire_link_unanswered"
    UNBIND_UNFINISHED = "unbind_unfinished"


@dataclass(slots=True)
class BindRequested:
    """An ESME asks to be bound: answer with accept_bind or refuse_bind. Nothing more is read until then."""

    pdu: Bind


@dataclass(slots=True)
class BindAccepted:
    """The SMSC bound us. interface_version is the SMSC's, or the assumed one when it gave none (told_version None)."""

    interface_version: int
    system_id: bytes
    told_version: int | None = None


@dataclass(slots=True)
class BindRefused:
    """The SMSC did not bind us; the session is still open."""

    command_status: int


@dataclass(slots=True)
class SubmitsReceived:
    """Requests of an ESME, oldest first: each waits for one answer in answer_submits."""

    pdus: list[SubmitSm]


@dataclass(slots=True)
class DeliversReceived:
    """Requests of an SMSC, oldest first: each waits for one answer in answer_delivers."""

    pdus: list[DeliverSm]


@dataclass(slots=True)
class MultisReceived:
    """submit_multi of an ESME, oldest first: each waits for one SubmitMultiResp in answer()."""

    pdus: list[SubmitMulti]


@dataclass(slots=True)
class DataReceived:
    """data_sm of either end, oldest first: each waits for one DataSmResp in answer(). From an SMSC: receipts too."""

    pdus: list[DataSm]


@dataclass(slots=True)
class QueriesReceived:
    """query_sm of an ESME, oldest first: each waits for one QuerySmResp in answer()."""

    pdus: list[QuerySm]


@dataclass(slots=True)
class CancelsReceived:
    """cancel_sm of an ESME, oldest first: each waits for one CancelSmResp in answer()."""

    pdus: list[CancelSm]


@dataclass(slots=True)
class ReplacesReceived:
    """replace_sm of an ESME, oldest first: each waits for one ReplaceSmResp in answer()."""

    pdus: list[ReplaceSm]


@dataclass(slots=True)
class AlertsReceived:
    """alert_notification of an SMSC, oldest first: nothing is answered."""

    pdus: list[AlertNotification]


@dataclass(slots=True)
class OutbindReceived:
    """An SMSC asks us to bind as a receiver or transceiver: check who it is, then bind() or close."""

    pdu: Outbind


@dataclass(slots=True)
class SubmitAnswers:
    """(ref, command_status, message_id) of each request of send_submits that was answered, late ones included.

    message_id is b"" with an error, and also when an SMSC accepts without giving one.
    """

    answers: list[tuple[object, int, bytes]]


@dataclass(slots=True)
class DeliverAnswers:
    """(ref, command_status) of each request of send_delivers that was answered, late ones included."""

    answers: list[tuple[object, int]]


@dataclass(slots=True)
class RequestAnswers:
    """(ref, response) of each request of send_requests that was answered, late ones included.

    response: of the class that answers the request, also when the peer sent a generic_nack: look at command_status.
    """

    answers: list[tuple[object, Response]]


@dataclass(slots=True)
class TimedOut:
    """Requests that were not answered in time, oldest first. Their slots are free; an answer may still come."""

    refs: list[object]


@dataclass(slots=True)
class UnbindRequested:
    """The peer wants to end the session: answer what is open, then call finish_unbind()."""


@dataclass(slots=True)
class UnbindAnswered:
    """The peer agreed to our unbind: the session is over, close the connection."""


@dataclass(slots=True)
class ConnectionDead:
    """The session is of no use any more: close the connection."""

    reason: DeathReason


Event: TypeAlias = (
    BindRequested
    | BindAccepted
    | BindRefused
    | SubmitsReceived
    | DeliversReceived
    | MultisReceived
    | DataReceived
    | QueriesReceived
    | CancelsReceived
    | ReplacesReceived
    | AlertsReceived
    | OutbindReceived
    | SubmitAnswers
    | DeliverAnswers
    | RequestAnswers
    | TimedOut
    | UnbindRequested
    | UnbindAnswered
    | ConnectionDead
)
