"""What a key may do, until when and from where, over real HTTP; and when it was used."""

from __future__ import annotations

import time
from hashlib import sha256

from smscd.core.networks import Networks
from smscd.core.scopes import ADMIN, READ, SEND
from smscd.ingress.http.client_addresses import nearest_stranger
from smscd.ingress.http.keys import KeyUses
from smscd.ingress.http.server import Route, merged
from tests.unit.smscd.ingress.http_fixture import (
    EXPIRED_KEY,
    KEY,
    READING_KEY,
    REVOKED_KEY,
    SENDING_KEY,
    WALLED_KEY,
    Reply,
    service,
)

PROXY = "127.0.0.1"


def refusal(reply: Reply) -> tuple[int, str, str]:
    return reply.status, reply.problem["code"], reply.problem["detail"]


async def test_a_key_does_what_its_scopes_say_and_the_refusal_names_the_one_it_lacks() -> None:
    async with service() as http:
        assert refusal(await http.send(key=READING_KEY)) == (
            403, "scope_missing", "This needs a key with the scope send.",
        )  # fmt: skip
        assert refusal(await http.send(key=READING_KEY, path="/v1/messages/estimate"))[:2] == (403, "scope_missing")
        assert not http.admitter.admitted
        assert (await http.get("/v1/balance", key=READING_KEY)).status == 200
        assert (await http.get("/v1/balance", key=READING_KEY, method="HEAD")).status == 200
        assert refusal(await http.get("/v1/balance", key=SENDING_KEY)) == (
            403, "scope_missing", "This needs a key with the scope read.",
        )  # fmt: skip
        assert (await http.send(key=SENDING_KEY)).status == 202
        assert (await http.get("/problems/scope_missing", key=None)).status == 200


async def test_an_expired_key_is_401_and_says_so_and_a_revoked_one_is_like_any_other_text() -> None:
    async with service() as http:
        expired = await http.send(key=EXPIRED_KEY)
        assert refusal(expired)[:2] == (401, "key_expired") and "www-authenticate" in expired.headers
        assert refusal(await http.send(key=REVOKED_KEY)) == refusal(await http.send(key="smk_live_made_up"))
        assert (await http.get("/problems/key_expired", key=None)).status == 200


FORWARDED: list[tuple[str | None, int]] = [
    ("10.1.2.3", 200),
    ("2001:db8::7", 200),
    ("[2001:db8::7]:4711", 200),
    ("10.1.2.3:4711", 200),
    ("::ffff:10.1.2.3", 200),
    ("192.0.2.9, 10.1.2.3", 200),
    ("10.1.2.3, 127.0.0.1", 200),
    ("10.1.2.3, 192.0.2.9", 403),
    ("192.0.2.9", 403),
    ("10.1.2.3, unknown", 403),
    ("10.1.2.3,", 403),
    ("", 403),
    (None, 403),
]


async def test_behind_a_trusted_proxy_the_nearest_stranger_counts() -> None:
    async with service(trusted=(PROXY,)) as http:
        for forwarded, status in FORWARDED:
            headers = {} if forwarded is None else {"X_Forwarded_For": forwarded}
            reply = await http.get("/v1/balance", key=WALLED_KEY, **headers)
            assert reply.status == status, forwarded
            if status == 403:
                assert reply.problem["code"] == "address_not_allowed"
                assert "unknown" not in reply.problem["detail"]


async def test_who_is_no_trusted_proxy_is_taken_for_what_he_is_whatever_he_writes() -> None:
    async with service() as http:
        refused = await http.get("/v1/balance", key=WALLED_KEY, X_Forwarded_For="10.1.2.3")
        assert refusal(refused) == (
            403, "address_not_allowed", "Requests of this account may not come from 127.0.0.1.",
        )  # fmt: skip
        assert (await http.get("/v1/balance", key=KEY, X_Forwarded_For="nonsense")).status == 200
        assert (await http.get("/problems/address_not_allowed", key=None)).status == 200


async def test_each_use_is_noted_and_no_refusal() -> None:
    async with service() as http:
        before = time.time_ns() // 1_000_000
        await http.send(key=SENDING_KEY)
        for key in (READING_KEY, EXPIRED_KEY, WALLED_KEY, REVOKED_KEY):
            await http.send(key=key)
        taken = http.uses.take()
        assert list(taken) == [sha256(SENDING_KEY.encode()).digest()]
        assert before <= taken[next(iter(taken))] <= time.time_ns() // 1_000_000
        assert http.uses.take() == {}


def test_what_could_not_be_written_down_is_kept_unless_it_was_used_again() -> None:
    uses = KeyUses()
    uses.note(b"a", 1)
    uses.note(b"b", 2)
    taken = uses.take()
    uses.note(b"b", 3)
    uses.put_back(taken)
    assert uses.take() == {b"a": 1, b"b": 3}


def test_several_headers_are_one_list_and_the_last_hop_that_is_not_trusted_is_asked_for() -> None:
    trusted = Networks(("127.0.0.0/8", "10.9.0.0/16"))
    assert nearest_stranger(("192.0.2.1", "198.51.100.2, 10.9.0.1"), trusted, PROXY) == "198.51.100.2"
    assert nearest_stranger(("10.9.0.2", "10.9.0.1"), trusted, PROXY) == "10.9.0.2"
    assert nearest_stranger((), trusted, PROXY) == PROXY


async def _answer(*_: object) -> None:
    """Never called."""


def test_the_scope_of_a_resource_is_its_own_word_or_what_its_method_does() -> None:
    keyed = {"GET": _answer, "POST": _answer}
    routes = [
        Route("/v1/messages", keyed={"POST": _answer}),  # type: ignore[dict-item]  # never called
        Route("/v1/messages", keyed={"GET": _answer}),  # type: ignore[dict-item]
        Route("/v1/webhooks/{id}", keyed=keyed),  # type: ignore[arg-type]
        Route("/v1/keys", keyed=keyed, scopes={"GET": ADMIN}),  # type: ignore[arg-type]
        Route("/health/", open={"GET": _answer}),  # type: ignore[dict-item]
    ]
    assert {route.template: dict(route.scopes) for route in merged(routes)} == {
        "/v1/messages": {"POST": SEND, "GET": READ},
        "/v1/webhooks/{id}": {"GET": READ, "POST": ADMIN},
        "/v1/keys": {"GET": ADMIN, "POST": ADMIN},
        "/health/": {},
    }
