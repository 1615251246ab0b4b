"""What can go wrong with Redis, as the callers need to tell it apart."""

from __future__ import annotations


class StorageUnavailable(Exception):
    """Redis did not answer, or may not be used now. Nothing is known to have been written."""


class Unanswered(StorageUnavailable):
    """A call was sent and its reply is missing: it may have run. RoleSession.resume() asks for the answer."""


class UnsafeStorage(StorageUnavailable):
    """Redis answers, but its settings or its data are not safe to work on; the text says what to do."""


class RewriteUnderWay(StorageUnavailable):
    """The server came back and rewrites its file before traffic; it will do in a moment."""

    def __init__(self) -> None:
        super().__init__("Redis rewrites its append-only file after its start; nothing may be written before that")


class Fenced(Exception):
    """Another process holds the role now; this one must stop working in it."""
