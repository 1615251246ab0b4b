"""How query_sm is answered, by what the ESME speaks."""

from __future__ import annotations

import pytest

from protocols.smpp.constants import MessageState
from protocols.smpp.pdu import QuerySm
from smscd.core.records import State
from smscd.ingress.smpp.operations import query_answer
from tests.integration.changes_fake import stored


@pytest.mark.parametrize(
    ("version", "state"),
    [(0x33, MessageState.ENROUTE), (0x34, MessageState.ENROUTE), (0x50, MessageState.SCHEDULED)],
)
def test_a_scheduled_message_is_en_route_to_who_knows_no_such_state(version: int, state: MessageState) -> None:
    answer = query_answer(QuerySm(message_id=b"1"), [stored(1, state=State.SCHEDULED)], version)
    assert answer.message_state == state
