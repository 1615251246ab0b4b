"""The HTTP keys of an account: made, rotated and revoked by operators and by the account itself, and listed.

A key is shown once, when it is made; stored is its SHA-256. It is named by how it begins. Every change is in the audit
log, and told to every process at once.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from smscd.admin.orders import Fault, Refusal, no_account, refused
from smscd.core.directory import ApiKey
from smscd.core.scopes import FOR_AN_APPLICATION, NAMES, ScopeName, in_order
from smscd.ingress.http.account_keys import GRACE_SECONDS_MAX, LABEL_CHARACTERS_MAX, LABEL_PATTERN
from smscd.supervision.seed import api_key_hash, api_key_prefix, new_api_key
from storage.postgres import api_keys, operators
from storage.postgres.api_keys import KeyRow
from storage.postgres.configuration import add_api_key
from storage.postgres.pool import Connection, Database, acquired
from storage.redis.errors import StorageUnavailable

KEYS_MAX: Final = 20
"""Of an account, those that are valid."""
MADE_A_DAY_MAX: Final = 100
ENDED_KEPT: Final = 200
"""Of an account, to be listed; older ones are forgotten."""
LIFETIME_MAX: Final = timedelta(days=10 * 366)
LABEL: Final = re.compile(LABEL_PATTERN)
_REACH: Final = "A key expires at a moment to come, within ten years."

Tell = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """What a key is to be. label: for people. expires_at: None: it does not expire."""

    label: str = ""
    scopes: frozenset[ScopeName] = FOR_AN_APPLICATION
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyMade:
    """A new key: key is what its user needs, and is nowhere kept. replaced: the one that it takes the place of.

    is_told: Redis has passed the notice on; otherwise every process finds out at its next look, within half a minute.
    """

    key: str
    row: ApiKey
    is_told: bool
    replaced: str = ""
    replaced_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyRevoked:
    """What became of an order to revoke a key. has_changed: it was not revoked before."""

    key: str
    has_changed: bool
    is_told: bool


def terms_of(label: str, scopes: Iterable[str], expires_at: datetime | None, now: datetime) -> KeyTerms | Refusal:
    """What a key is to be, or what is wrong with it. No scopes are those of an application."""
    given = list(scopes)
    wrong = [scope for scope in given if scope not in NAMES]
    faults: list[Fault] = [("scopes", f"{scope} is not a scope: they are {', '.join(NAMES)}.") for scope in wrong]
    if len(label) > LABEL_CHARACTERS_MAX or not LABEL.fullmatch(label):
        rule = f"A label has at most {LABEL_CHARACTERS_MAX} characters, none of them a control character."
        faults.append(("label", rule))
    if _is_out_of_reach(expires_at, now):
        faults.append(("expires_at", _REACH))
    if refusal := refused(faults):
        return refusal
    held = frozenset(name for name in NAMES if name in given)
    return KeyTerms(label=label, scopes=held or FOR_AN_APPLICATION, expires_at=expires_at)


async def create(
    account: str, terms: KeyTerms, operator: str, database: Database, tell: Tell, now: datetime
) -> KeyMade | Refusal:
    """Make a key for an account."""
    async with acquired(database) as connection, connection.transaction():
        if not await api_keys.hold(connection, account):
            return no_account(account)
        held = await api_keys.keys(connection, account)
        if (refusal := _too_many(account, held, now)) is not None:
            return refusal
        key, made = await _add(connection, account, terms, held)
        await operators.log(connection, operator, "key.create", account, new=_terms(made))
    return KeyMade(key, made, await _told(tell))


async def add_first(connection: Connection, account: str, key: str, now: datetime) -> Refusal | None:
    """Give an account that is being made this key, with which its owner may do everything and make others."""
    refusal = _too_many(account, await api_keys.keys(connection, account), now)
    if refusal is None:
        await add_api_key(connection, ApiKey(key_hash=api_key_hash(key), account=account, prefix=api_key_prefix(key)))
    return refusal


async def rotate(
    account: str,
    name: str,
    grace_seconds: int,
    expires_at: datetime | None,
    operator: str,
    database: Database,
    tell: Tell,
    now: datetime,
) -> KeyMade | Refusal:
    """Make a key in the place of another, which stays valid for the grace, and with none is revoked at once.

    It has the same label and scopes. expires_at: None: it is valid as long as the other was to be, from now on.
    """
    faults: list[Fault] = []
    if not 0 <= grace_seconds <= GRACE_SECONDS_MAX:
        rule = f"A key that is rotated stays valid for 0 to {GRACE_SECONDS_MAX // 86_400} days."
        faults.append(("grace_seconds", rule))
    if _is_out_of_reach(expires_at, now):
        faults.append(("expires_at", _REACH))
    if refusal := refused(faults):
        return refusal
    async with acquired(database) as connection, connection.transaction():
        if not await api_keys.hold(connection, account):
            return no_account(account)
        held = await api_keys.keys(connection, account)
        old = _named(held, name)
        if old is None:
            return _no_key(account, name)
        if not old.is_valid(now):
            return Refusal("key_not_valid", 409, f"{name} is not valid any more: `smscd key create` makes a new one.")
        staying = [row for row in held if row is not old or grace_seconds]
        if (refusal := _too_many(account, staying, now)) is not None:
            return refusal
        if expires_at is None and old.expires_at is not None:
            expires_at = now + (old.expires_at - old.created_at)
        scopes = frozenset(scope for scope in NAMES if scope in old.scopes)
        terms = KeyTerms(label=old.label, scopes=scopes, expires_at=expires_at)
        key, made = await _add(connection, account, terms, held)
        until = _earlier(old.expires_at, now + timedelta(seconds=grace_seconds))
        if grace_seconds == 0:
            await api_keys.revoke(connection, old.key_hash)
        else:
            await api_keys.expire(connection, old.key_hash, until)
        replaced = {"key": old.prefix, "valid_until": until.isoformat()}
        await operators.log(connection, operator, "key.rotate", account, old=replaced, new=_terms(made))
    return KeyMade(key, made, await _told(tell), old.prefix, until)


async def revoke(account: str, name: str, operator: str, database: Database, tell: Tell) -> KeyRevoked | Refusal:
    """End a key for good. It is told also when it was revoked before, so that who doubts may repeat it."""
    async with acquired(database) as connection, connection.transaction():
        if not await api_keys.hold(connection, account):
            return no_account(account)
        old = _named(await api_keys.keys(connection, account), name)
        if old is None:
            return _no_key(account, name)
        if not old.is_revoked:
            await api_keys.revoke(connection, old.key_hash)
            await operators.log(connection, operator, "key.revoke", account, old={"key": old.prefix})
    return KeyRevoked(old.prefix, not old.is_revoked, await _told(tell))


async def listed(account: str, database: Database, now: datetime) -> list[dict[str, object]] | Refusal:
    """The keys of an account as JSON, oldest first, those that are no longer valid as well."""
    async with acquired(database) as connection:
        if await operators.find_account(connection, account) is None:
            return no_account(account)
        rows = await api_keys.keys(connection, account)
    return [_shown_row(row, now) for row in rows]


def shown_made(made: KeyMade) -> dict[str, object]:
    """A new key as JSON, the same by command and over HTTP. api_key: shown only now."""
    row = made.row
    shown: dict[str, object] = {
        "account": row.account,
        "key": row.prefix,
        "api_key": made.key,
        "label": row.label,
        "scopes": in_order(row.scopes),
        "expires_at": _text(row.expires_at),
        "told": made.is_told,
    }
    if made.replaced:
        shown |= {"replaces": made.replaced, "replaced_valid_until": _text(made.replaced_until)}
    return shown


def shown_revoked(account: str, found: KeyRevoked) -> dict[str, object]:
    """An outcome as JSON."""
    return {
        "account": account,
        "key": found.key,
        "revoked": True,
        "changed": found.has_changed,
        "told": found.is_told,
    }


def _shown_row(row: KeyRow, now: datetime) -> dict[str, object]:
    return {
        "key": row.prefix,
        "label": row.label,
        "scopes": in_order(row.scopes),
        "status": "revoked" if row.is_revoked else "valid" if row.is_valid(now) else "expired",
        "created_at": _text(row.created_at),
        "expires_at": _text(row.expires_at),
        "last_used_at": _text(row.last_used_at),
    }


def _is_out_of_reach(expires_at: datetime | None, now: datetime) -> bool:
    return expires_at is not None and not now < expires_at <= now + LIFETIME_MAX


async def _add(connection: Connection, account: str, terms: KeyTerms, held: list[KeyRow]) -> tuple[str, ApiKey]:
    """A key that begins like no other of its account."""
    taken = {row.prefix for row in held}
    key = new_api_key()
    while api_key_prefix(key) in taken:
        key = new_api_key()
    made = ApiKey(
        key_hash=api_key_hash(key),
        account=account,
        prefix=api_key_prefix(key),
        scopes=terms.scopes,
        label=terms.label,
        expires_at=terms.expires_at,
    )
    await add_api_key(connection, made)
    await api_keys.forget(connection, account, ENDED_KEPT)
    return key, made


def _named(held: list[KeyRow], name: str) -> KeyRow | None:
    """The key of this name; of two, which no release makes, the younger."""
    return next((row for row in reversed(held) if row.prefix == name), None)


def _terms(made: ApiKey) -> dict[str, object]:
    return {
        "key": made.prefix,
        "label": made.label,
        "scopes": in_order(made.scopes),
        "expires_at": _text(made.expires_at),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _earlier(moment: datetime | None, other: datetime) -> datetime:
    return other if moment is None else min(moment, other)


async def _told(tell: Tell) -> bool:
    try:
        await tell()
    except StorageUnavailable:
        return False
    return True


def _too_many(account: str, held: list[KeyRow], now: datetime) -> Refusal | None:
    """Why an account gets no other key, if it has these."""
    code = "too_many_keys"
    if sum(row.is_valid(now) for row in held) >= KEYS_MAX:
        return Refusal(code, 409, f"{account} has {KEYS_MAX} valid keys, which is the limit: revoke one first.")
    if sum(row.created_at > now - timedelta(days=1) for row in held) >= MADE_A_DAY_MAX:
        return Refusal(code, 409, f"{account} got {MADE_A_DAY_MAX} keys in a day, which is the limit: try tomorrow.")
    return None


def _no_key(account: str, name: str) -> Refusal:
    return Refusal(
        "not_found", 404, f"{account} has no key {name}: `smscd key list {account}` shows those that it has."
    )
