"""The state machine of an SMPP session: who may send what in which state, and where it leads. All of it is TABLE."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from protocols.smpp.constants import CommandId, CommandStatus


class Role(Enum):
    """Which end of the session this one is."""

    SMSC = "smsc"
    ESME = "esme"


class SessionState(Enum):
    """The states of SMPP 3.4 section 2.2 and OUTBOUND of 5.0, with the two ends of an unbind under way told apart."""

    OPEN = "open"
    OUTBOUND = "outbound"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBIND_SENT = "unbind_sent"
    UNBIND_RECEIVED = "unbind_received"
    UNBOUND = "unbound"
    CLOSED = "closed"

    @property
    def is_bound(self) -> bool:
        """True between the bind's answer and the first unbind."""
        return self in BOUND_STATES

    @property
    def is_before_bind(self) -> bool:
        """True until the first bind is accepted."""
        return self in _BEFORE_BIND


class Flow(Enum):
    """Whether this end sends a PDU or receives it."""

    SENT = "sent"
    RECEIVED = "received"


class Row(NamedTuple):
    """In one of `states`, this end, being one of `roles`, may send or receive `command`, and is then in `after`.

    after is None when the state stays. A response with an error status never changes the state.
    """

    states: tuple[SessionState, ...]
    roles: tuple[Role, ...]
    flow: Flow
    command: CommandId
    after: SessionState | None = None


_OPEN = (SessionState.OPEN,)
_TO_BIND = (SessionState.OPEN, SessionState.OUTBOUND)
_BOUND = (SessionState.BOUND_TX, SessionState.BOUND_RX, SessionState.BOUND_TRX)
_UNBIND_SENT = (SessionState.UNBIND_SENT,)
_UNBINDING = (SessionState.UNBIND_SENT, SessionState.UNBIND_RECEIVED)
_SENDING = (SessionState.BOUND_TX, SessionState.BOUND_TRX)
_RECEIVING = (SessionState.BOUND_RX, SessionState.BOUND_TRX)
_SMSC, _ESME, _EITHER = (Role.SMSC,), (Role.ESME,), (Role.SMSC, Role.ESME)
_SENT, _RECEIVED = Flow.SENT, Flow.RECEIVED

_BEFORE_BIND = frozenset(_TO_BIND)
BOUND_STATES = frozenset(_BOUND)

# A bind is only asked for by the ESME, after an outbind as a receiver or transceiver; its answer binds. Between the two
# the SMSC reads no further. Requests go to the SMSC from a transmitter, to the ESME if it is a receiver, data_sm either
# way. After our own unbind the peer's requests that are under way are still taken, because a receipt must not be lost
# to it; after the peer's unbind none are. Answers to what is under way may pass until the session is unbound. Losing
# the connection leads from every state to CLOSED.
# fmt: off
TABLE: tuple[Row, ...] = (
    Row(_OPEN, _SMSC, _SENT, CommandId.OUTBIND, SessionState.OUTBOUND),
    Row(_OPEN, _ESME, _RECEIVED, CommandId.OUTBIND, SessionState.OUTBOUND),

    Row(_OPEN, _ESME, _SENT, CommandId.BIND_TRANSMITTER),
    Row(_TO_BIND, _ESME, _SENT, CommandId.BIND_RECEIVER),
    Row(_TO_BIND, _ESME, _SENT, CommandId.BIND_TRANSCEIVER),
    Row(_OPEN, _SMSC, _RECEIVED, CommandId.BIND_TRANSMITTER),
    Row(_TO_BIND, _SMSC, _RECEIVED, CommandId.BIND_RECEIVER),
    Row(_TO_BIND, _SMSC, _RECEIVED, CommandId.BIND_TRANSCEIVER),
    Row(_OPEN, _SMSC, _SENT, CommandId.BIND_TRANSMITTER_RESP, SessionState.BOUND_TX),
    Row(_TO_BIND, _SMSC, _SENT, CommandId.BIND_RECEIVER_RESP, SessionState.BOUND_RX),
    Row(_TO_BIND, _SMSC, _SENT, CommandId.BIND_TRANSCEIVER_RESP, SessionState.BOUND_TRX),
    Row(_OPEN, _ESME, _RECEIVED, CommandId.BIND_TRANSMITTER_RESP, SessionState.BOUND_TX),
    Row(_TO_BIND, _ESME, _RECEIVED, CommandId.BIND_RECEIVER_RESP, SessionState.BOUND_RX),
    Row(_TO_BIND, _ESME, _RECEIVED, CommandId.BIND_TRANSCEIVER_RESP, SessionState.BOUND_TRX),

    Row(_SENDING, _ESME, _SENT, CommandId.SUBMIT_SM),
    Row(_SENDING, _ESME, _SENT, CommandId.SUBMIT_MULTI),
    Row(_SENDING, _ESME, _SENT, CommandId.DATA_SM),
    Row(_SENDING, _ESME, _SENT, CommandId.QUERY_SM),
    Row(_SENDING, _ESME, _SENT, CommandId.CANCEL_SM),
    Row(_SENDING, _ESME, _SENT, CommandId.REPLACE_SM),
    Row((*_SENDING, *_UNBIND_SENT), _SMSC, _RECEIVED, CommandId.SUBMIT_SM),
    Row((*_SENDING, *_UNBIND_SENT), _SMSC, _RECEIVED, CommandId.SUBMIT_MULTI),
    Row((*_SENDING, *_UNBIND_SENT), _SMSC, _RECEIVED, CommandId.DATA_SM),
    Row((*_SENDING, *_UNBIND_SENT), _SMSC, _RECEIVED, CommandId.QUERY_SM),
    Row((*_SENDING, *_UNBIND_SENT), _SMSC, _RECEIVED, CommandId.CANCEL_SM),
    Row((*_SENDING, *_UNBIND_SENT), _SMSC, _RECEIVED, CommandId.REPLACE_SM),

    Row(_RECEIVING, _SMSC, _SENT, CommandId.DELIVER_SM),
    Row(_RECEIVING, _SMSC, _SENT, CommandId.DATA_SM),
    Row(_RECEIVING, _SMSC, _SENT, CommandId.ALERT_NOTIFICATION),
    Row((*_RECEIVING, *_UNBIND_SENT), _ESME, _RECEIVED, CommandId.DELIVER_SM),
    Row((*_RECEIVING, *_UNBIND_SENT), _ESME, _RECEIVED, CommandId.DATA_SM),
    Row((*_RECEIVING, *_UNBIND_SENT), _ESME, _RECEIVED, CommandId.ALERT_NOTIFICATION),

    Row((*_TO_BIND, *_BOUND, *_UNBINDING), _EITHER, _RECEIVED, CommandId.ENQUIRE_LINK),
    Row((*_BOUND, *_UNBINDING), _EITHER, _SENT, CommandId.ENQUIRE_LINK),

    Row(_BOUND, _EITHER, _SENT, CommandId.UNBIND, SessionState.UNBIND_SENT),
    Row((*_TO_BIND, *_BOUND), _EITHER, _RECEIVED, CommandId.UNBIND, SessionState.UNBIND_RECEIVED),
    Row(_UNBIND_SENT, _EITHER, _RECEIVED, CommandId.UNBIND, SessionState.UNBIND_RECEIVED),
    Row((SessionState.UNBIND_RECEIVED,), _EITHER, _SENT, CommandId.UNBIND_RESP, SessionState.UNBOUND),
    Row(_UNBINDING, _EITHER, _RECEIVED, CommandId.UNBIND_RESP, SessionState.UNBOUND),
)
# fmt: on

# Understood, and offered in no state at either end.
NOT_OFFERED = frozenset((CommandId.BROADCAST_SM, CommandId.QUERY_BROADCAST_SM, CommandId.CANCEL_BROADCAST_SM))

_AFTER: dict[tuple[Role, SessionState, Flow, int], SessionState] = {
    (role, state, row.flow, int(row.command)): row.after or state
    for row in TABLE
    for role in row.roles
    for state in row.states
}

_BINDS = frozenset((CommandId.BIND_TRANSMITTER, CommandId.BIND_RECEIVER, CommandId.BIND_TRANSCEIVER))


def state_after(role: Role, state: SessionState, flow: Flow, command_id: int) -> SessionState | None:
    """The state after this PDU, or None when the table does not allow it."""
    return _AFTER.get((role, state, flow, command_id))


def refusal(role: Role, state: SessionState, command_id: int) -> CommandStatus:
    """What to answer to a request that the table does not allow to be received."""
    if command_id in NOT_OFFERED:
        return CommandStatus.ESME_RINVCMDID
    if command_id in _BINDS and role is Role.SMSC and not state.is_before_bind:
        return CommandStatus.ESME_RALYBND
    return CommandStatus.ESME_RINVBNDSTS
