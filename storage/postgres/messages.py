"""Reads messages out of the record: one with its timeline, and segments by the upstream's id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from smscd.core.records import Conversion, MessageRecord, State
from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.rows import decode_conversion, stored_text, wire_bytes
from storage.postgres.statements import load

SEARCHED_MAX = 50_000
FOUND_OF_AN_ID_MAX = 20

_SQL = load("messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One thing that happened to a message. what: admitted, received, sent, retried, in doubt, receipt, ..."""

    at: datetime
    what: str
    segment: int | None
    attempt: int | None
    upstream: str | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One row of `messages`. source and dest: the bytes of the wire. segments: short_message of each, UDH included.

    direction: rows.Direction; state: State; callback_state: rows.CallbackState. error_code: command_status as 0x%08x,
    or the err of a receipt. timeline: empty unless it was asked for.
    """

    id: int
    account: str
    upstream: str
    direction: int
    door: int
    state: State
    source: bytes
    source_ton: int
    source_npi: int
    dest: bytes
    dest_ton: int
    dest_npi: int
    data_coding: int
    esm_class: int
    protocol_id: int
    registered_delivery: int
    service_type: bytes
    segments: tuple[bytes, ...]
    via: int
    tariff: int
    priority: int
    price_micros: int
    refunded_micros: int
    attempts: int
    maybe_duplicate: bool
    error_code: str | None
    client_ref: str | None
    request_key: str | None
    callback_url: str | None
    metadata: str | None
    tlvs: bytes | None
    group_id: int | None
    callbacks_open: int
    callback_state: int
    callback_attempts: int
    valid_until: datetime | None
    done_at: datetime | None
    callback_at: datetime | None
    timeline: tuple[TimelineEntry, ...] = ()
    conversion: Conversion | None = None
    priority_flag: int = 0
    cost_micros: int = 0
    stored_answer: bytes | None = None
    send_at: datetime | None = None
    in_doubt: int = 0

    @property
    def parts(self) -> int:
        """The short messages that it is on the air, and in the price."""
        return self.conversion.parts if self.conversion is not None else len(self.segments)


def record_of(found: StoredMessage) -> MessageRecord:
    """The message as its queue has it, made again from the record."""
    return MessageRecord(
        id=found.id,
        account=found.account,
        upstream=found.upstream,
        priority=found.priority,
        door=found.door,
        source_ton=found.source_ton,
        source_npi=found.source_npi,
        source=found.source,
        dest_ton=found.dest_ton,
        dest_npi=found.dest_npi,
        dest=found.dest,
        esm_class=found.esm_class,
        protocol_id=found.protocol_id,
        data_coding=found.data_coding,
        registered_delivery=found.registered_delivery,
        segments=list(found.segments),
        price_micros=found.price_micros,
        valid_until_ms=round(found.valid_until.timestamp() * 1000) if found.valid_until is not None else 0,
        via=found.via,
        tariff=found.tariff,
        service_type=found.service_type,
        tlvs=found.tlvs or b"",
        client_ref=found.client_ref,
        callback_url=found.callback_url,
        metadata=found.metadata.encode() if found.metadata else None,
        request_key=found.request_key,
        attempt=found.attempts,
        group_id=found.group_id or 0,
        conversion=found.conversion,
        priority_flag=found.priority_flag,
        cost_micros=found.cost_micros,
        stored_answer=found.stored_answer,
        send_at_ms=round(found.send_at.timestamp() * 1000) if found.send_at is not None else 0,
        in_doubt=found.in_doubt,
    )


async def get_message(
    database: Database, message_id: int, *, account: str | None = None, with_timeline: bool = False
) -> StoredMessage | None:
    """A message by its id; None when there is none, or when it is another account's (account None: the operator)."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["get_messages"], [message_id], account)
        if row is None:
            return None
        timeline = await _timeline(connection, message_id) if with_timeline else ()
    return message_of_row(row, timeline)


async def get_messages(database: Database, message_ids: Sequence[int], account: str | None) -> list[StoredMessage]:
    """Messages of an account (None: of all) by their ids, without timelines; what there is none of is missing."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["get_messages"], message_ids, account)
    return [message_of_row(row, ()) for row in rows]


async def dead_callbacks(
    database: Database, since: datetime, first_id: int, account: str | None, message_id: int | None, limit: int
) -> list[int]:
    """Messages whose last callback was given up since a time, and which no endpoint has a dead letter of; by id.

    first_id: none with a lower id is looked at.
    """
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["dead_callbacks"], since, first_id, account, message_id, limit)
    return [row["id"] for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadToEsme:
    """A message whose last callback no ESME took. direction: rows.Direction. state: State. at: when it was given up."""

    id: int
    account: str
    direction: int
    state: int
    attempts: int
    at: datetime
    detail: str | None


async def dead_to_esmes(
    database: Database,
    since: datetime,
    first_id: int,
    before: int,
    *,
    account: str | None,
    message_id: int | None,
    limit: int,
) -> list[DeadToEsme]:
    """Those that were given up since a time, newest messages first. before: only ids below it.

    first_id: none with a lower id is looked at, so that partitions are pruned.
    """
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["dead_to_esmes"], since, first_id, before, account, message_id, limit)
    return [DeadToEsme(**dict(row)) for row in rows]


async def get_group(database: Database, group_id: int, account: str) -> list[int]:
    """Ids of the messages of a submit_multi, the first included; empty when the id is not one's."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["get_group"], group_id, account)
    return [row["id"] for row in rows]


async def find_pending(
    database: Database, account: str, source: bytes, dest: bytes, service_type: bytes, oldest_id: int, limit: int
) -> list[int]:
    """Ids of an account's messages between two addresses that may not be sent yet, oldest first.

    service_type: b"" for any. oldest_id: bounds the search, so that partitions are pruned.
    """
    texts = [stored_text(wire).decode() for wire in (source, dest, service_type)]
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["find_pending"], account, *texts, oldest_id, limit)
    return [row["id"] for row in rows]


async def find_replaced(
    database: Database, record: MessageRecord, oldest_id: int, before_id: int, limit: int
) -> list[int]:
    """Ids of messages that may not be sent yet and have the account, addresses and service_type of `record`.

    Newest first, of the account's newest SEARCHED_MAX messages with ids from oldest_id up to before_id.
    """
    texts = [stored_text(wire).decode() for wire in (record.source, record.dest, record.service_type)]
    async with acquired(database) as connection:
        rows = await connection.fetch(
            _SQL["find_replaced"], record.account, *texts, oldest_id, before_id, SEARCHED_MAX, limit
        )
    return [row["id"] for row in rows]


async def _timeline(connection: Connection, message_id: int) -> tuple[TimelineEntry, ...]:
    return tuple(TimelineEntry(**dict(row)) for row in await connection.fetch(_SQL["get_timeline"], message_id))


def message_of_row(row: asyncpg.Record, timeline: tuple[TimelineEntry, ...] = ()) -> StoredMessage:
    """A row of get_messages, or of a page of messages."""
    values = dict(row)
    count, sizes, body = values["segments"], values.pop("segment_sizes"), values.pop("body")
    values["segments"] = (body,) if count == 1 else _cut(body, sizes)
    values["source"] = wire_bytes(values["source"])
    values["dest"] = wire_bytes(values["dest"])
    values["service_type"] = wire_bytes(values["service_type"] or "")
    values["state"] = State(values["state"])
    if values["conversion"] is not None:
        values["conversion"] = decode_conversion(values["conversion"])
    return StoredMessage(**values, timeline=timeline)


def _cut(body: bytes, sizes: Sequence[int]) -> tuple[bytes, ...]:
    segments, start = [], 0
    for size in sizes:
        segments.append(body[start : start + size])
        start += size
    return tuple(segments)


async def recorded_id(database: Database, shard: int) -> str | None:
    """The id of the last journal entry of a shard that PostgreSQL has; None when its writer never worked."""
    async with acquired(database) as connection:
        found: str | None = await connection.fetchval(_SQL["recorded_offset"], shard)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSegment:
    """A segment that an upstream accepted, by the upstream's id for it."""

    upstream_message_id: bytes
    message_id: int
    segment: int


async def find_segments(
    database: Database, upstream: str, upstream_message_ids: Sequence[bytes], oldest_id: int
) -> list[SentSegment]:
    """Segments that an upstream knows by these ids, of messages not older than oldest_id, in any order.

    Two of the same id are both returned, and no more than FOUND_OF_AN_ID_MAX: the caller decides what an ambiguous
    receipt means.
    """
    wanted = [stored_text(upstream_message_id).decode() for upstream_message_id in upstream_message_ids]
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["find_segments"], upstream, wanted, oldest_id, FOUND_OF_AN_ID_MAX)
    return [
        SentSegment(
            upstream_message_id=wire_bytes(row["upstream_message_id"]),
            message_id=row["message_id"],
            segment=row["segment"],
        )
        for row in rows
    ]


async def find_ends(database: Database, message_ids: Sequence[int]) -> dict[int, dict[int, int]]:
    """By message the segments that have had a final receipt, with the State that it told."""
    found: dict[int, dict[int, int]] = {}
    async with acquired(database) as connection:
        for message_id, segment, state in await connection.fetch(_SQL["find_ends"], message_ids):
            found.setdefault(message_id, {})[segment] = state
    return found
