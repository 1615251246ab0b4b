"""The webhook receiver notes what it took, and only that."""

from pathlib import Path

import aiohttp

from tools.record import read_record
from tools.webhook_sink import WebhookSink

EVENT = {"type": "message.delivered", "data": {"id": "77", "status": "delivered"}}


async def test_delivery_that_was_accepted_is_a_line_and_a_refused_one_is_not(tmp_path: Path) -> None:
    sink = WebhookSink(tmp_path / "hooks.record")
    await sink.start()
    try:
        async with aiohttp.ClientSession(headers={"webhook-id": "msg_1", "webhook-signature": "v1,x"}) as session:
            sink.status = 500
            async with session.post(sink.url, json=EVENT) as answer:
                assert answer.status == 500
            sink.status = 204
            async with session.post(sink.url, json=EVENT) as answer:
                assert answer.status == 204
    finally:
        await sink.close()
    (line,) = read_record(tmp_path / "hooks.record")
    assert (line.kind, line.token, line.id, line.status) == (b"hook", b"msg_1", b"77", b"message.delivered")
    assert sink.requests == {500: 1, 204: 1}
    assert [headers["webhook-signature"] for headers, _ in sink.signatures] == ["v1,x", "v1,x"]
