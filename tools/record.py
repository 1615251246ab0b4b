"""The append-only record that carrier, load generator and webhook receiver each keep, and that the checker joins.

One line is one fact, fields separated by tabs: `kind ms token id status source dest part`; trailing fields that a kind
does not have are left out, and an empty one in the middle is `-`. A token is the first word of a message's text. Bytes
that are not printable ASCII, tabs, spaces and percent signs are percent-encoded, so that equal bytes are equal fields.

| kind | kept by | id | status |
|---|---|---|---|
| submit | carrier | id given in submit_sm_resp | command_status; `drop` connection cut, `silent` not answered |
| receipt | carrier, generator | id in the receipt | stat |
| ack | carrier | id in the receipt | command_status of deliver_sm_resp |
| mo | carrier, generator | - | - |
| sent | generator | - | - |
| answer | generator | message id | command_status, or the HTTP status |
| hook | webhook receiver | message id | event type; token is the webhook-id |
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_from_bytes

BUFFERED_LINES_MAX = 2_000
SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")

UDHI = 0x40
UCS2 = 0x08
CONCAT_8 = 0x00
CONCAT_16 = 0x08


def field(value: bytes) -> bytes:
    """A value as a field: printable, without white space, `-` when empty."""
    if value.isalnum():
        return value
    return quote_from_bytes(value, SAFE).encode() if value else b"-"


def token_of(short_message: bytes, esm_class: int = 0, data_coding: int = 0) -> bytes:
    """The token of a message: the first word of its text, past a user data header, as a field."""
    if esm_class & UDHI and short_message:
        short_message = short_message[1 + short_message[0] :]
    if data_coding & 0x0F == UCS2:
        short_message = short_message.decode("utf-16-be", "replace").encode()
    return field(short_message.partition(b" ")[0])


def part_of(short_message: bytes, esm_class: int) -> bytes:
    """Which part of a long message a short_message is: `number/total:reference`, or `1/1` of a short one."""
    if not esm_class & UDHI or not short_message:
        return b"1/1"
    header = short_message[1 : 1 + short_message[0]]
    at = 0
    while at + 2 <= len(header):
        element, size = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + size]
        if element == CONCAT_8 and len(value) == 3:
            return b"%d/%d:%d" % (value[2], value[1], value[0])
        if element == CONCAT_16 and len(value) == 4:
            return b"%d/%d:%d" % (value[3], value[2], value[0] << 8 | value[1])
        at += 2 + size
    return b"1/1"


class RecordWriter:
    """Appends lines to a record. Whoever owns it calls flush() every few milliseconds of its own, and close()."""

    def __init__(self, path: Path) -> None:
        self.lines: list[bytes] = []
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def add(self, lines: list[bytes]) -> None:
        """Take complete lines, each with its newline; they are written at once when many have gathered."""
        self.lines += lines
        if len(self.lines) >= BUFFERED_LINES_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what was added. The kernel has it then: a kill of this process no longer loses it."""
        if not self.lines:
            return
        data = b"".join(self.lines)
        self.lines.clear()
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Write what was added and close the file."""
        self.flush()
        os.close(self._fd)


class Line(NamedTuple):
    """One fact of a record. The fields that the kind does not have are empty."""

    kind: bytes
    ms: int
    token: bytes = b""
    id: bytes = b""
    status: bytes = b""
    source: bytes = b""
    dest: bytes = b""
    part: bytes = b""


def read_record(path: Path) -> Iterator[Line]:
    """Read a record back, oldest first. A last line without its newline is left out: its writer was killed in it.

    Raises ValueError on any other line that is not of the format.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            fields = line[:-1].split(b"\t")
            if not 3 <= len(fields) <= len(Line._fields) or not fields[1].isdigit():
                raise ValueError(f"{path}:{number}: not a line of a record")
            yield Line(fields[0], int(fields[1]), *(b"" if part == b"-" else part for part in fields[2:]))
