"""The ESME sessions that are bound to this process, by account: who is there, and who can be told something."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from smscd.transport.connection import SmppConnection

_NONE: Final[OrderedDict[SmppConnection, None]] = OrderedDict()


class BoundSessions:
    """Sessions by account, each with a turn. on_change(account) is called after an account's sessions changed."""

    def __init__(self, on_change: Callable[[str], None] | None = None) -> None:
        self.on_change = on_change
        self._sessions: dict[str, OrderedDict[SmppConnection, None]] = {}
        self._accounts: dict[SmppConnection, str] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def add(self, account: str, connection: SmppConnection) -> None:
        """A session of the account was bound."""
        self._accounts[connection] = account
        self._sessions.setdefault(account, OrderedDict())[connection] = None
        self._changed(account)

    def remove(self, connection: SmppConnection) -> None:
        """The session is over. One that was never added is nothing new."""
        account = self._accounts.pop(connection, None)
        if account is None:
            return
        sessions = self._sessions[account]
        del sessions[connection]
        if not sessions:
            del self._sessions[account]
        self._changed(account)

    def sessions(self, account: str) -> tuple[SmppConnection, ...]:
        """All sessions of the account."""
        return tuple(self._sessions.get(account, ()))

    def count(self, account: str) -> int:
        """How many sessions the account has here."""
        return len(self._sessions.get(account, ()))

    def receiving_accounts(self) -> list[str]:
        """The accounts that have at least one session here that can be sent deliver_sm."""
        return [account for account, sessions in self._sessions.items() if any(map(_can_receive, sessions))]

    def can_receive(self, account: str) -> bool:
        """True when a session of the account can be sent deliver_sm."""
        return any(map(_can_receive, self._sessions.get(account, ())))

    def next_receiver(self, account: str) -> SmppConnection | None:
        """The session whose turn it is to be sent deliver_sm, or None: round robin over those that can take one now."""
        sessions = self._sessions.get(account, _NONE)
        for connection in sessions:
            if _can_receive(connection) and connection.is_writable:
                sessions.move_to_end(connection)
                return connection
        return None

    def _changed(self, account: str) -> None:
        if self.on_change is not None:
            self.on_change(account)


def _can_receive(connection: SmppConnection) -> bool:
    return connection.is_open and connection.session.can_deliver
