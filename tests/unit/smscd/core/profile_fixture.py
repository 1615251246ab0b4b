"""Accounts and upstreams with profiles, messages planned between them, and an upstream that reads what it gets.

The reading is written here once more, from the specifications and the codecs of Python, so that it does not err with
what it checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protocols.gsm.alphabets import GSM
from protocols.gsm.septets import pack, unpack
from protocols.smpp import tlv
from protocols.smpp.codec import DECODERS
from protocols.smpp.constants import CommandId, TlvTag
from protocols.smpp.pdu import SubmitSm
from smscd.core.directory import Account, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import EPOCH_MS, IdSource
from smscd.core.planning import Planned, plan
from smscd.core.reasons import Rejected
from smscd.core.records import Door, MessageRecord
from smscd.core.submission import Submission
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.submits import SubmitEncoder

NOW = EPOCH_MS + 217_000_000_000
ID = IdSource(node=1).take(NOW, 1)[0]
PRICE = 10_000
SEGMENTS_MAX = 10


class Way:
    """One account and one upstream, with these profiles."""

    def __init__(self, account: dict[str, Any] | None = None, upstream: dict[str, Any] | None = None) -> None:
        self.account = Account(id="acme", any_sender=True, segments_max=SEGMENTS_MAX, **(account or {}))
        given: dict[str, Any] = {"id": "up", "host": "h", "port": 1, "system_id": "s", "password": "p"}
        self.upstream = Upstream(**(given | (upstream or {})))
        self.directory = DirectoryIndex(
            Snapshot(
                accounts=(self.account,),
                upstreams=(self.upstream,),
                routes=(Route(prefix="", upstreams=("up",)),),
                prices=(Price(plan="default", prefix="", price_micros=PRICE),),
            )
        )

    def smpp(self, content: bytes, data_coding: int = 0, **changes: Any) -> Planned | Rejected:
        """A submit_sm, planned."""
        given: dict[str, Any] = {
            "account": self.account, "door": Door.SMPP, "source": b"ACME", "dest": b"447700900123", "content": content,
            "data_coding": data_coding, "source_ton": 5, "source_npi": 0, "dest_ton": 1, "dest_npi": 1,
        }  # fmt: skip
        return plan(Submission(**(given | changes)), self.directory, ID, NOW)

    def http(self, text: str, **changes: Any) -> Planned | Rejected:
        """A text over HTTP, planned."""
        given: dict[str, Any] = {
            "account": self.account, "door": Door.HTTP, "source": b"ACME", "dest": b"447700900123", "text": text,
        }  # fmt: skip
        return plan(Submission(**(given | changes)), self.directory, ID, NOW)

    def sent(self, planned: Planned | Rejected, now_ms: int = NOW) -> list[SubmitSm]:
        """The submit_sm that the upstream gets."""
        assert isinstance(planned, Planned), planned
        return submits(planned.record, self.upstream, now_ms)


def submits(record: MessageRecord, upstream: Upstream, now_ms: int = NOW) -> list[SubmitSm]:
    encoder = SubmitEncoder(upstream)
    bodies = [encoder.body(record, segment, now_ms) for segment in range(len(record.segments))]
    return [DECODERS[CommandId.SUBMIT_SM](body, 0, len(body), 0, 0) for body in bodies]


def written(text: str, alphabet: str, *, is_little_endian: bool = False, header_octets: int = 0) -> tuple[bytes, int]:
    """A text as a peer writes it: in its default alphabet where that has it, else in UCS-2; and the data_coding."""
    try:
        match alphabet:
            case "latin1":
                return text.encode("latin-1"), 0
            case "ascii":
                return text.encode("ascii"), 0
            case "gsm_packed":
                return pack(GSM.encode(text), header_octets), 0
            case _:
                return GSM.encode(text), 0
    except UnicodeEncodeError:
        return text.encode("utf-16-le" if is_little_endian else "utf-16-be"), 8


def understood(pdus: Sequence[SubmitSm], alphabet: str, *, is_little_endian: bool = False) -> str:
    """The text that a phone shows behind an upstream of this alphabet, whatever form the parts came in."""
    parts: dict[int, str] = {}
    for pdu in pdus:
        octets = pdu.short_message or tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD) or b""
        sequence, header = tlv.read_integer(pdu.tlvs, TlvTag.SAR_SEGMENT_SEQNUM) or 1, 0
        if pdu.esm_class & 0x40:
            header = octets[0] + 1
            sequence = octets[header - 1]
        octets = octets[header:]
        assert sequence not in parts
        parts[sequence] = _read(octets, pdu.data_coding, alphabet, is_little_endian, header)
    assert sorted(parts) == list(range(1, len(pdus) + 1))
    return "".join(parts[sequence] for sequence in sorted(parts))


def _read(octets: bytes, data_coding: int, alphabet: str, is_little_endian: bool, header: int) -> str:
    if data_coding == 8:
        return octets.decode("utf-16-le" if is_little_endian else "utf-16-be")
    assert data_coding == 0
    match alphabet:
        case "latin1":
            return octets.decode("latin-1")
        case "ascii":
            return octets.decode("ascii")
        case "gsm_packed":
            return GSM.decode(unpack(octets, header))
        case _:
            return GSM.decode(octets)
