"""The receiver in the documents runs as it stands and takes real deliveries."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from pathlib import Path

from smscd.core.records import State
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.webhook_rig import callback, webhook_rig

pytest_plugins = ("tests.integration.postgres_fixture",)

PAGE = Path(__file__).resolve().parents[2] / "conf" / "webhooks.md"
LINES_MAX = 10


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def test_the_receiver_of_the_documents_takes_a_delivery_and_refuses_another_secrets(
    valkey_url: str, record_database: RecordDatabase, tmp_path: Path
) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    lines = [line for line in found[1].splitlines() if line]
    assert len(lines) <= LINES_MAX
    (tmp_path / "receiver.py").write_text(found[1])
    port = free_port()
    async with webhook_rig(valkey_url, record_database.dsn) as rig:
        reply = await rig.ask("POST", "", {"url": f"http://127.0.0.1:{port}/"})
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(tmp_path / "receiver.py"),
            env={**os.environ, "SECRET": reply.json["secret"], "PORT": str(port)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            path = f"/{reply.json['id']}/test"

            async def is_up() -> bool:
                return bool((await rig.ask("POST", path)).json["delivered"])

            await rig.until(is_up)
            assert (await process.stdout.readline()).startswith(b"webhook.test {'endpoint':")
            await rig.deliver()
            await rig.add(callback(7, state=State.FAILED))
            await rig.until(lambda: rig.figures.delivered == 1)
            line = (await process.stdout.readline()).decode()
            assert line.startswith("message.failed ")
            assert "'client_ref': 'order-7'" in line
            await rig.ask("POST", path.replace("/test", "/rotate"), {"overlap": 0})
            refused = (await rig.ask("POST", path)).json
            assert (refused["delivered"], refused["response_code"]) == (False, None)
        finally:
            process.kill()
            await process.wait()
