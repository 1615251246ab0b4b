"""One attempt at a receiver: signed, or in another gateway's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from yarl import URL

from protocols import webhooks as signatures
from smscd.core.callback_forms import read_form, request_of
from smscd.core.callback_records import CallbackRecord
from smscd.core.callbacks import trial_event, webhook_event
from smscd.core.directory import Account, WebhookEndpoint
from smscd.egress.webhooks.ports import Ask, Post
from smscd.egress.webhooks.post import url_of
from smscd.egress.webhooks.schedule import Posted

NOWHERE: Final = URL("http://invalid/")
_log = structlog.get_logger(__name__)


class Sender:
    """wall_ms: Redis TIME. allows_private: the operator allows private addresses for all accounts."""

    def __init__(self, *, post: Post, ask: Ask, wall_ms: Callable[[], int], allows_private: bool) -> None:
        self._post = post
        self._ask = ask
        self._wall_ms = wall_ms
        self._allows_private = allows_private

    async def send(
        self, record: CallbackRecord, url: URL, account: Account | None, receiver: WebhookEndpoint | None
    ) -> Posted:
        """Sign and post, or ask in another gateway's form. url: without a receiver.

        account, receiver: as they are now: their secrets may have changed since the callback was queued.
        """
        if account is None:
            return Posted(0, "no account")
        allows_private = self._allows_private or account.allows_private_callbacks
        form = read_form(record.url) if receiver is None else None
        if form is not None:
            request = request_of(form, record)
            asked = url_of(request.url)
            if asked is None:
                return Posted(0, "no valid URL")
            return await self._ask(asked, request, account=account.id, allows_private=allows_private)
        try:
            event = webhook_event(record)
            now_ms = self._wall_ms()
            secrets = receiver.secrets(now_ms) if receiver is not None else (account.webhook_secret,)
            headers = signatures.headers(event.id, now_ms // 1000, event.body, secrets)
        except signatures.SecretError:
            return Posted(0, "the account has no valid secret")
        except Exception as error:  # noqa: BLE001 - one callback that cannot be written must not stop the others
            _log.error("webhook.unwritable", message_id=record.id, error=type(error).__name__)
            return Posted(0, "cannot be written")
        url = url if receiver is None else url_of(receiver.url) or NOWHERE
        return await self._post(url, headers, event.body, account=account.id, allows_private=allows_private)

    async def test(self, event_id: str, account: Account, receiver: WebhookEndpoint) -> Posted:
        """Send an event of type webhook.test to an endpoint, enabled or not."""
        now_ms = self._wall_ms()
        event = trial_event(event_id, receiver.id, now_ms)
        headers = signatures.headers(event.id, now_ms // 1000, event.body, receiver.secrets(now_ms))
        allows_private = self._allows_private or account.allows_private_callbacks
        url = url_of(receiver.url) or NOWHERE
        return await self._post(url, headers, event.body, account=account.id, allows_private=allows_private)
