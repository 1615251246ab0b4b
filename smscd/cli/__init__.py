"""The `smscd` command. Each command's module is imported when it is called, so that the first output comes at once."""

from __future__ import annotations

import importlib
from typing import Any

import click

from smscd import __version__

COMMANDS = {
    "demo": ("smscd.cli.run", "demo", "Run everything on this machine: servers, carrier, gateway."),
    "serve": ("smscd.cli.run", "serve", "Run the daemon."),
    "db": ("smscd.cli.db", "db", "The PostgreSQL schema: migrate, status."),
    "seed": ("smscd.cli.db", "seed", "Write the demo's account, prices and routes."),
    "account": ("smscd.cli.account", "account", "Customers: add, list, topup, suspend, ..."),
    "key": ("smscd.cli.key", "key", "HTTP keys of customers: create, list, rotate, revoke."),
    "credential": ("smscd.cli.credential", "credential", "SMPP credentials of customers: add, list, rotate, revoke."),
    "operator": ("smscd.cli.operator", "operator", "Who may use the admin API."),
    "audit": ("smscd.cli.audit", "audit", "What operators did: list."),
    "upstream": ("smscd.cli.upstream", "upstream", "Carriers: add, set, list, test, remove, ..."),
    "apply": ("smscd.cli.apply", "apply", "Make upstreams, routes, accounts and numbers what a file says."),
    "pause": ("smscd.cli.halts", "pause", "Let messages wait: of an upstream, a route, an account."),
    "drain": ("smscd.cli.halts", "drain", "Accept nothing new for an upstream or a route, and send what waits."),
    "resume": ("smscd.cli.halts", "resume", "End a pause or a drain."),
    "halted": ("smscd.cli.halts", "halted", "What is paused or drained."),
    "session": ("smscd.cli.session", "session", "SMPP sessions that are bound: list, disconnect."),
    "queue": ("smscd.cli.queue", "queue", "What waits for the upstreams: list."),
    "mo": ("smscd.cli.mo", "mo", "Whose messages from phones are: add, list, remove."),
    "price": ("smscd.cli.price", "price", "Prices and costs: import, quote."),
    "route": ("smscd.cli.route", "route", "Routes: add, set, list, show, remove, import, explain."),
    "totals": ("smscd.cli.totals", "totals", "What messages came to: by day, account, country, upstream."),
    "recover": ("smscd.cli.recover", "recover", "Build a lost Redis from PostgreSQL."),
    "import": ("smscd.cli.importing", "import_", "Bring over a kannel.conf."),
    "ledger": ("smscd.cli.ledger", "ledger", "The ledger: verify."),
    "doubt": ("smscd.cli.doubt", "doubt", "Messages that may have been sent: list, resend, fail."),
    "dead-letter": ("smscd.cli.dead_letter", "dead_letter", "What was not stored, or not taken: list, esmes, ..."),
    "orphan": ("smscd.cli.orphan", "orphan", "Receipts whose message nobody found: list, match."),
    "callback": ("smscd.cli.callback", "callback", "Callbacks to URLs that were given up: list, replay."),
    "send": ("smscd.cli.messages", "send", "Send a message."),
    "message": ("smscd.cli.messages", "message", "Look at messages."),
    "pdu": ("smscd.cli.pdu", "pdu", "Look at SMPP bytes."),
    "carrier": ("tools.carrier.command", "carrier", "Run a simulated carrier."),
    "bench": ("tools.bench.command", "bench", "Measure: smpp, http."),
}


class LazyGroup(click.Group):
    """A group that knows the names and first lines of its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of --help, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="smscd")
def cli() -> None:
    """An SMS gateway: SMPP and HTTP in, carriers out, durable and paid for before it says yes."""


def main(arguments: list[str] | None = None) -> Any:
    """The console script. Exit status: 0 done, 1 failed, 2 wrong usage."""
    return cli.main(args=arguments, prog_name="smscd")
