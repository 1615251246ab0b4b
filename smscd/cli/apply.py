"""`smscd apply`: upstreams, routes, accounts and numbers as a file declares them, after a look at the plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smscd.cli.output import Failure, find_instance, instance_options, json_option, print_json, run
from smscd.cli.upstream import admin_of

if TYPE_CHECKING:
    from smscd.admin.declared.plan import Declaration
    from smscd.admin.declared.steps import Step
    from smscd.admin.orders import Refusal
    from smscd.supervision.locate import Location

_SIGNS = {"add": "+", "change": "~", "remove": "-"}
_SINGULAR = {"upstreams": "upstream", "routes": "route", "accounts": "account", "mo_numbers": "number"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the plan and do nothing.")
@click.option("--prune", is_flag=True, help="Remove what a section that is in the file does not declare.")
@click.option(
    "--force", "is_forced", is_flag=True, help="Remove upstreams although messages wait or receipts may still come."
)
@instance_options
@json_option
def apply(
    file: Path,
    yes: bool,
    dry_run: bool,
    prune: bool,
    is_forced: bool,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Make the configuration what FILE (TOML) declares: all of it, or nothing.

    \b
    [upstreams.north]                 # the fields of `smscd upstream show`, and password
    host = "smsc.example"
    port = 2775
    system_id = "us"
    [[routes]]
    prefix = "44"                     # account = "acme" for its own
    upstreams = ["north"]
    [accounts.acme]                   # its terms; no money, keys or passwords
    rate_per_second = 50.0
    [mo_numbers.12345]
    account = "acme"

    What a table does not name stays as it is; of something new it is the default. Accounts are never removed.
    """
    from smscd.admin.declared.forms import shown
    from smscd.admin.declared.plan import Declaration, DeclarationInvalid, parse
    from smscd.admin.orders import Refusal
    from smscd.supervision.seed import new_webhook_secret

    location = find_instance(config_file, data_dir, as_json=as_json)
    try:
        sections = parse(file.read_text(encoding="utf-8"))
        declaration = Declaration(sections=sections, is_pruned=prune, new_secret=new_webhook_secret)
        steps = run(lambda: _planned(location, declaration), as_json=as_json)
    except (DeclarationInvalid, UnicodeDecodeError, OSError) as error:
        raise _failure(file, error, as_json=as_json) from error
    plan = [shown(step) for step in steps]
    if not as_json:
        _print(steps)
    if dry_run or not steps:
        if as_json:
            print_json({"plan": plan, "applied": False})
        return
    if not yes:
        if as_json:
            raise click.UsageError("With --json nobody is asked: give --yes, or --dry-run.")
        click.confirm("Apply?", abort=True)
    try:
        found = run(lambda: _applied(location, declaration, steps, is_forced=is_forced), as_json=as_json)
    except DeclarationInvalid as error:
        raise _failure(file, error, as_json=as_json) from error
    if isinstance(found, Refusal):
        raise Failure(f"Nothing was applied. {found.detail}", as_json=as_json, code=found.code)
    if as_json:
        print_json({"plan": plan, "applied": True, "told": found})
        return
    click.echo("applied")
    if not found:
        click.echo("Redis did not pass the notice on: every worker sees it within half a minute.")


async def _planned(location: Location, declaration: Declaration) -> list[Step]:
    from smscd.admin.declared.plan import plan
    from smscd.cli.storage import opened

    async with opened(location) as storage:
        return await plan(declaration, storage.database)


async def _applied(
    location: Location, declaration: Declaration, steps: list[Step], *, is_forced: bool
) -> bool | Refusal:
    from smscd.admin.declared import plan
    from smscd.cli.storage import opened

    async with opened(location) as storage:
        return await plan.apply(declaration, steps, admin_of(storage), is_forced=is_forced)


def _failure(file: Path, error: Exception, *, as_json: bool) -> Failure:
    from smscd.admin.declared.plan import DeclarationInvalid

    if isinstance(error, DeclarationInvalid):
        faults = [{"where": where, "rule": rule} for where, rule in error.faults]
        return Failure(f"{file}: {error}.", as_json=as_json, code="declaration_invalid", faults=faults)
    return Failure(f"{file} cannot be read: {error}.", as_json=as_json, code="declaration_invalid")


def _print(steps: list[Step]) -> None:
    from smscd.core.upstream_fields import to_text

    if not steps:
        click.echo("nothing to do")
    for step in steps:
        click.echo(f"{_SIGNS[step.verb]} {_SINGULAR[step.section]} {step.name}")
        for name, (old, new) in step.differences.items():
            click.echo(
                f"    {name}: {to_text(new)}" if old is None else f"    {name}: {to_text(old)} -> {to_text(new)}"
            )
