"""aiosmpplib as an ESME: reads a plan as JSON on standard input, does it, prints what it saw as JSON.

Plan and result are described in tests/interop/esme_peers.py.
"""

import asyncio
import json
import logging
import sys
import time

from aiosmpplib import ESME, NPI, TON, AbstractHook, DeliverSm, PhoneNumber, SmppMessage, SubmitSm, SubmitSmResp


class Witness(AbstractHook):
    """Keeps what came back."""

    def __init__(self) -> None:
        self.answers: list[dict[str, object]] = []
        self.receipts: list[dict[str, str]] = []
        self.inbound: list[str] = []

    async def sending(self, smpp_message: SmppMessage, pdu: bytes, client_id: str) -> None:
        """AbstractHook."""

    async def received(self, smpp_message: SmppMessage | None, pdu: bytes, client_id: str) -> None:
        """AbstractHook."""
        if isinstance(smpp_message, SubmitSmResp):
            status = int(smpp_message.command_status)
            answer = {"text": smpp_message.log_id, "command_status": status, "message_id": smpp_message.message_id}
            self.answers.append(answer)
        elif isinstance(smpp_message, DeliverSm) and smpp_message.is_receipt():
            receipt = smpp_message.parse_receipt()
            self.receipts.append({"id": str(receipt["id"]), "stat": str(receipt["stat"])})
        elif isinstance(smpp_message, DeliverSm):
            self.inbound.append(smpp_message.short_message)

    async def send_error(self, smpp_message: SmppMessage, error: Exception, client_id: str) -> None:
        """AbstractHook."""
        raise error


async def run(plan: dict[str, object]) -> None:
    messages: list[dict[str, str]] = plan["messages"]  # type: ignore[assignment]
    witness = Witness()
    esme = ESME(
        smsc_host=str(plan["host"]),
        smsc_port=int(str(plan["port"])),
        system_id=str(plan["system_id"]),
        password=str(plan["password"]),
        hook=witness,
        log_level=logging.CRITICAL,
    )
    running = asyncio.create_task(esme.start())
    for message in messages:
        await esme.broker.enqueue(
            SubmitSm(
                short_message=message["text"],
                source=PhoneNumber(message["from"], TON.ALPHANUMERIC, NPI.UNKNOWN),
                destination=PhoneNumber(message["to"], TON.INTERNATIONAL, NPI.ISDN),
                log_id=message["text"],
            )
        )
    deadline = time.monotonic() + float(str(plan["seconds"]))
    is_told = False
    while time.monotonic() < deadline and (
        len(witness.answers) < len(messages)
        or len(witness.receipts) < int(str(plan["receipts"]))
        or len(witness.inbound) < int(str(plan["inbound"]))
    ):
        await asyncio.sleep(0.02)
        if not is_told and esme.session_state == esme.bind_mode.session_state:
            print("bound", flush=True)
            is_told = True
    await esme.stop()
    await running
    print(json.dumps({"answers": witness.answers, "receipts": witness.receipts, "inbound": witness.inbound}))


if __name__ == "__main__":
    asyncio.run(run(json.load(sys.stdin)))
