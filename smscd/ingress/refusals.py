"""The note of a batch that was refused because Redis did not answer: a file, in case this process is killed.

A process that lives asks Redis again and cancels what was admitted all the same. One that is killed in between cannot;
the next one of its name finds the note, and what ran last in Redis before it took the node. The file is not synced: a
kill leaves it, and after a loss of power so much is open that the customers know of no answer anyway.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from storage.redis.admission import Refusal

_log = structlog.get_logger(__name__)


class RefusedBatch(msgspec.Struct, array_like=True):
    """One batch. place: epoch and sequence number of its call. refusals: the messages of each submission, in order."""

    place: tuple[int, int]
    refusals: list[list[Refusal]]


class RefusalNote:
    """At most one note, because a node has one call in flight. path: a file of this node alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, batch: RefusedBatch) -> None:
        """Keep the batch until clear(). A disk that refuses costs the note, not the answer to the customers."""
        try:
            new = self._path.with_suffix(".new")
            new.write_bytes(msgspec.msgpack.encode(batch))
            new.replace(self._path)
        except OSError as error:
            _log.error("admission.note_failed", error=str(error))

    def read(self) -> RefusedBatch | None:
        """What a former process left, or None."""
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=RefusedBatch)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.error("admission.note_unreadable", error=str(error))
            return None

    def clear(self) -> None:
        """The batch is resolved."""
        self._path.unlink(missing_ok=True)
