"""The deliver_sm of a callback: a receipt in the strict form with its TLVs, or a mobile-originated message. Pure."""

from __future__ import annotations

from typing import Final

from protocols.gsm.alphabets import GSM, Alphabet, alphabet_of, decode
from protocols.gsm.transcode import DefaultAlphabet
from protocols.smpp import tlv
from protocols.smpp.codec import encode_body
from protocols.smpp.constants import DataCoding, TlvTag
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import EXCERPT_SIZE, format_receipt, receipt_tlvs
from smscd.core.callback_records import CallbackKind, CallbackRecord
from smscd.core.lifecycle import message_state_of
from smscd.core.records import State

TEMPLATES_MAX: Final = 4096
SHORT_MESSAGE_MAX: Final = 254
MINUTE_MS: Final = 60_000
GSM_NETWORK: Final = 3
PARTS_TAG: Final = 0x1501
"""A TLV of ours, two octets, for a message from a phone that lacks parts: how many of them are here, of how many."""

_RECEIPT: Final = int(CallbackKind.RECEIPT)
_DELIVERED: Final = int(State.DELIVERED)
_IA5: Final = int(DataCoding.IA5)
_GSM: Final = DefaultAlphabet.GSM
_PACKED: Final = DefaultAlphabet.GSM_PACKED
_OTHER: Final = ord(".")
_ESCAPE: Final = b"\x1b"
_PRINTABLE: Final = bytes(octet if 0x20 <= octet < 0x7F else _OTHER for octet in range(256))


def _gsm_to_ascii() -> bytes:
    table = bytearray(b"." * 256)
    for octet in range(128):
        char = decode(bytes((octet,)), 0)
        if len(char) == 1 and " " <= char <= "~":
            table[octet] = ord(char)
    return bytes(table)


_GSM_PRINTABLE: Final = _gsm_to_ascii()
_SAME_IN_GSM: Final = bytes(octet if GSM.decode(bytes((octet,))) == chr(octet) else _OTHER for octet in range(256))


class DeliverEncoder:
    """Encodes callbacks; what many of them have in common is made once. Belongs to one event loop."""

    __slots__ = ("_pdu", "_texts", "_tlvs")

    def __init__(self) -> None:
        self._pdu = DeliverSm()
        self._texts: dict[tuple[int, int, bytes, bytes, int, int], bytes] = {}
        self._tlvs: dict[tuple[int, int, bytes], tuple[bytes, bytes]] = {}

    def body(self, record: CallbackRecord, alphabet: DefaultAlphabet | None = None) -> bytes:
        """The body of the deliver_sm. Raises EncodeError when a field does not fit.

        alphabet: what data_coding 0 is to the account's ESMEs. A receipt is written in ASCII, whoever gets it, because
        most ESMEs take it for ASCII whatever they take a message for. Where 0 is GSM, characters that GSM has in
        another place are shown as dots, so that it is the same text either way. Where 0 is packed it says IA5.
        """
        return self._receipt(record, alphabet) if record.kind == _RECEIPT else self._inbound(record)

    def _receipt(self, record: CallbackRecord, alphabet: DefaultAlphabet | None) -> bytes:
        pdu = self._pdu
        message_id = b"%d" % (record.group_id or record.id)
        pdu.source_addr_ton = record.dest_ton
        pdu.source_addr_npi = record.dest_npi
        pdu.source_addr = record.dest
        pdu.dest_addr_ton = record.source_ton
        pdu.dest_addr_npi = record.source_npi
        pdu.destination_addr = record.source
        pdu.esm_class = record.esm_class
        pdu.data_coding = 0
        form = (
            record.submit_ms // MINUTE_MS,
            record.done_ms // MINUTE_MS,
            record.stat,
            record.err,
            record.segments,
            record.state,
        )
        rest = self._texts.get(form) or self._remember_text(form, record)
        pdu.short_message = b"id:" + message_id + rest + printable(record.body, record.data_coding)[:EXCERPT_SIZE]
        if alphabet is _GSM:
            pdu.short_message = pdu.short_message.translate(_SAME_IN_GSM)
        elif alphabet is _PACKED:
            pdu.data_coding = _IA5
        key = (len(message_id), record.state, record.err if record.is_from_network else b"")
        around = self._tlvs.get(key) or self._remember_tlvs(key)
        pdu.tlvs = around[0] + message_id + around[1]
        return encode_body(pdu)

    def _remember_text(self, form: tuple[int, int, bytes, bytes, int, int], record: CallbackRecord) -> bytes:
        """What stands between the id and the excerpt."""
        if len(self._texts) >= TEMPLATES_MAX:
            self._texts.clear()
        text = format_receipt(
            b"",
            submit_ms=record.submit_ms,
            done_ms=record.done_ms,
            stat=record.stat,
            err=record.err,
            sub=record.segments,
            dlvrd=record.segments if record.state == _DELIVERED else 0,
        )
        rest = self._texts[form] = text.removeprefix(b"id:")
        return rest

    def _remember_tlvs(self, key: tuple[int, int, bytes]) -> tuple[bytes, bytes]:
        """What stands before and after the id in the TLVs."""
        if len(self._tlvs) >= TEMPLATES_MAX:
            self._tlvs.clear()
        size, state, err = key
        placeholder = b"#" * size
        tlvs = receipt_tlvs(placeholder, message_state_of(State(state)), network_error=network_error(err))
        before, _, after = tlvs.partition(placeholder)
        self._tlvs[key] = (before, after)
        return before, after

    def _inbound(self, record: CallbackRecord) -> bytes:
        body, tlvs = record.body, record.tlvs
        if record.parts < record.parts_total:
            tlvs += tlv.encode([(PARTS_TAG, bytes((record.parts, record.parts_total)))])
        if len(body) > SHORT_MESSAGE_MAX:
            body, tlvs = b"", tlv.encode([(TlvTag.MESSAGE_PAYLOAD, body)]) + tlvs
        return encode_body(
            DeliverSm(
                source_addr_ton=record.source_ton,
                source_addr_npi=record.source_npi,
                source_addr=record.source,
                dest_addr_ton=record.dest_ton,
                dest_addr_npi=record.dest_npi,
                destination_addr=record.dest,
                esm_class=record.esm_class,
                data_coding=record.data_coding,
                short_message=body,
                tlvs=tlvs,
            )
        )


def network_error(err: bytes) -> bytes | None:
    """`err` as the value of network_error_code, of a GSM network; None when it is no number."""
    if not err.isdigit() or len(err) > 5 or int(err) > 0xFFFF:
        return None
    return bytes((GSM_NETWORK,)) + int(err).to_bytes(2, "big")


def printable(excerpt: bytes, data_coding: int) -> bytes:
    """The beginning of a message's text as printable ASCII: a receipt's text is read by machines."""
    match alphabet_of(data_coding):
        case Alphabet.GSM7:
            if _ESCAPE in excerpt:
                shown = decode(excerpt.removesuffix(_ESCAPE), data_coding)
                return shown.encode("ascii", "replace").translate(_PRINTABLE)
            return excerpt.translate(_GSM_PRINTABLE)
        case Alphabet.UCS2:
            text = excerpt.decode("utf-16-be", "ignore").encode("ascii", "replace")
            return text.translate(_PRINTABLE)
        case Alphabet.OCTETS:
            return excerpt.translate(_PRINTABLE)
