"""What must hold, read from Redis and from the journal by the writer's own merge, and never from what a worker says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec

from smscd.archive.merge import Batch
from smscd.core.callback_records import CallbackOutcome, CallbackResult
from smscd.core.records import JournalKind, MessageRecord, Outcome, ReceiptRecord, ResultRecord, State, Tariff
from smscd.egress.dispatch.blobs import SETTLED_MARK, open_rest
from storage.redis.journal import JournalEntry
from storage.redis.keys import UpstreamKeys
from tests.simulation.carrier import Carrier, Told
from tests.simulation.esme import Esme
from tests.simulation.gateway import KEYS
from tests.simulation.store import Server

TOLD = ord("1")
ENDS = (Outcome.FAILED, Outcome.EXPIRED, Outcome.CANCELED, Outcome.UNKNOWN)
FAILURES = (State.UNDELIVERED, State.EXPIRED, State.REJECTED, State.FAILED, State.CANCELED)
_records = msgspec.msgpack.Decoder(list[MessageRecord]).decode
_record = msgspec.msgpack.Decoder(MessageRecord).decode
_results = msgspec.msgpack.Decoder(list[ResultRecord]).decode
_receipts = msgspec.msgpack.Decoder(list[ReceiptRecord]).decode
_callbacks = msgspec.msgpack.Decoder(list[CallbackResult]).decode


class Broken(AssertionError):
    """A law does not hold."""


def must(holds: object, what: str) -> None:
    """Raise Broken unless it holds."""
    if not holds:
        raise Broken(what)


class Books:
    """The journal as far as it was read, and what was learned from it."""

    def __init__(self, server: Server, upstreams: tuple[str, ...], accounts: tuple[str, ...]) -> None:
        self.batch = Batch()
        self.ids_of: dict[bytes, list[int]] = defaultdict(list)
        self.results: dict[int, list[ResultRecord]] = defaultdict(list)
        self.receipts: dict[int, list[tuple[ReceiptRecord, int]]] = defaultdict(list)
        self.reported: set[tuple[bytes, bytes]] = set()
        self.dues: Counter[int] = Counter()
        self.dead: set[int] = set()
        self.untold: set[int] = set()
        self._server = server
        self._upstreams = upstreams
        self._accounts = accounts
        self._after = "0-0"

    @property
    def admitted(self) -> dict[int, MessageRecord]:
        """Every message that was."""
        return self.batch.admitted

    def read(self) -> None:
        """Take what is new in the journal in."""
        for entry_id, fields in self._server.call(("XRANGE", KEYS.journal, f"({self._after}", "+"))[0]:
            named = dict(zip(fields[::2], fields[1::2], strict=True))
            entry = JournalEntry(
                entry_id.decode(), named[b"k"], named[b"b"], named.get(b"e", b""), named.get(b"r", b"")
            )
            self._after = entry.id
            self.batch.add(entry)
            self._take(entry)
        must(not self.batch.dead, f"the writer refuses {self.batch.dead[:1]}")

    def _take(self, entry: JournalEntry) -> None:
        if entry.kind == JournalKind.ADMITTED:
            for message in _records(entry.blob):
                self.ids_of[message.dest].append(message.id)
        elif entry.kind == JournalKind.TURN:
            told = iter(entry.refunds)
            for result in _results(entry.blob):
                self.results[result.id].append(result)
                if result.outcome in ENDS and next(told, TOLD) != TOLD:
                    self.untold.add(result.id)
                else:
                    self.dues[result.id] += result.due
        elif entry.kind == JournalKind.RECEIPTS:
            for receipt, effect in zip(_receipts(entry.blob), entry.effects, strict=True):
                self.receipts[receipt.id].append((receipt, effect - 0x30))
                self.reported.add((receipt.upstream_message_id, receipt.stat))
                self.dues[receipt.id] += receipt.due and effect == 0x32
        elif entry.kind == JournalKind.CALLBACKS:
            self.dead |= {each.id for each in _callbacks(entry.blob) if each.outcome == CallbackOutcome.DEAD}

    # --- at every moment --------------------------------------------------------------------------------------------

    def was_admitted(self, message_id: int) -> bool:
        """Law 1, at the moment of a yes."""
        if message_id not in self.admitted:
            self.read()
        return message_id in self.admitted

    def is_durable(self, upstream: str, told: Told) -> bool:
        """Law 7, at the moment in which a receipt is acknowledged: in the journal, or parked."""
        if (told.message_id, told.stat) not in self.reported:
            self.read()
        if (told.message_id, told.stat) in self.reported:
            return True
        return any(told.message_id in key for key in self._server.call(("HKEYS", UpstreamKeys(upstream).park(0)))[0])

    def check(self, carriers: Iterable[Carrier]) -> None:
        """Everything that holds at every moment."""
        self.read()
        self._check_money()
        self._check_places()
        for carrier in carriers:
            self._check_duplicates(carrier)
        for message_id, results in self.results.items():
            ends = [result for result in results if result.outcome in ENDS]
            # An answer to another copy may still come, which is only put on record.
            sent = any(result.outcome == Outcome.ACCEPTED and result.state == State.SENT for result in results)
            must(len(ends) + sent <= 1, f"{message_id} ended {len(ends) + sent} times: {results}")
        for message_id, receipts in self.receipts.items():
            must(sum(effect == 2 for _, effect in receipts) <= 1, f"{message_id} had two final receipts")
        for message_id, due in self.dues.items():
            must(due <= 1, f"{message_id} is told {due} ends")
        for message_id in self.untold:
            is_over = any(effect == 2 for _, effect in self.receipts.get(message_id, ()))
            must(is_over, f"{message_id} has an end that nobody is told, and no receipt ended it")

    def _check_money(self) -> None:
        batch = self.batch
        held = self._server.call(*(("HGET", KEYS.acct(name), "balance") for name in self._accounts))
        for name, balance in zip(self._accounts, held, strict=True):
            ordered = sum(order.amount_micros for _, order in batch.orders if order.account == name)
            charged, refunded = batch.charges.get(name, [0])[0], batch.refunds.get(name, [0])[0]
            must(
                int(balance) == ordered - charged + refunded,
                f"{name} has {balance}, not {ordered} - {charged} + {refunded}",
            )
        for message_id, learned in batch.learned.items():
            message = batch.admitted.get(message_id)
            if message is not None and learned.refunded_micros:
                must(
                    learned.refunded_micros == message.price_micros,
                    f"{message_id} was refunded {learned.refunded_micros}",
                )

    def _is_done(self, message_id: int) -> bool:
        return any(
            result.outcome in ENDS or (result.outcome == Outcome.ACCEPTED and result.state == State.SENT)
            for result in self.results.get(message_id, ())
        )

    def places(self) -> Counter[int]:
        """Where messages that are not done are, each place counted."""
        call = self._server.call
        found: Counter[int] = Counter()
        names = [name.decode() for name in call(("KEYS", f"{KEYS.tag}:q:*"))[0]]
        gone = {
            member for each in call(*(("SMEMBERS", KEYS.gone(name)) for name in self._upstreams)) for member in each
        }
        for name, entries in zip(
            names, call(*(("XRANGE", name, "-", "+") for name in names)) if names else (), strict=True
        ):
            if not entries:
                continue
            ids = [entry_id.decode() for entry_id, _ in entries]
            marks = call(*(("HGETALL", KEYS.open(name, entry_id)) for entry_id in ids))
            for (_, fields), opened in zip(entries, marks, strict=True):
                settled = {opened[at] for at in range(0, len(opened), 2) if opened[at + 1] == SETTLED_MARK}
                for index, message in enumerate(_records(fields[1])):
                    left = {b"%d.%d" % (index, segment) for segment in range(len(message.segments))}
                    if left - settled and message.id.to_bytes(8, "big") not in gone:
                        found[message.id] += 1
        for name in self._upstreams:
            rest, later = call(("HVALS", KEYS.rest(name)), ("ZRANGE", KEYS.later(name), 0, -1))
            found.update(open_rest(blob).record.id for blob in rest)
            found.update(_record(member[2 + int.from_bytes(member[:2], "big") :]).id for member in later)
        return found

    def _check_places(self) -> None:
        found = self.places()
        waiting: Counter[str] = Counter()
        for message_id, message in self.admitted.items():
            expected = 0 if self._is_done(message_id) else 1
            must(found[message_id] == expected, f"{message_id} is in {found[message_id]} places, not {expected}")
            waiting[message.upstream] += expected
        must(set(found) <= set(self.admitted), "there is a message that nobody admitted")
        held: list[Any] = self._server.call(("HGETALL", KEYS.depth))[0]
        depth = {held[at].decode(): int(held[at + 1]) for at in range(0, len(held), 2)}
        for name in self._upstreams:
            must(
                depth.get(name, 0) == waiting[name], f"{name} counts {depth.get(name, 0)} waiting, not {waiting[name]}"
            )

    def _check_duplicates(self, carrier: Carrier) -> None:
        arrived = Counter(each.segment for each in carrier.arrived)
        for (dest, segment), count in arrived.items():
            ids = self.ids_of.get(dest, [])
            must(ids, f"{dest!r} was sent and never admitted")
            results = [result for message_id in ids for result in self.results.get(message_id, ())]
            doubts = sum(result.outcome == Outcome.DOUBTED and result.segment == segment for result in results)
            retries = sum(result.outcome == Outcome.RETRIED for result in results)
            taken = carrier.taken[dest, segment]
            must(
                taken <= len(ids) + doubts, f"{dest!r}.{segment} was taken {taken} times, {doubts} doubts are on record"
            )
            must(count <= len(ids) + doubts + retries, f"{dest!r}.{segment} was sent {count} times")

    # --- when all is quiet ------------------------------------------------------------------------------------------

    def is_quiet(self) -> bool:
        """Nothing waits any more."""
        waits = self._server.call(*(("EXISTS", KEYS.out(name)) for name in self._accounts))
        return not (self.places() or any(waits))

    def check_end(self, esmes: Iterable[Esme], acknowledged: set[tuple[bytes, int, bytes]]) -> None:
        """Everything that holds once all moods were good for long enough. acknowledged: receipts, by segment and id."""
        must(self.is_quiet(), f"it does not come to rest: {dict(self.places())}")
        for message_id, message in self.admitted.items():
            must(self._is_done(message_id), f"{message_id} has no end")
            self._check_refund(message)
            self._check_matched(message, acknowledged)
        for esme in esmes:
            self._check_customer(esme)

    def _state(self, message_id: int) -> int:
        learned = self.batch.learned.get(message_id)
        return learned.state if learned is not None else 0

    def _check_refund(self, message: MessageRecord) -> None:
        results = self.results[message.id]
        refunded = self.batch.learned[message.id].refunded_micros
        touched = any(result.outcome in (Outcome.ACCEPTED, Outcome.DOUBTED) for result in results)
        state = self._state(message.id)
        ended = next((result.outcome for result in results if result.outcome in ENDS), None)
        if ended == Outcome.CANCELED:
            owed = True
        elif message.tariff == Tariff.ON_DELIVERY:
            owed = state in FAILURES
        else:
            owed = ended in (Outcome.FAILED, Outcome.EXPIRED) and not touched
            # Of another segment that timed out nothing is on record; it may have been accepted.
            owed &= bool(refunded) or len(message.segments) == 1
        must(bool(refunded) == owed, f"{message.id}: refunded {refunded}, state {state}, {results}")

    def _check_matched(self, message: MessageRecord, acknowledged: set[tuple[bytes, int, bytes]]) -> None:
        """A receipt that was acknowledged, with the id that is on record, is no orphan."""
        if self._state(message.id) >= State.DELIVERED:
            return
        accepted = {
            (message.dest, result.segment, result.upstream_message_id)
            for result in self.results[message.id]
            if result.outcome == Outcome.ACCEPTED
        }
        known = {segment for dest, segment, id in accepted & acknowledged}
        must(len(known) < len(message.segments), f"{message.id} has all receipts and no final state")

    def _check_customer(self, esme: Esme) -> None:
        for wish in esme.wishes:
            ids = self.ids_of.get(wish.dest, [])
            must(wish.ids <= set(ids), f"{wish.dest!r} was accepted and is lost")
            announced = {result.outcome == Outcome.UNANNOUNCED: result for id in ids for result in self.results[id]}
            if ids and wish.refusals and not wish.ids and not wish.unknown:
                must(True in announced, f"{wish.dest!r} was refused and admitted, and nobody says so")
            kept = [id for id in ids if not any(result.outcome == Outcome.UNANNOUNCED for result in self.results[id])]
            if wish.key or wish.sent == 1:
                must(len(kept) <= 1, f"{wish.dest!r} was admitted {len(kept)} times for one request")
            for message_id in ids:
                self._check_told(esme, message_id)

    def _check_told(self, esme: Esme, message_id: int) -> None:
        told = esme.told.get(message_id, [])
        if self.dues[message_id] and message_id not in self.dead:
            must(told, f"{message_id} has an end that its customer was not told")
        must(len({stat for _, stat in told}) <= 1, f"{message_id}: the customer was told {told}")
        for (first, _), (second, _) in pairwise(told):
            is_excused = any(first - 12.0 <= moment <= second for moment in esme.disturbed)
            must(is_excused, f"{message_id} was told again at {second} for no reason")
