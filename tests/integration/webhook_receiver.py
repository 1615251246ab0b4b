"""A webhook receiver as a process of its own: does what the path says, and keeps a record of every request.

    python -m tests.integration.webhook_receiver RECORD

prints its port. The record has a line of JSON for each request: at (seconds), path, id, timestamp, signature, body; and
one with only `connection` for each connection. Paths: /status/<code>, /slow/<seconds>, /redirect, /flaky/<code>/<times>
(that code so many times for an id, then 204), /hang, /drop.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import IO

ANSWER = "HTTP/1.1 {} X\r\nContent-Length: 0\r\n{}\r\n"


class Receiver:
    """Serves until the process ends."""

    def __init__(self, record: IO[str]) -> None:
        self._record = record
        self._seen: Counter[tuple[str, str]] = Counter()

    def note(self, **line: object) -> None:
        self._record.write(json.dumps(line) + "\n")
        self._record.flush()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.note(connection=time.time())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                path = head[0].split()[1]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:-2])}
                body = await reader.readexactly(int(headers["content-length"]))
                self.note(
                    at=time.time(),
                    path=path,
                    id=headers["webhook-id"],
                    timestamp=headers["webhook-timestamp"],
                    signature=headers["webhook-signature"],
                    body=body.decode(),
                )
                answer = await self.answer(path, headers["webhook-id"])
                if answer is None:
                    break
                writer.write(answer.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, path: str, webhook_id: str) -> str | None:
        _, verb, *arguments = path.split("?")[0].split("/")
        self._seen[path, webhook_id] += 1
        if verb == "slow":
            await asyncio.sleep(float(arguments[0]))
        elif verb == "hang":
            await asyncio.sleep(3_600)
        elif verb == "drop":
            return None
        elif verb == "redirect":
            return ANSWER.format(302, "Location: /status/200\r\n")
        elif verb == "status" or (verb == "flaky" and self._seen[path, webhook_id] <= int(arguments[1])):
            return ANSWER.format(arguments[0], "")
        return ANSWER.format(204, "")


async def main(record: IO[str]) -> None:
    server = await asyncio.start_server(Receiver(record).serve, "0.0.0.0", 0, backlog=1_024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with open(sys.argv[1], "a", encoding="utf-8") as written:
        asyncio.run(main(written))
