"""query_sm, cancel_sm and replace_sm against the running daemon and its record: only for the account that sent.

There is no carrier, so that everything waits in its queue.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from protocols.smpp.constants import CommandStatus, MessageState
from protocols.smpp.pdu import (
    CancelSm,
    DeliverSm,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
)
from smscd.supervision.seed import PRICE_MICROS
from storage.embedded.process import free_port
from tests.integration.new_keys import is_known
from tests.integration.raw_esme import RawEsme, balance_micros, bound
from tools.children import SMSCD, DemoChild, ending, wait_until

DEST, OTHER_DEST = b"447700900123", b"447700900124"
FROM: dict[str, Any] = {"source_addr_ton": 5, "source_addr": b"ACME"}
TO: dict[str, Any] = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": DEST}


def add_account(demo: DemoChild, name: str) -> dict[str, str]:
    command = [*SMSCD, "account", "add", name, "--any-sender", "--balance=1", "--json", f"--data-dir={demo.data}"]
    found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    return found


def status_of(esme: RawEsme, request: QuerySm | CancelSm | ReplaceSm) -> int:
    """The answer's status; receipts in between are not what is asked about."""
    answer = esme.ask(request)
    while isinstance(answer, DeliverSm):
        answer = esme.read()
    assert answer is not None
    return answer.command_status


@pytest.mark.timeout(180)
def test_quirk_24_nobody_reads_or_changes_the_messages_of_another_account(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    demo = DemoChild(tmp_path, "--upstream", f"smpp://a:b@127.0.0.1:{free_port()}")
    with ending(demo):
        demo.start()
        stranger = add_account(demo, "stranger")
        wait_until(lambda: is_known(demo.ready.http.url, stranger["api_key"]), 10, "the account is known")
        with bound(demo) as owner, RawEsme(demo).bind(stranger["system_id"], stranger["password"]) as other:
            before = balance_micros(demo)
            single = owner.ask(SubmitSm(short_message=b"one", **FROM, **TO))
            dests = [SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=dest) for dest in (DEST, OTHER_DEST)]
            multi = owner.ask(SubmitMulti(short_message=b"two", dest_address=dests, **FROM))
            late = owner.ask(SubmitSm(short_message=b"late", schedule_delivery_time=b"000002000000000R", **FROM, **TO))
            assert isinstance(single, SubmitSmResp) and isinstance(multi, SubmitMultiResp)
            assert isinstance(late, SubmitSmResp)
            for message_id in (single.message_id, multi.message_id, late.message_id):
                asked = {"message_id": message_id, **FROM}
                wrong = CommandStatus.ESME_RINVMSGID
                assert status_of(other, QuerySm(**asked)) == wrong
                assert status_of(other, CancelSm(**asked)) == wrong
                assert status_of(other, ReplaceSm(short_message=b"stolen", **asked)) == wrong
            assert status_of(other, CancelSm(**FROM, **TO)) == CommandStatus.ESME_RCANCELFAIL
            assert balance_micros(demo) == before - 4 * PRICE_MICROS
            found = owner.ask(QuerySm(message_id=single.message_id, **FROM))
            assert isinstance(found, QuerySmResp) and found.message_state == MessageState.ENROUTE
            found = owner.ask(QuerySm(message_id=late.message_id, **FROM))
            assert isinstance(found, QuerySmResp) and found.message_state == MessageState.ENROUTE
            moved = {"schedule_delivery_time": b"000003000000000R", "short_message": b"later"}
            assert status_of(owner, ReplaceSm(message_id=late.message_id, **moved, **FROM)) == 0
            assert status_of(owner, ReplaceSm(message_id=single.message_id, short_message=b"mine", **FROM)) == 0
            assert status_of(owner, CancelSm(**FROM, **TO)) == 0
            assert status_of(owner, CancelSm(message_id=multi.message_id, **FROM)) == 0
            assert balance_micros(demo) == before
            assert balance_micros(demo, stranger["api_key"]) == 1_000_000
        assert demo.stop() == 0
