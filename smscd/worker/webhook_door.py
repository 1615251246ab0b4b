"""What /v1/webhooks is made of in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smscd.egress.webhooks.sending import Sender
from smscd.ingress.http.webhooks import Webhooks
from storage.redis.bell import CONFIG_CHANNEL
from storage.redis.outbox import HookFeed

if TYPE_CHECKING:
    from smscd.daemon import Composition


def resource(parts: Composition) -> Webhooks:
    """The resource. Tests go out like deliveries do: bounded alike, to the same addresses."""
    poster = parts.poster
    sender = Sender(
        post=poster.post,
        ask=poster.ask,
        wall_ms=parts.redis_ms,
        allows_private=parts.config.webhooks.allows_private_addresses,
    )

    async def tell() -> None:
        await parts.shared.command("PUBLISH", CONFIG_CHANNEL, "webhooks")

    return Webhooks(
        pool=parts.database.get,
        ids=parts.node.ids,
        clock_ms=parts.redis_ms,
        tell=tell,
        push=HookFeed(parts.keys, parts.shared).push,
        test=sender.test,
    )
