"""`smscd recover` on a real Redis and PostgreSQL: what was there is there again, and what was before is fenced."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import pytest
from msgspec.msgpack import decode
from redis import Redis

from protocols.smpp import events as ev
from protocols.smpp import tlv
from protocols.smpp.longform import Piece
from protocols.smpp.pdu import SmeAddress, SubmitMulti, SubmitSm
from smscd.admin import orders
from smscd.core.callback_forms import read_form, request_of
from smscd.core.callbacks import acceptance_callback
from smscd.core.directory import MoNumber, Snapshot
from smscd.core.ids import message_ms
from smscd.core.records import LedgerRecord, MessageRecord, Outcome, State
from smscd.ingress.smpp.submissions import REQUEST_KEY_TAG
from smscd.transport.connection import Callbacks, SmppConnection
from storage.postgres.configuration import add_account, add_mo_number, add_upstream
from storage.postgres.installation import get_installation, install
from storage.postgres.journal import Offset, advance_offset, read_offset
from storage.postgres.pool import Connection
from storage.postgres.warnings import unqueued
from storage.redis import scripts
from storage.redis.accounts import Balances
from storage.redis.errors import Fenced, StorageUnavailable, UnsafeStorage
from storage.redis.journal import entry_order
from storage.redis.link import RedisLink
from storage.redis.recovery import LINK_NAME
from storage.redis.session import RoleSession
from tests.integration.egress_rig import Books, Egress, until, wall_ms
from tests.integration.egress_rig import directory as carrier_directory
from tests.integration.gateway_rig import Gateway, gateway
from tests.integration.journal_fake import FakeJournal, delivered_callback, message, message_id, receipt, sent, top_up
from tests.integration.local_carrier import local_carrier
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.recovery_fixture import fill, guarded, raw, recovery, silent
from tests.integration.redis_picture import KEYS, picture
from tests.integration.test_joined_messages import deliver, parts_of
from tests.integration.writer_fixture import until as until_true
from tests.integration.writer_fixture import write_all
from tools.carrier.control import MoRequest, mo_delivery

pytest_plugins = ("tests.integration.postgres_fixture",)

LONG = "Long enough for three segments. " * 12
NUMBERS = (MoNumber(number="12345", account="acme"), MoNumber(number="777", account="acme", via="webhook"))
MOVING = """SELECT count(*) FROM messages
             WHERE state < 4 AND dest !~ '(404|999)$' OR state < 3 AND dest !~ '404$'"""


async def configure(connection: Connection, snapshot: Snapshot) -> None:
    """The configuration of a rig in the database as well."""
    await install(connection)
    for account in snapshot.accounts:
        await add_account(connection, account)
    for upstream in snapshot.upstreams:
        await add_upstream(connection, upstream)
    for number in snapshot.mo_numbers:
        await add_mo_number(connection, number)


def submit_sm(number: int, ending: str, text: bytes = b"hello") -> SubmitSm:
    return SubmitSm(
        source_addr_ton=5, source_addr=b"ACME", dest_addr_ton=1, dest_addr_npi=1,
        destination_addr=f"447700{number:03d}{ending}".encode(), registered_delivery=0x11, short_message=text,
    )  # fmt: skip


async def live(rig: Gateway, database: Connection) -> None:
    """Messages of every kind, until nothing moves: sent and told, refused, never answered, never receipted, long."""
    endings = ("000", "001", "003", "010", "404", "999", "888", "777")
    await rig.esme.submit(*(submit_sm(number, ending) for number, ending in enumerate(endings)))
    await until(lambda: len(rig.esme.receipts()) >= 6)
    several = SubmitMulti(
        source_addr_ton=5, source_addr=b"ACME", registered_delivery=1, short_message=b"to three",
        dest_address=[
            SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=b"447700200" + ending)
            for ending in (b"000", b"001", b"999")
        ],
        tlvs=tlv.encode([(REQUEST_KEY_TAG, b"several\0")]),
    )  # fmt: skip
    assert rig.esme.connection is not None
    rig.esme.connection.session.send_requests([(several, None)], 0.0)
    rig.esme.connection.flush()
    await until_true(lambda: are_there(database, 11))
    rig.esme.close()
    for number, ending in enumerate(("000", "001", "010", "404", "999")):
        body = {"to": f"+447700{100 + number}{ending}", "from": "ACME", "client_ref": f"order {number}"}
        text = LONG if number % 2 else "short"
        assert (await rig.http.send({**body, "text": text}, key=f"key-{number}")).status == 202
    for destination in ("12345", "777"):
        rig.carrier.deliver(b"us", [mo_delivery(MoRequest("447700900999", destination, "Grüße"))])
    for part in parts_of(Piece(b"x" * 400, 0))[1:]:
        deliver(rig.carrier, b"777", part)
    await until_true(lambda: are_there(database, 20))
    await until_true(lambda: is_quiet(database))
    await until(lambda: sum(pdu.destination_addr.endswith(b"404") for pdu in rig.taken) == 4)


async def are_there(database: Connection, messages: int) -> bool:
    return bool(await database.fetchval("SELECT count(*) FROM messages") == messages)


async def is_quiet(database: Connection) -> bool:
    return bool(await database.fetchval(MOVING) == 0)


async def is_recorded(url: str, database: Connection) -> bool:
    with Redis.from_url(url) as store:
        last = store.xinfo_stream(KEYS.journal)["last-generated-id"].decode()
    return bool(last == await database.fetchval("SELECT last_id FROM journal_offsets"))


async def test_redis_is_what_it_was(valkey_url: str, record_database: RecordDatabase, owner: Connection) -> None:
    """The whole of it: balances, queues with what is in doubt, callbacks, answers, receipts, marks, waiting parts."""
    async with gateway(valkey_url, record_database.dsn, numbers=NUMBERS) as rig:
        await configure(owner, rig.egress.index.snapshot)
        await live(rig, owner)
        await until_true(lambda: is_recorded(valkey_url, owner))
        before = picture(valkey_url)
    with raw(valkey_url) as store:
        store.flushall()
    async with recovery(valkey_url, record_database) as work:
        planned = await work.plan(silent)
        assert picture(valkey_url) == {}
        done = await work.run(silent)
    assert done == planned
    after = picture(valkey_url)
    assert after.keys() == before.keys()
    for key, value in before.items():
        assert after[key] == value, key


# --- what the record alone says -------------------------------------------------------------------------------------

SYSTEM_ERROR = 0x08


class Wounded(RedisLink):
    """A link that breaks after so many calls."""

    def __init__(self, url: str, calls: int) -> None:
        super().__init__(url, name=LINK_NAME)
        self.left = calls

    async def pipeline(self, *args: Any, **named: Any) -> list[Any]:
        self._call()
        return await super().pipeline(*args, **named)

    async def evalsha(self, *args: Any, **named: Any) -> Any:
        self._call()
        return await super().evalsha(*args, **named)

    def _call(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StorageUnavailable("cut")


async def test_a_recovery_that_is_cut_anywhere_is_refused_by_the_guard_and_ends_the_same_when_it_is_begun_again(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    with raw(valkey_url) as store:
        store.xadd(KEYS.journal, {"k": "A", "b": ""}, id="1-1")
        store.set(KEYS.out("demo"), "of the older copy")
        store.set("{u:gone:0}:corr:1", "of the older copy")
        store.set("somebody", "else's")
    pictures = []
    for calls in count():
        link = Wounded(valkey_url, calls)
        try:
            async with recovery(valkey_url, record_database, link=link) as work:
                await work.run(silent)
            break
        except StorageUnavailable:
            with pytest.raises(UnsafeStorage, match="half rebuilt"):
                await guarded(valkey_url, owner)
    assert calls > 5
    pictures.append(picture(valkey_url))
    async with recovery(valkey_url, record_database, is_forced=True) as work:
        report = await work.run(silent)
    pictures.append(picture(valkey_url))
    assert pictures[0] == pictures[1]
    assert len(pictures[0][KEYS.queue("carrier", 1, "demo")]) == report.waiting.total() == 250
    with raw(valkey_url) as store:
        assert store.get("somebody") == b"else's"
        assert not store.exists("{u:gone:0}:corr:1")
    await guarded(valkey_url, owner)


async def test_the_world_of_before_is_fenced(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    """Sessions, message ids, the journal, an older copy of it, and a writer that still has one."""
    await fill(record_database, owner)
    old_offset = await read_offset(owner, 0)
    link = RedisLink(valkey_url, name="test")
    old = RoleSession(link, KEYS, "ingress:1", "old/0")
    assert await old.take()
    async with recovery(valkey_url, record_database, is_forced=True) as work:
        await work.run(silent)
    with pytest.raises(Fenced):
        await old.run(scripts.SETTLE_OUT, [KEYS.journal, KEYS.out("demo")], [b""])
    new = RoleSession(link, KEYS, "ingress:2", "new/0")
    assert await new.take()
    assert new.epoch > old.epoch + 1_000_000 and message_ms(new.top_id) > wall_ms() - 60_000
    with pytest.raises(Fenced):
        await old.run(scripts.SETTLE_OUT, [KEYS.journal, KEYS.out("demo")], [b""])
    added = await Balances(KEYS, link).top_up(LedgerRecord("demo", "topup", 5, "new", 1))
    assert entry_order(added.journal_id) > entry_order(old_offset.last_id)
    assert not await advance_offset(owner, 0, old_offset, Offset("9999999999999-0", old_offset.ledger_id))
    await link.close()
    with raw(valkey_url) as store:
        store.flushall()
        store.hset(KEYS.meta, mapping={"install": str((await get_installation(owner)).id), "shards": 1})  # type: ignore[union-attr]  # installed
        store.xadd(KEYS.journal, {"k": "A", "b": ""}, id=old_offset.last_id)
    with pytest.raises(UnsafeStorage, match="`smscd recover`"):
        await guarded(valkey_url, owner)


async def test_a_reference_of_a_top_up_still_happens_once(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    async with recovery(valkey_url, record_database) as work:
        await work.run(silent)
    link = RedisLink(valkey_url, name="test")
    again = await orders.place(top_up(10_000_000, wall_ms()), owner, Balances(KEYS, link))
    await link.close()
    assert isinstance(again, orders.Outcome)
    assert (again.is_new, again.balance_micros) == (False, 10_000_000 - 260 * 10_000)


async def test_a_warning_of_a_low_balance_that_was_not_delivered_is_queued_once_more(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    await owner.execute(
        "INSERT INTO account_warnings SELECT n, 'demo', 'EUR', 1, 2, now(), true, n FROM generate_series(1, 2) n"
    )
    async with recovery(valkey_url, record_database) as work:
        report = await work.run(silent)
    assert report.callbacks_webhook == 1
    assert [warned.id for warned in await unqueued(owner, 10)] == [1]


async def test_callbacks_in_another_gateway_s_form_come_back_in_it(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    """Both that are open of a message, and what the receipt of one that waits will need."""
    await fill(record_database, owner)
    now_ms = wall_ms() - 5_000
    url = "jasmin:3:POST:http://theirs.example/dlr"
    told, waiting = (
        message(message_id(now_ms, number), via=2, door=2, registered_delivery=0x11, callback_url=url)
        for number in (1, 2)
    )
    journal = FakeJournal(now_ms=now_ms)
    journal.append(b"A", [told, waiting])
    taken, taken_too = sent(told, now_ms + 5, due=True), sent(waiting, now_ms + 5, due=True)
    journal.append(b"T", [taken, taken_too])
    journal.append(b"R", [receipt(told, now_ms + 9)], b"2")
    journal.append(b"C", [delivered_callback(waiting, now_ms + 20)])
    await write_all(record_database.dsn, journal)
    async with recovery(valkey_url, record_database) as work:
        assert (await work.run(silent)).callbacks_webhook == 2
    found = picture(valkey_url)
    accepted, delivered = sorted(found[KEYS.hooks], key=lambda callback: callback.state)
    assert accepted == acceptance_callback(told, "carrier", taken.upstream_message_id, now_ms + 5)
    form = read_form(delivered.url)
    assert form is not None
    request = request_of(form, delivered)
    fields = dict(parse_qsl(request.body.decode()))
    assert (request.method, fields["level"], fields["message_status"]) == ("POST", "2", "DELIVRD")
    assert (fields["id_smsc"], fields["connector"]) == (taken.upstream_message_id.decode(), "carrier")
    contexts = [context for key, held in found.items() if ":corr:" in key for context in held.values()]
    assert [context.callback_url for context in contexts if context.id == waiting.id] == [waiting.callback_url]


async def test_a_retry_that_is_not_due_waits_on_and_one_that_is_due_may_have_been_sent(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    """The ninth refusal: between 450 and 900 seconds later. Of two segments one was taken before."""
    records = await fill(record_database, owner)
    now_ms = wall_ms()
    journal = FakeJournal(now_ms=now_ms)
    halves = [message(message_id(now_ms, 1), segments=[b"one", b"two"], valid_until_ms=now_ms + 86_400_000)]
    journal.append(b"A", halves)
    journal.append(b"T", [sent(halves[0], now_ms - 400_000, state=State.SENDING)])
    refusal = {"outcome": Outcome.RETRIED, "upstream_message_id": b"", "attempt": 10, "state": State.QUEUED}
    waiting, due = records[100], records[101]
    journal.append(
        b"T",
        [
            sent(waiting, now_ms - 300_000, command_status=SYSTEM_ERROR, **refusal),
            sent(due, now_ms - 500_000, command_status=SYSTEM_ERROR, **refusal),
            sent(halves[0], now_ms - 300_000, segment=1, command_status=SYSTEM_ERROR, **refusal),
        ],
    )
    await write_all(record_database.dsn, journal)
    async with recovery(valkey_url, record_database) as work:
        report = await work.run(silent)
    found = picture(valkey_url)
    queued = found[KEYS.queue("carrier", 1, "demo")]
    assert (report.waiting["carrier"], report.doubtful["carrier"], report.later) == (251, 249, 2)
    assert found[KEYS.depth] == {b"carrier": b"251"}
    assert waiting.id not in queued and queued[due.id][0].attempt == 10 and queued[due.id][1] == [b"i0"]
    [(record, due_ms)] = found[KEYS.later("carrier")].items()
    assert decode(record, type=MessageRecord).id == waiting.id and due_ms == now_ms - 300_000 + 900_000
    [rest] = found[KEYS.rest("carrier")].values()
    assert (rest.message.id, rest.states, rest.due_ms) == (halves[0].id, b"\4\0", now_ms + 600_000)


async def test_what_is_open_is_found_at_any_age_and_the_rest_as_far_back_as_it_is_needed(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await install(owner)
    now_ms = wall_ms()
    hour_ms = 3_600_000
    journal = FakeJournal(now_ms=now_ms - 1000 * hour_ms)

    def life(hours_ago: float, *, is_sent: bool, ends: bool = False, told: bool = True) -> int:
        """The id of a message of so many hours ago."""
        journal.now_ms = at_ms = now_ms - int(hours_ago * hour_ms)
        record = message(message_id(at_ms, 1), registered_delivery=1, via=1)
        journal.append(b"A", [record])
        if is_sent:
            journal.append(b"T", [sent(record, at_ms)])
        if ends:
            journal.append(b"R", [receipt(record, at_ms + 1, due=not told)], b"2")
        return record.id

    old_callback = life(999, is_sent=True, ends=True, told=False)
    old = life(998, is_sent=False)
    life(27, is_sent=True)
    waits = life(25, is_sent=True)
    life(3, is_sent=True, ends=True)
    ended = life(0.5, is_sent=True, ends=True)
    await write_all(record_database.dsn, journal)
    async with recovery(valkey_url, record_database) as work:
        await work.run(silent)
    found = picture(valkey_url)
    correlated = [context.id for key, value in found.items() if ":corr:" in key for context in value.values()]
    assert sorted(correlated) == [waits, ended]
    assert [*found[KEYS.queue("carrier", 1, "demo")]] == [old]
    assert [callback.id for callback in found[KEYS.out("demo")]] == [old_callback]
    assert found[KEYS.state(ended)] == {ended.to_bytes(8, "big"): b"4"}


@pytest.mark.parametrize(
    ("policy", "outcome", "is_sent"),
    [("resend", Outcome.ACCEPTED, True), ("hold", None, False), ("fail", Outcome.FAILED, False)],
)
async def test_the_policy_of_the_upstream_decides_on_what_may_have_been_sent(
    valkey_url: str,
    record_database: RecordDatabase,
    owner: Connection,
    policy: str,
    outcome: Outcome | None,
    is_sent: bool,
) -> None:
    """Each of them is flagged first, and counted."""
    records = await fill(record_database, owner)
    async with recovery(valkey_url, record_database) as work:
        await work.run(silent)
    books, taken = Books(valkey_url), Counter[bytes]()
    unsent = {record.id for record in records[10:]}

    async def outcomes() -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for result in await books.records(b"T"):
            found.setdefault(result.id, []).append(result.outcome)
        return found

    async def is_decided() -> bool:
        wanted = [Outcome.DOUBTED] if outcome is None else [Outcome.DOUBTED, outcome]
        found = await outcomes()
        return found.keys() == unsent and all(found[message_id] == wanted for message_id in unsent)

    def count(callbacks: Callbacks) -> Callbacks:
        def on_events(connection: SmppConnection, events: list[ev.Event]) -> None:
            for event in events:
                if isinstance(event, ev.SubmitsReceived):
                    taken.update(pdu.destination_addr for pdu in event.pdus)
            callbacks.on_events(connection, events)

        return callbacks._replace(on_events=on_events)

    async with local_carrier(wrap=count) as (_, listener):
        egress = Egress(valkey_url, carrier_directory(listener.port, in_doubt=policy))
        await egress.start()
        try:
            await until_true(is_decided)
            depth = await books.depth()
        finally:
            await egress.stop()
            await books.close()
    assert taken == (Counter(record.dest for record in records[10:]) if is_sent else Counter())
    assert depth == (250 if policy == "hold" else 0)
