"""`python -m tools.bench.echo`: a bare aiohttp handler that echoes JSON, to compare the gateway with in the same run.

One process on uvloop. It answers 202 as the gateway does, and keeps nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import uvloop
from aiohttp import web


async def echo(request: web.Request) -> web.Response:
    """The body, decoded and encoded again."""
    return web.json_response(await request.json(), status=202)


async def serve(ready_file: Path) -> None:
    """Echo until cancelled, or killed."""
    application = web.Application()
    application.router.add_post("/v1/messages", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    new = ready_file.with_suffix(".new")
    new.write_text(f"http://127.0.0.1:{runner.addresses[0][1]}")
    new.replace(ready_file)
    await asyncio.Event().wait()


@click.command()
@click.option("--ready-file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Gets the URL.")
def main(ready_file: Path) -> None:
    """Serve until killed."""
    uvloop.run(serve(ready_file))


if __name__ == "__main__":
    main()
