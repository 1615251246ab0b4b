"""Top-ups, adjustments and corrections on a real Redis, a real PostgreSQL and the writer between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from smscd.admin import orders
from smscd.admin.orders import Outcome, Refusal
from smscd.core.records import LedgerRecord
from storage.postgres import ledger
from tests.integration.admin_rig import KEYS, LedgerRig, ledger_rig
from tests.integration.postgres_databases import RecordDatabase

pytest_plugins = ("tests.integration.postgres_fixture",)

MONTHS_AGO_MS = 1_700_000_000_000


@pytest.fixture
async def rig(record_database: RecordDatabase, valkey_url: str) -> AsyncIterator[LedgerRig]:
    async with ledger_rig(record_database, valkey_url) as made:
        yield made


def done(outcome: Outcome | Refusal) -> Outcome:
    assert isinstance(outcome, Outcome), outcome
    return outcome


def code(outcome: Outcome | Refusal) -> tuple[str, int]:
    assert isinstance(outcome, Refusal), outcome
    return outcome.code, outcome.status


async def test_an_order_is_answered_when_the_writer_has_committed_it(rig: LedgerRig) -> None:
    async with rig.writing():
        first = done(await rig.place("topup", 5_000, "invoice 7"))
        assert first.entry is not None
        assert await ledger.balance(rig.database, "demo") == 5_000
        again = done(await rig.place("topup", 5_000, "invoice 7", note="said otherwise"))
    assert (first.status, first.is_new, first.balance_micros) == ("committed", True, 5_000)
    assert (again.status, again.is_new, again.balance_micros, again.entry) == ("committed", False, 5_000, first.entry)
    assert await ledger.balance(rig.database, "demo") == 5_000
    assert await rig.logged() == [("ann", "account.topup", "demo")]


async def test_without_a_writer_it_is_pending_and_the_same_again_tells_when_it_is_not(rig: LedgerRig) -> None:
    first = done(await rig.place("topup", 5_000, "r", wait_seconds=0.1))
    assert (first.status, first.is_new, first.balance_micros, first.entry) == ("pending", True, 5_000, None)
    again = done(await rig.place("topup", 5_000, "r", wait_seconds=0.0))
    assert (again.status, again.is_new, again.balance_micros) == ("pending", False, 5_000)
    found = done(await orders.find("r", "demo", rig.database, rig.balances) or pytest.fail("it is not known"))
    assert (found.status, found.order.note) == ("pending", "because")
    waiting = asyncio.create_task(rig.place("topup", 5_000, "r"))
    await rig.write()
    assert done(await waiting).status == "committed"
    found = done(await orders.find("r", "demo", rig.database, rig.balances) or pytest.fail("it is not known"))
    assert (found.status, found.order.operator, found.balance_micros) == ("committed", "ann", 5_000)
    assert await orders.find("r", "acme", rig.database, rig.balances) is None
    assert await orders.find("other", "demo", rig.database, rig.balances) is None


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize(
    ("kind", "micros", "account"), [("topup", 6_000, "demo"), ("topup", 5_000, "acme"), ("adjust", 5_000, "demo")]
)
async def test_a_reference_is_of_one_order_in_the_whole_installation(
    rig: LedgerRig, is_committed: bool, kind: str, micros: int, account: str
) -> None:
    await rig.place("topup", 5_000, "r", wait_seconds=0.0)
    if is_committed:
        await rig.write()
    refused = await rig.place(kind, micros, "r", account=account, wait_seconds=0.0)
    assert code(refused) == ("reference_reused", 409)
    assert isinstance(refused, Refusal) and "topup of 5000 micro-units for demo" in refused.detail
    assert (await rig.balances.balance("demo"), await rig.balances.balance("acme")) == (5_000, None)
    assert await rig.logged() == [("ann", "account.topup", "demo")]


async def test_a_hundred_copies_at_once_are_one_order(rig: LedgerRig) -> None:
    async with rig.writing():
        outcomes = [done(found) for found in await asyncio.gather(*[rig.place("topup", 7, "r") for _ in range(100)])]
    assert sum(outcome.is_new for outcome in outcomes) == 1
    assert {(outcome.status, outcome.balance_micros) for outcome in outcomes} == {("committed", 7)}
    assert len({outcome.entry for outcome in outcomes}) == 1


@pytest.mark.parametrize(
    ("kind", "micros", "changed", "sentence"),
    [
        ("topup", -5, {}, "A top-up is positive: to take money, order an adjust or a correction, with a note."),
        ("topup", 0, {}, "An amount is neither zero nor beyond what a balance can hold (2^53 micro-units)."),
        ("topup", 2**53, {}, "An amount is neither zero nor beyond what a balance can hold (2^53 micro-units)."),
        ("gift", 5, {}, "An order is one of topup, adjust, correction, not gift."),
        ("adjust", 5, {"note": " "}, "Every adjust needs a note that says why."),
        ("correction", 5, {"note": "", "corrects": "r"}, "Every correction needs a note that says why."),
        ("correction", 5, {},
         "A correction, and nothing else, names the reference of the entry that it corrects."),
        ("topup", 5, {"corrects": "r"},
         "A correction, and nothing else, names the reference of the entry that it corrects."),
        ("topup", 5, {"reference": "a/b"}, "A reference has 1 to 128 printable characters and no slash."),
        ("topup", 5, {"reference": ""}, "A reference has 1 to 128 printable characters and no slash."),
        ("topup", 5, {"reference": "a\0"}, "A reference has 1 to 128 printable characters and no slash."),
        ("topup", 5, {"note": "x" * 501}, "A note has at most 500 printable characters."),
    ],
)  # fmt: skip
async def test_an_order_that_is_none_is_refused_with_a_sentence(
    rig: LedgerRig, kind: str, micros: int, changed: dict[str, str], sentence: str
) -> None:
    order = {"reference": "r", **changed}
    refused = await rig.place(kind, micros, order.pop("reference"), **order)  # type: ignore[arg-type]  # texts, as they come
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.status, refused.detail) == ("validation_failed", 422, sentence)
    assert [rule for _, rule in refused.faults] == [sentence]
    assert await rig.balances.balance("demo") is None
    assert await rig.logged() == []


async def test_an_account_that_is_not_there_gets_nothing(rig: LedgerRig) -> None:
    refused = await rig.place("topup", 5, "r", account="nobody")
    assert refused == Refusal("not_found", 404, "There is no account nobody.")
    assert await rig.balances.balance("nobody") is None


async def test_no_order_takes_a_balance_below_what_the_account_may_owe_unless_it_is_forced(rig: LedgerRig) -> None:
    async with rig.writing():
        done(await rig.place("adjust", -100, "a", account="acme"))
        for kind, corrects in (("adjust", ""), ("correction", "a")):
            refused = await rig.place(kind, -1, f"{kind} 2", account="acme", corrects=corrects)
            assert code(refused) == ("below_floor", 409)
            assert isinstance(refused, Refusal)
            assert refused.detail == (
                "This would leave -101 micro-units, and the account may not go below -100. "
                "To do it nevertheless, force it."
            )
        assert await rig.balances.balance("acme") == -100
        forced = done(await rig.place("adjust", -50, "b", account="acme", is_forced=True))
        assert forced.balance_micros == -150
        raised = done(await rig.place("adjust", 10, "c", account="acme"))
        assert raised.balance_micros == -140, "who pays something back is not refused for not paying all"
    assert [action for _, action, _ in await rig.logged()] == [
        "account.adjust", "account.adjust", "account.adjust.refused", "account.correction",
        "account.correction.refused", "account.adjust", "account.adjust",
    ]  # fmt: skip


async def test_a_balance_never_leaves_the_range_in_which_it_is_exact(rig: LedgerRig) -> None:
    await rig.place("topup", 2**53 - 1, "a", wait_seconds=0.0)
    refused = await rig.place("topup", 1, "b", wait_seconds=0.0)
    assert code(refused) == ("validation_failed", 422)
    assert await rig.balances.balance("demo") == 2**53 - 1


async def test_a_correction_names_an_entry_of_its_own_account_and_is_sealed_with_it(rig: LedgerRig) -> None:
    async with rig.writing():
        done(await rig.place("topup", 500, "typo"))
        for account, corrects in (("demo", "none"), ("acme", "typo")):
            refused = await rig.place("correction", 1, "fix", account=account, corrects=corrects)
            assert refused == Refusal(
                "unknown_entry",
                422,
                f"The ledger has no entry {corrects} of {account}, so nothing can be corrected.",
            )
        fixed = done(await rig.place("correction", -450, "fix", corrects="typo"))
        assert fixed.entry is not None
        assert (fixed.entry.kind, fixed.entry.corrects, fixed.balance_micros) == ("correction", "typo", 50)
        assert code(await rig.place("correction", -450, "fix", corrects="fix")) == ("reference_reused", 409)
    head, fault = await ledger.verify(rig.database, "demo")
    assert (head.balance_micros, fault) == (50, None)


async def test_redis_forgets_old_references_that_the_ledger_has_and_they_stay_taken(
    rig: LedgerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is kept in Redis, money that was moved is not moved again by the same reference."""
    for number in range(3):
        await rig.balances.top_up(LedgerRecord("demo", "topup", 1, f"old {number}", MONTHS_AGO_MS))
    made_ms = await redis_ms(rig)
    while await redis_ms(rig) == made_ms:
        pass
    done(await rig.place("topup", 1, "young", wait_seconds=0.0))
    await rig.write()
    assert await rig.link.command("HLEN", KEYS.topups) == 4
    done(await rig.place("topup", 1, "early", wait_seconds=0.0))
    assert await rig.link.command("HLEN", KEYS.topups) == 5, "a month is not over"
    monkeypatch.setattr(orders, "KEPT_MS", -60_000)  # as if it were
    done(await rig.place("topup", 1, "new", wait_seconds=0.0))
    assert await rig.link.command("HKEYS", KEYS.topups) == [
        b"old 2", b"young", b"early", b"new",
    ]  # fmt: skip
    assert done(await rig.place("topup", 1, "old 0")).is_new is False
    assert await rig.balances.balance("demo") == 6


async def test_redis_keeps_what_the_ledger_does_not_have_however_old_it_is(
    rig: LedgerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await rig.balances.top_up(LedgerRecord("demo", "topup", 1, f"old {number}", MONTHS_AGO_MS))
    monkeypatch.setattr(orders, "KEPT_MS", -60_000)
    done(await rig.place("topup", 1, "new", wait_seconds=0.0))
    assert await rig.link.command("HLEN", KEYS.topups) == 4
    assert done(await rig.place("topup", 1, "old 0", wait_seconds=0.0)).is_new is False
    assert await rig.balances.balance("demo") == 4


async def test_an_order_that_moved_the_balance_and_is_not_in_the_ledger_is_said_to_be_set_aside(rig: LedgerRig) -> None:
    """The writer sets aside what it cannot read, whole."""
    made = LedgerRecord("demo", "topup", 5, "r", MONTHS_AGO_MS)
    journal_id = (await rig.link.command("XADD", KEYS.journal, "*", "k", "L", "b", b"torn")).decode()
    await rig.link.command("HSET", KEYS.topups, "r", f"{journal_id} ".encode() + msgspec.msgpack.encode(made))
    await rig.write()
    refused = await rig.place("topup", 5, "r")
    assert code(refused) == ("set_aside", 409)
    assert isinstance(refused, Refusal) and "journal_dead_letters" in refused.detail
    assert await orders.find("r", "demo", rig.database, rig.balances) == refused


async def test_what_an_earlier_release_applied_a_moment_ago_is_known_by_its_reference(rig: LedgerRig) -> None:
    blob = msgspec.msgpack.encode([LedgerRecord("demo", "topup", 5, "r", MONTHS_AGO_MS)])
    journal_id = await rig.link.command("XADD", KEYS.journal, "*", "k", "L", "b", blob)
    await rig.link.command("HSET", KEYS.topups, "r", journal_id)
    await rig.link.command("HSET", KEYS.acct("demo"), "balance", 5)
    assert done(await rig.place("topup", 5, "r", wait_seconds=0.0)).status == "pending"
    async with rig.writing():
        assert code(await rig.place("topup", 6, "r")) == ("reference_reused", 409)
        assert done(await rig.place("topup", 5, "r")).status == "committed"
    assert await rig.balances.balance("demo") == 5


async def redis_ms(rig: LedgerRig) -> int:
    seconds, micros = await rig.link.command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000
