"""A Kannel configuration brought over: what of its plan is new here, and that made, all of it or nothing."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict, replace

from smscd.admin import accounts, credentials, kannel_plan, mo_rules, upstreams
from smscd.admin.account_terms import TermsInvalid
from smscd.admin.kannel_conf import KannelGroup
from smscd.admin.kannel_plan import KannelPlan
from smscd.admin.orders import Refusal, refusal_of
from smscd.core import route_forms
from smscd.core.directory import Credential
from smscd.core.limits import Limits
from smscd.supervision import seed
from storage.postgres import configuration, operators
from storage.postgres.pool import Connection
from storage.postgres.price_lists import plan_currency


async def plan(
    connection: Connection, groups: Sequence[KannelGroup], *, price_plan: str, mo_account: str
) -> KannelPlan | Refusal:
    """What the groups become here, without what is there already. mo_account: whose numbers are, or empty."""
    currency = await plan_currency(connection, price_plan)
    if currency is None:
        detail = f"There is no price plan {price_plan}: `smscd price import FILE --plan {price_plan} --apply` makes it."
        return Refusal("not_found", 404, detail)
    found = kannel_plan.plan_import(groups, currency=currency, price_plan=price_plan, mo_account=mo_account)
    return await _what_is_new(connection, found, mo_account)


async def make(
    connection: Connection, wanted: KannelPlan, operator: str, *, mo_account: str, pepper: str, limits: Limits
) -> Refusal | None:
    """Make what is still new of a plan, and write down who did. limits: of accounts that are made."""
    try:
        async with connection.transaction(isolation="repeatable_read"):
            found = await _what_is_new(connection, wanted, mo_account)
            if isinstance(found, Refusal):
                return found
            await _write(connection, found, operator, pepper, limits)
    except TermsInvalid as error:
        return refusal_of([("", f"{name}: {rule}.") for name, rule in error.faults])
    return None


async def _write(connection: Connection, found: KannelPlan, operator: str, pepper: str, limits: Limits) -> None:
    for upstream in found.upstreams:
        await configuration.add_upstream(connection, upstream)
        await operators.log(connection, operator, "upstream.add", upstream.id, new=upstreams.logged(upstream))
    for account in found.accounts:
        made = replace(account, webhook_secret=seed.new_webhook_secret(), **asdict(limits))
        await accounts.write(connection, operator, None, made)
    for user in found.users:
        hmac = seed.password_hmac(pepper, user.password)
        credential = Credential(system_id=user.system_id, account=user.account, password_hmac=hmac)
        await configuration.add_credential(connection, credential)
        shown = credentials.shown(credential)
        await operators.log(connection, operator, "credential.add", user.account, new=shown)
    for route in found.routes:
        await configuration.add_route(connection, route)
        await operators.log(connection, operator, "route.add", route.label, new=route_forms.shown(route))
    for number in found.numbers:
        await configuration.add_mo_number(connection, number)
        described, terms = mo_rules.described(number), mo_rules.shown(number)
        await operators.log(connection, operator, "mo.add", described, new=terms)


async def _what_is_new(connection: Connection, wanted: KannelPlan, mo_account: str) -> KannelPlan | Refusal:
    found = await configuration.load_snapshot(connection, with_prices=False)
    names = {account.id for account in found.accounts}
    if mo_account and mo_account not in names | {account.id for account in wanted.accounts}:
        detail = f"There is no account {mo_account}, and the file makes none: see --mo-account."
        return Refusal("not_found", 404, detail)
    return kannel_plan.without_existing(
        wanted,
        upstreams=(upstream.id for upstream in found.upstreams),
        accounts=names,
        system_ids=(credential.system_id for credential in found.credentials),
        routes=((route.account, route.prefix) for route in found.routes),
        numbers=(number.number for number in found.mo_numbers),
    )
