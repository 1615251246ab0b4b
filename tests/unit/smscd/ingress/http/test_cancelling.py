"""DELETE /v1/messages/{id} over TCP, with everything behind it played by the test."""

from __future__ import annotations

from smscd.ingress.changes import Change
from smscd.ingress.record import RecordBehind
from storage.redis.errors import StorageUnavailable
from tests.unit.smscd.ingress.http_fixture import OTHER_KEY, service

PLACE = "/v1/messages/42"


async def test_a_canceled_message_is_shown_and_asking_again_says_the_same() -> None:
    async with service() as http:
        http.record.write("acme", 42)
        first, again = [await http.get(PLACE, method="DELETE") for _ in range(2)]
        assert (first.status, again.status) == (200, 200)
        assert first.json == again.json == (await http.get(PLACE)).json
        assert (first.json["id"], first.json["status"]) == ("42", "canceled")


async def test_others_messages_and_what_is_no_id_are_not_found() -> None:
    async with service() as http:
        http.record.write("acme", 42)
        for path, key in ((PLACE, OTHER_KEY), ("/v1/messages/43", None), ("/v1/messages/0", None), (PLACE + "x", None)):
            reply = await http.get(path, method="DELETE", **({"key": key} if key else {}))
            assert (reply.status, reply.problem["code"]) == (404, "not_found"), path
        assert (await http.get("/v1/messages/" + "9" * 19, method="DELETE")).status == 404
        assert (await http.get(PLACE, method="DELETE", key=None)).status == 401


async def test_what_left_or_is_over_is_409_and_what_nobody_knows_is_503() -> None:
    async with service() as http:
        http.record.write("acme", 42)
        http.changes.outcome = Change.LATE
        late = await http.get(PLACE, method="DELETE")
        assert (late.status, late.problem["code"]) == (409, "not_cancelable")
        http.changes.outcome = Change.NOT_ANSWERED
        for error in (None, RecordBehind(), StorageUnavailable("away")):
            http.changes.error = error
            reply = await http.get(PLACE, method="DELETE")
            assert (reply.status, reply.problem["code"]) == (503, "storage_unavailable")
            assert reply.headers["retry-after"] == "1"
            http.changes.outcome = Change.DONE
