"""Everything that the commands do over HTTP too, or a reason why not; and no command writes anything by itself."""

from __future__ import annotations

import re
from pathlib import Path

import click

from smscd.admin.permissions import NEEDED
from smscd.cli import cli

ROUTES: dict[str, tuple[str, ...]] = {
    "account add": ("POST accounts", "POST accounts/{account}/credentials", "POST accounts/{account}/keys"),
    "account adjust": ("POST accounts/{account}/topups", "GET accounts/{account}/topups/{reference}"),
    "account allow": ("GET accounts/{account}/networks", "PUT accounts/{account}/networks"),
    "account correct": ("POST accounts/{account}/topups",),
    "account durability": ("PATCH accounts/{account}",),
    "account limits": ("PATCH accounts/{account}", "GET accounts/{account}/spent"),
    "account list": ("GET accounts",),
    "account resume": ("POST accounts/{account}/resume",),
    "account set": ("PATCH accounts/{account}",),
    "account show": ("GET accounts/{account}",),
    "account statement": ("GET accounts/{account}/transactions",),
    "account suspend": ("POST accounts/{account}/suspend",),
    "account tags": ("PATCH accounts/{account}",),
    "account topup": ("POST accounts/{account}/topups",),
    "apply": ("POST declarations",),
    "audit list": ("GET audit",),
    "callback list": ("GET dead-letters/callbacks",),
    "callback replay": ("POST dead-letters/callbacks/replay",),
    "credential add": ("POST accounts/{account}/credentials",),
    "credential list": ("GET accounts/{account}/credentials",),
    "credential revoke": ("DELETE accounts/{account}/credentials/{system_id}",),
    "credential rotate": ("POST accounts/{account}/credentials/{system_id}/rotate",),
    "dead-letter discard": ("POST dead-letters/journal/{number}/discard",),
    "dead-letter esmes": ("GET dead-letters/esmes",),
    "dead-letter list": ("GET dead-letters/journal",),
    "dead-letter redrive": ("POST dead-letters/esmes/redrive",),
    "doubt fail": ("POST doubts/fail",),
    "doubt list": ("GET doubts",),
    "doubt resend": ("POST doubts/resend",),
    "drain account": ("POST halts/{kind}/{name}/{verb}",),
    "drain route": ("POST halts/{kind}/{name}/{verb}",),
    "drain upstream": ("POST halts/{kind}/{name}/{verb}",),
    "halted": ("GET halts",),
    "key create": ("POST accounts/{account}/keys",),
    "key list": ("GET accounts/{account}/keys",),
    "key revoke": ("DELETE accounts/{account}/keys/{key}",),
    "key rotate": ("POST accounts/{account}/keys/{key}/rotate",),
    "ledger verify": ("GET ledger/verification",),
    "message show": ("GET messages/{message}",),
    "mo add": ("POST mo",),
    "mo list": ("GET mo",),
    "mo remove": ("DELETE mo/{number}",),
    "operator add": ("POST operators",),
    "operator list": ("GET operators",),
    "operator revoke": ("DELETE operators/{operator}",),
    "orphan list": ("GET orphans",),
    "orphan match": ("POST orphans/match", "POST orphans/{number}/match"),
    "pause account": ("POST halts/{kind}/{name}/{verb}",),
    "pause route": ("POST halts/{kind}/{name}/{verb}",),
    "pause upstream": ("POST halts/{kind}/{name}/{verb}",),
    "price import": ("POST prices/plans/{plan}", "POST prices/upstreams/{upstream}"),
    "price quote": ("GET routes/explain",),
    "queue list": ("GET queues",),
    "resume account": ("POST halts/{kind}/{name}/{verb}",),
    "resume route": ("POST halts/{kind}/{name}/{verb}",),
    "resume upstream": ("POST halts/{kind}/{name}/{verb}",),
    "route add": ("PUT routes/{label*}",),
    "route explain": ("GET routes/explain",),
    "route list": ("GET routes",),
    "route remove": ("DELETE routes/{label*}",),
    "route set": ("PUT routes/{label*}",),
    "route show": ("GET routes/{label*}",),
    "session disconnect": ("POST sessions/{session}/disconnect",),
    "session list": ("GET sessions",),
    "totals": ("GET totals",),
    "upstream add": ("POST upstreams",),
    "upstream disable": ("PATCH upstreams/{upstream}",),
    "upstream enable": ("PATCH upstreams/{upstream}",),
    "upstream list": ("GET upstreams",),
    "upstream remove": ("DELETE upstreams/{upstream}",),
    "upstream set": ("PATCH upstreams/{upstream}",),
    "upstream show": ("GET upstreams/{upstream}",),
    "upstream test": ("POST upstreams/{upstream}/test",),
}
BY_COMMAND_ALONE = {
    "bench http": "measures from outside",
    "bench run": "measures from outside",
    "bench smpp": "measures from outside",
    "carrier": "is a program of its own",
    "db migrate": "is for the owner of the schema, before the daemon runs",
    "db status": "is for the owner of the schema, before the daemon runs",
    "demo": "is the daemon",
    "import": "reads a file that includes others, on the machine that they are on; the functions are in the package",
    "pdu decode": "reads what it is given, and nothing of the instance",
    "pdu trace": "shows what passes by for as long as somebody looks",
    "recover": "runs while the daemon does not",
    "route import": "is all or nothing as a file of routes; `POST declarations` is that over HTTP",
    "seed": "is the demo's",
    "send": "is a customer's, with a key: `POST /v1/messages`",
    "serve": "is the daemon",
}
OVER_HTTP_ALONE = {
    "GET prices",
    "GET prices/plans/{plan}",
    "GET prices/plans/{plan}/lookup",
    "GET prices/upstreams/{upstream}",
    "GET prices/upstreams/{upstream}/lookup",
    "POST messages/{message}/cancel",
}
WRITES = re.compile(
    r"\b(operators|configuration)\.(log|add_\w+|set_\w+|delete_\w+)\(|\b(INSERT INTO|UPDATE|DELETE FROM) "
)
EXCUSED = {"db.py"}
"""The log's entry of `seed`, which writes through smscd.supervision.seed as the demo does."""


def leaves(command: click.Command, words: tuple[str, ...] = ()) -> list[str]:
    """All commands that do something."""
    if not isinstance(command, click.Group):
        return [" ".join(words)]
    context = click.Context(command)
    below = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, one in below if one is not None for leaf in leaves(one, (*words, name))]


def test_each_command_has_its_routes_or_a_reason_why_it_has_none() -> None:
    assert sorted([*ROUTES, *BY_COMMAND_ALONE]) == sorted(leaves(cli))


def test_each_route_has_its_command_or_is_named_as_having_none() -> None:
    reached = {route for routes in ROUTES.values() for route in routes}
    assert reached.isdisjoint(OVER_HTTP_ALONE) and reached | OVER_HTTP_ALONE == set(NEEDED)


def test_no_command_writes_to_the_record_by_itself() -> None:
    sources = sorted(Path(__file__).parents[4].glob("smscd/cli/*.py"))
    assert len(sources) > 30
    assert {path.name for path in sources if WRITES.search(path.read_text())} == EXCUSED
