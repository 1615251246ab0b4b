"""Storms of binds and guessed passwords: E3 and E4 of the fault catalogue, scaled down unless SMSCD_FAULTS=full."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from smscd.core.directory import Account
from tests.faults import esmes
from tests.faults.esmes import (
    INVALID_PASSWORD,
    NO_RATES,
    PASSWORD,
    Esme,
    add_accounts,
    bind,
    bound_of,
    metrics,
    pdu,
    run,
    tell,
    until,
)
from tests.faults.rig import IS_FULL, Rig, running_rig

pytestmark = pytest.mark.timeout(900 if IS_FULL else 240)


# --- E3 -------------------------------------------------------------------------------------------------------------


def test_a_storm_of_binds_does_not_hold_the_loop_up(tmp_path: Path) -> None:
    per_second, seconds = (500, 20) if IS_FULL else (100, 4)
    with running_rig(tmp_path, environment=NO_RATES) as rig:
        figures = run(_bind_storm(rig, per_second, seconds))
        tell("E3", binds=per_second * seconds, **figures)
        assert figures["statuses"] == {"0": per_second * seconds}
        assert figures["loop_lag_p99_seconds"] <= (0.05 if IS_FULL else 0.25)
        assert figures["binds_per_second"] >= per_second * 0.9


async def _bind_storm(rig: Rig, per_second: int, seconds: int) -> dict[str, Any]:
    """Each binds, stays for a second, and unbinds."""
    names = [f"storm{number}" for number in range(50)]
    await add_accounts(rig, [Account(id=name, binds_max=100) for name in names])
    statuses: Counter[int] = Counter()
    answers: list[float] = []

    async def one(number: int) -> None:
        esme = await bind(rig, names[number % len(names)])
        statuses[esme.status or 0] += 1
        answers.append(esme.seconds)
        await asyncio.sleep(1.0)  # it is bound for a while
        esme.transport.write(pdu(esmes.UNBIND, 2))
        await esme.closed

    before, began = metrics(rig), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(per_second * seconds):
            wait = began + number / per_second - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(one(number))
        spent = time.monotonic() - began
    await until(lambda: sum(metrics(rig)[f'smscd_smpp_sessions{{mode="{m}"}}'] for m in ("tx", "rx", "trx")) == 0)
    lag = bound_of(before, metrics(rig), "smscd_loop_lag_seconds", 0.99)
    answers.sort()
    return {
        "binds_per_second": round(per_second * seconds / spent, 1), "loop_lag_p99_seconds": lag,
        "statuses": {str(status): count for status, count in statuses.items()},
        "bind_p99_ms": round(answers[int(len(answers) * 0.99)] * 1000, 1),
    }  # fmt: skip


# --- E4 -------------------------------------------------------------------------------------------------------------


def test_of_any_number_of_guesses_ten_count_and_the_owner_elsewhere_is_not_disturbed(tmp_path: Path) -> None:
    guesses = 10_000 if IS_FULL else 300
    with running_rig(tmp_path, environment=NO_RATES) as rig:
        figures = run(_guesses(rig, guesses))
        tell("E4", guesses=guesses, **figures)
        assert figures["statuses"] == {str(INVALID_PASSWORD): guesses}
        assert figures["evaluated"] == 10
        assert figures["right_password_from_there"] == INVALID_PASSWORD
        assert figures["owner_elsewhere"] == 0


async def _guesses(rig: Rig, guesses: int) -> dict[str, Any]:
    """Many connections at once, at all workers, each binds as often as it is let."""
    statuses: Counter[int] = Counter()
    await add_accounts(rig, [Account(id="victim", binds_max=10)])
    left = iter(range(guesses))
    began = time.monotonic()

    async def guesser() -> None:
        esme: Esme | None = None
        for number in left:
            password = f"g{number:07d}"
            while True:
                try:
                    if esme is None or esme.closed.done():
                        esme = await bind(rig, "victim", password)
                    else:
                        esme.bind_again("victim", password)
                        await esme.bound
                    break
                except OSError:
                    esme = None  # it had its five seconds
            statuses[await esme.bound] += 1
        if esme is not None:
            esme.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(guesser())
    spent = time.monotonic() - began
    there = await bind(rig, "victim", PASSWORD)
    elsewhere = await bind(rig, "victim", PASSWORD, source="127.0.0.2")
    found = metrics(rig)
    there.close()
    elsewhere.close()
    return {
        "statuses": {str(status): count for status, count in statuses.items()},
        "evaluated": int(found['smscd_smpp_binds_total{outcome="wrong_credentials"}']),
        "locked": int(found['smscd_smpp_binds_total{outcome="locked"}']),
        "right_password_from_there": there.status, "owner_elsewhere": elsewhere.status,
        "per_second": round(guesses / spent, 1), "workers": int(found["smscd_workers"]),
    }  # fmt: skip


def test_nobody_can_tell_by_the_time_what_was_wrong(tmp_path: Path) -> None:
    samples = 300 if IS_FULL else 60
    with running_rig(tmp_path, environment=NO_RATES) as rig:
        seconds = run(_timings(rig, samples))
        medians = {kind: round(statistics.median(found) * 1000, 2) for kind, found in seconds.items()}
        spreads = {kind: round(sorted(found)[int(samples * 0.9)] * 1000, 2) for kind, found in seconds.items()}
        tell("E4 timing", samples=samples, median_ms=medians, p90_ms=spreads)
        assert max(medians.values()) - min(medians.values()) <= 5.0
        assert max(spreads.values()) - min(spreads.values()) <= 25.0
        assert min(map(min, seconds.values())) >= 0.199


async def _timings(rig: Rig, samples: int) -> dict[str, list[float]]:
    """Each kind of refusal in turn, so that whatever else happens on the machine happens to all of them."""
    near = Account(id="near", allowed_networks=frozenset({"192.0.2.0/24"}))
    await add_accounts(rig, [Account(id="victim", binds_max=10), near])
    for _ in range(11):
        (await bind(rig, "victim", "wrong", source="127.9.9.9")).close()
    found: dict[str, list[float]] = {"unknown": [], "wrong": [], "locked": [], "elsewhere": []}
    for number in range(samples):
        fresh = f"127.3.{number // 250}.{1 + number % 250}"
        kinds = [
            ("unknown", f"nobody{number}", PASSWORD, fresh),
            ("wrong", "victim", "wrong", fresh),
            ("locked", "victim", "wrong", "127.9.9.9"),
            ("elsewhere", "near", PASSWORD, fresh),
        ]
        random.Random(number).shuffle(kinds)
        peers = await asyncio.gather(*(bind(rig, name, password, source=source) for _, name, password, source in kinds))
        for (kind, *_), esme in zip(kinds, peers, strict=True):
            assert esme.status == INVALID_PASSWORD
            found[kind].append(esme.seconds)
            esme.close()
    return found
