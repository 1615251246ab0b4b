"""smpp34 as an SMSC on the port given as argument: takes any bind and message, sends a receipt for each.

Prints {"port": N} first, then each submit_sm as {"submit": {"to", "from", "text", "id"}} and each answered deliver_sm
as {"acked": ID, "command_status": N}. Ends when standard input does.
"""

import asyncio
import json
import sys
import time

import smpp34


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def receipt(esme: smpp34.Esme, submit: smpp34.SubmitSmEvent, id: str) -> None:
    stamp = time.strftime("%y%m%d%H%M", time.gmtime())
    text = f"id:{id} sub:001 dlvrd:001 submit date:{stamp} done date:{stamp} stat:DELIVRD err:000 text:"
    answer = await esme.deliver_sm(
        submit.source_addr, text.encode(), source_addr=submit.destination_addr, esm_class=0x04
    )
    say({"acked": id, "command_status": answer.command_status})


async def serve(port: int) -> None:
    server = smpp34.Server("127.0.0.1", port)
    await server.start()
    say({"port": port})
    esmes: dict[str, smpp34.Esme] = {}
    receipts: set[asyncio.Task[None]] = set()
    next_id = int(time.time() * 1_000_000)
    while True:
        event = await server.next()
        if isinstance(event, smpp34.Esme):
            esmes[event.session_id] = event
        elif isinstance(event, smpp34.Unbound):
            esmes.pop(event.session_id, None)
        else:
            next_id += 1
            event.accept(str(next_id))
            text = event.short_message.decode("latin-1")
            submit = {"to": event.destination_addr, "from": event.source_addr, "text": text, "id": str(next_id)}
            say({"submit": submit})
            receivers = [esme for esme in esmes.values() if esme.can_receive]
            if event.registered_delivery & 3 == 1 and receivers:
                task = asyncio.create_task(receipt(receivers[0], event, str(next_id)))
                receipts.add(task)
                task.add_done_callback(receipts.discard)


async def main() -> None:
    serving = asyncio.create_task(serve(int(sys.argv[1])))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    serving.cancel()


if __name__ == "__main__":
    asyncio.run(main())
