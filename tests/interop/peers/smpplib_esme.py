"""smpplib as an ESME: reads a plan as JSON on standard input, does it, prints what it saw as JSON.

Plan and result are described in tests/interop/esme_peers.py.
"""

import json
import select
import sys
import time

import smpplib.client


def main() -> None:
    plan = json.load(sys.stdin)
    asked: dict[int, str] = {}
    answers: list[dict[str, object]] = []
    receipts: list[dict[str, str]] = []
    inbound: list[str] = []

    def answered(pdu: object) -> None:
        message_id = getattr(pdu, "message_id", None) or b""
        status = getattr(pdu, "status")  # noqa: B009
        text = asked[getattr(pdu, "sequence")]  # noqa: B009
        answers.append({"text": text, "command_status": status, "message_id": message_id.decode()})

    def delivered(pdu: object) -> None:
        body: bytes = getattr(pdu, "short_message")  # noqa: B009
        if getattr(pdu, "esm_class") & 0x3C == 0x04:  # noqa: B009
            words = dict(word.split(b":", 1) for word in body.split(b" text:")[0].split() if b":" in word)
            receipts.append({"id": words[b"id"].decode(), "stat": words[b"stat"].decode()})
        else:
            inbound.append(body.decode("latin-1"))

    client = smpplib.client.Client(plan["host"], plan["port"], allow_unknown_opt_params=True)
    client.set_message_sent_handler(lambda pdu: answered(pdu))
    client.set_message_received_handler(lambda pdu: delivered(pdu))
    client.set_error_pdu_handler(lambda pdu: None)  # an error response reaches the sent handler as well
    client.connect()
    client.bind_transceiver(system_id=plan["system_id"], password=plan["password"])
    for message in plan["messages"]:
        pdu = client.send_message(
            source_addr_ton=5,
            source_addr_npi=0,
            source_addr=message["from"],
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=message["to"],
            short_message=message["text"].encode(),
            registered_delivery=1,
        )
        asked[pdu.sequence] = message["text"]

    print("bound", flush=True)
    deadline = time.monotonic() + plan["seconds"]
    while time.monotonic() < deadline and (
        len(answers) < len(asked) or len(receipts) < plan["receipts"] or len(inbound) < plan["inbound"]
    ):
        if select.select([client._socket], [], [], 0.1)[0]:
            client.read_once(auto_send_enquire_link=False)
    client.unbind()
    client.disconnect()
    print(json.dumps({"answers": answers, "receipts": receipts, "inbound": inbound}))


if __name__ == "__main__":
    main()
