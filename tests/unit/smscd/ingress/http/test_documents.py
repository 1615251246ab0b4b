"""The pages for browsers: whole, from us alone, and one for every type of problem that an answer may name."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

import pytest

from smscd.ingress.http.documents import ASSETS, DOCS, PAGES, SCHEMA, problem_types
from smscd.ingress.http.openapi import CODES
from smscd.ingress.http.problem_advice import ADVICE
from tests.unit.smscd.ingress.http_fixture import service

FOLDER = files("smscd.ingress.http") / "pages"
LOADED = re.compile(rb"""(?:src|href)="([^"]*)\"""")


@pytest.mark.parametrize("path", [DOCS, SCHEMA, "/problems/", "/problems/rate_limited"])
async def test_a_page_and_all_that_it_loads_come_from_here(path: str) -> None:
    async with service() as http:
        page = await http.get(path, key=None)
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; ") and "unsafe" not in policy and "http" not in policy
        addresses = [address.decode() for address in LOADED.findall(page.body)]
        assert addresses and all(address.startswith("/") for address in addresses)
        for address in addresses:
            found = await http.get(address, key=None)
            assert found.status == 200, address
            assert found.headers["x-content-type-options"] == "nosniff"


async def test_an_asset_keeps_its_type_and_its_octets() -> None:
    async with service() as http:
        for name, content_type in ASSETS.items():
            found = await http.get(PAGES + name.rpartition("/")[2], key=None)
            assert (found.headers["content-type"], found.body) == (content_type, (FOLDER / name).read_bytes())
        assert (await http.get(PAGES + "docs.html", key=None)).status == 404


def test_what_others_made_is_what_was_fetched_and_names_no_host_of_theirs() -> None:
    for line in (FOLDER / "vendor" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        content = (FOLDER / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        assert b"cdn.redoc" not in content


async def test_every_type_of_problem_has_a_page_that_says_what_to_do() -> None:
    assert [kind.code for kind in problem_types()] == list(CODES) == sorted(ADVICE)
    async with service() as http:
        for code in CODES:
            page = await http.get("/problems/" + code, key=None)
            assert page.status == 200 and code.encode() in page.body
        limited = await http.get("/problems/rate_limited", key=None)
        assert b"429" in limited.body and b"ESME_RTHROTTLED" in limited.body
        unknown = await http.get("/problems/no_such_problem", key=None)
        assert unknown.status == 404 and unknown.json["type"] == "/problems/not_found"


async def test_the_headers_of_one_answer_stay_its_own() -> None:
    async with service() as http:
        named = await (await http.connect()).ask("GET", DOCS, {"X-Request-ID": "mine"})
        assert named.headers["x-request-id"] == "mine"
        assert "x-request-id" not in (await http.get(DOCS, key=None)).headers
