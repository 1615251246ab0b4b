"""The generator's book: answers and receipts in any order, what is missing, what came twice."""

from tools.bench.tally import Tally


def tally_of(count: int, *, expects_receipts: bool = True) -> Tally:
    tally = Tally(count, expects_receipts=expects_receipts)
    tally.sent(range(count), 10.0)
    return tally


def test_run_is_complete_when_all_are_answered_and_all_receipts_have_come() -> None:
    tally = tally_of(2)
    tally.answered([(0, 0, b"a"), (1, 0, b"b")], 10.5)
    assert not tally.is_complete
    tally.receipted_by([(b"b", b"DELIVRD"), (b"a", b"UNDELIV")], 11.0)
    assert tally.is_complete
    report = tally.report("run", 0.25)
    assert (report["sent"], report["accepted"], report["receipts"], report["lost"]) == (2, 2, 2, 0)
    assert report["stats"] == {"DELIVRD": 1, "UNDELIV": 1}
    assert (report["accepted_per_second"], report["completed_per_second"]) == (4.0, 2.0)
    assert report["response_latency"]["p99_ms"] == 500.0
    assert report["receipt_latency"]["p50_ms"] == 1000.0
    assert report["generator_cpu_seconds"] == 0.25


def test_refused_messages_are_settled_and_owe_no_receipt() -> None:
    tally = tally_of(2)
    tally.answered([(0, 0x58, b""), (1, 0, b"b")], 10.5)
    tally.receipted_by([(b"b", b"DELIVRD")], 10.6)
    assert tally.is_complete
    assert tally.report("run", 0)["refused_by_status"] == {"0x00000058": 1}


def test_receipt_before_its_answer_counts_once_the_answer_is_there() -> None:
    tally = tally_of(1)
    tally.receipted_by([(b"a", b"DELIVRD")], 10.1)
    assert tally.report("run", 0)["unmatched"] == 1
    tally.answered([(0, 0, b"a")], 10.5)
    assert tally.is_complete
    assert tally.report("run", 0)["unmatched"] == 0


def test_second_receipt_is_a_duplicate_and_a_missing_one_is_lost() -> None:
    tally = tally_of(2)
    tally.answered([(0, 0, b"a"), (1, 0, b"b")], 10.5)
    tally.receipted_by([(b"a", b"DELIVRD"), (b"a", b"DELIVRD")], 11.0)
    report = tally.report("run", 0)
    assert (report["receipts"], report["duplicated"], report["lost"]) == (1, 1, 1)


def test_nothing_is_lost_where_no_receipts_are_waited_for() -> None:
    tally = tally_of(1, expects_receipts=False)
    tally.answered([(0, 0, b"a")], 10.5)
    assert tally.is_complete
    assert tally.report("run", 0)["lost"] == 0


def test_message_of_a_lost_connection_is_unanswered_until_it_is_sent_again() -> None:
    tally = tally_of(2, expects_receipts=False)
    tally.answered([(0, 0, b"a")], 10.5)
    tally.unanswered([0, 1])
    assert tally.is_complete
    assert tally.report("run", 0)["unanswered"] == 1
    tally.send_again([1])
    assert not tally.is_complete
    tally.sent([1], 12.0)
    tally.answered([(1, 0, b"b")], 12.5)
    report = tally.report("run", 0)
    assert (report["accepted"], report["unanswered"]) == (2, 0)


def test_second_answer_to_one_message_changes_nothing() -> None:
    tally = tally_of(1, expects_receipts=False)
    tally.answered([(0, 0, b"a")], 10.5)
    tally.answered([(0, 0x08, b"")], 10.6)
    assert tally.report("run", 0)["refused_by_status"] == {}


def test_run_without_a_message_sent_has_rates_of_zero() -> None:
    report = Tally(5, expects_receipts=True).report("run", 0)
    assert (report["sent"], report["accepted_per_second"], report["completed_per_second"]) == (0, 0.0, 0.0)
