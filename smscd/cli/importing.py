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
    from smscd.cli.storage import Opened
    from smscd.supervision.locate import Location


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
    from smscd.admin.kannel_conf import KannelSyntaxError, read_configuration

    try:
        groups = read_configuration(file)
    except KannelSyntaxError as error:
        give_up(str(error), as_json=as_json)
    if not groups:
        give_up(f"{file} has no group: it is no Kannel configuration.", as_json=as_json)
    location = find_instance(config_file, data_dir, as_json=as_json)
    if not location.pepper:
        give_up("Passwords need the pepper: run this on the daemon's machine, or set SMSCD_PEPPER.", as_json=as_json)

    async def planned() -> KannelPlan:
        from smscd.admin.kannel_plan import plan_import
        from smscd.cli.storage import opened
        from storage.postgres.price_lists import plan_currency

        async with opened(location) as storage:
            currency = await plan_currency(storage.database, price_plan)
            if currency is None:
                give_up(
                    f"There is no price plan {price_plan}: `smscd price import FILE --plan {price_plan} --apply` "
                    "makes it.",
                    as_json=as_json,
                )
            found = plan_import(groups, currency=currency, price_plan=price_plan, mo_account=mo_account)
            return await _what_is_new(storage, found, mo_account, as_json=as_json)

    async def made() -> None:
        from smscd.cli.storage import opened

        async with opened(location) as storage:
            async with storage.database.transaction(isolation="repeatable_read"):
                await _make(storage, await _what_is_new(storage, plan, mo_account, as_json=as_json), location)
            await storage.tell_of_change()

    plan = run(planned, as_json=as_json)
    rows = _rows(plan)
    if not as_json:
        print_table(["what", "name", "as"], rows)
        for note in plan.notes:
            click.echo(f"- {note}")
    is_made = bool(rows) and (yes or (not as_json and click.confirm("Make this?")))
    if is_made:
        run(made, as_json=as_json)
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


async def _what_is_new(storage: Opened, plan: KannelPlan, mo_account: str, *, as_json: bool) -> KannelPlan:
    """The plan without what the instance has already."""
    from smscd.admin.kannel_plan import without_existing
    from storage.postgres.configuration import load_snapshot

    found = await load_snapshot(storage.database, with_prices=False)
    accounts = {account.id for account in found.accounts}
    if mo_account and mo_account not in accounts | {account.id for account in plan.accounts}:
        give_up(f"There is no account {mo_account}, and the file makes none: see --mo-account.", as_json=as_json)
    return without_existing(
        plan,
        upstreams=(upstream.id for upstream in found.upstreams),
        accounts=accounts,
        system_ids=(credential.system_id for credential in found.credentials),
        routes=((route.account, route.prefix) for route in found.routes),
        numbers=(number.number for number in found.mo_numbers),
    )


async def _make(storage: Opened, plan: KannelPlan, location: Location) -> None:
    """Write everything, and down who did it; the caller's transaction makes it all or nothing."""
    import msgspec

    from smscd.admin import credentials, mo_rules, upstreams
    from smscd.cli.account_state import logged
    from smscd.core import route_forms
    from smscd.core.directory import Credential
    from smscd.supervision import seed
    from storage.postgres import configuration, operators

    database, operator = storage.database, operator_name()
    for upstream in plan.upstreams:
        await configuration.add_upstream(database, upstream)
        await operators.log(database, operator, "upstream.add", upstream.id, new=upstreams.logged(upstream))
    limits = msgspec.structs.asdict(location.new_account)
    for account in plan.accounts:
        secret = seed.new_webhook_secret()
        made = msgspec.structs.replace(account, webhook_secret=secret, **limits)
        await configuration.add_account(database, await logged(database, made, as_json=False))
    for user in plan.users:
        hmac = seed.password_hmac(location.pepper, user.password)
        credential = Credential(system_id=user.system_id, account=user.account, password_hmac=hmac)
        await configuration.add_credential(database, credential)
        shown = credentials.shown(credential)
        await operators.log(database, operator, "credential.add", user.account, new=shown)
    for route in plan.routes:
        await configuration.add_route(database, route)
        await operators.log(database, operator, "route.add", route.label, new=route_forms.shown(route))
    for number in plan.numbers:
        await configuration.add_mo_number(database, number)
        described, terms = mo_rules.described(number), mo_rules.shown(number)
        await operators.log(database, operator, "mo.add", described, new=terms)


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
