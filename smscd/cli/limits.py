"""`smscd account limits`: what an account may spend and send; and the same options for `smscd account add`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smscd.cli.money import Money, shown_money
from smscd.cli.output import (
    find_instance,
    give_up,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    run,
)

if TYPE_CHECKING:
    from smscd.core.limits import Limits

F = TypeVar("F", bound=Callable[..., Any])
NO_LIMIT = "none"
EVERYWHERE = "any"
VELOCITY_PER_MINUTE_MAX = 65_535
VELOCITY_PER_DAY_MAX = 2**31 - 1


class MoneyOrNone(Money):
    """An amount that is not negative, or "none"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to micro-units, or to "none"."""
        if value == NO_LIMIT:
            return NO_LIMIT
        micros = super().convert(value, param, ctx)
        if micros < 0:
            self.fail(f"{value} is less than nothing", param, ctx)
        return micros


class Country(click.ParamType[str]):
    """Two letters of ISO 3166-1, or "any"."""

    name = "country"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text to a code that a country has."""
        from smscd.core.limits import countries_of

        if str(value).lower() == EVERYWHERE:
            return EVERYWHERE
        try:
            (code,) = countries_of([str(value).upper()])
            return code
        except ValueError as error:
            self.fail(str(error), param, ctx)


def limit_options(command: F) -> F:
    """--spend-per-day, --velocity-minute, --velocity-day, --country."""
    options: tuple[Callable[[F], F], ...] = (
        click.option(
            "--spend-per-day",
            type=MoneyOrNone(),
            metavar="AMOUNT|none",
            help="What it may be charged on one day (UTC); refunds give nothing of it back.",
        ),
        click.option(
            "--velocity-minute",
            type=click.IntRange(0, VELOCITY_PER_MINUTE_MAX),
            help="Messages in any 60 s to numbers that differ in their last four digits only; 0 is no limit.",
        ),
        click.option(
            "--velocity-day",
            type=click.IntRange(0, VELOCITY_PER_DAY_MAX),
            help="The same on one day (UTC).",
        ),
        click.option(
            "--country",
            "countries",
            type=Country(),
            multiple=True,
            metavar="CODE|any",
            help="A country that it may send to, by its two letters. Repeatable.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def changed(limits: Limits, options: Mapping[str, Any]) -> Limits:
    """Limits with what the options say in place of what they were."""
    import msgspec

    changes: dict[str, Any] = {}
    spend = options["spend_per_day"]
    if spend is not None:
        changes["spend_per_day_micros"] = None if spend == NO_LIMIT else spend
    for name, option in (("velocity_per_minute", "velocity_minute"), ("velocity_per_day", "velocity_day")):
        if options[option] is not None:
            changes[name] = options[option]
    if options["countries"]:
        changes["allowed_countries"] = frozenset(options["countries"]) - {EVERYWHERE}
    return msgspec.structs.replace(limits, **changes)


@click.command()
@click.argument("name")
@instance_options
@limit_options
@json_option
def limits(name: str, config_file: Path | None, data_dir: Path | None, as_json: bool, **options: Any) -> None:
    """Show what a customer is held to; with options, change that first."""
    from smscd.admin import account_parts
    from smscd.cli.storage import opened
    from storage.postgres import configuration

    if EVERYWHERE in options["countries"] and len(options["countries"]) > 1:
        raise click.UsageError("--country any allows every country: give it alone.")
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> tuple[Limits | None, str, int]:
        async with opened(location) as storage:
            database = storage.database
            change = await account_parts.limit(database, name, lambda held: changed(held, options), operator_name())
            if change is None:
                return None, "", 0
            held, wanted = change
            if wanted != held:
                await storage.tell_of_change()
            snapshot = await configuration.load_snapshot(database, with_prices=False)
            currency = next(found.currency for found in snapshot.accounts if found.id == name)
            return wanted, currency, await storage.balances.spent_today(name)

    found, currency, spent = run(work, as_json=as_json)
    if found is None:
        give_up(f"There is no account {name}: `smscd account list` shows those that there are.", as_json=as_json)
    micros, countries = found.spend_per_day_micros, sorted(found.allowed_countries)
    if as_json:
        print_json(
            {
                "account": name,
                "currency": currency,
                "spend_per_day_micros": micros,
                "spent_today_micros": spent if micros is not None else None,
                "velocity_per_minute": found.velocity_per_minute,
                "velocity_per_day": found.velocity_per_day,
                "allowed_countries": countries,
            }
        )
        return
    print_fields(
        {
            "account": name,
            "spend per day": "no limit" if micros is None else shown_money(micros, currency),
            "spent today": None if micros is None else shown_money(spent, currency),
            "to a prefix in a minute": found.velocity_per_minute or "no limit",
            "to a prefix in a day": found.velocity_per_day or "no limit",
            "countries": " ".join(countries) or "every country",
        }
    )
