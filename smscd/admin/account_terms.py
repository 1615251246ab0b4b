"""The terms of an account as operators write and read them, pure: what each may hold, and what it amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from protocols.gsm.national import Language
from smscd.core.directory import Account, Durability, MoDelivery, Tag
from smscd.core.limits import VELOCITY_MAX, countries_of
from smscd.core.networks import parse_network
from smscd.core.upstream import AlphabetName

Fault: TypeAlias = tuple[str, str]
"""The name of a term, and what is wrong with it."""
ACCOUNT_NAME: Final = r"^[a-z0-9][a-z0-9_.-]{0,62}$"
LANGUAGES: Final = tuple(language.name.lower() for language in Language)
HIDDEN: Final = frozenset({"id", "is_suspended", "webhook_secret", "outbind_password"})
"""What is not shown with the rest: its name, what has a verb of its own, and secrets."""
_NETWORKS: Final = frozenset({"allowed_networks", "http_networks"})

Micros: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Binds: TypeAlias = Annotated[int, Meta(ge=0, le=100_000)]
LanguageName: TypeAlias = Annotated[str, Meta(extra_json_schema={"enum": list(LANGUAGES)})]
Sender: TypeAlias = Annotated[str, Meta(min_length=1, max_length=20)]
Url: TypeAlias = Annotated[str, Meta(pattern="^https?://[!-~]{1,1900}$")]
Ascii: TypeAlias = Annotated[str, Meta(pattern="^[ -~]*$", max_length=255)]


class AccountTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms that are given; what is not given stays as it is, of a new account as it is by default.

    Money is in micro-units of the account's currency. null: no limit, no webhook, no warning.
    """

    plan: Annotated[str, Meta(min_length=1, max_length=63)] | UnsetType = UNSET
    credit_limit_micros: Micros | UnsetType = UNSET
    low_balance_micros: Micros | UnsetType | None = UNSET
    rate_per_second: Annotated[float, Meta(ge=0.1, le=1_000_000)] | UnsetType = UNSET
    burst: Annotated[int, Meta(ge=1, le=2**31 - 1)] | UnsetType = UNSET
    window_size: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    segments_max: Annotated[int, Meta(ge=1, le=255)] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=0, le=3)] | UnsetType = UNSET
    urgent_from: Annotated[int, Meta(ge=0, le=3)] | UnsetType = UNSET
    any_sender: bool | UnsetType = UNSET
    senders: Annotated[list[Sender], Meta(max_length=10_000)] | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(max_length=100)] | UnsetType = UNSET
    webhook_url: Url | UnsetType | None = UNSET
    allows_private_callbacks: bool | UnsetType = UNSET
    binds_max: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET
    binds_tx_max: Binds | UnsetType | None = UNSET
    binds_rx_max: Binds | UnsetType | None = UNSET
    binds_trx_max: Binds | UnsetType | None = UNSET
    allowed_networks: Annotated[list[str], Meta(max_length=1_000)] | UnsetType = UNSET
    http_networks: Annotated[list[str], Meta(max_length=1_000)] | UnsetType = UNSET
    outbind_host: Ascii | UnsetType = UNSET
    outbind_port: Annotated[int, Meta(ge=0, le=65_535)] | UnsetType = UNSET
    outbind_system_id: Annotated[str, Meta(pattern="^[!-~]{0,15}$")] | UnsetType = UNSET
    outbind_password: Annotated[str, Meta(pattern="^[!-~]{0,8}$")] | UnsetType = UNSET
    outbind_uses_tls: bool | UnsetType = UNSET
    outbind_tls_ca_file: Ascii | UnsetType = UNSET
    default_alphabet: AlphabetName | UnsetType = UNSET
    is_little_endian: bool | UnsetType = UNSET
    languages: list[LanguageName] | UnsetType = UNSET
    mo_delivery: MoDelivery | UnsetType = UNSET
    durability: Durability | UnsetType = UNSET
    spend_per_day_micros: Micros | UnsetType | None = UNSET
    velocity_per_minute: Annotated[int, Meta(ge=0, le=VELOCITY_MAX)] | UnsetType = UNSET
    velocity_per_day: Count | UnsetType = UNSET
    allowed_countries: list[str] | UnsetType = UNSET


class NewAccount(AccountTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account that is to be made. Its currency stays what it is: its ledger is in that."""

    name: Annotated[str, Meta(pattern=ACCOUNT_NAME)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "EUR"


class TermsInvalid(ValueError):
    """Terms that no account can have: which, and why each."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{name} {rule}" for name, rule in faults))
        self.faults = faults


def applied(before: Account, terms: AccountTerms) -> Account:
    """An account with these terms in place of what it had. Raises TermsInvalid."""
    given = {name: value for name in AccountTerms.__struct_fields__ if (value := getattr(terms, name)) is not UNSET}
    faults: list[Fault] = []
    if "languages" in given:
        wrong = [name for name in given["languages"] if name not in LANGUAGES]
        faults += [("languages", f"{name} is no language of national tables: {', '.join(LANGUAGES)}") for name in wrong]
        given["languages"] = [int(Language[name.upper()]) for name in given["languages"] if name in LANGUAGES]
    for name in _NETWORKS & given.keys():
        given[name] = _networks(name, given[name], faults)
    for name, value in given.items():
        if isinstance(getattr(before, name), frozenset):
            given[name] = frozenset(value)
    made = msgspec.structs.replace(before, **given)
    faults += contradictions(made)
    if faults:
        raise TermsInvalid(faults)
    return made


def contradictions(made: Account) -> list[Fault]:
    """Terms that do not fit together, or that nothing is known of."""
    faults: list[Fault] = []
    try:
        countries_of(sorted(made.allowed_countries))
    except ValueError as error:
        faults.append(("allowed_countries", f"{error}"))
    if made.outbind_port and not (made.outbind_host and made.outbind_system_id):
        faults.append(("outbind_port", "needs outbind_host and outbind_system_id"))
    return faults


def plan_faults(made: Account, plans: Mapping[str, str]) -> list[Fault]:
    """What is wrong with its price plan. plans: the currency of each."""
    currency = plans.get(made.plan)
    if currency is None:
        return [("plan", f"there is no price plan {made.plan}: `smscd price import` makes it")]
    if currency != made.currency:
        return [("plan", f"the plan {made.plan} is in {currency}, not {made.currency}")]
    return []


def shown(account: Account) -> dict[str, Any]:
    """An account's terms as JSON, without what is secret: only whether there is any."""
    found: dict[str, Any] = {}
    for name in account.__struct_fields__:
        if name not in HIDDEN:
            value = getattr(account, name)
            found[name] = sorted(value) if isinstance(value, frozenset) else value
    found["languages"] = [Language(number).name.lower() for number in sorted(account.languages)]
    return found | {"has_outbind_password": bool(account.outbind_password)}


def differences(before: Account, after: Account) -> dict[str, tuple[object, object]]:
    """The terms that differ: what was shown and what is; of a secret only that it changes."""
    old, new = shown(before), shown(after)
    found: dict[str, tuple[object, object]] = {name: (old[name], new[name]) for name in old if old[name] != new[name]}
    for name in ("outbind_password", "webhook_secret"):
        if getattr(before, name) != getattr(after, name):
            found[name] = ("(secret)", "(another)")
    return found


def _networks(name: str, texts: list[str], faults: list[Fault]) -> list[str]:
    found = []
    for text in texts:
        try:
            found.append(str(parse_network(text)))
        except ValueError as error:
            faults.append((name, f"{text} is not a network: {error}"))
    return found
