"""`smscd db` and `smscd seed`: the schema of PostgreSQL, and the demo's data in it."""

from __future__ import annotations

from pathlib import Path

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


@click.group()
def db() -> None:
    """The schema of PostgreSQL."""


@db.command()
@instance_options
@click.option("--owner-dsn", envvar="SMSCD_POSTGRES_OWNER_DSN", help="The role that owns the tables (or a superuser).")
@click.option("--daemon-password", envvar="SMSCD_DAEMON_PASSWORD", help="Set the password of the daemon's role.")
@json_option
def migrate(
    config_file: Path | None, data_dir: Path | None, owner_dsn: str | None, daemon_password: str | None, as_json: bool
) -> None:
    """Bring the schema to this release; safe while the previous release runs."""
    from storage.postgres import migrate as migrations

    dsn = owner_dsn or find_instance(config_file, data_dir, as_json=as_json).postgres_owner_dsn
    if not dsn:
        give_up(
            "Migrations run as the owner of the tables: give --owner-dsn, SMSCD_POSTGRES_OWNER_DSN or "
            "postgres_owner_dsn in the configuration.",
            as_json=as_json,
        )
    applied = run(lambda: migrations.migrate(dsn, daemon_password=daemon_password), as_json=as_json)
    if as_json:
        print_json({"applied": applied})
    else:
        for name in applied:
            click.echo(f"applied {name}")
        click.echo("The schema is up to date.")


@db.command()
@instance_options
@json_option
def status(config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """What is applied and what is pending. Exit status 1 when anything is pending or was changed."""
    from storage.postgres import migrate as migrations

    location = find_instance(config_file, data_dir, as_json=as_json)
    lines = run(lambda: migrations.status(location.postgres_dsn), as_json=as_json)
    is_good = all(line.state == "applied" for line in lines)
    if as_json:
        print_json(
            {
                "up_to_date": is_good,
                "migrations": [
                    {"version": line.version, "name": line.name, "state": line.state, "applied_at": line.applied_at}
                    for line in lines
                ],
            }
        )
    else:
        print_table(
            ["version", "name", "state", "applied at"],
            [(f"{line.version:04d}", line.name, line.state, line.applied_at) for line in lines],
        )
    if not is_good:
        raise SystemExit(1)


@click.command()
@instance_options
@click.option(
    "--upstream", "upstreams", multiple=True, metavar="smpp://SYSTEM_ID:PASSWORD@HOST:PORT", help="Route to these."
)
@json_option
def seed(config_file: Path | None, data_dir: Path | None, upstreams: tuple[str, ...], as_json: bool) -> None:
    """Write the demo's account, prices and routes. On a running demo: shows what its account signs in with."""
    from smscd.cli.storage import opened
    from smscd.supervision import seed as seeding
    from storage.postgres import operators

    location = find_instance(config_file, data_dir, as_json=as_json)
    if not location.pepper:
        give_up(
            "SMPP passwords need the pepper: run this on the daemon's machine, or set SMSCD_PEPPER.", as_json=as_json
        )
    try:
        wanted = [seeding.upstream_of_url(url, f"upstream{at}") for at, url in enumerate(upstreams, 1)]
    except seeding.UpstreamUrlError as error:
        raise click.UsageError(str(error)) from error
    known = location.run.ready if location.run is not None else None
    if known is not None and known.http.api_key:
        secrets = seeding.DemoSecrets(
            system_id=known.smpp.system_id,
            password=known.smpp.password,
            api_key=known.http.api_key,
            webhook_secret=known.webhook_secret,
        )
    else:
        secrets = seeding.new_demo_secrets()

    async def work() -> None:
        async with opened(location) as storage:
            names = [upstream.id for upstream in wanted]
            await operators.log(storage.database, operator_name(), "seed", seeding.ACCOUNT, new={"upstreams": names})
            await seeding.seed(
                storage.database, storage.balances, pepper=location.pepper, demo=secrets, upstreams=wanted
            )
            await storage.tell_of_change()

    run(work, as_json=as_json)
    shown = {
        "account": seeding.ACCOUNT,
        "system_id": secrets.system_id,
        "password": secrets.password,
        "api_key": secrets.api_key,
        "webhook_secret": secrets.webhook_secret,
    }
    if as_json:
        print_json(shown)
    else:
        for name, value in shown.items():
            click.echo(f"{name:<15} {value}")
