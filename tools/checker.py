"""The oracle: joins what client, carrier and webhook receiver wrote down with what PostgreSQL and Redis hold, by token.

It reads nothing that the daemon says of itself, but for one column: `maybe_duplicate` tells which duplicates were
announced. `python -m tools.checker` prints the judgement and exits with 1 when it is not clean.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from smscd.core.records import State
from tools.checker_storage import Stored, StoredMessage, read_stored
from tools.record import Line, read_record

SHOWN_MAX = 20
OK = (b"0", b"202")
TAKEN = (b"0", b"silent", b"drop")
"""What of the carrier's statuses means that the message may be on its way to a phone."""

ENDED_UNSENT = frozenset((State.EXPIRED, State.FAILED, State.CANCELED, State.REJECTED))


@dataclass(slots=True)
class Judgement:
    """What the join came to. Each list holds the tokens (or ids) of up to twenty cases; `counts` has them all.

    lost: the client was told yes, and there is no row, or it never reached the carrier and did not end unsent either.
    receipts_lost: the client was told yes and never told the end.
    duplicated: reached the carrier more than once, and nothing announces it; announced is the same, flagged.
    stuck: a row that is not final. refused_yet_admitted: the client was told no, the carrier got it all the same, and
    it is neither canceled nor flagged. rows_missing: the carrier accepted it and `segments` has no row.
    rows_double: the same fact twice. left_in_redis: work in queues, open blobs and outboxes.
    orphans: parked receipts of copies whose answer was lost; flagged: rows that announce a possible duplicate. Neither
    is a fault; how many there may be is for the caller to say.
    ledger_difference_micros: how far balance, ledger and rows are apart, summed over accounts.
    """

    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    taken: int = 0
    receipts: int = 0
    receipts_repeated: int = 0
    orphans: int = 0
    flagged: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    receipts_lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    refused_yet_admitted: list[str] = field(default_factory=list)
    rows_missing: list[str] = field(default_factory=list)
    rows_double: list[str] = field(default_factory=list)
    left_in_redis: dict[str, int] = field(default_factory=dict)
    ledger_difference_micros: int = 0
    ledger_notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """True when nothing is lost, unannounced, stuck, missing, double or unaccounted for."""
        return not (
            self.lost
            or self.receipts_lost
            or self.duplicated
            or self.stuck
            or self.refused_yet_admitted
            or self.rows_missing
            or self.rows_double
            or self.left_in_redis
            or self.ledger_difference_micros
        )

    def note(self, kind: str, what: str) -> None:
        """Count one case of a kind, and keep its name while there are few."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        cases: list[str] = getattr(self, kind)
        if len(cases) < SHOWN_MAX:
            cases.append(what)


@dataclass(slots=True)
class Client:
    """What the clients wrote down. ids: token to every message id it was accepted under."""

    sent: set[bytes] = field(default_factory=set)
    ids: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))
    refused: set[bytes] = field(default_factory=set)
    receipts: Counter[int] = field(default_factory=Counter)


def read_client(lines: Iterable[Line]) -> Client:
    """Sort the lines of the generators, and of the webhook receiver, which tells receipts too."""
    client = Client()
    for line in lines:
        if line.kind == b"sent":
            client.sent.add(line.token)
        elif line.kind == b"answer" and line.status in OK:
            client.ids[line.token].add(int(line.id))
        elif line.kind == b"answer":
            client.refused.add(line.token)
        elif line.kind == b"receipt" or (line.kind == b"hook" and line.status.startswith(b"message.")):
            client.receipts[int(line.id)] += 1
    return client


@dataclass(slots=True)
class CarrierSide:
    """What the carriers wrote down, by token: how often each part was taken, and the ids given for it."""

    parts: dict[bytes, Counter[bytes]] = field(default_factory=lambda: defaultdict(Counter))
    ids: dict[bytes, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    seen: set[bytes] = field(default_factory=set)


def read_carrier(lines: Iterable[Line]) -> CarrierSide:
    """Sort the lines of the carriers. The parts of a long message belong to the token of its first part."""
    carrier = CarrierSide()
    long: dict[tuple[bytes, bytes, bytes], bytes] = {}
    for line in lines:
        if line.kind != b"submit":
            continue
        token = line.token
        part, _, reference = line.part.partition(b":")
        if reference:
            name = (line.source, line.dest, reference)
            if part.startswith(b"1/"):
                long[name] = token
            token = long.get(name, token)
        carrier.seen.add(token)
        if line.status in TAKEN:
            carrier.parts[token][part] += 1
        if line.status == b"0":
            carrier.ids[token].add(line.id)
    return carrier


def judge(
    client_lines: Iterable[Line],
    carrier_lines: Iterable[Line],
    stored: Stored,
    *,
    expects_receipts: bool = True,
) -> Judgement:
    """Join the records with what is stored. Pure: the same input gives the same judgement."""
    client, carrier = read_client(client_lines), read_carrier(carrier_lines)
    judgement = Judgement(taken=len(carrier.parts), refused=len(client.refused), receipts=len(client.receipts))
    judgement.unanswered = len(client.sent - client.refused - client.ids.keys())
    judgement.receipts_repeated = sum(count - 1 for count in client.receipts.values())
    for token, ids in client.ids.items():
        judgement.accepted += 1
        _judge_accepted(judgement, token, ids, client, carrier, stored, expects_receipts)
    for token, parts in carrier.parts.items():
        if max(parts.values()) > 1:
            rows = [stored.messages[id] for id in client.ids.get(token, ()) if id in stored.messages]
            rows += stored.by_token.get(token, [])
            is_announced = any(row.maybe_duplicate for row in rows)
            judgement.note("announced" if is_announced else "duplicated", token.decode())
        if token in client.sent and token not in client.ids:
            _judge_unwanted(judgement, token, client, stored)
    for row in stored.messages.values():
        judgement.flagged += row.maybe_duplicate
        if not State(row.state).is_final:
            judgement.note("stuck", row.token.decode() or str(row.id))
    for double in stored.doubles:
        judgement.note("rows_double", double)
    judgement.left_in_redis = dict(stored.left_in_redis)
    judgement.orphans = stored.orphans
    _judge_ledger(judgement, stored)
    return judgement


def _judge_accepted(
    judgement: Judgement,
    token: bytes,
    ids: set[int],
    client: Client,
    carrier: CarrierSide,
    stored: Stored,
    expects_receipts: bool,
) -> None:
    """A message that the client was told yes for: it has a row, reached the carrier or ended unsent, and was told."""
    name = token.decode()
    if len(ids) > 1:
        judgement.note("duplicated", f"{name} was accepted under {len(ids)} ids")
    for id in ids:
        row = stored.messages.get(id)
        if row is None or (token not in carrier.seen and row.state not in ENDED_UNSENT):
            judgement.note("lost", name)
            continue
        if carrier.ids.get(token) and not stored.upstream_ids.get(id, frozenset()) & carrier.ids[token]:
            judgement.note("rows_missing", name)
        if expects_receipts and not client.receipts[id]:
            judgement.note("receipts_lost", name)


def _judge_unwanted(judgement: Judgement, token: bytes, client: Client, stored: Stored) -> None:
    """The client was told no, and the carrier got it: it must be canceled or flagged. Without an answer all is open."""
    if token not in client.refused:
        return
    rows: list[StoredMessage] = stored.by_token.get(token, [])
    if not rows or not all(row.maybe_duplicate or row.state == State.CANCELED for row in rows):
        judgement.note("refused_yet_admitted", token.decode())


def _judge_ledger(judgement: Judgement, stored: Stored) -> None:
    """Redis balance = ledger balance = what was paid in less what the rows say was charged and not refunded."""
    owed: Counter[str] = Counter(stored.dead_letters_micros)
    for row in stored.messages.values():
        owed[row.account] += row.price_micros - row.refunded_micros
    for account in sorted({*stored.balances, *stored.ledger_balances, *owed}):
        balance = stored.balances.get(account, 0)
        ledger = stored.ledger_balances.get(account, 0)
        entries = stored.ledger_sums.get(account, 0)
        rows = stored.paid_in.get(account, 0) - owed[account]
        difference = abs(balance - ledger) + abs(ledger - entries) + abs(entries - rows)
        if difference:
            judgement.ledger_difference_micros += difference
            note = f"{account}: Redis {balance}, ledger {ledger}, its entries {entries}, rows {rows}"
            judgement.ledger_notes.append(note)


def summary(judgement: Judgement) -> Mapping[str, object]:
    """The figures of a judgement without the names of the cases."""
    kinds = ("lost", "receipts_lost", "duplicated", "announced", "stuck", "refused_yet_admitted")
    return {
        "accepted": judgement.accepted,
        "taken": judgement.taken,
        **{kind: judgement.counts.get(kind, 0) for kind in (*kinds, "rows_missing", "rows_double")},
        "receipts_repeated": judgement.receipts_repeated,
        "flagged": judgement.flagged,
        "orphans": judgement.orphans,
        "left_in_redis": sum(judgement.left_in_redis.values()),
        "ledger_difference_micros": judgement.ledger_difference_micros,
    }


def read_records(paths: Iterable[Path]) -> list[Line]:
    """All lines of several records; one that was never begun is empty."""
    return [line for path in paths if path.exists() for line in read_record(path)]


FILES = click.Path(path_type=Path, dir_okay=False)


@click.command(name="checker")
@click.option("--ready-file", type=FILES, help="Take the addresses of the servers from a demo's ready file.")
@click.option("--redis-url", help="The Redis that holds balances and queues.")
@click.option("--postgres-dsn", help="The PostgreSQL that holds the record.")
@click.option("--client", "clients", type=FILES, multiple=True, help="A client's or webhook receiver's record.")
@click.option("--carrier", "carriers", type=FILES, multiple=True, help="A carrier's record.")
@click.option("--receipts/--no-receipts", default=True, help="Whether each message must have been told its end.")
def check(
    ready_file: Path | None,
    redis_url: str | None,
    postgres_dsn: str | None,
    clients: tuple[Path, ...],
    carriers: tuple[Path, ...],
    receipts: bool,
) -> None:
    """Join the records and print the judgement as JSON; exits with 1 when anything is lost, unannounced or stuck."""
    ready = json.loads(ready_file.read_text()) if ready_file else {}
    redis_url, postgres_dsn = redis_url or ready.get("valkey_url"), postgres_dsn or ready.get("postgres_dsn")
    if not redis_url or not postgres_dsn:
        raise click.UsageError("give --ready-file, or --redis-url and --postgres-dsn")
    stored = asyncio.run(read_stored(redis_url, postgres_dsn))
    judgement = judge(read_records(clients), read_records(carriers), stored, expects_receipts=receipts)
    click.echo(json.dumps(asdict(judgement), indent=2))
    if not judgement.is_clean:
        raise SystemExit(1)


if __name__ == "__main__":
    check(prog_name="python -m tools.checker")
