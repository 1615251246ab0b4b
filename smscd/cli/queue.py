"""`smscd queue list`: what waits for each upstream, and since when."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from smscd.cli.output import find_instance, give_up, instance_options, json_option, print_json, print_table, run


@click.group()
def queue() -> None:
    """What waits for the upstreams."""


@queue.command("list")
@click.option("--upstream", metavar="NAME", help="Of this upstream only.")
@instance_options
@json_option
def list_queues(upstream: str | None, config_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Queues by upstream, priority and account: how many messages, the age of the oldest, what is paused.

    The line of an upstream has all that it has not accepted, those as well that are on the way or wait to be tried
    again. A number with ~ before it is estimated: the queue is too long to be counted. Apart is what waits in
    PostgreSQL alone, for room or for its time.
    """
    from smscd.admin import queues
    from smscd.cli.storage import opened
    from storage.redis.keys import ShardKeys

    location = find_instance(config_file, data_dir, as_json=as_json)

    async def work() -> list[dict[str, Any]]:
        async with opened(location) as storage:
            return await queues.view(storage.database, storage.link, ShardKeys(0), int(time.time() * 1000))

    found = run(work, as_json=as_json)
    if upstream is not None:
        found = [view for view in found if view["upstream"] == upstream]
        if not found:
            give_up(f"There is no upstream {upstream}: `smscd queue list` shows all.", as_json=as_json)
    if as_json:
        print_json(found)
        return
    rows: list[tuple[object, ...]] = []
    for view in found:
        retries = f"{view['retries']} to be tried again" if view["retries"] else ""
        rows.append((view["upstream"], "", "", view["waiting"], "", "", _state(view["state"], retries)))
        for each in view["queues"]:
            waiting = f"~{each['waiting']}" if each["is_estimated"] else each["waiting"]
            age = _age(each["oldest_seconds"])
            apart = each["tail"] + each["scheduled"] or ""
            rows.append(("", each["priority"], each["account"], waiting, age, apart, _state(each["account_state"])))
    print_table(["upstream", "priority", "account", "waiting", "oldest", "apart", ""], rows)


def _state(state: str, *more: str) -> str:
    return ", ".join(filter(None, ("" if state == "running" else state, *more)))


def _age(seconds: int | None) -> str:
    if seconds is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
