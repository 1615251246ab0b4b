"""What waits for a receiver is bounded, and comes back in order when it was not acknowledged."""

import asyncio

from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection
from tools.carrier.deliveries import Deliveries, sent_lines
from tools.carrier.receipts import Delivery


def deliveries_of(*names: str) -> list[Delivery]:
    return [Delivery(b"body", name.encode(), name.encode(), b"DELIVRD") for name in names]


def test_oldest_is_forgotten_when_too_many_wait() -> None:
    queue = Deliveries(window=10, waiting_max=3)
    queue.add(deliveries_of("a", "b"))
    queue.add(deliveries_of("c", "d"))
    assert (queue.waiting_count, queue.forgotten) == (3, 1)


def test_what_comes_back_never_pushes_out_what_waits() -> None:
    queue = Deliveries(window=10, waiting_max=3)
    queue.add(deliveries_of("c", "d"))
    queue.return_unanswered(deliveries_of("a", "b"))
    assert (queue.waiting_count, queue.forgotten) == (3, 1)


def test_answers_are_sorted_into_done_again_and_given_up() -> None:
    queue = Deliveries(window=10, waiting_max=3)
    done, later, never = deliveries_of("done", "later", "never")
    again, lines = queue.answered([(done, 0), (later, 0x64), (never, 0x66)])
    assert again == [later]
    assert (queue.acknowledged, queue.refused) == (1, 1)
    assert [line.split(b"\t")[4] for line in lines] == [b"0\n", b"100\n", b"102\n"]


def test_nothing_is_written_down_where_no_record_is_kept() -> None:
    queue = Deliveries(window=10, waiting_max=3, is_recorded=False)
    assert queue.answered([(deliveries_of("a")[0], 0)]) == ([], [])


def test_receipts_and_mos_have_lines_of_their_own() -> None:
    receipt, mo = sent_lines([*deliveries_of("a"), Delivery(b"body", b"tok")])
    assert receipt.startswith(b"receipt\t")
    assert receipt.endswith(b"\ta\ta\tDELIVRD\n")
    assert mo.startswith(b"mo\t")
    assert mo.endswith(b"\ttok\n")


async def test_connection_that_cannot_be_written_to_is_passed_over() -> None:
    queue = Deliveries(window=10, waiting_max=3)
    callbacks = Callbacks(lambda _: None, lambda *_: None, lambda *_: None)
    queue.add_receiver(SmppConnection(Role.SMSC, SessionConfig(), callbacks, asyncio.get_running_loop()))
    queue.add(deliveries_of("a"))
    assert queue.pump(0.0) == ([], [])
    assert queue.waiting_count == 1
