"""What a planted bug is, and the files and lines that several of them change, or are found by."""

from __future__ import annotations

from typing import Final, NamedTuple

SCRIPTS: Final = "tests/integration/test_redis_scripts.py"
MONEY: Final = "tests/integration/test_redis_money.py"
DISPATCH: Final = "tests/unit/smscd/egress/dispatch"
WHOLE: Final = "tests/integration/test_admission_of_whole_batches.py"
MACHINE: Final = "tests/integration/test_money_machine.py"
SIMULATION: Final = "tests/simulation/test_simulation.py"
MOMENTS: Final = "tests/simulation/test_moments.py"

ADMIT: Final = "storage/redis/lua/admit.lua"
TURN: Final = "storage/redis/lua/turn.lua"
REFILL: Final = "storage/redis/lua/refill.lua"
RECEIPT: Final = "storage/redis/lua/receipt.lua"
SESSION: Final = "storage/redis/lua/_session.lua"
OVERFLOW: Final = "smscd/archive/overflow.py"
COMMIT: Final = "smscd/archive/commit.py"
JUDGING: Final = "smscd/egress/receipts/judging.py"
RECEIPTS: Final = "smscd/egress/receipts/receipts.py"
TURNS: Final = "smscd/egress/dispatch/turn.py"
RESTORE: Final = "smscd/recovery/restore.py"
ADMISSION: Final = "smscd/ingress/admission.py"
DISPATCHER: Final = "smscd/egress/dispatch/dispatcher.py"
LOOKS_AT_THE_END: Final = "if redis.call('HEXISTS', KEYS[tonumber(ARGV[at])], id) == 1 then"


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
