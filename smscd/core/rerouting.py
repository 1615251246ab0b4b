"""Where else a message that waits in a queue may go: the candidates of its route, as planning has them."""

from __future__ import annotations

from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import MessageRecord
from smscd.core.routing import NONE_CLOSED


def candidates(record: MessageRecord, directory: DirectoryIndex, now_ms: int) -> tuple[str, ...]:
    """The upstreams that are enabled, in order, the one that it waits for among them; none without account or route.

    By the routes and costs of this moment. A message with a conversion was made for its upstream: whoever moves it has
    to convert it again (records.Conversion).
    """
    entry = directory.entry(record.account)
    if entry is None:
        return ()
    return directory.routed(entry, record.dest, now_ms, record.source, record.id, NONE_CLOSED).candidates
