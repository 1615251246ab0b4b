"""Every route and every command that changes something leaves exactly one entry: who, what, whence, and no secret."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click
import msgspec
import pytest
from click.testing import CliRunner

from smscd.admin import doubts, orphans, sessions
from smscd.admin.permissions import NEEDED
from smscd.cli import cli
from smscd.cli.output import operator_name
from smscd.core.callback_records import CallbackOutcome, CallbackRecord
from smscd.core.live_sessions import LiveSession, SessionAnswer, SessionAsk
from smscd.core.records import OrphanRecord, ParkedReceipt, State
from smscd.egress.dispatch.blobs import DOUBTED, Item, rest_blob
from smscd.ingress import changes
from smscd.monitoring.health import Heartbeat
from storage.postgres.orphans import insert_orphans
from storage.redis.dispatch import id8
from storage.redis.sessions import SessionAsks
from tests.integration.admin_api_rig import PEPPER, Api
from tests.integration.admin_rig import KEYS
from tests.integration.journal_fake import FakeJournal, delivered_callback, receipt, sent
from tests.integration.writer_fixture import write_all
from tests.unit.smscd.egress.doubles import message

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")

CSV, TOML = {"Content-Type": "text/csv"}, {"Content-Type": "application/toml"}
DECLARED = b'[mo_numbers.888]\naccount = "acme"\n'
UPSTREAM = {"name": "one", "host": "127.0.0.1", "port": 1, "system_id": "s", "password": "hidden-1"}
LIVE = LiveSession(
    id="b-1", worker="w/0", side="esme", name="fresh", system_id="s", mode="trx", address="192.0.2.9:1",
    interface_version="3.4", since_ms=0, window=1, in_flight=0, rate_per_second_max=0.0,
)  # fmt: skip


WAITING, SENT = (message(number, upstream="one", account="acme") for number in (7, 8))


class Order(NamedTuple):
    """A change over HTTP, and the actions that are in the log after it."""

    route: str
    path: str
    actions: tuple[str, ...]
    body: object = None
    headers: Mapping[str, str] = MappingProxyType({})


ORDERS = (
    Order("POST accounts", "accounts", ("account.add",), {"name": "fresh", "outbind_password": "hidden-2"}),
    Order("PATCH accounts/{account}", "accounts/fresh", ("account.change",), {"outbind_password": "hidden-3"}),
    Order("POST accounts/{account}/topups", "accounts/fresh/topups", ("account.topup",),
          {"reference": "a", "amount": "1"}),
    Order("POST accounts/{account}/suspend", "accounts/fresh/suspend", ("account.suspend",)),
    Order("POST accounts/{account}/resume", "accounts/fresh/resume", ("account.resume",)),
    Order("POST accounts/{account}/keys", "accounts/fresh/keys", ("key.create",), {"label": "shop"}),
    Order("POST accounts/{account}/keys/{key}/rotate", "accounts/fresh/keys/KEY/rotate", ("key.rotate",), {}),
    Order("DELETE accounts/{account}/keys/{key}", "accounts/fresh/keys/KEY", ("key.revoke",)),
    Order("PUT accounts/{account}/networks", "accounts/fresh/networks", ("account.allow",), {"http": ["192.0.2.0/24"]}),
    Order("POST accounts/{account}/credentials", "accounts/fresh/credentials", ("credential.add",),
          {"system_id": "fresh"}),
    Order("POST accounts/{account}/credentials/{system_id}/rotate", "accounts/fresh/credentials/fresh/rotate",
          ("credential.rotate",)),
    Order("DELETE accounts/{account}/credentials/{system_id}", "accounts/fresh/credentials/fresh",
          ("credential.revoke",)),
    Order("POST upstreams", "upstreams", ("upstream.add",), UPSTREAM),
    Order("PATCH upstreams/{upstream}", "upstreams/one", ("upstream.set",), {"password": "hidden-4", "binds": 2}),
    Order("POST upstreams/{upstream}/test", "upstreams/one/test?seconds=1", ("upstream.test",), {"to": "447700900123"}),
    Order("POST declarations", "declarations?plan=PLAN", ("number.set",), DECLARED, TOML),
    Order("POST prices/plans/{plan}", "prices/plans/gold?apply=true", ("price.import",), b"prefix,price\n44,1\n", CSV),
    Order("POST prices/upstreams/{upstream}", "prices/upstreams/one?apply=true", ("price.import",),
          b"prefix,price\n44,1\n", CSV),
    Order("PUT routes/{label*}", "routes/*/44", ("route.add",), {"upstreams": ["one"]}),
    Order("POST halts/{kind}/{name}/{verb}", "halts/upstreams/one/pause", ("upstream.pause",)),
    Order("POST mo", "mo", ("mo.add",), {"number": "12345", "account": "fresh"}),
    Order("DELETE mo/{number}", "mo/12345", ("mo.remove",)),
    # Nobody owns the upstream here, so that each order has a second entry which says that nobody carried it out.
    Order("POST doubts/resend", "doubts/resend", ("doubt.resend", "doubt.resend.refused"), {"upstream": "one"}),
    Order("POST doubts/fail", "doubts/fail", ("doubt.fail", "doubt.fail.refused"), {"messages": [str(message(1).id)]}),
    Order("POST orphans/match", "orphans/match", ("orphan.match", "orphan.match.refused"), {"upstream": "one"}),
    Order("POST orphans/{number}/match", "orphans/1/match", ("orphan.match", "orphan.match.refused"),
          {"message": str(SENT.id)}),
    Order("POST messages/{message}/cancel", f"messages/{WAITING.id}/cancel",
          ("message.cancel", "message.cancel.refused")),
    Order("POST sessions/{session}/disconnect", "sessions/b-1/disconnect", ("session.disconnect",)),
    Order("POST dead-letters/journal/{number}/discard", "dead-letters/journal/1/discard", ("dead_letter.discard",)),
    Order("POST dead-letters/esmes/redrive", "dead-letters/esmes/redrive?account=acme", ("dead_letter.redrive",)),
    Order("POST dead-letters/callbacks/replay", "dead-letters/callbacks/replay?account=acme", ("callback.replay",)),
    Order("POST operators", "operators", ("operator.add",), {"name": "dee", "role": "support"}),
    Order("DELETE operators/{operator}", "operators/dee", ("operator.revoke",)),
    Order("DELETE routes/{label*}", "routes/*/44", ("route.remove",)),
    Order("DELETE upstreams/{upstream}", "upstreams/one?force=true", ("upstream.remove",)),
)  # fmt: skip


@pytest.fixture
async def walked(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """With a message in doubt, one that waits, an orphan, two dead letters of the journal, and two of callbacks."""
    monkeypatch.setattr(doubts, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(orphans, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(sessions, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(changes, "ANSWER_SECONDS", 0.1)
    journal = FakeJournal(now_ms=int(time.time() * 1000) - 60_000)
    journal.append(b"A", [WAITING, SENT])
    accepted = sent(SENT, journal.now_ms)
    journal.append(b"T", [accepted])
    journal.append(b"R", [receipt(SENT, journal.now_ms)], b"2")
    journal.append(b"C", [delivered_callback(SENT, journal.now_ms, outcome=CallbackOutcome.DEAD)])
    await write_all(api.rig.record.dsn, journal)
    late = ParkedReceipt(
        accepted.upstream_message_id, b"DELIVRD", b"000", State.DELIVERED, journal.now_ms, b"raw", journal.now_ms,
        source=SENT.dest, dest=SENT.source,
    )  # fmt: skip
    async with api.rig.database.acquire() as connection:
        await insert_orphans(connection, [OrphanRecord("one", b"mark", "unknown", late)])
    item = Item(message(1, upstream="one"), None, 0)
    item.states[0] = DOUBTED
    await api.rig.link.command("HSET", KEYS.rest("one"), id8(item.record.id), rest_blob(item))
    for number in (1, 2):
        await api.rig.database.execute(
            "INSERT INTO journal_dead_letters (shard, journal_from, journal_to, kind, account, record, error)"
            " VALUES (0, '1-0', '1-0', 'A', 'fresh', 'the text', $1)",
            f"refused {number}",
        )
    given_up = CallbackRecord(1, WAITING.id, "acme", 4, b"DELIVRD", b"000", 0, 0, 5, 0, b"A", 1, 1, b"44", 0, 0, 1, b"")
    await api.rig.database.execute(
        "INSERT INTO webhook_deliveries (endpoint, event, event_type, account, message_id, status, attempts, code,"
        " detail, created_at, at, record)"
        " VALUES (7, 'msg_1_delivered', 'message.delivered', 'acme', $1, 3, 10, 500, '', now(), now(), $2)",
        WAITING.id,
        msgspec.msgpack.encode(given_up),
    )
    return api


async def newest_key(api: Api) -> str:
    found = await api.rig.database.fetchval(
        "SELECT prefix FROM api_keys WHERE expires_at IS NULL AND NOT is_revoked ORDER BY created_at DESC LIMIT 1"
    )
    return str(found)


async def entries(api: Api, after: int) -> list[dict[str, Any]]:
    rows = await api.rig.database.fetch("SELECT * FROM audit_log WHERE id > $1 ORDER BY id", after)
    return [dict(row) for row in rows]


async def last_entry(api: Api) -> int:
    return int(await api.rig.database.fetchval("SELECT coalesce(max(id), 0) FROM audit_log"))


async def work(api: Api, is_silent: Callable[[], bool]) -> None:
    """A worker with one session, which answers unless it is silent."""
    asks, answered = SessionAsks(KEYS, api.rig.link), set[str]()
    while True:
        seconds, micros = await api.rig.link.command("TIME")
        beat = Heartbeat(owner="w/0", at_ms=int(seconds) * 1000 + int(micros) // 1000)
        await api.rig.link.command("HSET", KEYS.heartbeat, "w/0", msgspec.json.encode(beat))
        for number, question in (await asks.asked()).items():
            if number not in answered and not is_silent():
                ask = msgspec.msgpack.decode(question, type=SessionAsk)
                answered.add(number)
                answer = SessionAnswer([LIVE], ask.ends == LIVE.id)
                await asks.answer(number, "w/0", msgspec.msgpack.encode(answer))
        await asyncio.sleep(0.01)


def test_the_walk_over_the_routes_leaves_none_out() -> None:
    assert {order.route for order in ORDERS} == {route for route in NEEDED if not route.startswith("GET ")}


async def test_each_route_that_changes_something_leaves_one_entry_and_a_refused_one_none(walked: Api) -> None:
    worker = asyncio.create_task(work(walked, lambda: False))
    try:
        async with walked.rig.writing():
            for order in ORDERS:
                path = f"/admin/v1/{order.path}".replace("KEY", await newest_key(walked))
                if "PLAN" in path:
                    planned = await walked.ask("POST", "/admin/v1/declarations", DECLARED, **TOML)
                    path = path.replace("PLAN", planned[1]["id"])
                method = order.route.split()[0]
                before = await last_entry(walked)
                if NEEDED[order.route] != "read":
                    assert (await walked.ask(method, path, order.body, by="ben", **order.headers))[0] == 403, (
                        order.route
                    )
                assert (await walked.ask(method, path, order.body, by=None, **order.headers))[0] == 401, order.route
                assert await entries(walked, before) == [], order.route
                status, body, _ = await walked.ask(method, path, order.body, **order.headers)
                assert status in (200, 201, 202) or body["code"] == "not_answered", (order.route, body)
                found = await entries(walked, before)
                assert tuple(entry["action"] for entry in found) == order.actions, order.route
                assert {(entry["operator"], entry["address"]) for entry in found} == {("ann", "127.0.0.1")}
                assert all(entry["old"] or entry["new"] for entry in found), order.route
                secrets = re.findall(r"hidden-\d", json.dumps(found, default=str))
                secrets += [
                    value
                    for name, value in body.items()
                    if name in ("password", "webhook_secret", "token", "api_key") and value
                ]
                assert not [secret for secret in secrets if secret in json.dumps(found, default=str)], order.route
    finally:
        worker.cancel()


async def test_a_worker_that_does_not_answer_is_named_and_nothing_is_ended(walked: Api) -> None:
    is_silent = False
    worker = asyncio.create_task(work(walked, lambda: is_silent))
    try:
        while (found := (await walked.ask("GET", "/admin/v1/sessions", by="ben"))[1])["sessions"] == []:
            await asyncio.sleep(0.01)
        assert found == {"sessions": [msgspec.to_builtins(LIVE)], "silent": []}
        assert (await walked.ask("GET", "/admin/v1/sessions?side=upstream"))[1]["sessions"] == []
        assert (await walked.ask("POST", "/admin/v1/sessions/b-2/disconnect"))[0] == 404
        is_silent = True
        assert (await walked.ask("GET", "/admin/v1/sessions"))[1] == {"sessions": [], "silent": ["w/0"]}
        refused = (await walked.ask("POST", "/admin/v1/sessions/b-1/disconnect"))[1]
        assert refused["status"] == 404 and "w/0 did not answer" in refused["detail"]
    finally:
        worker.cancel()
    assert [entry for entry in await walked.rig.logged() if entry[1].startswith("session")] == []


async def test_a_dead_letter_is_listed_until_it_is_closed_and_stays(walked: Api) -> None:
    path = "/admin/v1/dead-letters/journal"
    page = (await walked.ask("GET", f"{path}?limit=1&account=fresh", by="ben"))[1]
    assert [letter["error"] for letter in page["data"]] == ["refused 2"] and "the text" not in str(page)
    rest = (await walked.ask("GET", f"{path}?limit=2&cursor={page['next_cursor']}"))[1]
    assert ([letter["id"] for letter in rest["data"]], rest["next_cursor"]) == (["1"], None)
    status, closed, _ = await walked.ask("POST", f"{path}/1/discard")
    assert (status, closed["closed_by"]) == (200, "ann") and closed["closed_at"]
    assert (await walked.ask("POST", f"{path}/1/discard"))[1]["code"] == "already_closed"
    assert (await walked.ask("POST", f"{path}/99/discard"))[0] == 404
    assert [letter["id"] for letter in (await walked.ask("GET", path))[1]["data"]] == ["2"]
    assert len((await walked.ask("GET", f"{path}?closed=true"))[1]["data"]) == 2


async def test_a_callback_that_was_given_up_is_listed_and_sent_once_more(walked: Api) -> None:
    path = "/admin/v1/dead-letters/callbacks"
    status, listed, _ = await walked.ask("GET", path, by="ben")
    assert (status, [one["event"] for one in listed["callbacks"]]) == (200, ["msg_1_delivered"])
    assert (await walked.ask("POST", f"{path}/replay"))[0] == 422
    assert (await walked.ask("POST", f"{path}/replay?account=acme", by="ben"))[0] == 403
    assert (await walked.ask("POST", f"{path}/replay?message={WAITING.id}"))[1] == {"replayed": 1}
    assert (await walked.ask("GET", path))[1] == {"callbacks": []}
    assert len(await walked.rig.link.command("XRANGE", KEYS.hooks, "-", "+")) == 1


READING = {
    "account list", "account show", "account statement", "audit list", "callback list", "credential list", "db status",
    "dead-letter esmes", "dead-letter list", "doubt list", "halted", "key list", "ledger verify", "message show",
    "mo list", "operator list", "orphan list", "pdu decode", "pdu trace", "price quote", "queue list", "route explain",
    "route list", "route show", "session list", "totals", "upstream list", "upstream show",
}  # fmt: skip
NOT_OF_OPERATORS = {
    "demo", "serve", "carrier", "bench http", "bench run", "bench smpp",
    "send",  # a customer's, with a key
    "db migrate",  # in schema_migrations
}  # fmt: skip
ELSEWHERE = {
    "recover",  # in test_recover_command
    "pause route", "drain route", "resume route", "resume account", "drain account",  # one function with pause upstream
}  # fmt: skip
FILES = {
    "prices.csv": "prefix,price\n44,1\n",
    "routes.csv": "prefix,upstreams\n49,one\n",
    "plan.toml": '[mo_numbers.777]\naccount = "acme"\n',
    "kannel.conf": (
        "group = smsc\nsmsc = smpp\nsmsc-id = two\nhost = 192.0.2.2\nport = 1\nsmsc-username = u\n"
        "smsc-password = hidden-5\n"
    ),
}
COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("account add walker --balance 1", ("account.add", "account.topup")),
    ("account set walker burst=3", ("account.change",)),
    ("account limits walker --velocity-day 3", ("account.change",)),
    ("account durability walker strict", ("account.change",)),
    ("account tags walker --add vip", ("account.tags",)),
    ("account topup walker 1 --reference t --wait 5", ("account.topup",)),
    ("account adjust walker 1 --note why --wait 0", ("account.adjust",)),
    ("account correct walker 1 --of t --note why --wait 0", ("account.correction",)),
    ("account suspend walker", ("account.suspend",)),
    ("account resume walker", ("account.resume",)),
    ("key create walker --label shop", ("key.create",)),
    ("key rotate walker KEY", ("key.rotate",)),
    ("key revoke walker KEY", ("key.revoke",)),
    ("account allow walker --door http --add 192.0.2.0/24", ("account.allow",)),
    ("credential add walker more", ("credential.add",)),
    ("credential rotate walker more", ("credential.rotate",)),
    ("credential revoke walker more", ("credential.revoke",)),
    ("operator add cy", ("operator.add",)),
    ("operator revoke cy", ("operator.revoke",)),
    ("upstream add one --host 127.0.0.1 --port 1 --system-id s --password hidden-6", ("upstream.add",)),
    ("upstream set one --binds 2", ("upstream.set",)),
    ("upstream disable one", ("upstream.disable",)),
    ("upstream enable one", ("upstream.enable",)),
    ("pause upstream one", ("upstream.pause",)),
    ("drain upstream one", ("upstream.drain",)),
    ("resume upstream one", ("upstream.resume",)),
    ("pause account walker", ("account.pause",)),
    ("mo add 555 --account walker", ("mo.add",)),
    ("mo remove 555", ("mo.remove",)),
    ("price import prices.csv --plan gold --apply", ("price.import",)),
    ("route add */44 --upstream one", ("route.add",)),
    ("route set */44 --source ACME*", ("route.set",)),
    ("route remove */44", ("route.remove",)),
    ("route import routes.csv --apply", ("route.add",)),
    ("route remove */49", ("route.remove",)),
    ("upstream test one --to 447700900123 --wait 0", ("upstream.test",)),
    ("apply plan.toml --yes", ("number.set",)),
    ("import kannel.conf --yes", ("upstream.add", "route.add")),  # one for each thing that it makes
    ("doubt resend --upstream one", ("doubt.resend", "doubt.resend.refused")),
    ("doubt fail --upstream one", ("doubt.fail", "doubt.fail.refused")),
    ("orphan match --upstream one", ("orphan.match", "orphan.match.refused")),
    ("session disconnect b-1", ("session.disconnect",)),
    ("callback replay --account acme --all", ("callback.replay",)),
    ("dead-letter redrive --account acme", ("dead_letter.redrive",)),
    ("dead-letter discard 1", ("dead_letter.discard",)),
    ("upstream remove one --force", ("upstream.remove",)),
    ("seed", ("seed",)),
)


def leaves(command: click.Command, words: tuple[str, ...] = ()) -> list[str]:
    """All commands that do something."""
    if not isinstance(command, click.Group):
        return [" ".join(words)]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        found += leaves(below, (*words, name))
    return found


def command_of(line: str) -> str:
    return next(one for one in sorted(leaves(cli), key=len, reverse=True) if f"{line} ".startswith(f"{one} "))


def test_the_walk_over_the_commands_leaves_none_out() -> None:
    walked = {command_of(line) for line, _ in COMMANDS}
    groups = (walked, READING, NOT_OF_OPERATORS, ELSEWHERE)
    assert set().union(*groups) == set(leaves(cli))
    assert sum(map(len, groups)) == len(set().union(*groups))


async def test_each_command_that_changes_something_leaves_one_entry(
    walked: Api, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    environment = {
        "SMSCD_REDIS_URL": valkey_url, "SMSCD_POSTGRES_DSN": walked.rig.record.dsn, "SMSCD_PEPPER": PEPPER,
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    worker = asyncio.create_task(work(walked, lambda: False))
    try:
        async with walked.rig.writing():
            for line, actions in COMMANDS:
                before = await last_entry(walked)
                words = line.replace("KEY", await newest_key(walked)).split()
                done = await asyncio.to_thread(CliRunner().invoke, cli, words, env=environment)
                found = await entries(walked, before)
                assert tuple(entry["action"] for entry in found) == actions, (line, done.output, done.exception)
                assert {(entry["operator"], entry["address"]) for entry in found} <= {(operator_name(), "local")}
                said = json.dumps(found, default=str)
                assert "hidden" not in said and "whsec_" not in said, line
    finally:
        worker.cancel()
