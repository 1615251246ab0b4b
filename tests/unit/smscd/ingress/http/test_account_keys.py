"""/v1/keys over real HTTP: who may, and what is refused before anybody is asked to keep or end a key."""

from __future__ import annotations

from tests.unit.smscd.ingress.http_fixture import KEY, READING_KEY, SENDING_KEY, errors_of, service

PATH = "/v1/keys"


async def test_only_an_administrator_sees_makes_and_revokes_keys() -> None:
    async with service() as http:
        for key in (SENDING_KEY, READING_KEY):
            refused = [
                await http.get(PATH, key=key),
                await http.send({}, path=PATH, key=key),
                await http.get(PATH + "/smk_live_abcd", key=key, method="DELETE"),
            ]
            assert [(reply.status, reply.problem["code"]) for reply in refused] == [(403, "scope_missing")] * 3
        assert (await http.get(PATH)).json == {"data": []}
        new = await http.send({"label": "shop"}, path=PATH)
        assert (new.status, new.json["api_key"]) == (201, "smk_live_abcd-of-acme")
        assert new.headers["cache-control"] == "no-store"
        gone = await http.get(PATH + "/smk_live_abcd", method="DELETE")
        assert (gone.status, gone.json["key"]) == (200, f"smk_live_abcd of acme by {KEY[:13]}")
        assert (await http.get(PATH + "/smk_live_abcd")).status == 405


FAULTS: list[tuple[object, set[str]]] = [
    ({"label": "x" * 101, "scopes": ["fly"], "grace_seconds": -1}, {"/label", "/scopes", "/grace_seconds"}),
    ({"label": "a\nb", "expires_at": "2030-01-01T00:00:00"}, {"/label", "/expires_at"}),
    ({"scope": ["send"], "a/b~": 1}, {"/scope", "/a~1b~0"}),
    ({"replaces": "smk_live_abcd", "label": "shop"}, {"/replaces"}),
    ({"replaces": "smk_live_abcd", "scopes": ["read"]}, {"/replaces"}),
    ({"grace_seconds": 1.5}, {"/grace_seconds"}),
    ({"label": "\x85"}, {"/label"}),
    ([], {""}),
]


async def test_every_field_at_fault_is_named() -> None:
    async with service() as http:
        for body, pointers in FAULTS:
            assert set(errors_of(await http.send(body, path=PATH))) == pointers, body


async def test_what_is_no_json_is_400_and_a_large_body_413() -> None:
    async with service() as http:
        assert (await http.send(b"{", path=PATH)).problem["code"] == "malformed_json"
        assert (await http.send({"label": "x" * 20_000}, path=PATH)).status == 413
