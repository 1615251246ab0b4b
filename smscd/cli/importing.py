"""`smscd import`: what another gateway's configuration becomes here, shown first and made after a yes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smscd.cli.output import (
    find_instance,
    give_up,
    instance_options,
    json_option,
    operator_name,
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from smscd.admin.kannel_plan import KannelPlan


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@instance_options
@click.option("--plan", "price_plan", default="default", show_default=True, help="Price plan of the new accounts.")
@click.option("--mo-account", default="", metavar="NAME", help="Whose the messages from phones are, by webhook.")
@click.option("--yes", is_flag=True, help="Make it without asking.")
@json_option
def import_(
    file: Path,
    config_file: Path | None,
    data_dir: Path | None,
    price_plan: str,
    mo_account: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring over a kannel.conf: smsc groups as upstreams, sendsms-users as accounts.

    Shows what it would make and what it cannot translate, and makes it after a yes. What is there already stays.
    """
    from smscd.admin import kannel_import
    from smscd.admin.kannel_conf import KannelSyntaxError, read_configuration
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    try:
        groups = read_configuration(file)
    except KannelSyntaxError as error:
        give_up(str(error), as_json=as_json)
    if not groups:
        give_up(f"{file} has no group: it is no Kannel configuration.", as_json=as_json)
    location = find_instance(config_file, data_dir, as_json=as_json)
    if not location.pepper:
        give_up("Passwords need the pepper: run this on the daemon's machine, or set SMSCD_PEPPER.", as_json=as_json)

    async def planned() -> KannelPlan | Refusal:
        async with opened(location) as storage:
            return await kannel_import.plan(storage.database, groups, price_plan=price_plan, mo_account=mo_account)

    async def made(plan: KannelPlan) -> Refusal | None:
        async with opened(location) as storage:
            refusal = await kannel_import.make(
                storage.database,
                plan,
                operator_name(),
                mo_account=mo_account,
                pepper=location.pepper,
                limits=location.new_account,
            )
            await storage.tell_of_change()
            return refusal

    plan = run(planned, as_json=as_json)
    if isinstance(plan, Refusal):
        give_up(plan.detail, as_json=as_json)
    rows = _rows(plan)
    if not as_json:
        print_table(["what", "name", "as"], rows)
        for note in plan.notes:
            click.echo(f"- {note}")
    is_made = bool(rows) and (yes or (not as_json and click.confirm("Make this?")))
    if is_made:
        refusal = run(lambda: made(plan), as_json=as_json)
        if refusal is not None:
            give_up(refusal.detail, as_json=as_json)
    if as_json:
        print_json(
            {
                "made": is_made,
                "plan": [{"what": what, "name": name, "as": shown} for what, name, shown in rows],
                "notes": plan.notes,
            }
        )
    else:
        click.echo("Made." if is_made else "Nothing was changed.")


def _rows(plan: KannelPlan) -> list[tuple[str, str, str]]:
    """The plan for people; no password."""
    rows: list[tuple[str, str, str]] = []
    for upstream in plan.upstreams:
        scheme = "smpps" if upstream.uses_tls else "smpp"
        shown = f"{scheme}://{upstream.system_id}@{upstream.host}:{upstream.port}"
        rows.append(("upstream", upstream.id, f"{shown}, {upstream.bind_mode} x{upstream.binds}"))
    for account in plan.accounts:
        terms: list[Any] = [f"{account.rate_per_second:g}/s", f"up to {account.segments_max} segments"]
        terms += [f"from {' '.join(sorted(account.senders))}"] if account.senders else []
        terms += [f"at {' '.join(sorted(account.allowed_networks))}"] if account.allowed_networks else []
        rows.append(("account", account.id, ", ".join(terms)))
    rows += [("user", user.system_id, f"of {user.account}, with its password") for user in plan.users]
    for route in plan.routes:
        to = route.prefix or "every number"
        rows.append(("route", f"{route.account}: {to}" if route.account else to, " then ".join(route.upstreams)))
    rows += [("number", number.number, f"{number.account}, by {number.via}") for number in plan.numbers]
    return rows
