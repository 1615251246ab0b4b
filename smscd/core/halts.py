"""What operators have paused or drained, pure: which upstreams take nothing new, and which messages wait.

Paused: what is accepted waits. Drained: nothing new is accepted, and what waits is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from smscd.core.directory import Halt


class Halts:
    """The halts of one snapshot, looked up by what they are of. A route is its account, "" for all, and its prefix."""

    __slots__ = ("drained_routes", "drained_upstreams", "paused_accounts", "paused_routes", "paused_upstreams")

    def __init__(self, halts: Iterable[Halt] = ()) -> None:
        by_place: dict[tuple[str, str], list[Halt]] = {}
        for halt in halts:
            by_place.setdefault((halt.kind, halt.state), []).append(halt)

        def names(kind: str, state: str) -> frozenset[str]:
            return frozenset(halt.name for halt in by_place.get((kind, state), ()))

        def routes(state: str) -> frozenset[tuple[str, str]]:
            return frozenset((halt.account, halt.name) for halt in by_place.get(("route", state), ()))

        self.paused_upstreams = names("upstream", "paused")
        self.drained_upstreams = names("upstream", "drained")
        self.paused_accounts = names("account", "paused")
        self.paused_routes = routes("paused")
        self.drained_routes = routes("drained")


NO_HALTS: Final = Halts()
