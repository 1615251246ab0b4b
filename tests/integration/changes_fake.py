"""Messages as the record has them, and who may change them, played for tests of the SMPP door."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from smscd.core.records import MessageRecord, State
from smscd.ingress.changes import Change
from storage.postgres.messages import StoredMessage
from storage.redis.errors import StorageUnavailable


def stored(message_id: int, **changes: Any) -> StoredMessage:
    """A queued message from ACME to a number."""
    values: dict[str, Any] = {
        "id": message_id, "account": "acme", "upstream": "up", "direction": 1, "door": 1, "state": State.QUEUED,
        "source": b"ACME", "source_ton": 5, "source_npi": 0, "dest": b"447700900123", "dest_ton": 1, "dest_npi": 1,
        "data_coding": 0, "esm_class": 0, "protocol_id": 0, "registered_delivery": 1, "service_type": b"",
        "segments": (b"hello",), "via": 1, "tariff": 0, "priority": 1, "price_micros": 10_000, "refunded_micros": 0,
        "attempts": 0, "maybe_duplicate": False, "error_code": None, "client_ref": None, "request_key": None,
        "callback_url": None, "metadata": None, "tlvs": None, "group_id": None, "conversion": None, "callbacks_open": 0,
        "callback_state": 0, "callback_attempts": 0, "valid_until": datetime(2030, 1, 1, tzinfo=UTC), "done_at": None,
        "callback_at": None, **changes,
    }  # fmt: skip
    return StoredMessage(**values)


class FakeChanges:
    """MessageChanges over a dictionary. outcomes: what a change of a message ends as, DONE where none is given."""

    def __init__(self, *messages: StoredMessage) -> None:
        self.messages = {message.id: message for message in messages}
        self.outcomes: dict[int, Change] = {}
        self.cancelled: list[int] = []
        self.replaced: list[MessageRecord] = []
        self.searches: list[tuple[bytes, bytes, bytes]] = []
        self.is_away = False

    async def find(self, account: str, message_id: int) -> StoredMessage | None:
        if self.is_away:
            raise StorageUnavailable("away")
        found = self.messages.get(message_id)
        return found if found is not None and found.account == account else None

    async def group(self, account: str, group_id: int) -> list[StoredMessage]:
        return [message for message in self.messages.values() if message.group_id == group_id]

    async def pending(
        self, account: str, source: bytes, dest: bytes, service_type: bytes, now_ms: int, limit: int
    ) -> list[int]:
        self.searches.append((source, dest, service_type))
        return [
            message.id
            for message in self.messages.values()
            if (message.account, message.source, message.dest) == (account, source, dest)
        ]

    async def catch_up(self) -> None:
        if self.is_away:
            raise StorageUnavailable("away")

    async def replaced_by(self, record: MessageRecord, before_id: int, now_ms: int, limit: int) -> list[int]:
        await self.catch_up()
        return [
            message.id
            for message in self.messages.values()
            if message.id < before_id
            and (message.account, message.source, message.dest) == (record.account, record.source, record.dest)
        ]

    async def replace(self, account: str, message_id: int, make: Callable[[StoredMessage], MessageRecord]) -> Change:
        self.replaced.append(make(self.messages[message_id]))
        return self.outcomes.get(message_id, Change.DONE)

    async def cancel(self, account: str, message_id: int) -> Change:
        self.cancelled.append(message_id)
        return self.outcomes.get(message_id, Change.DONE)
