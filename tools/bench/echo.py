"""`python -m tools.bench.echo`: a bare aiohttp handler that echoes JSON, to compare the gateway with in the same run.

It answers 202 as the gateway does, on one port in as many processes as the gateway has workers, and keeps nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import click
import uvloop
from aiohttp import web


async def echo(request: web.Request) -> web.Response:
    """The body, decoded and encoded again."""
    return web.json_response(await request.json(), status=202)


async def serve(listening: socket.socket) -> None:
    """Echo until cancelled. The socket: bound, and of this process alone."""
    application = web.Application()
    application.router.add_post("/v1/messages", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await asyncio.Event().wait()


def bound(port: int) -> socket.socket:
    """A socket that shares its port with others."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made


@click.command()
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 256))
@click.option("--ready-file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Gets the URL.")
def main(processes: int, ready_file: Path) -> None:
    """Serve until SIGTERM."""
    own = bound(0)
    port = own.getsockname()[1]
    children = []
    for _ in range(processes - 1):
        child = os.fork()
        if not child:
            own.close()
            uvloop.run(serve(bound(port)))
        children.append(child)

    def end(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    new = ready_file.with_suffix(".new")
    new.write_text(f"http://127.0.0.1:{port}")
    new.replace(ready_file)
    uvloop.run(serve(own))


if __name__ == "__main__":
    main()
