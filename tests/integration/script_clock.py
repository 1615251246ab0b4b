"""A clock of the test's own for admit.lua, which otherwise reads Redis TIME; a plugin of the modules that need it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage.redis import scripts
from storage.redis.scripts import Script


@pytest.fixture
def set_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the script see this time, in ms since the Unix epoch, from the next call on."""
    asked = b"redis.call('TIME')"
    real = scripts.ADMIT
    assert real.source.count(asked) == 1

    def change(at_ms: int) -> None:
        source = real.source.replace(asked, b"{'%d', '%d'}" % (at_ms // 1000, at_ms % 1000 * 1000))
        monkeypatch.setattr(scripts, "ADMIT", Script("admit", source, f"{at_ms:040x}"))

    return change
