"""When an upstream is out, and where its messages go instead: pure. The owner asks, and moves; see decisions/0021."""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.gsm import udh
from protocols.smpp.constants import EsmClass
from smscd.core.breaker import BreakerState
from smscd.core.conversion import Converter
from smscd.core.directory_index import DirectoryIndex
from smscd.core.profiles import PLAIN
from smscd.core.reasons import Rejected
from smscd.core.records import Door, MessageRecord
from smscd.core.routing import NONE_CLOSED
from smscd.core.upstream import Upstream

_UDHI: Final = int(EsmClass.UDHI)


class Throttling:
    """Whether one upstream does nothing but throttle. now: monotonic. See decisions/0032.

    seconds: for how long no answer may say anything else before it does; a silence twice as long begins anew.
    """

    __slots__ = ("_latest", "_seconds", "_since")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._latest = 0.0

    def answered(self, throttled: int, others: int, now: float) -> None:
        """So many answers throttled, and so many took a message or refused it for good."""
        if others:
            self._since = None
        elif throttled:
            if self._since is None or (not self.is_all and now - self._latest >= 2 * self._seconds):
                self._since = now
            self._latest = now

    @property
    def is_all(self) -> bool:
        """True from then on until it takes a message, or refuses one for good."""
        return self._since is not None and self._latest - self._since >= self._seconds


class Standing:
    """Whether one upstream is out: its breaker is not closed, it only throttles, or no bind of it was up for a while.

    now: monotonic. grace_seconds: how long it is out before its queue moves. no_bind_seconds: without a bind for that
    long it is out.
    """

    __slots__ = ("_bindless_since", "_grace_seconds", "_no_bind_seconds", "since")

    def __init__(self, grace_seconds: float, no_bind_seconds: float) -> None:
        self.since: float | None = None
        self._grace_seconds = grace_seconds
        self._no_bind_seconds = no_bind_seconds
        self._bindless_since: float | None = None

    def look(self, state: BreakerState, has_binds: bool, now: float, *, throttles: bool = False) -> None:
        """Note how things are. since: from when it is out, None while it is not."""
        if has_binds:
            self._bindless_since = None
        elif self._bindless_since is None:
            self._bindless_since = now
        gone = self._bindless_since is not None and now - self._bindless_since >= self._no_bind_seconds
        if state is BreakerState.CLOSED and not gone and not throttles:
            self.since = None
        elif self.since is None:
            self.since = now

    def may_move(self, now: float) -> bool:
        """True when what waits for it shall go elsewhere."""
        return self.since is not None and now - self.since >= self._grace_seconds


def next_candidates(directory: DirectoryIndex, record: MessageRecord, now_ms: int) -> list[Upstream]:
    """The other upstreams of a message's route that take messages, in the order of this moment."""
    entry = directory.entry(record.account)
    if entry is None:
        return []
    names = directory.routed(entry, record.dest, now_ms, record.source, record.id, NONE_CLOSED).candidates
    shut = directory.out | directory.halts.paused_upstreams
    found = [directory.upstream(name) for name in names if name != record.upstream and name not in shut]
    return [upstream for upstream in found if upstream is not None]


def reroute(directory: DirectoryIndex, record: MessageRecord, upstream: Upstream, now_ms: int) -> MessageRecord | None:
    """The message as it goes to another upstream, at the same price; None when it cannot be written for that one."""
    entry = directory.entry(record.account)
    if entry is None:
        return None
    converter = Converter(PLAIN if record.door == Door.HTTP else entry.dialect, upstream)
    changes: dict[str, object] = {}
    if record.conversion is not None or converter.is_needed:
        original = _original(record)
        if original is None:
            return None
        written = converter.convert(*original, record.id, entry.account.segments_max)
        if isinstance(written, Rejected):
            return None
        changes = written._asdict()
    moved = msgspec.structs.replace(record, upstream=upstream.id, **changes)
    cost = directory.prices.cost(upstream.id, entry.account.currency, record.dest, now_ms) or 0
    moved.cost_micros = cost * moved.parts
    return moved


def _original(record: MessageRecord) -> tuple[bytes, int, int, bytes] | None:
    """Content, data_coding, esm_class and TLVs before anything was cut or converted."""
    before = record.conversion
    if before is not None:
        return before.content, before.data_coding, before.esm_class, before.tlvs
    if len(record.segments) == 1:
        return record.segments[0], record.data_coding, record.esm_class, record.tlvs
    try:
        headers = [udh.parse(segment) for segment in record.segments]
    except udh.UdhError:
        return None
    body = b"".join(part[header.length :] for header, part in zip(headers, record.segments, strict=True))
    others = headers[0].others
    if others:
        return udh.build(others) + body, record.data_coding, record.esm_class, record.tlvs
    return body, record.data_coding, record.esm_class & ~_UDHI, record.tlvs
