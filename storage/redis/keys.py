"""Every key name in Redis is built here and nowhere else.

A key carries the hash tag of its shard, `{s00}`, or for correlation and parking that of its upstream, `{u:<id>}`; a
script touches the keys of one tag only. DESIGN section 4 has the table that this module is the code of.
"""

from __future__ import annotations

import zlib

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
ID_EPOCH_MS = 1_577_836_800_000
ID_TIME_SHIFT = 22
IDEM_BUCKETS = 4


def shard_of(account: str, shards: int) -> int:
    """The shard an account lives in; fixed by the number of shards at installation."""
    return zlib.crc32(account.encode()) % shards


def id_ms(message_id: int) -> int:
    """The time in a message id, milliseconds since the Unix epoch."""
    return (message_id >> ID_TIME_SHIFT) + ID_EPOCH_MS


class ShardKeys:
    """Names of the keys of one shard."""

    def __init__(self, shard: int) -> None:
        self.tag = f"{{s{shard:02d}}}"
        self.meta = f"{self.tag}:meta"
        self.journal = f"{self.tag}:journal"
        self.changes = f"{self.tag}:changes"
        self.depth = f"{self.tag}:depth"
        self.overflow = f"{self.tag}:overflow"
        self.refilled = f"{self.tag}:overflow:refilled"
        self.breakers = f"{self.tag}:breakers"
        self.topups = f"{self.tag}:topups"
        self.topups_order = f"{self.tag}:topups:order"
        self.hooks = f"{self.tag}:hooks"
        self.hooks_later = f"{self.tag}:hooks:later"
        self.strict = f"{self.tag}:strict"
        self.heartbeat = f"{self.tag}:heartbeat"
        self.bell = f"{self.tag}:bell"
        self.traces = f"{self.tag}:traces"
        self.doors = f"{self.tag}:doors"
        self.session_asks = f"{self.tag}:sessions:asks"

    def trace(self, target: str) -> str:
        """Channel of the PDUs of a watched session."""
        return f"{self.tag}:trace:{target}"

    def session_answers(self, number: str) -> str:
        """Hash: what each worker answers to a question about sessions."""
        return f"{self.tag}:sessions:answers:{number}"

    def acct(self, account: str) -> str:
        """Hash: balance, tat (GCRA, microseconds of Redis TIME)."""
        return f"{self.tag}:acct:{account}"

    def idem(self, account: str, window: int, key: bytes) -> str:
        """Hash of one 24 h window and bucket: request key to the stored answer."""
        return f"{self.tag}:idem:{account}:{window}:{zlib.crc32(key) % IDEM_BUCKETS}"

    def used(self, account: str, window: int) -> str:
        """Hash of one 24 h window: what an account with limits was charged, and its messages by prefix."""
        return f"{self.tag}:used:{account}:{window}"

    def queue(self, upstream: str, priority: int, account: str) -> str:
        """Stream of batch blobs for one upstream, priority (0 highest) and account."""
        return f"{self.tag}:q:{upstream}:{priority}:{account}"

    def ready(self, upstream: str) -> str:
        """Set of the queues of an upstream that hold anything."""
        return f"{self.tag}:ready:{upstream}"

    def open(self, queue: str, entry_id: str) -> str:
        """Hash of intents and results of one blob that is being sent."""
        return f"{self.tag}:open:{queue[len(self.tag) + 1 :]}:{entry_id}"

    def rest(self, upstream: str) -> str:
        """Hash: unsettled messages whose blob is gone."""
        return f"{self.tag}:rest:{upstream}"

    def later(self, upstream: str) -> str:
        """Sorted set by due time: retries."""
        return f"{self.tag}:later:{upstream}"

    def asks(self, upstream: str) -> str:
        """Hash: message id to a ChangeRequest, or to the owner's answer."""
        return f"{self.tag}:asks:{upstream}"

    def matches(self, upstream: str) -> str:
        """Hash: number of an orphan to a MatchRequest, or to the owner's answer."""
        return f"{self.tag}:matches:{upstream}"

    def join(self, upstream: str) -> str:
        """Hash: id of the whole and number of the part to a HeldPart."""
        return f"{self.tag}:join:{upstream}"

    def gone(self, upstream: str) -> str:
        """Set of messages that ended, or moved to the rest, while their blob was unread; dropped when it is read."""
        return f"{self.tag}:gone:{upstream}"

    def refunded(self, message_id: int) -> str:
        """Set of the messages of one day that were refunded."""
        return f"{self.tag}:refunded:{id_ms(message_id) // DAY_MS}"

    def state(self, message_id: int, until_ms: int = 0) -> str:
        """Hash of final states, by the hour of the message id, or by the hour until which it must be known."""
        if until_ms:
            return f"{self.tag}:state:until:{until_ms // HOUR_MS}"
        return f"{self.tag}:state:{id_ms(message_id) // HOUR_MS}"

    def out(self, account: str) -> str:
        """Stream of callback blobs due to the account's ESMEs."""
        return f"{self.tag}:out:{account}"

    def binds(self, account: str) -> str:
        """Hash: worker to its boot and how many ESMEs of the account are bound there as tx, rx and trx."""
        return f"{self.tag}:binds:{account}"

    def guesses(self, peer: str) -> str:
        """Hash: system_id to how many wrong passwords came from this peer; it expires."""
        return f"{self.tag}:guesses:{peer}"

    def session(self, role: str) -> str:
        """Hash: owner, until, epoch, seq and the stored answer of one role."""
        return f"{self.tag}:session:{role}"


class UpstreamKeys:
    """Names of the keys of one upstream's correlation; one tag for each bucket."""

    def __init__(self, upstream: str, buckets: int = 1) -> None:
        self.upstream = upstream
        self.buckets = buckets

    def bucket(self, upstream_message_id: bytes) -> int:
        """The bucket of a canonical upstream message id."""
        return zlib.crc32(upstream_message_id) % self.buckets if self.buckets > 1 else 0

    def _tag(self, bucket: int) -> str:
        return f"{{u:{self.upstream}:{bucket}}}"

    def corr(self, bucket: int, hour: int) -> str:
        """Hash of one hour: canonical upstream id to SentContext."""
        return f"{self._tag(bucket)}:corr:{hour}"

    def inbound(self, window: int) -> str:
        """Hash of one short window: mark of a mobile-originated message to the time it came."""
        return f"{self._tag(0)}:mo:{window}"

    def park(self, bucket: int) -> str:
        """Hash: canonical upstream id to length-prefixed ParkedReceipts."""
        return f"{self._tag(bucket)}:park"

    def park_times(self, bucket: int) -> str:
        """Sorted set: canonical upstream id by the time it was first parked."""
        return f"{self._tag(bucket)}:park:times"
