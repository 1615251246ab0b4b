"""Keys of accounts, made, rotated and revoked over the admin API; and from where accounts may come."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from smscd.admin import account_parts, keys, networks
from smscd.admin.key_office import Office
from smscd.admin.networks import Allowed
from smscd.admin.orders import Refusal
from smscd.core.directory import Account, ApiKey
from smscd.core.directory_index import DirectoryIndex
from smscd.core.limits import Limits
from smscd.core.scopes import ADMIN, READ, SEND
from smscd.ingress.http.account_keys import KeyRequest, NewKey, RevokedKey
from smscd.ingress.http.keys import KeyUses
from smscd.ingress.http.problems import Problem
from smscd.worker.key_uses import KeyUseWriter
from storage.postgres import api_keys
from storage.postgres.configuration import add_account, add_api_key, load_snapshot
from storage.postgres.pool import acquired
from tests.integration.admin_api_rig import Api

pytest_plugins = ("tests.integration.postgres_fixture", "tests.integration.admin_api_fixture")

KEYS = "/admin/v1/accounts/demo/keys"
NETWORKS = "/admin/v1/accounts/demo/networks"


async def index(api: Api) -> DirectoryIndex:
    """What every process knows when it has read the configuration again."""
    return DirectoryIndex(await load_snapshot(api.rig.database))


async def listed(api: Api) -> dict[str, dict[str, Any]]:
    _, body, _ = await api.ask("GET", KEYS, by="ben")
    return {row["key"]: row for row in body["keys"]}


async def made(api: Api, **terms: object) -> Any:
    status, body, _ = await api.ask("POST", KEYS, terms)
    assert status == 201, body
    return body


def hashed(key: dict[str, Any]) -> bytes:
    return sha256(key["api_key"].encode()).digest()


async def test_a_key_is_shown_once_stored_as_a_hash_and_is_what_was_asked_for(api: Api) -> None:
    key = await made(api, label="shop", scopes=["send"], expires_at="2030-01-01T00:00:00Z")
    assert len(key["api_key"]) == len("smk_live_") + 43 and key["api_key"].startswith(key["key"])
    row = (await listed(api))[key["key"]]
    assert row == {
        "key": key["key"], "label": "shop", "scopes": ["send"], "status": "valid", "created_at": row["created_at"],
        "expires_at": "2030-01-01T00:00:00Z", "last_used_at": None,
    }  # fmt: skip
    found = (await index(api)).key(hashed(key))
    assert found is not None
    assert (found.scopes, found.expires_ms, found.entry.account.id) == (SEND, 1_893_456_000_000, "demo")
    assert api.tells == 1
    stored = await api.rig.database.fetch(
        "SELECT api_keys::text AS key FROM api_keys UNION ALL SELECT new::text FROM audit_log"
    )
    assert not [found for found in stored if key["api_key"][len(key["key"]) :] in (found["key"] or "")]
    other = await made(api)
    plain = (await index(api)).key(hashed(other))
    assert plain is not None and (plain.scopes, plain.expires_ms) == (SEND | READ, 0)
    assert (
        await api.rig.logged()
        == [("test", "operator.add", "ann"), ("test", "operator.add", "ben")] + [("ann", "key.create", "demo")] * 2
    )


async def test_a_rotated_key_stays_valid_for_its_grace_and_its_successor_is_like_it(api: Api) -> None:
    soon = datetime.now(UTC) + timedelta(days=90)
    old = await made(api, label="shop", scopes=["read"], expires_at=soon.isoformat())
    path = f"{KEYS}/{old['key']}/rotate"
    status, new, _ = await api.ask("POST", path, {"grace_seconds": 3600})
    assert (status, new["label"], new["scopes"], new["replaces"]) == (201, "shop", ["read"], old["key"])
    assert abs(datetime.fromisoformat(new["expires_at"]) - soon) < timedelta(minutes=1)
    directory, now_ms = await index(api), datetime.now(UTC).timestamp() * 1000
    before, after = directory.key(hashed(old)), directory.key(hashed(new))
    assert before is not None and 3_590_000 < before.expires_ms - now_ms <= 3_600_000
    assert after is not None and after.scopes == READ
    status, last, _ = await api.ask("POST", f"{KEYS}/{new['key']}/rotate", {"grace_seconds": 0})
    assert status == 201 and (await index(api)).key(hashed(new)) is None
    status, body, _ = await api.ask("POST", f"{KEYS}/{new['key']}/rotate", {})
    assert (status, body["code"]) == (409, "key_not_valid")
    status, body, _ = await api.ask("POST", f"{KEYS}/{last['key']}/rotate", {"grace_seconds": -1})
    assert (status, body["code"]) == (422, "validation_failed")
    row = await api.rig.database.fetchrow(
        "SELECT old, new FROM audit_log WHERE action = 'key.rotate' ORDER BY id LIMIT 1"
    )
    assert row is not None
    assert (json.loads(row["old"])["key"], json.loads(row["new"])["key"]) == (old["key"], new["key"])


async def test_a_revoked_key_is_nobodys_for_good(api: Api) -> None:
    key = await made(api)
    for changed in (True, False):
        status, body, _ = await api.ask("DELETE", f"{KEYS}/{key['key']}")
        assert (status, body["revoked"], body["changed"], body["told"]) == (200, True, changed, True)
    assert (await listed(api))[key["key"]]["status"] == "revoked"
    again = ApiKey(key_hash=hashed(key), account="demo", prefix=key["key"])
    await add_api_key(api.rig.database, again)
    assert (await index(api)).key(hashed(key)) is None
    assert [action for _, action, _ in await api.rig.logged()][2:] == ["key.create", "key.revoke"]


async def test_an_account_has_a_limit_of_valid_keys_also_when_many_ask_at_once(api: Api) -> None:
    answers = await asyncio.gather(*(api.ask("POST", KEYS, {}) for _ in range(keys.KEYS_MAX + 5)))
    assert sorted(status for status, _, _ in answers) == [201] * keys.KEYS_MAX + [409] * 5
    refused = next(body for status, body, _ in answers if status == 409)
    assert refused["code"] == "too_many_keys" and "revoke one" in refused["detail"]
    first = next(body for status, body, _ in answers if status == 201)
    path = f"{KEYS}/{first['key']}/rotate"
    assert (await api.ask("POST", path, {}))[0] == 409
    assert (await api.ask("POST", path, {"grace_seconds": 0}))[0] == 201


REFUSED: list[tuple[str, str, object, int, str]] = [
    ("POST", KEYS, {"scopes": ["fly"]}, 422, "validation_failed"),
    ("POST", KEYS, {"scope": ["send"]}, 422, "validation_failed"),
    ("POST", KEYS, {"label": "x" * 101}, 422, "validation_failed"),
    ("POST", KEYS, {"expires_at": "2020-01-01T00:00:00Z"}, 422, "validation_failed"),
    ("POST", KEYS, {"expires_at": "2050-01-01T00:00:00Z"}, 422, "validation_failed"),
    ("POST", KEYS, {"expires_at": "2030-01-01T00:00:00"}, 422, "validation_failed"),
    ("POST", KEYS, b"{", 400, "malformed_json"),
    ("POST", "/admin/v1/accounts/none/keys", {}, 404, "not_found"),
    ("GET", "/admin/v1/accounts/none/keys", None, 404, "not_found"),
    ("DELETE", f"{KEYS}/smk_live_none", None, 404, "not_found"),
    ("POST", f"{KEYS}/smk_live_none/rotate", {}, 404, "not_found"),
    ("POST", f"{KEYS}/smk_live_none/rotate", {"expires_at": "2020-01-01T00:00:00Z"}, 422, "validation_failed"),
    ("PUT", NETWORKS, {"http": ["10.0.0.1/8"]}, 422, "validation_failed"),
    ("PUT", NETWORKS, {"http": [], "smpp": []}, 422, "validation_failed"),
    ("PUT", NETWORKS, {}, 422, "validation_failed"),
    ("PUT", NETWORKS, {"http": [f"10.0.{n}.0/24" for n in range(101)]}, 422, "validation_failed"),
    ("GET", "/admin/v1/accounts/none/networks", None, 404, "not_found"),
]


async def test_what_cannot_be_done_is_refused_and_nothing_is_told(api: Api) -> None:
    for method, path, body, status, code in REFUSED:
        got, found, _ = await api.ask(method, path, body)
        assert (got, found["code"], api.tells) == (status, code, 0), (path, body, found)


async def test_a_reader_looks_and_changes_nothing(api: Api) -> None:
    for method, path in (("POST", KEYS), ("DELETE", f"{KEYS}/x"), ("POST", f"{KEYS}/x/rotate"), ("PUT", NETWORKS)):
        assert (await api.ask(method, path, {}, by="ben"))[0] == 403
    assert (await api.ask("GET", KEYS, by="ben"))[0] == (await api.ask("GET", NETWORKS, by="ben"))[0] == 200


async def test_the_networks_of_a_door_are_put_and_shown_in_one_form(api: Api) -> None:
    status, body, _ = await api.ask("PUT", NETWORKS, {"http": ["::ffff:10.0.0.0/104", "192.0.2.7", "2001:DB8::/32"]})
    assert (status, body["http"], body["smpp"]) == (200, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"], [])
    assert body["changed"] and body["told"]
    entry = (await index(api)).entry("demo")
    assert entry is not None and entry.networks.is_open
    assert entry.http_networks.allows("192.0.2.7") and not entry.http_networks.allows("192.0.2.8")
    assert (await api.ask("PUT", NETWORKS, {"smpp": ["192.0.2.0/24"]}))[0] == 200
    assert (await api.ask("GET", NETWORKS))[1] == {
        "account": "demo", "http": ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"], "smpp": ["192.0.2.0/24"],
    }  # fmt: skip
    assert [row for row in await api.rig.logged() if row[1] == "account.allow"] == [
        ("ann", "account.allow", "demo")
    ] * 2


async def test_a_network_is_taken_away_but_the_last_one_only_with_intent(api: Api) -> None:
    database = api.rig.database

    async def change(added: str, removed: str, **how: bool) -> Allowed | Refusal:
        return await networks.change("demo", "http", added.split(), removed.split(), "ann", database, api._tell, **how)

    assert isinstance(await change("10.0.0.0/8 192.0.2.7", ""), Allowed)
    left = await change("", "::ffff:192.0.2.7")
    assert isinstance(left, Allowed) and left.http == {"10.0.0.0/8"}
    for removed, code in (("10.0.0.0/8", "last_network"), ("192.0.2.7", "validation_failed")):
        refused = await change("", removed)
        assert isinstance(refused, Refusal) and refused.code == code
    async with acquired(database) as connection:
        for name, kept in (("demo", {"10.0.0.0/8"}), ("new", frozenset[str]())):
            put = await account_parts.put(connection, Account(id=name), lambda held: held, "ann", Limits())
            assert isinstance(put, Account) and put.http_networks == kept
        in_dollars = Account(id="demo", currency="USD")
        dear = await account_parts.put(connection, in_dollars, lambda held: held, "ann", Limits())
        assert isinstance(dear, Refusal) and "has its money in EUR" in dear.detail
    cleared = await change("", "", clear=True)
    assert isinstance(cleared, Allowed) and cleared.http == frozenset()


async def test_the_first_key_of_an_account_may_do_everything_and_counts_like_any_other(api: Api) -> None:
    now = datetime.now(UTC)
    async with acquired(api.rig.database) as connection:
        for number in range(keys.KEYS_MAX):
            assert await keys.add_first(connection, "acme", f"smk_live_{number:043}", now) is None
        refused = await keys.add_first(connection, "acme", "smk_live_one_too_many", now)
    assert refused is not None and refused.code == "too_many_keys"
    found = (await index(api)).key(sha256(f"smk_live_{0:043}".encode()).digest())
    assert found is not None and found.scopes == SEND | READ | ADMIN


async def test_an_accounts_own_administrator_is_refused_in_words_of_his_own(api: Api) -> None:
    office = Office(lambda: api.rig.database, api._tell)
    made_ = await office.make("demo", KeyRequest(label="\u2028shop" + "\U0001f6d2" * 95), "smk_live_boss")
    assert isinstance(made_, NewKey) and made_.scopes == ["send", "read"]
    past = datetime.now(UTC) - timedelta(days=1)
    refusals = [
        await office.make("demo", KeyRequest(expires_at=past), "smk_live_boss"),
        await office.make("demo", KeyRequest(replaces="smk_live_none"), "smk_live_boss"),
        await office.revoke("demo", "smk_live_none", "smk_live_boss"),
    ]
    assert isinstance(await office.revoke("demo", made_.key, "smk_live_boss"), RevokedKey)
    refusals.append(await office.make("demo", KeyRequest(replaces=made_.key), "smk_live_boss"))
    codes = [refusal.code for refusal in refusals if isinstance(refusal, Problem)]
    assert codes == ["validation_failed", "not_found", "not_found", "key_not_valid"]
    assert not any("smscd " in refusal.detail for refusal in refusals if isinstance(refusal, Problem))
    assert [view.status for view in (await office.listed("demo")).data] == ["revoked"]
    assert (await api.rig.logged())[2:] == [
        ("key:smk_live_boss", "key.create", "demo"), ("key:smk_live_boss", "key.revoke", "demo"),
    ]  # fmt: skip


async def test_ended_keys_are_bounded_and_so_is_how_many_are_made_in_a_day(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "ENDED_KEPT", 3)
    monkeypatch.setattr(keys, "MADE_A_DAY_MAX", 5)
    names = []
    for _ in range(4):
        names.append((await made(api))["key"])
        assert (await api.ask("DELETE", f"{KEYS}/{names[-1]}"))[0] == 200
    await api.rig.database.execute("UPDATE api_keys SET created_at = created_at - interval '2 days'")
    last = await made(api)
    assert list(await listed(api)) == [*names[1:], last["key"]]
    for _ in range(4):
        await made(api)
    status, body, _ = await api.ask("POST", KEYS, {})
    assert (status, body["code"]) == (409, "too_many_keys") and "in a day" in body["detail"]


async def test_uses_are_written_together_and_an_older_one_changes_nothing(api: Api) -> None:
    first, second = await made(api), await made(api)
    uses = KeyUses()
    writer = KeyUseWriter(uses, lambda: api.rig.database)
    for at_ms in (1_700_000_060_000, 1_700_000_000_000):
        uses.note(hashed(first), at_ms)
        uses.note(b"\0" * 32, at_ms)
        await writer.write()
    rows = await listed(api)
    assert rows[first["key"]]["last_used_at"] == "2023-11-14T22:14:20Z"
    assert rows[second["key"]]["last_used_at"] is None
    before = await load_snapshot(api.rig.database)
    uses.note(hashed(second), 1_700_000_000_000)
    await writer.write()
    assert await load_snapshot(api.rig.database) == before, "a use is no change of the directory"


async def test_processes_that_tell_of_the_same_keys_in_any_order_do_not_block_each_other(api: Api) -> None:
    hashes = [hashed(await made(api)) for _ in range(8)]
    now = datetime.now(UTC)
    await asyncio.gather(
        *(
            api_keys.used(
                api.rig.database, {key: now + timedelta(seconds=turn) for key in hashes[:: 1 - 2 * (turn % 2)]}
            )
            for turn in range(40)
        )
    )
    assert {row["last_used_at"] for row in (await listed(api)).values()} == {
        (now + timedelta(seconds=39)).isoformat(timespec="seconds").replace("+00:00", "Z")
    }


async def test_what_an_older_release_made_may_do_what_it_did_and_no_more(api: Api) -> None:
    await add_account(api.rig.database, Account(id="old"))
    await api.rig.database.execute("INSERT INTO api_keys (key_hash, account) VALUES ($1, 'old')", b"\1" * 32)
    found = (await index(api)).key(b"\1" * 32)
    assert found is not None and (found.scopes, found.expires_ms) == (SEND | READ, 0)
