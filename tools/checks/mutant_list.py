"""The bugs that `make mutants` plants: each a way in which a gateway has lost or invented money, and who finds it."""

from __future__ import annotations

from typing import Final, NamedTuple

SCRIPTS = "tests/integration/test_redis_scripts.py"
MONEY = "tests/integration/test_redis_money.py"
DISPATCH = "tests/unit/smscd/egress/dispatch"
WHOLE = "tests/integration/test_admission_of_whole_batches.py"
MACHINE = "tests/integration/test_money_machine.py"
SIMULATION = "tests/simulation/test_simulation.py"


class Edit(NamedTuple):
    """A text that stands in a file exactly once, and what stands there instead."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One planted bug. tests: what pytest is told to run; one of these has to fail."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


ADMIT: Final = "storage/redis/lua/admit.lua"
TURN: Final = "storage/redis/lua/turn.lua"
REFILL: Final = "storage/redis/lua/refill.lua"
RECEIPT: Final = "storage/redis/lua/receipt.lua"
SESSION: Final = "storage/redis/lua/_session.lua"
OVERFLOW: Final = "smscd/archive/overflow.py"
COMMIT: Final = "smscd/archive/commit.py"
RECEIPTS: Final = "smscd/egress/receipts/receipts.py"
TURNS: Final = "smscd/egress/dispatch/turn.py"
RESTORE: Final = "smscd/recovery/restore.py"
ADMISSION: Final = "smscd/ingress/admission.py"
DISPATCHER: Final = "smscd/egress/dispatch/dispatcher.py"
LOOKS_AT_THE_END: Final = "if redis.call('HEXISTS', KEYS[tonumber(ARGV[at])], id) == 1 then"

MUTANTS: Final = (
    Mutant(
        "a refund without its id",
        (
            Edit(
                TURN,
                "known = asked[id] or is_over[id] or redis.call('SISMEMBER', KEYS[tonumber(ARGV[at + 1])], id) == 1",
                "known = false",
            ),
        ),
        (f"{SCRIPTS}::test_a_refund_happens_once_even_when_it_is_proposed_twice",),
    ),
    Mutant(
        "a turn ends what a receipt has ended",
        (Edit(TURN, LOOKS_AT_THE_END, "if false then"),),
        ("tests/integration/test_redis_ends.py",),
    ),
    Mutant(
        "a turn pays back what a receipt has ended",
        (Edit(TURN, "asked[id] or is_over[id] or redis", "asked[id] or redis"),),
        ("tests/integration/test_redis_ends.py",),
    ),
    Mutant(
        "an end that was told to nobody is owed in its row",
        (Edit("smscd/archive/merge.py", "next(told, _TOLD) != _TOLD", "False"),),
        ("tests/unit/smscd/archive/test_merge.py",),
    ),
    Mutant(
        "a receipt refunds what a turn has refunded",
        (
            Edit(
                RECEIPT,
                "if effect == '2' and redis.call('SISMEMBER', KEYS[tonumber(ARGV[at + 6])], id) == 0 then",
                "if effect == '2' then",
            ),
        ),
        (MACHINE,),
    ),
    Mutant(
        "a charge before the journal, which may fail",
        (
            Edit(
                ADMIT,
                "local journal_id = ''\n",
                "for i = 1, accounts do\n"
                "  local payer = account[i]\n"
                "  if payer.cost > 0 then redis.call('HINCRBY', payer.key, 'balance', whole(-payer.price)) end\n"
                "end\n"
                "local journal_id = ''\n",
            ),
            Edit(ADMIT, "'HSET', payer.key, 'balance', whole(payer.balance - payer.price),\n", "'HSET', payer.key,\n"),
        ),
        (f"{MONEY}::test_a_journal_that_cannot_be_written_charges_nothing",),
    ),
    Mutant(
        "the limit is looked at after the debit",
        (
            Edit(
                ADMIT,
                "payer.balance - payer.price - price < payer.floor",
                "payer.balance - payer.price <= payer.floor",
            ),
        ),
        (f"{SCRIPTS}::test_the_balance_is_never_overdrawn",),
    ),
    Mutant(
        "a used request key is charged again",
        (
            Edit(
                ADMIT,
                "stored = place.fresh[field] or known[request]",
                "stored = place.fresh[field]",
            ),
        ),
        (f"{SCRIPTS}::test_a_request_key_is_admitted_once_within_and_across_batches",),
    ),
    Mutant(
        "the same key twice in one batch is charged twice",
        (Edit(ADMIT, "stored = place.fresh[field] or known[request]", "stored = known[request]"),),
        (f"{SCRIPTS}::test_a_request_key_is_admitted_once_within_and_across_batches",),
    ),
    Mutant(
        "a request key without its body",
        (Edit("smscd/core/idempotency.py", "answer.body_hash == body_hash)", "True)"),),
        ("tests/unit/smscd/core/test_idempotency.py",),
    ),
    Mutant(
        "money as a float of Lua's tostring",
        (Edit(ADMIT, "whole(payer.balance - payer.price)", "tostring(payer.balance - payer.price)"),),
        (f"{MONEY}::test_a_price_is_charged_to_the_last_micro",),
    ),
    Mutant(
        "a price in single precision",
        (
            Edit(
                ADMIT, "price = tonumber(ARGV[arg + 4])", "price = struct.unpack('f', struct.pack('f', ARGV[arg + 4]))"
            ),
        ),
        (f"{MONEY}::test_a_price_is_charged_to_the_last_micro",),
    ),
    Mutant(
        "a call that is asked again runs again",
        (
            Edit(SESSION, "if session[2] == ARGV[2] then", "if false then"),
            Edit(SESSION, "if tonumber(ARGV[2]) ~= tonumber(session[2]) + 1 then", "if false then"),
        ),
        (f"{SCRIPTS}::test_a_lost_reply_is_answered_again_without_a_second_charge",),
    ),
    Mutant(
        "a top-up for each time that it is asked for",
        (Edit("storage/redis/lua/top_up.lua", "if known then", "if false then"),),
        (f"{SCRIPTS}::test_a_top_up_happens_once_for_each_reference",),
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
        "a price for each segment refunded, and one charged",
        (
            Edit(
                TURNS,
                "return record.price_micros if is_unsent",
                "return record.price_micros * len(record.segments) if is_unsent",
            ),
        ),
        (f"{DISPATCH}/test_turn.py", f"{DISPATCH}/test_dispatcher.py"),
    ),
    Mutant(
        "a long message is refunded when only a part of it failed",
        (Edit(TURNS, "if is_unsent or record.tariff", "if True or record.tariff"),),
        (f"{DISPATCH}/test_turn.py", f"{DISPATCH}/test_dispatcher.py"),
    ),
    Mutant(
        "a failure after acceptance is refunded whatever the tariff",
        (Edit(RECEIPTS, "is_final and context.tariff == _ON_DELIVERY and state", "is_final and state"),),
        ("tests/unit/smscd/egress/receipts/test_receipts.py",),
    ),
    Mutant(
        "sent again without the flag",
        (Edit("smscd/archive/merge.py", "found.maybe_duplicate = True", "found.maybe_duplicate = False"),),
        ("tests/unit/smscd/archive/test_merge.py",),
    ),
    Mutant(
        "a receipt acknowledged before it is durable",
        (
            Edit(
                RECEIPTS,
                "            await self._make_durable(receipts, messages)\n",
                "            kept = asyncio.ensure_future(self._make_durable(receipts, messages))\n"
                "            kept.add_done_callback(lambda done: done.exception())\n",
            ),
        ),
        ("tests/unit/smscd/egress/receipts/test_receipts.py",),
    ),
    Mutant(
        "an answer before its fsync",
        (Edit("storage/embedded/valkey.py", "\nappendfsync always\n", "\nappendfsync everysec\n"),),
        ("tests/faults/test_power.py::test_loss_of_power_loses_nothing_that_was_acknowledged",),
    ),
    Mutant(
        "a long message for the price of one segment",
        (Edit("smscd/core/planning.py", "offer.price_micros * parts", "offer.price_micros"),),
        ("tests/unit/smscd/core/test_planning.py",),
    ),
    Mutant(
        "the spend of the same batch is not counted",
        (Edit(ADMIT, "used.spent + payer.price + price > used.spend_max", "used.spent + price > used.spend_max"),),
        ("tests/integration/test_redis_limits.py",),
    ),
    Mutant(
        "messages by prefix are counted and never refused",
        (Edit(ADMIT, "if wait then verdict, extra = 'V', whole(wait) end", ""),),
        ("tests/integration/test_redis_limits.py",),
    ),
    Mutant(
        "a whole batch is admitted without a look at the balance",
        (Edit(ADMIT, " and balance - payer.price >= payer.floor", ""),),
        (f"{SCRIPTS}::test_the_balance_is_never_overdrawn",),
    ),
    Mutant(
        "a whole batch is admitted though one of its keys is known",
        (Edit(ADMIT, "known[before_first + j], fits = stored, false", "known[before_first + j] = stored"),),
        (f"{SCRIPTS}::test_a_request_key_is_admitted_once_within_and_across_batches",),
    ),
    Mutant(
        "a whole batch is admitted though it has a key twice",
        (Edit(ADMIT, "local fits = ARGV[11] ~= '1'", "local fits = true"),),
        (f"{SCRIPTS}::test_a_request_key_is_admitted_once_within_and_across_batches",),
    ),
    Mutant(
        "a whole batch is admitted beyond its limits",
        (Edit(ADMIT, "fits = fits and has_room(payer.used, payer.price)", ""),),
        (WHOLE,),
    ),
    Mutant(
        "a recovery forgets what was refunded",
        (Edit(RESTORE, "if message.refunded_micros:", "if False:"),),
        (MACHINE,),
    ),
    Mutant(
        "a recovery answers for what was admitted though refused",
        (Edit(RESTORE, "if key and answer and not was_refused and", "if key and answer and"),),
        ("tests/unit/smscd/recovery/test_restore.py",),
    ),
    Mutant(
        "a message of a tail comes back twice",
        (
            Edit(
                REFILL,
                "if redis.call('SADD', KEYS[4], ARGV[at + 2]) == 1 then",
                "if redis.call('SADD', KEYS[4], ARGV[at + 2]) >= 0 then",
            ),
        ),
        (MACHINE,),
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
    Mutant(
        "simulated: yes before it is admitted",
        (
            Edit(
                ADMISSION,
                "        try:\n            reply = await self._store.admit(",
                "        ids = [each.record.id for each in chosen]\n"
                "        self._deliver(parts, at, [Accepted(id, 0, 1) for id in ids])\n"
                "        parts = []\n"
                "        try:\n            reply = await self._store.admit(",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: what was admitted after a refusal is not cancelled",
        (Edit(ADMISSION, "        if admitted:\n", "        if False:\n"),),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: a receipt acknowledged before it is durable",
        (
            Edit(
                RECEIPTS,
                "            await self._make_durable(receipts, messages)\n",
                "            kept = asyncio.ensure_future(self._make_durable(receipts, messages))\n"
                "            kept.add_done_callback(lambda done: done.cancelled() or done.exception())\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: a refund without its id",
        (
            Edit(
                TURN,
                "known = asked[id] or is_over[id] or redis.call('SISMEMBER', KEYS[tonumber(ARGV[at + 1])], id) == 1",
                "known = false",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: a turn ends what a receipt has ended",
        (Edit(TURN, LOOKS_AT_THE_END, "if false then"),),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: sent again when no answer came in time",
        (
            Edit(
                TURNS,
                "                item.states[segment] = LATE\n",
                "                item.states[segment] = WAITING\n                self.again.append(item)\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: the intent after the bytes",
        (
            Edit(
                DISPATCHER,
                "        reply = await self._store.turn(turn)\n"
                "        self._recorded(draft, reply)\n"
                "        self._intake.withheld(self._sending.write(lots, reply.withheld))\n",
                "        self._sending.write(lots, set())\n"
                "        reply = await self._store.turn(turn)\n"
                "        self._recorded(draft, reply)\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: two probes at once",
        (Edit("smscd/core/breaker.py", "        return 1\n", "        return min(wanted, 2)\n"),),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: nobody is fenced",
        (
            Edit(SESSION, "if session[1] ~= ARGV[1] then", "if false then"),
            Edit(SESSION, "if tonumber(ARGV[2]) ~= tonumber(session[2]) + 1 then", "if false then"),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: callbacks leave the outbox when they are read",
        (
            Edit(
                "smscd/egress/esme/account_outbox.py",
                "            self._cursor = entry_id\n",
                "            self._cursor = entry_id\n            self._work.finished.append(entry_id)\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: a receipt is applied each time that it comes",
        (Edit(RECEIPT, "    if values[id] then\n      effect = '0'", "    if false then\n      effect = '0'"),),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: a window of one more",
        (
            Edit(
                "smscd/egress/binds/links.py",
                "self._pace.window - connection.session.pending_count",
                "self.profile.window_size + 1 - connection.session.pending_count",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: a doubt that is not put on record",
        (
            Edit(
                TURNS,
                "            self._journal(item, Outcome.DOUBTED, State.SENDING, segment=segment)\n",
                "",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: a retry stays in its queue as well",
        (
            Edit(
                TURNS,
                "        self.turn.later.append((due_ms, blob.queue, _encode(record)))\n"
                "        self._settle_all(item, blob)\n",
                "        self.turn.later.append((due_ms, blob.queue, _encode(record)))\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: what is promoted stays where it was",
        (
            Edit(
                "storage/redis/lua/promote.lua",
                "if redis.call('ZREM', KEYS[2], ARGV[at + 1]) == 1 then",
                "if redis.call('ZSCORE', KEYS[2], ARGV[at + 1]) then",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: a successor does not look for intents",
        (Edit("smscd/egress/dispatch/claims.py", "        if not asked:\n", "        if True:\n"),),
        (SIMULATION,),
    ),
)
