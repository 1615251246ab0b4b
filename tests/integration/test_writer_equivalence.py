"""However the journal falls into batches, the rows are the same: random journals, written whole and in pieces."""

from __future__ import annotations

import random
from typing import Any

import pytest

from smscd.archive.writer import WriterLimits
from smscd.core.callback_records import CallbackOutcome
from smscd.core.records import MessageRecord, Outcome, State
from storage.postgres import ledger
from storage.postgres.pool import Connection
from tests.integration.journal_fake import (
    NOW_MS,
    FakeJournal,
    delivered_callback,
    message,
    message_id,
    receipt,
    sent,
)
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import rows, writer_on

pytest_plugins = ("tests.integration.postgres_fixture",)

FAILURES = (Outcome.FAILED, Outcome.RETRIED, Outcome.EXPIRED, Outcome.DOUBTED, Outcome.UNKNOWN, Outcome.CANCELED)
STATES = {
    Outcome.FAILED: State.FAILED, Outcome.RETRIED: State.QUEUED, Outcome.EXPIRED: State.EXPIRED,
    Outcome.DOUBTED: State.SENDING, Outcome.UNKNOWN: State.UNKNOWN, Outcome.CANCELED: State.CANCELED,
}  # fmt: skip


def random_journal(seed: int, account: str, first: int) -> FakeJournal:
    """Forty messages and whatever may happen to them, in any order after their admission."""
    chance = random.Random(seed)
    journal = FakeJournal()
    known: list[MessageRecord] = []
    waiting = [message(first + number, account=account) for number in range(40)]
    while waiting or chance.random() < 0.95:
        journal.now_ms += chance.randint(0, 5)
        now_ms = journal.now_ms
        choice = chance.random()
        some = chance.sample(known, min(len(known), chance.randint(1, 6)))
        if waiting and choice < 0.2:
            known += waiting[:5]
            journal.append(b"A", waiting[:5])
            del waiting[:5]
        elif choice < 0.5:
            facts, effects = [], b""
            for record in some:
                if chance.random() < 0.5:
                    facts.append(sent(record, now_ms, upstream=chance.choice(["carrier", "other"])))
                    continue
                outcome = chance.choice(FAILURES)
                refund = chance.choice([0, 3])
                effects += chance.choice([b"0", b"1"]) if refund else b""
                facts.append(
                    sent(
                        record, now_ms, outcome=outcome, state=STATES[outcome], upstream_message_id=b"",
                        command_status=chance.choice([0, 0x58, 8]), attempt=chance.randint(0, 4), account=account,
                        refund_micros=refund, due=chance.random() < 0.5,
                    )
                )  # fmt: skip
            journal.append(b"T", facts, effects)
        elif choice < 0.8:
            receipts = [
                receipt(
                    record, now_ms, state=chance.choice([State.SENT, State.DELIVERED, State.UNDELIVERED]),
                    refund_micros=chance.choice([0, 2]), due=chance.random() < 0.7, err=b"%03d" % chance.randint(0, 9),
                )
                for record in some
            ]  # fmt: skip
            proposed = sum(1 for record in receipts if record.refund_micros)
            effects = b"".join(chance.choice([b"0", b"1", b"2"]) for _ in receipts)
            journal.append(b"R", receipts, effects, bytes(chance.choice(b"01") for _ in range(proposed)))
        else:
            ends = [
                delivered_callback(
                    record, now_ms, outcome=chance.choice(list(CallbackOutcome)), attempts=chance.randint(1, 9)
                )
                for record in some
            ]
            journal.append(b"C", ends)
    return journal


async def written(daemon: Connection, account: str, first: int) -> dict[str, list[dict[str, Any]]]:
    """Everything that is stored of an account's messages, ids counted from `first`."""
    return {
        "messages": await rows(
            daemon,
            "SELECT id - $2 AS id, state, done_at, upstream, attempts, callbacks_open, callback_state, callback_at,"
            " callback_attempts, refunded_micros, refund_entry IS NULL AS kept, error_code, maybe_duplicate"
            " FROM messages WHERE account = $1 ORDER BY id",
            account, first,
        ),
        "segments": await rows(
            daemon,
            "SELECT message_id - $1 AS id, sent_at, upstream FROM segments WHERE message_id BETWEEN $1 AND $1 + 40"
            " ORDER BY 1, 2, 3",
            first,
        ),
        "events": await rows(
            daemon,
            "SELECT message_id - $1 AS id, at, kind, state, command_status, err FROM message_events"
            " WHERE message_id BETWEEN $1 AND $1 + 40 ORDER BY 1, 2, 3, 4, 5, 6",
            first,
        ),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
async def test_a_random_journal_gives_the_same_rows_in_one_batch_and_in_many(
    record_database: RecordDatabase, daemon: Connection, seed: int
) -> None:
    found = []
    for shard, batch_records in enumerate((1_000_000, 1, 30)):
        account, first = f"account-{shard}", message_id(NOW_MS + shard, 0)
        limits = WriterLimits(linger_seconds=0.0, poll_seconds=0.001, batch_records=batch_records)
        writer = writer_on(record_database.dsn, random_journal(seed, account, first), limits=limits, shard=shard)
        writer.drain()
        await writer.run()
        head, fault = await ledger.verify(daemon, account)
        assert fault is None
        found.append((await written(daemon, account, first), head.balance_micros))
    assert len(found[0][0]["messages"]) == 40
    assert found[1] == found[0]
    assert found[2] == found[0]
