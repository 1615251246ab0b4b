"""The demo's data: an account with a key, credentials, balance, prices, routes, an MO number, and its upstreams."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import string
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from smscd.core.directory import Account, ApiKey, Credential, MoNumber, Price, Route
from smscd.core.records import LedgerRecord
from smscd.core.scopes import key_name
from smscd.core.upstream import Upstream
from smscd.supervision.instance import write_private
from storage.postgres import configuration
from storage.postgres.ledger import entry_of
from storage.postgres.pool import Database
from storage.redis.accounts import Balances

ACCOUNT = "demo"
PRICE_MICROS = 10_000
MESSAGES_PAID = 10_000_000
SEED_REFERENCE = "demo-seed"
MO_NUMBER = "12345"
SIMULATED_UPSTREAM = "carrier"
PASSWORD_LENGTH = 8
SYSTEM_ID_LENGTH_MAX = 15
UPSTREAM_PASSWORD_LENGTH_MAX = 8
DEMO_WINDOW = 500
# What TLS is asked for with, in the query of an smpps:// URL, and the fields of the profile that it means.
_TLS_OPTIONS = {
    "ca": ("ca=FILE", "tls_ca_file"),
    "cert": ("cert=FILE", "tls_certificate_file"),
    "key": ("key=FILE", "tls_key_file"),
    "name": ("name=NAME", "tls_server_name"),
    "verify": ("verify=off", "tls_is_verified"),
}
_JSON_FIELDS = {
    "vendor_tlvs": "a list of objects",
    "receipt_stats": "an object of words",
    "status_delays": "seconds by status",
}
_OF_URL = re.compile(r"upstream[0-9]+")
_ADDRESS_FIELDS = frozenset({"id", "host", "port", "system_id", "password"})


class UpstreamUrlError(ValueError):
    """An --upstream cannot be understood; the text says why."""


class DemoSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo account signs in with; kept in the state directory, so a second start has the same."""

    system_id: str
    password: str
    api_key: str
    webhook_secret: str


def new_password() -> str:
    """An SMPP password: eight characters, which is all that the protocol allows."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(PASSWORD_LENGTH))


def new_api_key() -> str:
    """An HTTP key: 256 random bits."""
    return "smk_live_" + secrets.token_urlsafe(32)


def new_webhook_secret() -> str:
    """A Standard Webhooks secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def password_hmac(pepper: str, password: str) -> bytes:
    """How an SMPP password is stored: HMAC-SHA256 under a key that is not in the database."""
    return hmac.digest(pepper.encode(), password.encode(), "sha256")


def api_key_hash(key: str) -> bytes:
    """How an HTTP key is stored: 256 random bits need no more than SHA-256."""
    return hashlib.sha256(key.encode()).digest()


def api_key_prefix(key: str) -> str:
    """What is shown of a key."""
    return key_name(key)


def new_demo_secrets() -> DemoSecrets:
    """Fresh ones."""
    return DemoSecrets(
        system_id=ACCOUNT, password=new_password(), api_key=new_api_key(), webhook_secret=new_webhook_secret()
    )


def demo_secrets(path: Path) -> DemoSecrets:
    """The secrets kept in `path`, made when there are none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=DemoSecrets)
    except FileNotFoundError:
        made = new_demo_secrets()
        write_private(path, msgspec.json.encode(made).decode())
        return made


def upstream_of_url(url: str, id: str) -> Upstream:
    """smpp://system_id:password@host:port?name=value as an upstream, smpps:// with TLS. Raises UpstreamUrlError.

    After smpps://...? may come, joined by &: ca=FILE, cert=FILE, key=FILE, name=NAME (in the certificate), verify=off.
    Other names are fields of the upstream's profile: vendor_tlvs, receipt_stats and status_delays are JSON, a set or
    list of anything else has commas.
    """
    parts = urlsplit(url)
    shown = "smpp://system_id:password@host:port"
    if parts.scheme not in ("smpp", "smpps") or not parts.hostname:
        raise UpstreamUrlError(f"An upstream is written {shown}.")
    try:
        port = parts.port or (2775 if parts.scheme == "smpp" else 3550)
    except ValueError as error:
        raise UpstreamUrlError(f"The port of an upstream is a number: {shown}.") from error
    system_id, password = unquote(parts.username or ""), unquote(parts.password or "")
    if len(system_id) > SYSTEM_ID_LENGTH_MAX or len(password) > UPSTREAM_PASSWORD_LENGTH_MAX:
        raise UpstreamUrlError(
            f"SMPP allows {SYSTEM_ID_LENGTH_MAX} characters of system_id, {UPSTREAM_PASSWORD_LENGTH_MAX} of password."
        )
    uses_tls = parts.scheme == "smpps"
    given = {"window_size": DEMO_WINDOW, "uses_tls": uses_tls, **_profile_of(parts.query, uses_tls=uses_tls)}
    address = {"id": id, "host": parts.hostname, "port": port, "system_id": system_id, "password": password}
    try:
        return msgspec.convert(given | address, Upstream, strict=False)
    except msgspec.ValidationError as error:
        raise UpstreamUrlError(f"The profile of an upstream: {error}.") from error


def _profile_of(query: str, *, uses_tls: bool) -> dict[str, object]:
    """The fields that the query of an upstream's URL sets."""
    known = {field.name: field for field in msgspec.structs.fields(Upstream)}
    found: dict[str, object] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _TLS_OPTIONS:
            if not uses_tls or (name == "verify" and value not in ("on", "off")):
                options = ", ".join(option for option, _ in _TLS_OPTIONS.values())
                raise UpstreamUrlError(f"An upstream with TLS is written smpps://..., with {options}.")
            found[_TLS_OPTIONS[name][1]] = value == "on" if name == "verify" else value
        elif name not in known or name in _ADDRESS_FIELDS:
            raise UpstreamUrlError(f"The profile of an upstream has no {name}.")
        elif name in _JSON_FIELDS:
            try:
                found[name] = msgspec.json.decode(value)
            except msgspec.DecodeError as error:
                raise UpstreamUrlError(f"{name} is {_JSON_FIELDS[name]} in JSON: {error}.") from error
        elif isinstance(known[name].default, frozenset):
            try:
                found[name] = [int(item, 0) for item in value.split(",") if item.strip()]
            except ValueError as error:
                raise UpstreamUrlError(f"{name} is a list of numbers with commas: {error}.") from error
        else:
            found[name] = value
    return found


def simulated_upstream(host: str, port: int) -> Upstream:
    """The simulated carrier as an upstream: one transceiver, no limit of rate."""
    return Upstream(
        id=SIMULATED_UPSTREAM, host=host, port=port, system_id="smscd", password="secret", window_size=DEMO_WINDOW
    )


def demo_account(webhook_secret: str) -> Account:
    """Sends from any sender, binds ten times, is limited by nothing that a demonstration would meet."""
    return Account(
        id=ACCOUNT,
        rate_per_second=200_000.0,
        burst=400_000,
        any_sender=True,
        webhook_secret=webhook_secret,
        binds_max=10,
        window_size=1_000,
        allows_private_callbacks=True,
    )


async def seed(
    database: Database, balances: Balances, *, pepper: str, demo: DemoSecrets, upstreams: Sequence[Upstream]
) -> None:
    """Write the demo's data; writing it again changes nothing but what it signs in with and its own upstreams.

    upstreams: the candidates of the catch-all route, first choice first; those that an earlier start made and that are
    not among them are switched off. With none given, routes stay as they are. What operators made stays as it is.
    """
    is_first = await entry_of(database, SEED_REFERENCE) is None
    if is_first:
        await configuration.add_price_plan(database, "default")
        await configuration.add_account(database, demo_account(demo.webhook_secret))
        await configuration.add_prices(database, [Price(plan="default", prefix="", price_micros=PRICE_MICROS)])
        await configuration.add_mo_number(database, MoNumber(number=MO_NUMBER, account=ACCOUNT, via="smpp"))
    await configuration.add_credential(
        database,
        Credential(system_id=demo.system_id, account=ACCOUNT, password_hmac=password_hmac(pepper, demo.password)),
    )
    await configuration.add_api_key(
        database,
        ApiKey(key_hash=api_key_hash(demo.api_key), account=ACCOUNT, prefix=api_key_prefix(demo.api_key)),
    )
    if upstreams:
        await _set_upstreams(database, upstreams)
    if is_first:
        await balances.top_up(
            LedgerRecord(
                account=ACCOUNT,
                kind="topup",
                amount_micros=PRICE_MICROS * MESSAGES_PAID,
                reference=SEED_REFERENCE,
                at_ms=int(time.time() * 1000),
                operator="seed",
                note="for ten million messages",
            )
        )


def is_demos(upstream: str) -> bool:
    """Whether a start of the demo made the upstream of this name, and not an operator."""
    return upstream == SIMULATED_UPSTREAM or _OF_URL.fullmatch(upstream) is not None


async def _set_upstreams(database: Database, upstreams: Sequence[Upstream]) -> None:
    wanted = tuple(upstream.id for upstream in upstreams)
    found = await configuration.load_snapshot(database, with_prices=False)
    held = {old.id: old for old in found.upstreams}
    for old in held.values():
        if old.id not in wanted and old.is_enabled and is_demos(old.id):
            await configuration.add_upstream(database, msgspec.structs.replace(old, is_enabled=False))
    for upstream in upstreams:
        kept = held.get(upstream.id) if upstream.id == SIMULATED_UPSTREAM else None
        if kept is not None:
            upstream = msgspec.structs.replace(
                kept,
                host=upstream.host,
                port=upstream.port,
                system_id=upstream.system_id,
                password=upstream.password,
                is_enabled=True,
            )
        await configuration.add_upstream(database, upstream)
    catch_all = next((route for route in found.routes if not (route.account or route.digits or route.name)), None)
    if catch_all is None or (set(catch_all.upstreams) != set(wanted) and all(map(is_demos, catch_all.upstreams))):
        await configuration.add_route(database, Route(prefix="", upstreams=wanted))
