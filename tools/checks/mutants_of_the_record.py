"""Bugs of what is written down: the journal, the ledger, and what is made of them again."""

from __future__ import annotations

from typing import Final

from tools.checks.mutant import COMMIT, MACHINE, OVERFLOW, RESTORE, Edit, Mutant

MUTANTS: Final = (
    Mutant(
        "an end that was told to nobody is owed in its row",
        (Edit("smscd/archive/merge.py", "next(told, _TOLD) != _TOLD", "False"),),
        ("tests/unit/smscd/archive/test_merge.py",),
    ),
    Mutant(
        "the offset outside of the transaction",
        (
            Edit(
                COMMIT,
                "        async with connection.transaction():\n"
                "            # First of all, so that a second writer waits here and then finds that it is one.\n"
                "            if not await advance_offset(connection, self._shard, old, new):\n"
                "                raise WriterFenced(",
                "        is_first = await advance_offset(connection, self._shard, old, new)\n"
                "        async with connection.transaction():\n"
                "            if not is_first:\n"
                "                raise WriterFenced(",
            ),
        ),
        (
            "tests/integration/test_writer_faults.py::test_a_connection_that_is_lost_between_the_offset_and_the_rows_moves_neither",
        ),
    ),
    Mutant(
        "the ledger's hashes are not chained",
        (Edit("storage/postgres/ledger.py", "        prev_hash=head.hash,\n", "        prev_hash=bytes(32),\n"),),
        ("tests/unit/storage/postgres/test_ledger.py",),
    ),
    Mutant(
        "sent again without the flag",
        (Edit("smscd/archive/merge.py", "found.maybe_duplicate = True", "found.maybe_duplicate = False"),),
        ("tests/unit/smscd/archive/test_merge.py",),
    ),
    Mutant(
        "an answer before its fsync",
        (Edit("storage/embedded/valkey.py", "\nappendfsync always\n", "\nappendfsync everysec\n"),),
        ("tests/faults/test_power.py::test_loss_of_power_loses_nothing_that_was_acknowledged",),
    ),
    Mutant(
        "a recovery forgets what was refunded",
        (Edit(RESTORE, "if message.refunded_micros:", "if False:"),),
        ("tests/unit/smscd/recovery/test_restore.py",),
    ),
    Mutant(
        "a recovery answers for what was admitted though refused",
        (Edit(RESTORE, "if key and answer and not was_refused and", "if key and answer and"),),
        ("tests/unit/smscd/recovery/test_restore.py",),
    ),
    Mutant(
        "a recovery queues what waits in PostgreSQL alone",
        (Edit(RESTORE, "        if found.is_apart:\n", "        if False:\n"),),
        (MACHINE,),
    ),
    Mutant(
        "what waits in PostgreSQL alone is forgotten before it is in Redis",
        (
            Edit(
                OVERFLOW,
                """            brought += await self._store.refill(place.upstream, messages, self._forgotten)
            self._forgotten = []
            await self._drop({row.message_id for row in part})
""",
                """            await self._drop({row.message_id for row in part})
            brought += await self._store.refill(place.upstream, messages, self._forgotten)
            self._forgotten = []
""",
            ),
        ),
        ("tests/unit/smscd/archive/test_overflow.py",),
    ),
)
