"""The transition table against the matrix of the specification (SMPP 3.4 section 2.3)."""

from __future__ import annotations

import pytest

from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.pdu import PDU_CLASSES
from protocols.smpp.state import NOT_OFFERED, TABLE, Flow, Role, SessionState, refusal, state_after

S = SessionState
BINDS = {
    CommandId.BIND_TRANSMITTER: S.BOUND_TX,
    CommandId.BIND_RECEIVER: S.BOUND_RX,
    CommandId.BIND_TRANSCEIVER: S.BOUND_TRX,
}
FROM_ESME = {
    CommandId.SUBMIT_SM,
    CommandId.SUBMIT_MULTI,
    CommandId.DATA_SM,
    CommandId.QUERY_SM,
    CommandId.CANCEL_SM,
    CommandId.REPLACE_SM,
}
FROM_SMSC = {CommandId.DELIVER_SM, CommandId.DATA_SM, CommandId.ALERT_NOTIFICATION}
EITHER_WAY = {CommandId.ENQUIRE_LINK, CommandId.UNBIND}
# Who may send what in the states that both ends share: the matrix, written the other way round than the table.
MATRIX = {
    (S.OPEN, Role.ESME): set(BINDS),
    (S.OPEN, Role.SMSC): {CommandId(command_id | 0x80000000) for command_id in BINDS} | {CommandId.OUTBIND},
    (S.OUTBOUND, Role.ESME): {CommandId.BIND_RECEIVER, CommandId.BIND_TRANSCEIVER},
    (S.OUTBOUND, Role.SMSC): {CommandId.BIND_RECEIVER_RESP, CommandId.BIND_TRANSCEIVER_RESP},
    (S.BOUND_TX, Role.ESME): FROM_ESME | EITHER_WAY,
    (S.BOUND_TX, Role.SMSC): EITHER_WAY,
    (S.BOUND_RX, Role.ESME): EITHER_WAY,
    (S.BOUND_RX, Role.SMSC): FROM_SMSC | EITHER_WAY,
    (S.BOUND_TRX, Role.ESME): FROM_ESME | EITHER_WAY,
    (S.BOUND_TRX, Role.SMSC): FROM_SMSC | EITHER_WAY,
    (S.UNBOUND, Role.ESME): set(),
    (S.UNBOUND, Role.SMSC): set(),
    (S.CLOSED, Role.ESME): set(),
    (S.CLOSED, Role.SMSC): set(),
}
OTHER = {Role.ESME: Role.SMSC, Role.SMSC: Role.ESME}
# What one end accepts before the other is expected to send it: 5.0 does, and 3.4 peers ask before they bind.
TOLERATED = {(state, command) for state in (S.OPEN, S.OUTBOUND) for command in EITHER_WAY}


@pytest.mark.parametrize(("state", "role"), MATRIX)
def test_each_end_sends_exactly_what_the_matrix_allows(state: SessionState, role: Role) -> None:
    sendable = {command for command in CommandId if state_after(role, state, Flow.SENT, command) is not None}
    assert sendable == MATRIX[state, role]


@pytest.mark.parametrize(("state", "role"), MATRIX)
def test_each_end_accepts_what_the_other_may_send(state: SessionState, role: Role) -> None:
    accepted = {command for command in CommandId if state_after(role, state, Flow.RECEIVED, command) is not None}
    tolerated = {command for tolerated_state, command in TOLERATED if tolerated_state is state}
    assert accepted - tolerated == MATRIX[state, OTHER[role]]


@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize("role", Role)
def test_a_bind_leads_to_its_state_when_it_is_answered(role: Role, bind: CommandId) -> None:
    request, response = (Flow.RECEIVED, Flow.SENT) if role is Role.SMSC else (Flow.SENT, Flow.RECEIVED)
    assert state_after(role, S.OPEN, request, bind) is S.OPEN
    assert state_after(role, S.OPEN, response, bind | 0x80000000) is BINDS[bind]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("bound", BINDS.values())
def test_an_unbind_leads_through_its_half_to_unbound(role: Role, bound: SessionState) -> None:
    assert bound.is_bound
    sent = state_after(role, bound, Flow.SENT, CommandId.UNBIND)
    assert sent is S.UNBIND_SENT
    assert not sent.is_bound
    assert state_after(role, sent, Flow.RECEIVED, CommandId.UNBIND_RESP) is S.UNBOUND
    received = state_after(role, bound, Flow.RECEIVED, CommandId.UNBIND)
    assert received is S.UNBIND_RECEIVED
    assert state_after(role, received, Flow.SENT, CommandId.UNBIND_RESP) is S.UNBOUND


def test_an_outbind_leads_to_outbound_and_a_bind_from_there_to_its_state() -> None:
    for role, flow in ((Role.SMSC, Flow.SENT), (Role.ESME, Flow.RECEIVED)):
        assert state_after(role, S.OPEN, flow, CommandId.OUTBIND) is S.OUTBOUND
        assert state_after(role, S.OUTBOUND, flow, CommandId.BIND_RECEIVER_RESP) is S.BOUND_RX
        assert state_after(role, S.OUTBOUND, flow, CommandId.BIND_TRANSCEIVER_RESP) is S.BOUND_TRX
    assert S.OUTBOUND.is_before_bind and S.OPEN.is_before_bind and not S.BOUND_TX.is_before_bind


@pytest.mark.parametrize(
    ("role", "command"),
    [(Role.SMSC, command) for command in sorted(FROM_ESME)] + [(Role.ESME, command) for command in sorted(FROM_SMSC)],
)
def test_requests_under_way_are_taken_after_our_unbind_and_not_after_the_peers(role: Role, command: CommandId) -> None:
    assert state_after(role, S.UNBIND_SENT, Flow.RECEIVED, command) is S.UNBIND_SENT
    assert state_after(role, S.UNBIND_RECEIVED, Flow.RECEIVED, command) is None


def test_no_two_rows_say_different_things_of_the_same_case() -> None:
    cases = [(role, state, row.flow, row.command) for row in TABLE for role in row.roles for state in row.states]
    assert len(cases) == len(set(cases))


def test_every_request_that_can_be_decoded_is_in_the_table_or_expressly_not_offered() -> None:
    requests = {pdu_class.command_id for pdu_class in PDU_CLASSES if not pdu_class.command_id.is_response}
    in_table = {row.command for row in TABLE if not row.command.is_response}
    assert in_table | NOT_OFFERED == requests
    assert not in_table & NOT_OFFERED


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("role", Role)
def test_what_is_not_offered_is_refused_as_an_unknown_command(role: Role, state: SessionState) -> None:
    for command in NOT_OFFERED:
        assert refusal(role, state, command) == CommandStatus.ESME_RINVCMDID


@pytest.mark.parametrize("bind", BINDS)
def test_a_second_bind_is_told_apart_from_other_requests_out_of_place(bind: CommandId) -> None:
    assert refusal(Role.SMSC, S.BOUND_TRX, bind) == CommandStatus.ESME_RALYBND
    assert refusal(Role.ESME, S.BOUND_TRX, bind) == CommandStatus.ESME_RINVBNDSTS
    assert refusal(Role.SMSC, S.OPEN, CommandId.SUBMIT_SM) == CommandStatus.ESME_RINVBNDSTS
    assert refusal(Role.SMSC, S.OUTBOUND, CommandId.BIND_TRANSMITTER) == CommandStatus.ESME_RINVBNDSTS
