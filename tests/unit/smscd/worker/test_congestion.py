"""What we say of our own congestion."""

from __future__ import annotations

import pytest

from smscd.core.directory import Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.upstream import Upstream
from smscd.worker.congestion import Congestion, queue_share
from storage.redis.errors import StorageUnavailable


def upstream(name: str, room: int, *, is_enabled: bool = True) -> Upstream:
    return Upstream(
        id=name, host="h", port=1, system_id="s", password="p", queue_messages_max=room, is_enabled=is_enabled
    )


class Rig:
    """Everything that is looked at, set by hand."""

    def __init__(self) -> None:
        self.pending = 0.0
        self.memory = 0.0
        self.is_open = True
        self.depths: dict[str, int] | None = {}
        self.told: list[int] = []
        index = DirectoryIndex(Snapshot(upstreams=(upstream("a", 100),)))
        self.congestion = Congestion(
            pending_share=lambda: self.pending,
            memory_share=lambda: self.memory,
            is_open=lambda: self.is_open,
            depths=self._depths,
            directory=lambda: index,
            tell=self.told.append,
        )

    async def _depths(self) -> dict[str, int]:
        if self.depths is None:
            raise StorageUnavailable("away")
        return self.depths


async def test_a_state_is_told_when_it_is_another_and_only_then() -> None:
    rig = Rig()
    for rig.pending in (0.0, 0.01, 0.5, 0.52, 0.0):
        await rig.congestion.look()
    assert rig.told == [0, 50, 0]


async def test_the_fullest_limit_counts() -> None:
    rig = Rig()
    rig.pending, rig.memory, rig.depths = 0.1, 0.3, {"a": 85, "gone": 1000}
    await rig.congestion.look()
    rig.memory = 0.97
    await rig.congestion.look()
    assert rig.told == [85, 95]


async def test_a_closed_gate_and_a_storage_that_is_away_are_full_congestion() -> None:
    rig = Rig()
    rig.is_open = False
    await rig.congestion.look()
    rig.is_open, rig.depths = True, None
    await rig.congestion.look()
    rig.depths = {}
    await rig.congestion.look()
    assert rig.told == [100, 0]


@pytest.mark.parametrize(
    ("depths", "share"),
    [({}, 0.0), ({"a": 100}, 0.25), ({"a": 100, "b": 300}, 1.0), ({"a": -5, "off": 70}, 0.0)],
)
def test_the_queues_of_all_enabled_upstreams_count_together(depths: dict[str, int], share: float) -> None:
    upstreams = (upstream("a", 100), upstream("b", 300), upstream("off", 10, is_enabled=False))
    assert queue_share(depths, upstreams) == share


def test_without_upstreams_there_is_no_congestion() -> None:
    assert queue_share({"a": 5}, ()) == 0.0
