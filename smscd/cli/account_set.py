"""`smscd account set`: other values of some terms of a customer, by the names that the admin API has for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.account import account
from smscd.cli.output import (
    Failure,
    find_instance,
    instance_options,
    json_option,
    operator_name,
    print_json,
    run,
)

if TYPE_CHECKING:
    from smscd.admin.account_terms import AccountTerms
    from smscd.admin.accounts import Made
    from smscd.admin.orders import Refusal


@account.command("set")
@click.argument("name")
@click.argument("terms", metavar="TERM=VALUE...", nargs=-1, required=True)
@instance_options
@json_option
def set_(name: str, terms: tuple[str, ...], config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Change some terms of a customer, and leave the others as they are.

    Terms are called as in `smscd account show`. A list has commas, none is no limit or nothing at all, money is in
    micro-units: smscd account set acme rate_per_second=50 senders=ACME,Acme low_balance_micros=none
    """
    from smscd.admin import accounts
    from smscd.admin.account_terms import TermsInvalid
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened
    from smscd.core.upstream_fields import to_text

    asked = _read(terms, as_json=as_json)
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> Made | Refusal:
        async with opened(location) as storage:
            found = await accounts.change(name, asked, operator_name(), storage.database)
            await storage.tell_of_change()
            return found

    try:
        found = run(work, as_json=as_json)
    except TermsInvalid as error:
        raise _failure(error.faults, as_json=as_json) from error
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        changes = {term: {"before": old, "after": new} for term, (old, new) in found.differences.items()}
        print_json({"account": name, "changed": changes})
        return
    for term, (old, new) in found.differences.items():
        click.echo(f"{term}: {to_text(old)} -> {to_text(new)}")
    if not found.differences:
        click.echo("as it was")


def _read(texts: tuple[str, ...], *, as_json: bool) -> AccountTerms:
    """The terms that the words mean. Raises Failure with all that is wrong."""
    import msgspec

    from smscd.admin.account_terms import AccountTerms
    from smscd.admin.bodies import read_struct
    from smscd.ingress.http.problems import Problem

    given: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"{text} is not written TERM=VALUE.")
        given[name] = _value(name, value)
    found = read_struct(msgspec.json.encode(given), AccountTerms)
    if isinstance(found, Problem):
        faults = [(error.pointer.removeprefix("/"), error.detail) for error in found.errors]
        raise _failure(faults, as_json=as_json)
    return found


_LISTS = frozenset({"senders", "tags", "allowed_networks", "http_networks", "languages", "allowed_countries"})
_TEXTS = frozenset({"plan", "webhook_url", "outbind_host", "outbind_system_id", "outbind_password"})
_WORDS = {"yes": True, "true": True, "no": False, "false": False}


def _value(name: str, text: str) -> object:
    """A word as JSON has it."""
    if name in _LISTS:
        return [item for item in text.split(",") if item]
    if text == "none":
        return None
    if name in _TEXTS:
        return text
    if text in _WORDS:
        return _WORDS[text]
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text


def _failure(faults: list[tuple[str, str]], *, as_json: bool) -> Failure:
    said = "; ".join(f"{name} {rule}" for name, rule in faults)
    return Failure(f"Nothing was changed: {said}.", as_json=as_json, code="validation_failed", faults=dict(faults))
