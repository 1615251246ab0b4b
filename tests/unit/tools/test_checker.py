"""The checker must believe nothing: a clean run is clean, and each planted fault turns it red by its own name."""

from pathlib import Path

import pytest

from smscd.core.records import State
from tools.checker import Judgement, judge, read_records, summary
from tools.checker_storage import Stored, StoredMessage
from tools.record import Line

PRICE = 10_000
PAID_IN = 1_000_000
COUNT = 5


class Run:
    """A clean run of five messages, to plant faults in."""

    def __init__(self) -> None:
        self.client: list[Line] = []
        self.carrier: list[Line] = []
        self.stored = Stored()
        for n in range(COUNT):
            token, id, upstream_id = f"tok{n}".encode(), b"%d" % (100 + n), b"%d" % (900 + n)
            self.client += [
                Line(b"sent", 1, token),
                Line(b"answer", 2, token, id, b"0"),
                Line(b"receipt", 9, b"", id, b"DELIVRD"),
            ]
            self.carrier += [
                Line(b"submit", 3, token, upstream_id, b"0", b"ACME", b"447700900123", b"1/1"),
                Line(b"receipt", 4, token, upstream_id, b"DELIVRD"),
                Line(b"ack", 5, token, upstream_id, b"0"),
            ]
            self.stored.add(StoredMessage(100 + n, "demo", State.DELIVERED, PRICE, 0, False, token))
            self.stored.upstream_ids[100 + n].add(upstream_id)
        left = PAID_IN - COUNT * PRICE
        self.stored.balances["demo"] = left
        self.stored.ledger_balances["demo"] = left
        self.stored.ledger_sums["demo"] = left
        self.stored.paid_in["demo"] = PAID_IN

    def change(self, id: int, **values: object) -> None:
        row = self.stored.messages[id]
        self.stored.by_token[row.token].clear()
        self.stored.add(row._replace(**values))  # type: ignore[arg-type]

    def drop_client(self, kind: bytes, token: bytes = b"tok0", id: bytes = b"100") -> None:
        self.client = [line for line in self.client if line.kind != kind or (line.token != token and line.id != id)]

    def judge(self) -> Judgement:
        return judge(self.client, self.carrier, self.stored)


@pytest.fixture
def run() -> Run:
    return Run()


def test_clean_run_is_clean(run: Run) -> None:
    judgement = run.judge()
    assert judgement.is_clean
    assert (judgement.accepted, judgement.taken, judgement.receipts, judgement.unanswered) == (5, 5, 5, 0)


def test_accepted_message_that_never_reached_the_carrier_is_lost(run: Run) -> None:
    run.carrier = [line for line in run.carrier if line.token != b"tok3"]
    judgement = run.judge()
    assert (judgement.lost, judgement.is_clean) == (["tok3"], False)


def test_accepted_message_without_a_row_is_lost(run: Run) -> None:
    del run.stored.messages[102]
    assert run.judge().lost == ["tok2"]


def test_message_that_ended_unsent_by_its_row_is_not_lost(run: Run) -> None:
    run.carrier = [line for line in run.carrier if line.token != b"tok3"]
    run.change(103, state=State.EXPIRED)
    assert run.judge().is_clean


def test_receipt_that_the_client_was_never_told_is_lost(run: Run) -> None:
    run.drop_client(b"receipt")
    judgement = run.judge()
    assert (judgement.receipts_lost, judgement.is_clean) == (["tok0"], False)


def test_missing_receipts_do_not_count_where_none_were_asked_for(run: Run) -> None:
    run.drop_client(b"receipt")
    assert judge(run.client, run.carrier, run.stored, expects_receipts=False).is_clean


def test_webhook_counts_as_being_told(run: Run) -> None:
    run.drop_client(b"receipt")
    run.client.append(Line(b"hook", 9, b"msg_1", b"100", b"message.delivered"))
    assert run.judge().is_clean


def test_second_copy_at_the_carrier_is_a_duplicate_unless_the_row_announces_it(run: Run) -> None:
    copy = Line(b"submit", 6, b"tok1", b"950", b"0", b"ACME", b"447700900123", b"1/1")
    run.carrier.append(copy)
    judgement = run.judge()
    assert (judgement.duplicated, judgement.announced, judgement.is_clean) == (["tok1"], [], False)
    run.change(101, maybe_duplicate=True)
    judgement = run.judge()
    assert (judgement.duplicated, judgement.announced, judgement.is_clean) == ([], ["tok1"], True)
    assert judgement.flagged == 1


@pytest.mark.parametrize("status", [b"drop", b"silent"])
def test_copy_that_the_carrier_took_without_answering_counts(run: Run, status: bytes) -> None:
    run.carrier.append(Line(b"submit", 2, b"tok1", b"", status, b"ACME", b"447700900500", b"1/1"))
    assert run.judge().duplicated == ["tok1"]


def test_refused_copy_at_the_carrier_is_a_retry_and_no_duplicate(run: Run) -> None:
    run.carrier.insert(0, Line(b"submit", 2, b"tok1", b"", b"88", b"ACME", b"447700900088", b"1/1"))
    assert run.judge().is_clean


def test_one_token_accepted_under_two_ids_is_a_duplicate(run: Run) -> None:
    run.client.append(Line(b"answer", 3, b"tok1", b"177", b"0"))
    run.client.append(Line(b"receipt", 9, b"", b"177", b"DELIVRD"))
    run.stored.add(StoredMessage(177, "demo", State.DELIVERED, 0, 0, False, b"tok1"))
    run.stored.upstream_ids[177].add(b"901")
    assert len(run.judge().duplicated) == 1


def test_parts_of_a_long_message_are_no_duplicates_and_a_second_part_twice_is_one(run: Run) -> None:
    second = Line(b"submit", 3, b"rest", b"951", b"0", b"ACME", b"447700900123", b"2/2:7")
    first = next(line for line in run.carrier if line.token == b"tok0" and line.kind == b"submit")
    run.carrier.remove(first)
    run.carrier += [first._replace(part=b"1/2:7"), second]
    assert run.judge().is_clean
    run.carrier.append(second._replace(id=b"952"))
    assert run.judge().duplicated == ["tok0"]


def test_row_that_is_not_final_is_stuck(run: Run) -> None:
    run.change(104, state=State.SENT)
    judgement = run.judge()
    assert (judgement.stuck, judgement.is_clean) == (["tok4"], False)


def test_refused_message_that_reaches_the_carrier_must_be_flagged_or_canceled(run: Run) -> None:
    run.drop_client(b"answer")
    run.client.append(Line(b"answer", 2, b"tok0", b"", b"8"))
    judgement = run.judge()
    assert (judgement.refused_yet_admitted, judgement.is_clean) == (["tok0"], False)
    run.change(100, maybe_duplicate=True)
    assert run.judge().is_clean


def test_message_without_an_answer_may_be_admitted_once(run: Run) -> None:
    run.drop_client(b"answer")
    judgement = run.judge()
    assert (judgement.unanswered, judgement.is_clean) == (1, True)


def test_accepted_segment_without_its_row_is_missing(run: Run) -> None:
    run.stored.upstream_ids[100] = {b"other"}
    assert run.judge().rows_missing == ["tok0"]


def test_facts_that_are_stored_twice_are_reported(run: Run) -> None:
    run.stored.doubles.append("100 segment 0 as 900")
    assert not run.judge().is_clean


def test_work_left_in_redis_is_not_clean(run: Run) -> None:
    run.stored.left_in_redis["q"] = 2
    judgement = run.judge()
    assert (judgement.left_in_redis, judgement.is_clean) == ({"q": 2}, False)


@pytest.mark.parametrize("sums", ["balances", "ledger_balances", "ledger_sums", "paid_in"])
def test_any_sum_that_is_off_by_one_is_a_difference_in_the_ledger(run: Run, sums: str) -> None:
    getattr(run.stored, sums)["demo"] += 1
    judgement = run.judge()
    assert judgement.ledger_difference_micros >= 1
    assert not judgement.is_clean


def test_refund_that_the_row_does_not_know_is_a_difference(run: Run) -> None:
    for sums in (run.stored.balances, run.stored.ledger_balances, run.stored.ledger_sums):
        sums["demo"] += PRICE
    assert run.judge().ledger_difference_micros == PRICE
    run.change(100, refunded_micros=PRICE)
    assert run.judge().ledger_difference_micros == 0


def test_dead_letter_still_owes_its_price(run: Run) -> None:
    del run.stored.messages[100]
    run.drop_client(b"answer")
    run.stored.dead_letters_micros["demo"] = PRICE
    assert run.judge().ledger_difference_micros == 0


def test_summary_counts_all_cases_though_few_are_named(run: Run) -> None:
    run.client = [Line(b"answer", 2, b"gone%d" % n, b"%d" % n, b"0") for n in range(50)]
    judgement = run.judge()
    assert len(judgement.lost) == 20
    assert summary(judgement)["lost"] == 50


def test_record_that_was_never_begun_is_empty(tmp_path: Path) -> None:
    assert read_records([tmp_path / "none.record"]) == []
