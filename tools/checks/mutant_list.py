"""The bugs that `make mutants` plants: each a way in which a gateway has lost or invented money, and who finds it."""

from __future__ import annotations

from typing import Final

from tools.checks import mutants_of_messages, mutants_of_moves, mutants_of_the_record, mutants_of_the_simulation

MUTANTS: Final = (
    *mutants_of_messages.MUTANTS,
    *mutants_of_moves.MUTANTS,
    *mutants_of_the_record.MUTANTS,
    *mutants_of_the_simulation.MUTANTS,
)
