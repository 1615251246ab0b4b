"""What ESMEs bind with: made with a password that is shown once, listed, rotated and revoked, each written down."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from smscd.admin.orders import Fault, Refusal, no_account, refused
from smscd.core.directory import Credential
from smscd.supervision.seed import new_password, password_hmac
from storage.postgres import configuration, operators
from storage.postgres.pool import Connection, Database, acquired

SYSTEM_ID: Final = re.compile(r"[!-~]{1,15}")
CERTIFICATE: Final = re.compile(r"([0-9a-f]{64}|CN=.+)?")


@dataclass(frozen=True, slots=True)
class Made:
    """A credential with its password, which nobody can be shown again."""

    credential: Credential
    password: str


async def listed(account: str, database: Database) -> list[Credential] | Refusal:
    """Those of an account."""
    async with acquired(database) as connection:
        if await operators.find_account(connection, account) is None:
            return no_account(account)
        return await configuration.credentials(connection, account)


async def add(
    account: str, system_id: str, certificate: str, operator: str, database: Database, pepper: str
) -> Made | Refusal:
    """Make one. certificate: the TLS client certificate that must be shown as well; empty: none."""
    if refusal := check(system_id, certificate) or _no_pepper(pepper):
        return refusal
    password = new_password()
    made = Credential(
        system_id=system_id,
        account=account,
        password_hmac=password_hmac(pepper, password),
        client_certificate=certificate,
    )
    async with acquired(database) as connection, connection.transaction():
        await configuration.lock(connection)
        if await operators.find_account(connection, account) is None:
            return no_account(account)
        if await configuration.find_credential(connection, system_id) is not None:
            return Refusal(
                "credential_exists", 409, f"The system_id {system_id} is taken: choose another, or rotate its password."
            )
        await configuration.add_credential(connection, made)
        await operators.log(connection, operator, "credential.add", account, new=shown(made))
    return Made(made, password)


async def rotate(account: str, system_id: str, operator: str, database: Database, pepper: str) -> Made | Refusal:
    """Give one another password; the old one binds nobody any more. Sessions that are bound stay."""
    if refusal := _no_pepper(pepper):
        return refusal
    password = new_password()
    async with acquired(database) as connection, connection.transaction():
        before = await _held(connection, account, system_id)
        if isinstance(before, Refusal):
            return before
        made = msgspec.structs.replace(before, password_hmac=password_hmac(pepper, password))
        await configuration.add_credential(connection, made)
        old, new = shown(before) | {"password": "(secret)"}, shown(made) | {"password": "(another)"}
        await operators.log(connection, operator, "credential.rotate", account, old=old, new=new)
    return Made(made, password)


async def revoke(account: str, system_id: str, operator: str, database: Database) -> Credential | Refusal:
    """Take one away for good. Sessions that are bound stay until they are disconnected."""
    async with acquired(database) as connection, connection.transaction():
        before = await _held(connection, account, system_id)
        if isinstance(before, Refusal):
            return before
        await configuration.delete_credential(connection, system_id)
        await operators.log(connection, operator, "credential.revoke", account, old=shown(before))
    return before


def shown(credential: Credential) -> dict[str, object]:
    """One as JSON, without its password."""
    return {"system_id": credential.system_id, "client_certificate": credential.client_certificate or None}


def check(system_id: str, certificate: str) -> Refusal | None:
    """What no credential can be."""
    faults: list[Fault] = []
    if not SYSTEM_ID.fullmatch(system_id):
        faults.append(("system_id", "SMPP allows 1 to 15 printable ASCII characters of system_id."))
    if not CERTIFICATE.fullmatch(certificate):
        rule = "A client certificate is its SHA-256 in 64 hexadecimal digits, or CN=NAME."
        faults.append(("client_certificate", rule))
    return refused(faults)


def _no_pepper(pepper: str) -> Refusal | None:
    if pepper:
        return None
    return Refusal(
        "no_pepper", 409, "SMPP passwords need the pepper: ask on the daemon's machine, or set SMSCD_PEPPER."
    )


async def _held(connection: Connection, account: str, system_id: str) -> Credential | Refusal:
    await configuration.lock(connection)
    found = await configuration.find_credential(connection, system_id)
    if found is None or found.account != account:
        return Refusal("not_found", 404, f"{account} has no system_id {system_id}.")
    return found
