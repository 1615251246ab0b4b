"""The SMPP sessions that are up, as workers tell operators of them."""

from __future__ import annotations

from typing import Literal

import msgspec


class SessionAsk(msgspec.Struct, frozen=True, array_like=True):
    """What every worker is asked: to list its sessions, or to end the one of this id if it has it."""

    ends: str = ""


class LiveSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session that is bound.

    id: of this session and no other, for as long as its worker runs. side: esme, which has bound to us as a customer's,
    or upstream, to which we have bound. name: of the account or of the upstream. mode: tx, rx or trx. since: it was
    bound, in milliseconds since the Unix epoch. window: requests that may be unanswered; in_flight: those that are, the
    peer's of an esme, ours of an upstream. rate_per_second_max: messages of the account, or submit_sm of the upstream
    over all its binds; 0 is no limit.
    """

    id: str
    worker: str
    side: Literal["esme", "upstream"]
    name: str
    system_id: str
    mode: str
    address: str
    interface_version: str
    since_ms: int
    window: int
    in_flight: int
    rate_per_second_max: float


class SessionAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What one worker answers. ended: it had the session that was to end, and ends it."""

    sessions: list[LiveSession] = []
    ended: bool = False
