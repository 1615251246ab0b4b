"""What Redis holds, read so that two states can be compared: without entry ids, times to live, and who is at work."""

from __future__ import annotations

from typing import Any

import msgspec
from redis import Redis

from smscd.core.callback_records import CallbackRecord
from smscd.core.records import HeldPart, MessageRecord, SentContext
from smscd.egress.dispatch.blobs import RestRecord
from storage.redis.keys import ShardKeys

KEYS = ShardKeys(0)
_messages = msgspec.msgpack.Decoder(list[MessageRecord]).decode
_callbacks = msgspec.msgpack.Decoder(list[CallbackRecord]).decode
_rest = msgspec.msgpack.Decoder(RestRecord).decode
_held = msgspec.msgpack.Decoder(HeldPart).decode
_context = msgspec.msgpack.Decoder(SentContext).decode


def picture(url: str) -> dict[str, Any]:
    """By key: what it says. Queued messages stand with the marks of their segments, callbacks in the order of ids."""
    found: dict[str, Any] = {}
    with Redis.from_url(url) as store:
        for name in sorted(store.keys("*")):
            key = name.decode()
            value = _read(store, key)
            if value is not None:
                found[key] = value
    return found


def _read(store: Redis, key: str) -> Any:
    kind = key.partition("}:")[2].partition(":")[0]
    match kind:
        case "acct":
            return store.hget(key, "balance")
        case "q":
            return {record.id: (record, marks) for record, marks in _queued(store, key)}
        case "out" | "hooks" if store.type(key) == b"stream":
            callbacks = [callback for _, fields in store.xrange(key) for callback in _callbacks(fields[b"b"])]
            return sorted(callbacks, key=lambda callback: (callback.id, callback.done_ms))
        case "rest":
            return {field: _rest(blob) for field, blob in store.hgetall(key).items()}
        case "corr":
            return {field: _context(blob) for field, blob in store.hgetall(key).items()}
        case "later":
            return {member[2 + int.from_bytes(member[:2], "big") :]: due for member, due in store.zscan_iter(key)}
        case "join":
            return {field: _held(blob) for field, blob in store.hgetall(key).items()}
        case "idem" | "state" | "depth" | "changes" | "overflow" if store.type(key) == b"hash":
            return store.hgetall(key)
        case "refunded" | "ready":
            return store.smembers(key)
    return None


def _queued(store: Redis, queue: str) -> list[tuple[MessageRecord, list[bytes]]]:
    found = []
    for entry_id, fields in store.xrange(queue):
        marks = store.hgetall(KEYS.open(queue, entry_id.decode()))
        for index, record in enumerate(_messages(fields[b"b"])):
            segments = range(len(record.segments))
            held = [marks.get(b"%d.%d" % (index, segment), b"") for segment in segments]
            if not all(mark == b"d" for mark in held):
                found.append((record, held))
    return found
