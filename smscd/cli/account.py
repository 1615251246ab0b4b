"""`smscd account`: customers, their keys and their money."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from protocols.gsm.national import Language
from smscd.cli.allow import allow
from smscd.cli.durability import durability
from smscd.cli.limits import changed, limit_options, limits
from smscd.cli.money import Money as Money
from smscd.cli.money import shown_money as shown_money
from smscd.cli.output import (
    find_instance,
    give_up,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    print_table,
    run,
)
from smscd.cli.tags import tags

ALPHABETS = ("unknown", "gsm", "gsm_packed", "latin1", "ascii")
LANGUAGES = tuple(language.name.lower() for language in Language)
ACCOUNT_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class NetworkParameter(click.ParamType[str]):
    """A CIDR network or one address, in its shortest form."""

    name = "cidr"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text to a network's text."""
        from smscd.core.networks import parse_network

        try:
            return str(parse_network(str(value)))
        except ValueError as error:
            self.fail(f"{value} is not a network: {error}", param, ctx)


class CertificateParameter(click.ParamType[str]):
    """A SHA-256 in hexadecimal digits, with or without colons, or CN=NAME."""

    name = "certificate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text as it is stored."""
        text = str(value)
        if not text or (text.startswith("CN=") and len(text) > 3):
            return text
        digits = text.replace(":", "").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", digits):
            self.fail(f"{value} is neither a SHA-256 in hexadecimal digits nor CN=NAME", param, ctx)
        return digits


def shown_text(found: dict[str, Any]) -> str:
    """How an account writes text, for people; empty for one of which nothing is said."""
    alphabet = found["default_alphabet"] if found["default_alphabet"] != "unknown" else ""
    order = "little-endian" if found["is_little_endian"] else ""
    return " ".join(filter(None, (alphabet, order, *found["languages"])))


@click.group()
def account() -> None:
    """Customers, their keys and their money."""


account.add_command(allow)
account.add_command(limits)
account.add_command(durability)
account.add_command(tags)


@account.command()
@click.argument("name")
@instance_options
@click.option("--currency", default="EUR", show_default=True)
@click.option("--plan", default="default", show_default=True, help="Price plan.")
@click.option("--rate", default=100.0, show_default=True, type=click.FloatRange(0.1), help="Messages a second.")
@click.option("--burst", default=200, show_default=True, type=click.IntRange(1), help="Messages at once.")
@click.option("--window", default=100, show_default=True, type=click.IntRange(1, 10_000), help="Unanswered requests.")
@click.option("--binds", default=4, show_default=True, type=click.IntRange(1, 100_000), help="SMPP sessions at once.")
@click.option("--binds-tx", type=click.IntRange(0), help="Of these, transmitters. 0 forbids the type, here and below.")
@click.option("--binds-rx", type=click.IntRange(0), help="Of these, receivers.")
@click.option("--binds-trx", type=click.IntRange(0), help="Of these, transceivers.")
@click.option(
    "--allow",
    "networks",
    multiple=True,
    type=NetworkParameter(),
    metavar="CIDR",
    help="A network that its ESMEs may bind from; everywhere otherwise. Repeatable.",
)
@click.option(
    "--client-certificate",
    type=CertificateParameter(),
    default="",
    metavar="SHA256|CN=NAME",
    help="The TLS client certificate that its ESMEs must show, by its SHA-256 or its common name.",
)
@click.option("--credit-limit", type=Money(), default=0, help="How far the balance may go below zero.")
@click.option("--balance", type=Money(), default=0, help="Top up at once.")
@click.option("--low-balance", type=Money(), help="Warn each time that the balance falls below this, by webhook.")
@click.option("--sender", "senders", multiple=True, help="A sender that it may use. Repeatable.")
@click.option("--any-sender", is_flag=True, help="It may use any sender.")
@click.option("--webhook-url", help="Where its receipts and incoming messages go.")
@click.option("--system-id", help="Of its SMPP credentials; the account's name otherwise.")
@click.option(
    "--alphabet",
    type=click.Choice(ALPHABETS),
    default="unknown",
    show_default=True,
    help="What data_coding 0 is to its ESMEs; unknown passes the octets on as they are.",
)
@click.option("--little-endian", is_flag=True, help="Its ESMEs write UCS-2 with the low octet first.")
@click.option(
    "--language",
    "languages",
    type=click.Choice(LANGUAGES),
    multiple=True,
    help="Whose national tables its texts over HTTP may use where that saves segments. Repeatable.",
)
@click.option(
    "--mo-delivery",
    type=click.Choice(("parts", "whole")),
    default="parts",
    show_default=True,
    help="How its ESMEs get a long message from a phone; a webhook gets the whole. Above 254 octets a whole needs 3.4.",
)
@limit_options
@click.option(
    "--durability",
    type=click.Choice(["normal", "strict"]),
    default="normal",
    show_default=True,
    help="Whether its messages are accepted when they are in Redis, or in PostgreSQL too.",
)
@json_option
def add(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool, **options: Any) -> None:
    """Make a customer, or change one; prints its new key and password, which are shown only now."""
    from smscd.admin import account_parts
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened
    from smscd.core.directory import Account, Credential
    from smscd.supervision import seed as seeding
    from storage.postgres.price_lists import plan_currency

    if not ACCOUNT_ID.fullmatch(name):
        raise click.UsageError(
            "An account's name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with none of these signs."
        )
    system_id = options["system_id"] or name
    if len(system_id) > seeding.SYSTEM_ID_LENGTH_MAX or not system_id.isascii():
        raise click.UsageError(
            f"SMPP allows {seeding.SYSTEM_ID_LENGTH_MAX} ASCII characters of system_id: use --system-id."
        )
    location = find_instance(config_file, data_dir, as_json=as_json)
    if not location.pepper:
        give_up(
            "SMPP passwords need the pepper: run this on the daemon's machine, or set SMSCD_PEPPER.", as_json=as_json
        )
    password, key, secret = seeding.new_password(), seeding.new_api_key(), seeding.new_webhook_secret()
    made = Account(
        id=name,
        currency=options["currency"],
        plan=options["plan"],
        credit_limit_micros=options["credit_limit"],
        rate_per_second=options["rate"],
        burst=options["burst"],
        any_sender=options["any_sender"],
        senders=frozenset(options["senders"]),
        webhook_url=options["webhook_url"],
        webhook_secret=secret,
        binds_max=options["binds"],
        window_size=options["window"],
        allowed_networks=frozenset(options["networks"]),
        binds_tx_max=options["binds_tx"],
        binds_rx_max=options["binds_rx"],
        binds_trx_max=options["binds_trx"],
        default_alphabet=options["alphabet"],
        languages=frozenset(int(Language[name.upper()]) for name in options["languages"]),
        is_little_endian=options["little_endian"],
        low_balance_micros=options["low_balance"],
        mo_delivery=options["mo_delivery"],
        durability=options["durability"],
    )

    async def work() -> None:
        async with opened(location) as storage:
            database = storage.database
            currency = await plan_currency(database, made.plan)
            if currency is None:
                give_up(
                    f"There is no price plan {made.plan}: "
                    f"`smscd price import FILE --plan {made.plan} --apply` makes it.",
                    as_json=as_json,
                )
            if currency != made.currency:
                give_up(f"The plan {made.plan} is in {currency}: give --currency {currency}.", as_json=as_json)
            async with database.transaction():
                put = await account_parts.put(
                    database, made, lambda held: changed(held, options), operator_name(), location.new_account
                )
                if isinstance(put, Refusal):
                    give_up(put.detail, as_json=as_json)
                hmac = seeding.password_hmac(location.pepper, password)
                credential = Credential(
                    system_id=system_id,
                    account=name,
                    password_hmac=hmac,
                    client_certificate=options["client_certificate"],
                )
                if (refusal := await account_parts.let_in(database, credential, key, datetime.now(UTC))) is not None:
                    give_up(refusal.detail, as_json=as_json)
            if options["balance"]:
                await account_money.first_balance(storage, name, options["balance"], as_json=as_json)
            await storage.tell_of_change()

    run(work, as_json=as_json)
    shown = {"account": name, "system_id": system_id, "password": password, "api_key": key, "webhook_secret": secret}
    if as_json:
        print_json(shown)
    else:
        print_fields(shown)


@account.command("list")
@instance_options
@json_option
def list_accounts(config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """All customers with their balances."""
    from smscd.cli.storage import opened
    from storage.postgres.configuration import load_snapshot

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[dict[str, Any]]:
        async with opened(location) as storage:
            snapshot = await load_snapshot(storage.database, with_prices=False)
            ids: dict[str, list[str]] = {}
            certificates: dict[str, list[str]] = {}
            for credential in snapshot.credentials:
                ids.setdefault(credential.account, []).append(credential.system_id)
                if credential.client_certificate:
                    certificates.setdefault(credential.account, []).append(credential.client_certificate)
            return [
                {
                    "account": found.id,
                    "balance_micros": await storage.balances.balance(found.id) or 0,
                    "currency": found.currency,
                    "credit_limit_micros": found.credit_limit_micros,
                    "rate_per_second": found.rate_per_second,
                    "system_ids": ids.get(found.id, []),
                    "binds_max": found.binds_max,
                    "binds_tx_max": found.binds_tx_max,
                    "binds_rx_max": found.binds_rx_max,
                    "binds_trx_max": found.binds_trx_max,
                    "allowed_networks": sorted(found.allowed_networks),
                    "client_certificates": certificates.get(found.id, []),
                    "is_suspended": found.is_suspended,
                    "default_alphabet": found.default_alphabet,
                    "is_little_endian": found.is_little_endian,
                    "languages": [Language(number).name.lower() for number in sorted(found.languages)],
                }
                for found in snapshot.accounts
            ]

    accounts = run(work, as_json=as_json)
    if as_json:
        print_json(accounts)
        return
    print_table(
        ["account", "balance", "credit", "rate", "system_id", "binds", "from", "text", ""],
        [
            (
                found["account"],
                shown_money(found["balance_micros"], found["currency"]),
                shown_money(found["credit_limit_micros"], found["currency"]),
                f"{found['rate_per_second']:g}/s",
                " ".join(found["system_ids"]),
                str(found["binds_max"]),
                " ".join(found["allowed_networks"]) or "anywhere",
                shown_text(found),
                "suspended" if found["is_suspended"] else "",
            )
            for found in accounts
        ],
    )


from smscd.cli import account_money, account_set, account_state, statement  # noqa: E402, F401  # their commands
