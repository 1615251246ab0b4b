"""The order in which the segments of a message reach their carrier: rising, and over one bind while it lasts."""

from __future__ import annotations

from tests.simulation.carrier import Arrived, Carrier
from tests.simulation.network import Wire


class Sequences:
    """What has arrived of each message of several segments, in order."""

    def __init__(self) -> None:
        self._arrived: dict[bytes, list[Arrived]] = {}

    def broken(self, carrier: Carrier, arrived: Arrived) -> str:
        """What is wrong with the place of this one, "" when nothing is.

        A segment that comes again is not looked at: only those that were in doubt or refused do.
        """
        dest, segment = arrived.segment
        before = self._arrived.setdefault(dest, [])
        if any(each.segment == arrived.segment for each in before):
            before.append(arrived)
            return ""
        ahead = [each.segment[1] for each in before if each.segment[1] > segment and each.wire is arrived.wire]
        last = before[-1] if before else None
        before.append(arrived)
        if ahead:
            return f"{dest!r}.{segment} was sent after {ahead}"
        if last is None or last.wire is arrived.wire or _may_leave(carrier, last.wire, arrived.wire):
            return ""
        if any(each.status for each in before):  # a refusal ends the attempt; the next begins where there is room
            return ""
        return f"{dest!r}.{segment} left over another bind than {last.segment[1]} before it"


def _may_leave(carrier: Carrier, wire: Wire, other: Wire) -> bool:
    """The bind is gone or going, or another worker has taken over."""
    if wire.near.host is not other.near.host:
        return True
    return wire.near.is_over or wire.far.is_over or wire.is_silent or wire not in carrier.bound.values()
