"""What no ESME took: listed by page, sent once more by command and over HTTP, and over once an ESME has taken it."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from click.testing import CliRunner

from smscd.cli import cli
from smscd.core.callback_records import CallbackOutcome
from smscd.egress.esme.delivering import AGE_MS_MAX, Delivering
from tests.integration.admin_api_rig import PEPPER, Api
from tests.integration.admin_rig import KEYS
from tests.integration.journal_fake import (
    FakeJournal,
    delivered_callback,
    inbound,
    message,
    message_id,
    receipt,
    sent,
)
from tests.integration.writer_fixture import write_all

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")

PATH = "/admin/v1/dead-letters/esmes"


async def test_what_no_esme_took_is_listed_and_redriven_until_one_has_taken_it(
    api: Api, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = int(time.time() * 1000)
    long_ago = now_ms - AGE_MS_MAX - 86_400_000
    told, web, fine = (
        message(message_id(long_ago, number), account="acme", via=via) for number, via in ((1, 1), (2, 2), (3, 1))
    )
    phone = inbound(message_id(long_ago, 4), long_ago, account="acme", via=1)
    journal = FakeJournal(now_ms=now_ms)
    journal.append(b"A", [told, web, fine])
    journal.append(b"T", [sent(one, long_ago + 5) for one in (told, web, fine)])
    journal.append(b"R", [receipt(one, long_ago + 9) for one in (told, web, fine)], b"222")
    journal.append(b"M", [phone])
    why = "refused with ESME_RX_P_APPN"
    ends = [delivered_callback(one, now_ms, outcome=CallbackOutcome.DEAD, detail=why) for one in (told, web)]
    of_phone = delivered_callback(told, now_ms, id=phone.id, kind=2, outcome=CallbackOutcome.DEAD, detail=why)
    journal.append(b"C", [*ends, of_phone, delivered_callback(fine, now_ms)])
    await write_all(api.rig.record.dsn, journal)

    status, page, _ = await api.ask("GET", f"{PATH}?limit=1&account=acme", by="ben")
    assert status == 200 and page["data"][0] == {
        "message_id": str(phone.id), "account": "acme", "kind": "message", "status": "delivered", "attempts": 1,
        "error": why, "at": page["data"][0]["at"],
    }  # fmt: skip
    rest = (await api.ask("GET", f"{PATH}?limit=1&cursor={page['next_cursor']}"))[1]
    assert [(one["message_id"], one["kind"]) for one in rest["data"]] == [(str(told.id), "receipt")]
    assert rest["next_cursor"] is None
    assert (await api.ask("GET", f"{PATH}?account=demo"))[1]["data"] == []
    assert (await api.ask("GET", f"{PATH}?message={told.id}"))[1]["data"] == rest["data"]

    assert (await api.ask("POST", f"{PATH}/redrive"))[1]["errors"][0]["pointer"] == "/account"
    assert (await api.ask("POST", f"{PATH}/redrive?account=acme", by="ben"))[0] == 403
    assert (await api.ask("POST", f"{PATH}/redrive?message={web.id}"))[1] == {"redriven": 0, "next_cursor": None}
    _, most = await api.rig.link.command("CONFIG", "GET", "maxmemory")
    await api.rig.link.command("CONFIG", "SET", "maxmemory", "1")
    try:
        status, refused, _ = await api.ask("POST", f"{PATH}/redrive?account=acme")
    finally:
        await api.rig.link.command("CONFIG", "SET", "maxmemory", most)
    assert (status, refused["code"]) == (503, "storage_unavailable")
    status, found, _ = await api.ask("POST", f"{PATH}/redrive?account=acme")
    assert (status, found) == (200, {"redriven": 2, "next_cursor": None})
    actions = [entry[1:] for entry in await api.rig.logged() if entry[0] == "ann"]
    redrive = ("dead_letter.redrive", "acme")
    assert actions == [redrive, ("dead_letter.redrive.refused", "acme"), redrive]

    [(entry_id, fields)] = await api.rig.link.command("XRANGE", KEYS.out("acme"), "-", "+")
    work = Delivering("acme", lambda: 0.0)
    work.add(entry_id.decode(), fields[1], now_ms)
    taken = work.take(10)
    assert [delivery.record.id for delivery in taken] == [told.id, phone.id]
    assert taken[0].record.stat == b"DELIVRD" and taken[1].record.body == b"STOP"
    work.answered([(delivery, 0) for delivery in taken], 0.0, now_ms)
    journal.append_blob(b"C", b"\x92" + b"".join(work.results))
    await write_all(api.rig.record.dsn, journal)
    assert (await api.ask("GET", PATH))[1]["data"] == []
    rows = await api.rig.database.fetch(
        "SELECT callbacks_open, callback_state FROM messages WHERE id = ANY ($1)", [told.id, phone.id]
    )
    assert [tuple(row) for row in rows] == [(0, 2)] * 2

    monkeypatch.setenv("SMSCD_REDIS_URL", valkey_url)
    monkeypatch.setenv("SMSCD_POSTGRES_DSN", api.rig.record.dsn)
    monkeypatch.setenv("SMSCD_PEPPER", PEPPER)

    async def command(*words: str, status: int = 0) -> object:
        done = await asyncio.to_thread(CliRunner().invoke, cli, ["dead-letter", *words, "--json"])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if status != 2 else None

    assert await command("esmes") == []
    await command("redrive", status=2)
    missing = await command("redrive", "--message", str(told.id), status=1)
    assert isinstance(missing, dict) and missing["code"] == "not_found"
    assert await command("redrive", "--all") == {"redriven": 0}
