"""The checker against real servers: a run without faults is clean, and each fault planted in it is found."""

from collections.abc import Iterator

import pytest
import redis

from smscd.supervision.seed import ACCOUNT
from storage.redis.keys import ShardKeys
from tests.faults.rig import Rig, running_rig

COUNT = 300

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig after a run that nothing disturbed."""
    with running_rig(tmp_path_factory.mktemp("clean")) as rig:
        report = rig.generate("--rate=0", "--linger=0", count=COUNT).report(60.0)
        assert report["receipts"] == COUNT
        yield rig


def test_run_without_faults_is_clean(finished: Rig) -> None:
    judgement = finished.settled()
    assert judgement.is_clean, judgement
    assert judgement.accepted == judgement.taken == judgement.receipts == COUNT


@pytest.mark.parametrize("kind", ["lost", "rows_missing", "duplicated"])
def test_message_that_the_carrier_never_got_or_got_twice_is_found(finished: Rig, kind: str) -> None:
    record = finished.carrier.record
    lines = record.read_bytes().splitlines(keepends=True)
    submits = [line for line in lines if line.startswith(b"submit")]
    victim = submits[7]
    fields = victim.split(b"\t")
    changed = b"\t".join([*fields[:3], b"4711", *fields[4:]])
    planted = {
        "lost": [line for line in lines if line.split(b"\t")[2] != fields[2]],
        "rows_missing": [changed if line == victim else line for line in lines],
        "duplicated": [*lines, changed],
    }[kind]
    try:
        record.write_bytes(b"".join(planted))
        judgement = finished.judge()
    finally:
        record.write_bytes(b"".join(lines))
    assert judgement.counts == {kind: 1}


def test_balance_that_is_off_by_one_and_work_that_is_left_are_found(finished: Rig) -> None:
    keys = ShardKeys(0)
    with redis.Redis.from_url(finished.demo.ready.valkey_url) as store:
        store.hincrby(keys.acct(ACCOUNT), "balance", 1)
        store.zadd(keys.later("nowhere"), {"forgotten": 9e15})
        judgement = finished.judge()
        store.hincrby(keys.acct(ACCOUNT), "balance", -1)
        store.zrem(keys.later("nowhere"), "forgotten")
    assert judgement.ledger_difference_micros == 1
    assert judgement.left_in_redis == {"later": 1}
    assert finished.judge().is_clean
