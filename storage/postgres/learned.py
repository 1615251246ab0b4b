"""What the writer has learned of messages from a batch of the journal, before rows are made of it."""

from __future__ import annotations

import msgspec


class Learned(msgspec.Struct, gc=False):
    """What a batch has learned of one message; the defaults are "nothing new".

    callbacks_open and refunded_micros are added to the row's, attempts is the least that it gets. callback_state:
    DELIVERED or DEAD, of the last callback that ended. done_ms, callback_ms: since the Unix epoch, 0 for none.
    refund_entry: the ledger entry that refunded_micros is part of, 0 for none.

    The values of one, as a tuple, are its shape: messages that had the same at the same time share it, and what is
    made of it (columns, a line of the update's parameters) is made once.
    """

    state: int = 0
    done_ms: int = 0
    upstream: str = ""
    attempts: int = 0
    callbacks_open: int = 0
    callback_state: int = 0
    callback_ms: int = 0
    callback_attempts: int = 0
    refunded_micros: int = 0
    refund_entry: int = 0
    error_code: str | None = None
    maybe_duplicate: bool = False


class Moved(msgspec.Struct, array_like=True, gc=False):
    """A message that nobody had sent went from one upstream's queue to another's."""

    id: int
    account: str
    at_ms: int
    left: str
    upstream: str


NOTHING = Learned()
