"""`smscd credential`: what the ESMEs of a customer bind with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smscd.cli.account import CertificateParameter
from smscd.cli.output import (
    Failure,
    find_instance,
    instance_options,
    json_option,
    operator_name,
    print_fields,
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from smscd.admin.credentials import Made
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import Opened

T = TypeVar("T")


@click.group()
def credential() -> None:
    """What the ESMEs of a customer bind with; where from and how often is in its terms (`smscd account set`)."""


@credential.command("list")
@click.argument("account")
@instance_options
@json_option
def list_(account: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """The system_ids of a customer."""
    from smscd.admin import credentials

    found = _asked(
        lambda storage: credentials.listed(account, storage.database), config_file, data_dir, as_json=as_json
    )
    shown = [credentials.shown(one) for one in found]
    if as_json:
        print_json(shown)
        return
    print_table(("system_id", "client certificate"), [tuple(one.values()) for one in shown])


@credential.command()
@click.argument("account")
@click.argument("system_id")
@click.option(
    "--client-certificate",
    type=CertificateParameter(),
    default="",
    metavar="SHA256|CN=NAME",
    help="The TLS client certificate that must be shown as well.",
)
@instance_options
@json_option
def add(
    account: str,
    system_id: str,
    client_certificate: str,
    config_file: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Make a system_id; prints its password, which is shown only now."""
    from smscd.admin import credentials

    pepper = find_instance(config_file, data_dir, as_json=as_json).pepper
    _made(
        lambda storage: credentials.add(
            account, system_id, client_certificate, operator_name(), storage.database, pepper
        ),
        config_file,
        data_dir,
        as_json=as_json,
    )


@credential.command()
@click.argument("account")
@click.argument("system_id")
@instance_options
@json_option
def rotate(account: str, system_id: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Give it another password, which is printed and shown only now; sessions that are bound stay."""
    from smscd.admin import credentials

    pepper = find_instance(config_file, data_dir, as_json=as_json).pepper
    _made(
        lambda storage: credentials.rotate(account, system_id, operator_name(), storage.database, pepper),
        config_file,
        data_dir,
        as_json=as_json,
    )


@credential.command()
@click.argument("account")
@click.argument("system_id")
@instance_options
@json_option
def revoke(account: str, system_id: str, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Let nobody bind with it any more; sessions that are bound stay until they are disconnected."""
    from smscd.admin import credentials

    found = _asked(
        lambda storage: credentials.revoke(account, system_id, operator_name(), storage.database),
        config_file,
        data_dir,
        as_json=as_json,
        is_change=True,
    )
    if as_json:
        print_json(credentials.shown(found) | {"revoked": True})
    else:
        click.echo("revoked")


def _made(
    work: Callable[[Opened], Awaitable[Made | Refusal]],
    config_file: Path | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    found = _asked(work, config_file, data_dir, as_json=as_json, is_change=True)
    shown = {"account": found.credential.account, "system_id": found.credential.system_id, "password": found.password}
    if as_json:
        print_json(shown)
    else:
        print_fields(shown)


def _asked(
    work: Callable[[Opened], Awaitable[T | Refusal]],
    config_file: Path | None,
    data_dir: Path | None,
    *,
    as_json: bool,
    is_change: bool = False,
) -> T:
    """What it comes to; a refusal is a Failure. is_change: all processes are told."""
    from smscd.admin.orders import Refusal
    from smscd.cli.storage import opened

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def whole() -> Any:
        async with opened(location) as storage:
            found = await work(storage)
            if is_change and not isinstance(found, Refusal):
                await storage.tell_of_change()
            return found

    found: T | Refusal = run(whole, as_json=as_json)
    if isinstance(found, Refusal):
        raise Failure(found.detail, as_json=as_json, code=found.code)
    return found
