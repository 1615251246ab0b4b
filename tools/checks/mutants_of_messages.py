"""Bugs on the way of a message, from its admission to its receipt: each has lost or invented money."""

from __future__ import annotations

from typing import Final

from tools.checks.mutant import (
    ADMIT,
    DISPATCH,
    JUDGING,
    LOOKS_AT_THE_END,
    MACHINE,
    MONEY,
    RECEIPT,
    RECEIPTS,
    REFILL,
    SCRIPTS,
    SESSION,
    TURN,
    TURNS,
    WHOLE,
    Edit,
    Mutant,
)

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
        "a receipt refunds what a turn has refunded",
        (
            Edit(
                RECEIPT,
                "if effect == '2' and redis.call('SISMEMBER', KEYS[tonumber(ARGV[at + 6])], id) == 0 then",
                "if effect == '2' then",
            ),
        ),
        ("tests/integration/test_redis_ends.py",),
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
        (Edit(JUDGING, "is_final and context.tariff == _ON_DELIVERY and state", "is_final and state"),),
        ("tests/unit/smscd/egress/receipts/test_judging.py",),
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
)
