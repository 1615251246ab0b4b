"""Bugs that the simulation has to find, by seeds or by moments that CI runs."""

from __future__ import annotations

from typing import Final

from tools.checks.mutant import (
    ADMISSION,
    DISPATCHER,
    LOOKS_AT_THE_END,
    MOMENTS,
    RECEIPT,
    RECEIPTS,
    SESSION,
    SIMULATION,
    TURN,
    TURNS,
    Edit,
    Mutant,
)

MUTANTS: Final = (
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
        (MOMENTS,),
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
        (MOMENTS,),
    ),
    Mutant(
        "simulated: a turn ends what a receipt has ended",
        (Edit(TURN, LOOKS_AT_THE_END, "if false then"),),
        (MOMENTS,),
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
        (MOMENTS,),
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
        (MOMENTS,),
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
        (MOMENTS,),
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
    Mutant(
        "simulated: correlation after the turn",
        (
            Edit(DISPATCHER, "        if draft.correlated:\n            await self._correlate(draft)\n", ""),
            Edit(
                DISPATCHER,
                "        self._recorded(draft, reply)\n",
                "        if draft.correlated:\n"
                "            await self._correlate(draft)\n"
                "        self._recorded(draft, reply)\n",
            ),
        ),
        (MOMENTS,),
    ),
    Mutant(
        "simulated: the rest is dropped at a takeover",
        (Edit(DISPATCHER, "blobs = await self._insist(self._store.rest)", "blobs = dict[int, bytes]()"),),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: bytes after the lease",
        (Edit("smscd/egress/dispatch/sending.py", "return self._clock() < self._session.deadline", "return True"),),
        (MOMENTS,),
    ),
    Mutant(
        "simulated: a message goes on over another bind",
        (
            Edit(
                "smscd/egress/dispatch/assign.py",
                "                    item.is_queued = True\n                    lot.link.begun.append(item)\n",
                "                    backlog.add_begun(item)\n",
            ),
        ),
        (SIMULATION,),
    ),
    Mutant(
        "simulated: the last segment goes first",
        (
            Edit(
                "smscd/egress/dispatch/assign.py",
                "for segment in range(len(states)):",
                "for segment in reversed(range(len(states))):",
            ),
        ),
        (SIMULATION,),
    ),
)
