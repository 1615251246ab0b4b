"""smpp34 as an ESME: reads a plan as JSON on standard input, does it, prints what it saw as JSON.

Plan and result are described in tests/interop/esme_peers.py.
"""

import asyncio
import json
import os
import re
import sys

import smpp34


class Witness:
    """Keeps what came back; `changed` is set with each of them."""

    def __init__(self) -> None:
        self.answers: list[dict[str, object]] = []
        self.receipts: list[dict[str, str]] = []
        self.inbound: list[str] = []
        self.changed = asyncio.Event()

    async def submit(self, smsc: smpp34.Smsc, message: dict[str, str]) -> None:
        answer = await smsc.submit_sm(
            message["to"],
            message["text"].encode(),
            source_addr=message["from"],
            source_addr_ton=5,
            source_addr_npi=0,
            dest_addr_ton=1,
            dest_addr_npi=1,
            registered_delivery=1,
        )
        status = answer.command_status
        self.answers.append({"text": message["text"], "command_status": status, "message_id": answer.message_id or ""})
        self.changed.set()

    async def listen(self, smsc: smpp34.Smsc) -> None:
        while True:
            event = await smsc.next()
            if isinstance(event, smpp34.Disconnected):
                return
            text = event.short_message.decode("latin-1")
            if event.esm_class & 0x3C == 0x04:
                words = dict(re.findall(r"(id|stat):(\S+)", text.partition(" text:")[0]))
                self.receipts.append({"id": words["id"], "stat": words["stat"]})
            else:
                self.inbound.append(text)
            self.changed.set()


async def run(plan: dict[str, object]) -> None:
    messages: list[dict[str, str]] = plan["messages"]  # type: ignore[assignment]
    witness = Witness()
    client = smpp34.Client(str(plan["host"]), int(str(plan["port"])), str(plan["system_id"]), str(plan["password"]))
    smsc = await client.connect()
    print("bound", flush=True)
    listening = asyncio.create_task(witness.listen(smsc))
    submitting = [asyncio.create_task(witness.submit(smsc, message)) for message in messages]
    try:
        async with asyncio.timeout(float(str(plan["seconds"]))):
            while (
                len(witness.answers) < len(messages)
                or len(witness.receipts) < int(str(plan["receipts"]))
                or len(witness.inbound) < int(str(plan["inbound"]))
            ):
                await witness.changed.wait()
                witness.changed.clear()
    except TimeoutError:
        pass  # what was seen until then is the result
    await smsc.unbind()
    await asyncio.wait([listening, *submitting], timeout=5.0)
    await client.stop()
    result = {"answers": witness.answers, "receipts": witness.receipts, "inbound": witness.inbound}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(run(json.load(sys.stdin)))
    # smpp34 1.5 leaves threads that may call into the interpreter while it takes itself down, which is a segmentation
    # fault now and then, with all the work done: end without that.
    os._exit(0)
