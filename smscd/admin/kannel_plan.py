"""What a Kannel configuration becomes here, pure: upstreams, accounts, routes, numbers, and a sentence for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Final, NamedTuple

import msgspec

from smscd.admin.kannel_conf import KannelGroup
from smscd.core.directory import Account, MoNumber, Route
from smscd.core.upstream import Upstream

SYSTEM_ID_MAX: Final = 15
SMPP_PASSWORD_MAX: Final = 8
SEGMENTS_MAX: Final = 255

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_NUMBER: Final = re.compile(r"\+?[0-9]{3,15}")
_TRUE: Final = frozenset(("true", "yes", "on", "1"))
_RECEIPT_IDS: Final = {0: "same", 1: "decimal", 2: "hex", 3: "zeros"}
_ALPHABETS: Final = {"gsm": "gsm", "ascii": "ascii", "us-ascii": "ascii", "iso-8859-1": "latin1", "latin1": "latin1"}
_OURS: Final = {
    "core": "smscd has its own: conf/smscd.toml, PostgreSQL and Redis keep what Kannel's stores kept",
    "smsbox": "smscd has its own: conf/smscd.toml",
}


class UserSecret(NamedTuple):
    """What a sendsms-user signs in with."""

    system_id: str
    account: str
    password: str


@dataclass(slots=True)
class KannelPlan:
    """What would be made. notes: what cannot be translated, and what else to do, a sentence each."""

    upstreams: list[Upstream] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    users: list[UserSecret] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    numbers: list[MoNumber] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Values:
    """The values of a group, each taken once; what is left was not understood."""

    def __init__(self, group: KannelGroup, label: str, notes: list[str]) -> None:
        self._left = dict(group.values)
        self.label = label
        self._notes = notes

    def text(self, name: str, default: str = "") -> str:
        return self._left.pop(name, default)

    def flag(self, name: str, *, default: bool = False) -> bool:
        given = self.text(name)
        return given.lower() in _TRUE if given else default

    def number(self, name: str, convert: Callable[[str], Any] = int) -> Any:
        """A number of some kind; None without one."""
        given = self.text(name)
        if not given:
            return None
        try:
            return convert(given)
        except ValueError:
            self.note(f"{name} is no number and is left out")
            return None

    def note(self, sentence: str) -> None:
        self._notes.append(f"{self.label}: {sentence}.")

    def end(self, reason: str = "not carried over, there is nothing like it here") -> None:
        """Say what was not taken."""
        left = [name for name in self._left if not name.startswith(("log-", "access-log"))]
        if left:
            self.note(f"{', '.join(left)}: {reason}")


def plan_import(groups: Sequence[KannelGroup], *, currency: str, price_plan: str, mo_account: str = "") -> KannelPlan:
    """What the groups become. mo_account: whose the numbers of phones' messages are; empty: nobody's.

    Accounts are in `currency` and pay by `price_plan`.
    """
    plan = KannelPlan()
    numbers: dict[str, str] = {}
    allowed: dict[str, list[str]] = {}
    global_sender = ""
    for group in groups:
        if group.name == "smsc":
            _smsc(group, plan, numbers, allowed)
        elif group.name == "smsbox":
            global_sender = group.values.get("global-sender", global_sender)
    routed = [upstream.id for upstream in plan.upstreams if upstream.id not in allowed]
    if routed:
        plan.routes.append(Route(prefix="", upstreams=tuple(routed)))
    by_prefix: dict[str, list[str]] = {}
    for upstream, prefixes in allowed.items():
        for prefix in prefixes:
            by_prefix.setdefault(prefix, []).append(upstream)
    plan.routes += [Route(prefix=prefix, upstreams=tuple(ids)) for prefix, ids in by_prefix.items()]
    for group in groups:
        match group.name:
            case "smsc":
                pass
            case "sendsms-user":
                _user(group, plan, global_sender, currency, price_plan)
            case "sms-service":
                _service(group, plan, numbers, mo_account)
            case "core" | "smsbox":
                _own(group, plan)
            case _:
                plan.notes.append(f"{group.name} ({group.place}): there is nothing like this group here.")
    if plan.accounts:
        plan.notes.append(
            f"Accounts have no money and no prices yet: `smscd price import FILE --plan {price_plan}`, then "
            "`smscd account topup`."
        )
    return plan


def without_existing(
    plan: KannelPlan,
    *,
    upstreams: Iterable[str],
    accounts: Iterable[str],
    system_ids: Iterable[str],
    routes: Iterable[tuple[str, str]],
    numbers: Iterable[str],
) -> KannelPlan:
    """The plan without what is there already, which is left as it is; so a second import changes nothing."""
    there = {
        "upstream": set(upstreams), "account": set(accounts), "user": set(system_ids), "number": set(numbers),
    }  # fmt: skip
    left = KannelPlan(notes=list(plan.notes))

    def is_new(kind: str, name: str) -> bool:
        if name in there[kind]:
            left.notes.append(f"{kind} {name} is there already and stays as it is.")
        return name not in there[kind]

    left.upstreams = [each for each in plan.upstreams if is_new("upstream", each.id)]
    left.accounts = [each for each in plan.accounts if is_new("account", each.id)]
    made = {account.id for account in left.accounts}
    left.users = [each for each in plan.users if each.account in made and is_new("user", each.system_id)]
    left.numbers = [each for each in plan.numbers if is_new("number", each.number)]
    known = set(routes)
    for route in plan.routes:
        if (route.account, route.prefix) not in known and (not route.account or route.account in made):
            left.routes.append(route)
        elif (route.account, route.prefix) in known:
            left.notes.append(f"A route for {route.prefix or 'every number'} is there already and stays as it is.")
    return left


# --- smsc -----------------------------------------------------------------------------------------------------------


def _smsc(group: KannelGroup, plan: KannelPlan, numbers: dict[str, str], allowed: dict[str, list[str]]) -> None:
    given = group.values.get("smsc-id", "")
    values = _Values(group, f"smsc {given or '(' + group.place + ')'}", plan.notes)
    kind = values.text("smsc")
    values.text("smsc-id")
    if kind != "smpp":
        values.note(f"its type is {kind or 'not given'}, and only smpp can be an upstream")
        return
    host, port = values.text("host"), values.number("port")
    receive_port = values.number("receive-port")
    if not host or not (port or receive_port):
        values.note("it has no host or no port, and is left out")
        return
    id = _id_of(given or host)
    if id is None or any(upstream.id == id for upstream in plan.upstreams):
        values.note("its smsc-id is there twice, or has no letter or digit: give it another and import again")
        return
    fields: dict[str, Any] = {
        "id": id,
        "host": host,
        "port": port or receive_port,
        "system_id": values.text("smsc-username"),
        "password": values.text("smsc-password"),
        "system_type": values.text("system-type"),
        "bind_mode": _bind_mode(values, port, receive_port),
    }
    fields |= _optional(values)
    if values.flag("use-ssl"):
        certificate = values.text("ssl-client-certkey-file")
        fields |= {"uses_tls": True, "tls_certificate_file": certificate, "tls_key_file": certificate}
    own_number = values.text("my-number")
    if own_number:
        numbers[own_number] = id
    listed = values.text("allowed-prefix").replace(" ", "").split(";")
    prefixes = [digits for prefix in listed if (digits := prefix.removeprefix("+"))]
    if prefixes:
        allowed[id] = prefixes
    try:
        plan.upstreams.append(msgspec.convert(fields, Upstream))
    except msgspec.ValidationError as error:
        values.note(f"it is left out, because a value is not valid here: {error}")
        allowed.pop(id, None)
        return
    values.end()


def _bind_mode(values: _Values, port: int | None, receive_port: int | None) -> str:
    if values.flag("transceiver-mode"):
        return "transceiver"
    if port and receive_port:
        if port != receive_port:
            values.note("receive-port is another than port: here both binds go to port")
        return "pair"
    return "receiver" if receive_port else "transmitter"


def _optional(values: _Values) -> dict[str, Any]:
    """What a profile has when it is given."""
    found = {
        "binds": values.number("instances"),
        "window_size": values.number("max-pending-submits"),
        "rate_per_second": values.number("throughput", float),
        "enquire_link_seconds": values.number("enquire-link-interval", float),
        "response_timeout_seconds": values.number("wait-ack", float),
        "interface_version": values.number("interface-version", lambda text: int(text, 16)),
        "source_ton": values.number("source-addr-ton"),
        "source_npi": values.number("source-addr-npi"),
        "dest_ton": values.number("dest-addr-ton"),
        "dest_npi": values.number("dest-addr-npi"),
        "esm_mode": values.number("esm-class", lambda text: int(text, 0) & 3),
        "service_type": values.text("service-type") or None,
    }
    id_type = values.number("msg-id-type", lambda text: int(text, 0))
    if id_type is not None:
        found["receipt_id"] = _RECEIPT_IDS.get(id_type)
    charset = values.text("alt-charset")
    if charset:
        found["default_alphabet"] = _ALPHABETS.get(charset.lower())
        if found["default_alphabet"] is None:
            values.note(f"alt-charset {charset} is none of gsm, ascii and latin1, and is left out")
    return {name: value for name, value in found.items() if value is not None}


# --- sendsms-user ---------------------------------------------------------------------------------------------------


def _user(group: KannelGroup, plan: KannelPlan, global_sender: str, currency: str, price_plan: str) -> None:
    name = group.values.get("username", "")
    values = _Values(group, f"sendsms-user {name or '(' + group.place + ')'}", plan.notes)
    values.text("username")
    password = values.text("password")
    id = _id_of(name)
    if id is None or not password:
        values.note("it has no username or no password, and is left out")
        return
    if any(account.id == id for account in plan.accounts):
        values.note("another user has the same name in small letters: give it another and import again")
        return
    if not name.isascii() or len(name) > SYSTEM_ID_MAX:
        values.note(f"its name is longer than the {SYSTEM_ID_MAX} ASCII characters of a system_id: it is left out")
        return
    if len(password) > SMPP_PASSWORD_MAX:
        values.note(
            f"its password works over HTTP; over SMPP it has more than the {SMPP_PASSWORD_MAX} characters allowed"
        )
    forced = values.text("forced-sender") or values.text("faked-sender")
    sender = forced or values.text("default-sender") or global_sender
    if forced:
        values.note("another sender than its forced one is refused, and not replaced as there")
    rate = values.number("throughput", float)
    terms: dict[str, Any] = {"rate_per_second": rate, "burst": max(1, round(rate))} if rate else {}
    segments = values.number("max-messages") or 1
    if not values.flag("concatenation", default=True):
        segments = 1
    plan.accounts.append(
        Account(
            id=id,
            currency=currency,
            plan=price_plan,
            any_sender=not forced,
            senders=frozenset({sender} if sender else ()),
            segments_max=min(max(segments, 1), SEGMENTS_MAX),
            allowed_networks=(networks := _networks(values)),
            http_networks=networks,
            **terms,
        )
    )
    plan.users.append(UserSecret(name, id, password))
    _own_routes(values, plan, id)
    values.end()


def _networks(values: _Values) -> frozenset[str]:
    """user-allow-ip, whose last octets may be stars. It counts only where user-deny-ip denies the rest, as there."""
    deny = values.text("user-deny-ip")
    found = set()
    for given in filter(None, (part.strip() for part in values.text("user-allow-ip").split(";"))):
        octets = given.split(".")
        fixed = [octet for octet in octets if octet != "*"]
        try:
            text = ".".join([*fixed, *["0"] * (4 - len(fixed))]) + f"/{8 * len(fixed)}"
            if octets[: len(fixed)] != fixed:
                raise ValueError
            found.add(str(ip_network(text)))
        except ValueError:
            values.note(f"user-allow-ip {given} is no address and no network, and is left out")
    if deny and deny.replace(" ", "") not in ("*.*.*.*", "*"):
        values.note("user-deny-ip of single addresses cannot be said here: name those that are allowed")
    if found and not deny:
        values.note("user-allow-ip was without effect there, as nothing was denied; here only it may sign in")
    return frozenset(found)


def _own_routes(values: _Values, plan: KannelPlan, account: str) -> None:
    forced, default = values.text("forced-smsc"), values.text("default-smsc")
    wanted = _id_of(forced or default)
    if wanted is None:
        return
    known = [upstream.id for upstream in plan.upstreams]
    if wanted not in known:
        values.note(f"its smsc {forced or default} is no upstream of this import: it gets no route of its own")
        return
    others = [] if forced else [id for id in known if id != wanted]
    plan.routes.append(Route(prefix="", upstreams=(wanted, *others), account=account))


# --- the rest -------------------------------------------------------------------------------------------------------


def _service(group: KannelGroup, plan: KannelPlan, numbers: dict[str, str], mo_account: str) -> None:
    keyword = group.values.get("keyword", group.values.get("keyword-regex", "(none)"))
    values = _Values(group, f"sms-service {keyword}", plan.notes)
    for name in ("keyword", "keyword-regex", "catch-all", "max-messages"):
        values.text(name)
    url = values.text("get-url") or values.text("post-url") or values.text("post-xml")
    if not url:
        values.note("it answers by itself (text, file or exec), which nothing does here: use a webhook")
        return
    receivers = values.text("allowed-receiver-prefix").replace(" ", "")
    wanted = [number for number in (receivers.split(";") if receivers else numbers) if number]
    if keyword.lower() != "default":
        values.note("messages are told apart by number here, and not by this command by keyword: give it a number")
    elif not mo_account:
        values.note("say with --mo-account whose the messages from phones are")
    else:
        for number in wanted:
            if _NUMBER.fullmatch(number) and all(found.number != number for found in plan.numbers):
                plan.numbers.append(MoNumber(number=number, account=mo_account, via="webhook"))
        if wanted:
            values.note(f"messages go to the webhook of {mo_account}, signed JSON: its URL with escapes is not asked")
        else:
            values.note("no my-number and no allowed-receiver-prefix says which numbers are its own")
    values.end()


def _own(group: KannelGroup, plan: KannelPlan) -> None:
    values = _Values(group, group.name, plan.notes)
    port, host = values.text("sendsms-port"), values.text("sendsms-interface", "0.0.0.0")
    if port:
        values.note(f'open the same door in smscd.toml: [kannel] host = "{host}", port = {port}')
    path = values.text("sendsms-url", "/cgi-bin/sendsms")
    if path != "/cgi-bin/sendsms":
        values.note(f"sendsms-url {path}: here it is /cgi-bin/sendsms, so let a proxy rewrite it")
    values.text("global-sender")
    values.end(_OURS[group.name])


def _id_of(text: str) -> str | None:
    """A name as ours may be: small letters, digits and a few signs."""
    found = re.sub(r"[^a-z0-9_.-]", "-", text.lower()).lstrip("_.-")[:63]
    return found if _ID.fullmatch(found) else None
