"""`smscd mo`: whose messages from phones are, by our number and the first word of the text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.output import (
    Failure,
    find_instance,
    instance_options,
    json_option,
    operator_name,
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from smscd.admin.mo_rules import RuleChange
    from smscd.admin.orders import Refusal
    from smscd.core.directory import MoNumber


@click.group()
def mo() -> None:
    """Whose messages from phones are.

    A number's own rules come before those of prefixes, and longer prefixes before shorter ones; in each of them, a
    keyword comes before the rule without one. Messages that no rule fits are recorded, and nobody gets them.
    """


def _rule(command: Callable[..., None]) -> Callable[..., None]:
    prefix = click.option("--prefix", is_flag=True, help="NUMBER is the beginning of many; * is every number.")
    keyword = click.option("--keyword", default="", metavar="WORD", help="Only texts whose first word is this.")
    return click.argument("number")(keyword(prefix(command)))


@mo.command()
@_rule
@click.option("--account", required=True, metavar="NAME", help="Who gets them.")
@click.option("--via", type=click.Choice(["smpp", "webhook"]), default="smpp", show_default=True, help="How.")
@instance_options
@json_option
def add(
    number: str,
    keyword: str,
    prefix: bool,
    account: str,
    via: str,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Give messages to NUMBER to an account, or change whose they are.

    The case of a keyword makes no difference, nor does punctuation around it. Of a long message, the first word of all
    of it counts: where a keyword may decide, its parts are joined, and the account gets the whole.
    """
    from smscd.admin import mo_rules
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    rule = mo_rules.rule_of(_number(number), account, via, keyword, is_prefix=prefix)
    if isinstance(rule, Refusal):
        raise Failure(rule.detail, as_json=as_json, code=rule.code)
    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> RuleChange | Refusal:
        async with opened(location) as storage:
            return await mo_rules.add(rule, operator_name(), storage.database, storage.tell_of_change)

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        print_json(mo_rules.shown(rule) | {"changed": found.before != rule, "told": found.is_told})
        return
    click.echo("added" if found.before is None else "as it was" if found.before == rule else "changed")
    _say_told(found)


@mo.command()
@_rule
@instance_options
@json_option
def remove(
    number: str, keyword: str, prefix: bool, config_file: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    """Take a rule away; what came before stays whose it was."""
    from smscd.admin import mo_rules
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> RuleChange | Refusal:
        async with opened(location) as storage:
            return await mo_rules.remove(
                _number(number), keyword, operator_name(), storage.database, storage.tell_of_change, is_prefix=prefix
            )

    found = run(work, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    if as_json:
        assert found.before is not None  # else it is refused
        print_json(mo_rules.shown(found.before) | {"removed": True, "told": found.is_told})
        return
    click.echo("removed")
    _say_told(found)


@mo.command("list")
@instance_options
@json_option
def list_rules(config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """All rules."""
    from smscd.admin.mo_rules import shown
    from smscd.cli.storage import opened
    from storage.postgres.mo_rules import rules

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[MoNumber]:
        async with opened(location) as storage:
            return await rules(storage.database)

    found = run(work, as_json=as_json)
    if as_json:
        print_json([shown(rule) for rule in found])
        return
    rows = [(f"{rule.number}{'*' * rule.is_prefix}", rule.keyword, rule.account, rule.via) for rule in found]
    print_table(["number", "keyword", "account", "via"], rows)


def _number(given: str) -> str:
    return "" if given == "*" else given


def _say_told(found: RuleChange) -> None:
    if not found.is_told:
        click.echo("Redis did not pass the notice on: every worker sees it within half a minute.")
