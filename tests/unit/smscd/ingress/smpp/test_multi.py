"""submit_multi as one submission of several messages."""

from __future__ import annotations

import msgspec

from protocols.smpp import tlv
from protocols.smpp.pdu import SmeAddress, SubmitMulti
from smscd.core.idempotency import StoredAnswer
from smscd.ingress.smpp.multi import plan_multi
from tests.unit.smscd.core.test_planning import ACCOUNT, DIRECTORY, ID, NOW

KEY_TAG = 0x1500


def test_the_answer_to_a_request_key_stands_in_the_message_that_the_customer_was_given() -> None:
    pdu = SubmitMulti(
        source_addr=b"ACME",
        source_addr_ton=5,
        dest_address=[
            SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=b"44770090000%d" % number)
            for number in range(3)
        ],
        short_message=b"hello",
        tlvs=tlv.encode([(KEY_TAG, b"key\0")]),
    )
    planned = plan_multi(pdu, ACCOUNT, DIRECTORY, [ID, ID + 1, ID + 2], NOW, KEY_TAG).planned
    assert planned is not None
    answer = msgspec.msgpack.decode(planned.idem_value, type=StoredAnswer)
    assert (answer.id, answer.price_micros) == (ID, 30_000)
    assert [record.stored_answer for record in planned.records] == [planned.idem_value, None, None]
