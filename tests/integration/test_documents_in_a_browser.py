"""Both document pages in Debian's Chromium: a message is sent from one of them, and no other host is asked."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright

from tests.integration.http_rig import http_rig
from tests.integration.postgres_databases import RecordDatabase

pytest_plugins = ("tests.integration.postgres_fixture",)
pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None,
    reason="Chromium is missing; `make peers` as root brings it (apt-get install chromium)",
)

BODY = '{"to": "+447700900123", "from": "ACME", "text": "Sent by hand"}'
PATIENCE_MS = 20_000


@asynccontextmanager
async def page_of(port: int) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page, and what went wrong in it so far: failed or foreign requests, and what the browser complains of."""
    trouble: list[str] = []
    async with async_playwright() as engine:
        browser = await engine.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: trouble.append(f"error {error}"))
        page.on("console", lambda said: trouble.append(said.text) if said.type in ("error", "warning") else None)
        page.on("requestfailed", lambda request: trouble.append(f"failed {request.url}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("data:", "blob:")) or urlsplit(request.url).netloc == f"127.0.0.1:{port}"
                else trouble.append(f"foreign {request.url}")
            ),
        )
        page.on("response", lambda reply: trouble.append(f"{reply.status} {reply.url}") if reply.status > 399 else None)
        try:
            yield page, trouble
        finally:
            await browser.close()


async def test_a_message_is_sent_from_the_docs_and_the_schema_is_shown(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig, page_of(rig.port) as (page, trouble):
        await page.goto(f"http://127.0.0.1:{rig.port}/api/docs/")
        await page.get_by_role("button", name="Authorize").click()
        await page.get_by_label("Value").fill("key-of-acme")
        await page.get_by_role("button", name="Apply credentials").click()
        await page.get_by_role("button", name="Close").click()
        operation = page.locator("#operations-messages-sendMessage")
        await operation.locator(".opblock-summary").click()
        await operation.locator("textarea.body-param__text").fill(BODY)
        await operation.get_by_role("button", name="Execute").click()
        shown = operation.locator(".live-responses-table tbody .response-col_status").first
        await shown.wait_for()
        assert "202" in await shown.inner_text()
        balance = await rig.get("/v1/balance")
        assert balance.json["balance"]["amount"] == "9.9900"

        await page.goto(f"http://127.0.0.1:{rig.port}/api/schema/")
        await page.get_by_role("heading", name="Send a message").wait_for()
        styled = await page.locator("#page").evaluate("node => getComputedStyle(node.querySelector('h1')).fontSize")
        assert styled != "32px", "its own styles are let in by the policy"

        await page.goto(f"http://127.0.0.1:{rig.port}/problems/")
        await page.get_by_role("link", name="rate_limited").click()
        await page.get_by_text("Send no faster than RateLimit-Policy says").wait_for()
        assert trouble == []
