"""What egress works with, played by the test: binds, roles and a clock; and plain profiles and messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from smscd.core.records import MessageRecord, ParkedReceipt, SentContext, Via
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.blobs import Item
from smscd.egress.dispatch.turn import Ref

NOW_MS = 1_800_000_000_000
FIRST_ID = (NOW_MS - 1_577_836_800_000) << 22
QUEUE = "{s00}:q:carrier:1:acme"

encode = msgspec.msgpack.Encoder().encode


def profile(**changes: object) -> Upstream:
    """An upstream with a window of 100."""
    fields: dict[str, object] = {
        "id": "carrier", "host": "127.0.0.1", "port": 2776, "system_id": "us", "password": "secret", **changes,
    }  # fmt: skip
    return Upstream(**fields)  # type: ignore[arg-type]  # the test names fields that exist


def message(number: int = 1, **changes: object) -> MessageRecord:
    """A message of one segment that wants its receipt over SMPP."""
    fields: dict[str, object] = {
        "id": FIRST_ID + number, "account": "acme", "upstream": "carrier", "priority": 1, "door": 1,
        "source_ton": 5, "source_npi": 0, "source": b"Sender", "dest_ton": 1, "dest_npi": 1,
        "dest": b"49170%07d" % number, "esm_class": 0, "protocol_id": 0, "data_coding": 0, "registered_delivery": 1,
        "segments": [b"text %d" % number], "price_micros": 70_000, "valid_until_ms": NOW_MS + 3_600_000,
        "via": int(Via.SMPP), **changes,
    }  # fmt: skip
    return MessageRecord(**fields)  # type: ignore[arg-type]  # the test names fields that exist


@dataclass
class Clock:
    """Both clocks, moved by hand."""

    now: float = 1000.0
    now_ms: int = NOW_MS

    def seconds(self) -> float:
        """The monotonic clock."""
        return self.now

    def wall_ms(self) -> int:
        """The other one."""
        return self.now_ms

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.now_ms += int(seconds * 1000)


class FakeSession:
    """A role that is held until the test says otherwise."""

    def __init__(self, deadline: float = 1e12) -> None:
        self.deadline = deadline
        self.epoch = 1

    @property
    def is_held(self) -> bool:
        """As RoleSession."""
        return self.epoch > 0


class FakeLink:
    """A bind as the dispatcher sees it; what was written stays in `written`."""

    def __init__(self, window: int = 100) -> None:
        self.window = window
        self.can_send = True
        self.takes_tlvs = True
        self.begun: deque[Item] = deque()
        self.written: list[tuple[bytes, Ref]] = []
        self.pending: list[Ref] = []
        self.throttled = 0
        self.full = 0
        self.can_narrow = False

    @property
    def free(self) -> int:
        return self.window - len(self.pending)

    def room(self, now: float) -> int:
        return self.free

    def send(self, items: Sequence[tuple[bytes, Ref]], now: float) -> None:
        assert self.can_send
        self.written += items
        self.pending += [ref for _, ref in items]

    def rated(self, throttled: int, now: float, full: int = 0, answered: int = 0) -> None:
        self.throttled += throttled
        self.full += full

    def answer(self, *answers: tuple[int, bytes]) -> list[tuple[Ref, int, bytes]]:
        """Answer the oldest pending requests, one for each (status, message id)."""
        refs = [self.pending.pop(0) for _ in answers]
        return [(ref, status, message_id) for ref, (status, message_id) in zip(refs, answers, strict=True)]


class FakeSenders:
    """A pool of FakeLinks without a rate."""

    def __init__(self, *links: FakeLink) -> None:
        self.links = list(links)
        self.rate: int | None = None

    def senders(self) -> list[FakeLink]:
        return [link for link in self.links if link.can_send]

    def take_rate(self, wanted: int, now: float) -> int:
        return wanted if self.rate is None else min(wanted, self.rate)

    def give_back_rate(self, unused: int) -> None:
        pass

    def count(self) -> None:
        pass

    def next_room_at(self, now: float) -> float | None:
        return now if any(link.can_send and link.free for link in self.links) else None


class FakeParkedSink:
    """Receipts.apply_parked, remembered."""

    def __init__(self) -> None:
        self.parked: list[tuple[bytes, SentContext, list[ParkedReceipt]]] = []

    async def apply_parked(self, parked: list[tuple[bytes, SentContext, list[ParkedReceipt]]]) -> None:
        self.parked += parked


async def at_once() -> None:
    """What has not to be waited for."""
