"""Bugs of what moves from an upstream that is out to the next of its route."""

from __future__ import annotations

from typing import Final

from tools.checks.mutant import DISPATCH, Edit, Mutant

MOVE: Final = "storage/redis/lua/move.lua"
SCRIPT: Final = "tests/integration/test_redis_failover.py"
FAILOVER: Final = "smscd/egress/dispatch/failover.py"

MUTANTS: Final = (
    Mutant(
        "a moved message stays where it was",
        (Edit(MOVE, "  redis.call('XDEL', queue, ARGV[at + 2])\n", ""),),
        (SCRIPT,),
    ),
    Mutant(
        "a moved message leaves its place in a blob open",
        (Edit(MOVE, "ARGV[settled_at + 2 * i + 1], 'd')", "ARGV[settled_at + 2 * i + 1], 'o')"),),
        (SCRIPT,),
    ),
    Mutant(
        "more move than there is room for",
        (Edit(MOVE, "if room < count then", "if room <= 0 then"),),
        (SCRIPT,),
    ),
    Mutant(
        "a move that only Redis knows",
        (
            Edit(
                "smscd/archive/merge.py",
                "            (self.admitted if record.id in self.admitted else self.replaced)[record.id] = record\n",
                "            if record.id in self.admitted:\n                self.admitted[record.id] = record\n",
            ),
        ),
        ("tests/integration/test_recovery_of_moves.py",),
    ),
    Mutant(
        "what may have been sent moves",
        (Edit(FAILOVER, " or item.resends or not item.is_untouched or item.is_queued", " or item.is_queued"),),
        (f"{DISPATCH}/test_failover.py",),
    ),
    Mutant(
        "nothing stays to probe with",
        (Edit(FAILOVER, "        must_keep = self._has_binds\n", "        must_keep = False\n"),),
        (f"{DISPATCH}/test_failover.py",),
    ),
)
