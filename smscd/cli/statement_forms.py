"""How a statement is written: as a table, as CSV or as JSON, an entry at a time; and whether it adds up."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TextIO

from smscd.cli.account import shown_money
from smscd.core.ids import message_ms

if TYPE_CHECKING:
    from storage.postgres.account_entries import BookedEntry

COLUMNS: Final = ("row", "time", "kind", "amount", "balance", "messages", "reference", "note", "entry")


class Sum(NamedTuple):
    """Of one kind of entry."""

    micros: int = 0
    entries: int = 0
    messages: int = 0


@dataclass(slots=True)
class Tally:
    """Adds up a statement while it passes. closing_micros: the balance after the last entry. faults: sentences."""

    opening_micros: int
    seq: int
    closing_micros: int = field(init=False)
    sums: dict[str, Sum] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.closing_micros = self.opening_micros

    def add(self, entry: BookedEntry) -> None:
        """The next entry; only the first that is out of order is told, because all after it follow it."""
        if not self.faults and entry.seq != self.seq + 1:
            self.faults.append(f"Entry {self.seq + 1} is missing, or {entry.seq} stands twice.")
        if not self.faults and entry.balance_micros != self.closing_micros + entry.amount_micros:
            self.faults.append(f"The balance of entry {entry.seq} is not that of the one before it and its amount.")
        self.seq, self.closing_micros = entry.seq, entry.balance_micros
        before = self.sums.get(entry.kind, Sum())
        self.sums[entry.kind] = Sum(
            before.micros + entry.amount_micros, before.entries + 1, before.messages + entry.messages
        )

    @property
    def difference_micros(self) -> int:
        """What opening balance and entries make beyond the closing balance: 0, or the ledger was altered."""
        return self.opening_micros + sum(each.micros for each in self.sums.values()) - self.closing_micros

    def finish(self, entries: int) -> None:
        """All are there. entries: how many there should be."""
        found = sum(each.entries for each in self.sums.values())
        if found != entries and not self.faults:
            self.faults.append(f"There are {found:,} entries where there should be {entries:,}.")
        if self.difference_micros:
            self.faults.append(
                f"Opening balance and entries make {shown_money(self.difference_micros, '')} more than the closing "
                "balance: `smscd ledger verify` says where the ledger was altered."
            )


class Form(Protocol):
    """How a statement is written, a piece at a time."""

    def opening(self, micros: int) -> None: ...
    def entry(self, entry: BookedEntry) -> None: ...
    def closing(self, tally: Tally) -> None: ...


class Table:
    """For people: columns of a fixed width, because nothing waits for the longest."""

    def __init__(self, out: TextIO, currency: str) -> None:
        self._out = out
        self._currency = currency

    def opening(self, micros: int) -> None:
        """The head, and the balance before."""
        self._line("time (UTC)", "kind", f"amount {self._currency}", "balance", "messages", "reference, note")
        self._line("", "opening", "", shown_money(micros, ""), "", "")

    def entry(self, entry: BookedEntry) -> None:
        """One entry."""
        said = ", ".join(filter(None, (entry.reference, entry.note)))
        self._line(
            moment(entry.id)[:19].replace("T", " "),
            entry.kind,
            shown_money(entry.amount_micros, ""),
            shown_money(entry.balance_micros, ""),
            f"{entry.messages:,}" if entry.messages else "",
            said,
        )

    def closing(self, tally: Tally) -> None:
        """The balance after, and the sums."""
        self._line("", "closing", "", shown_money(tally.closing_micros, ""), "", "")
        self._out.write("\n")
        for kind, found in sorted(tally.sums.items()):
            messages = f"{found.messages:,}" if found.messages else ""
            self._line(f"{found.entries:,} entries", kind, shown_money(found.micros, ""), "", messages, "")

    def _line(self, time: str, kind: str, amount: str, balance: str, messages: str, said: str) -> None:
        self._out.write(f"{time:<19}  {kind:<8}{amount:>18}{balance:>18}{messages:>12}  {said}".rstrip() + "\n")


class Csv:
    """For a program that reads tables: the column `row` says what a line is."""

    def __init__(self, out: TextIO, currency: str) -> None:
        self._currency = currency
        self._write = csv.writer(out, lineterminator="\n").writerow

    def opening(self, micros: int) -> None:
        """The head, and the balance before."""
        self._write((*COLUMNS, "currency"))
        self._line("opening", balance=shown_money(micros, ""))

    def entry(self, entry: BookedEntry) -> None:
        """One entry."""
        self._line(
            "entry",
            time=moment(entry.id),
            kind=entry.kind,
            amount=shown_money(entry.amount_micros, ""),
            balance=shown_money(entry.balance_micros, ""),
            messages=entry.messages,
            reference=entry.reference,
            note=entry.note,
            entry=entry.id,
        )

    def closing(self, tally: Tally) -> None:
        """The balance after, and the sums."""
        self._line("closing", balance=shown_money(tally.closing_micros, ""))
        for kind, found in sorted(tally.sums.items()):
            self._line("sum", kind=kind, amount=shown_money(found.micros, ""), messages=found.messages)

    def _line(self, row: str, **values: object) -> None:
        self._write((row, *(values.get(name, "") for name in COLUMNS[1:]), self._currency))


class Json:
    """One JSON value, an entry a line."""

    def __init__(self, out: TextIO, account: str, currency: str) -> None:
        self._out = out
        self._head = {"account": account, "currency": currency}
        self._comma = ""

    def opening(self, micros: int) -> None:
        """Up to the list of entries."""
        head = json.dumps(self._head | {"opening_micros": micros})
        self._out.write(f'{head[:-1]}, "entries": [')

    def entry(self, entry: BookedEntry) -> None:
        """One item of the list."""
        value = entry._asdict() | {"id": str(entry.id), "at": moment(entry.id)}
        self._out.write(f"{self._comma}\n{json.dumps(value)}")
        self._comma = ","

    def closing(self, tally: Tally) -> None:
        """What follows the list."""
        tail = {
            "closing_micros": tally.closing_micros,
            "sums": {kind: found._asdict() for kind, found in sorted(tally.sums.items())},
            "difference_micros": tally.difference_micros,
            "faults": tally.faults,
        }
        self._out.write(f"\n], {json.dumps(tail)[1:]}\n")


def moment(entry_id: int) -> str:
    """When an entry was booked, from its id."""
    at = datetime.fromtimestamp(message_ms(entry_id) / 1000, UTC)
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
