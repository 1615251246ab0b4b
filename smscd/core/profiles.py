"""Profiles as the protocol's own types: the dialects of the peers, and the TLVs that an upstream names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from protocols.gsm.transcode import DefaultAlphabet, Dialect
from protocols.smpp.errors import EncodeError
from protocols.smpp.tlv import TlvKind
from protocols.smpp.vendor_tlvs import NamedTlv, TlvProfile
from smscd.core.directory import Account
from smscd.core.reasons import Reason, Rejected
from smscd.core.upstream import AlphabetName, Upstream

PLAIN: Final = Dialect(default=DefaultAlphabet.GSM)
"""What we write ourselves: septets one to an octet, UCS-2 with the high octet first."""

_KINDS: Final = {"integer": TlvKind.INTEGER, "c_octets": TlvKind.C_OCTETS, "octets": TlvKind.OCTETS}


def dialect_of(peer: Account | Upstream) -> Dialect:
    """How the ESMEs of an account, or an upstream, write text. Equal ones are one object."""
    is_zero_padded = isinstance(peer, Upstream) and peer.is_zero_padded
    return _dialect(peer.default_alphabet, peer.is_little_endian, is_zero_padded)


@cache
def _dialect(alphabet: AlphabetName, is_little_endian: bool, is_zero_padding: bool) -> Dialect:
    return Dialect(
        default=DefaultAlphabet(alphabet) if alphabet != "unknown" else None,
        is_little_endian=is_little_endian,
        is_zero_padding=is_zero_padding,
    )


def is_plain(dialect: Dialect) -> bool:
    """True when what a peer of this dialect writes is what we write, or passes as it is."""
    return dialect.default in (None, DefaultAlphabet.GSM) and not dialect.is_little_endian


def tlv_profile(upstream: Upstream) -> TlvProfile | None:
    """The TLVs that an upstream names; None when it names none."""
    if not upstream.vendor_tlvs:
        return None
    return TlvProfile(
        NamedTlv(row.tag, row.name, _KINDS[row.kind], row.size_min, row.size_max, row.is_required)
        for row in upstream.vendor_tlvs
    )


def encode_named(profile: TlvProfile | None, values: Mapping[str, int | str]) -> bytes | Rejected:
    """TLVs that a customer gives by name in JSON: numbers, ASCII text, and octets in hexadecimal.

    profile: of the upstream that the message goes to; None: it names none.
    """
    rows = {row.name: row for row in profile.rows} if profile is not None else {}
    given: dict[str, int | bytes] = {}
    for name, value in values.items():
        row = rows.get(name)
        if profile is None or row is None:
            return Rejected(Reason.INVALID_TLV_VALUE, "the route to this destination has no such TLV", f"/tlvs/{name}")
        try:
            if isinstance(value, int):
                given[name] = value
            else:
                given[name] = bytes.fromhex(value) if row.kind is TlvKind.OCTETS else value.encode("ascii")
            profile.encode({name: given[name]})
        except (EncodeError, ValueError):
            return Rejected(Reason.INVALID_TLV_VALUE, _rule(row), f"/tlvs/{name}")
    return profile.encode(given) if profile is not None else b""


def _rule(row: NamedTlv) -> str:
    """What a value of this TLV has to be in JSON."""
    if row.kind is TlvKind.INTEGER:
        return f"must be a whole number of at most {row.size_max} octets"
    if row.kind is TlvKind.OCTETS:
        return f"must be {row.size_min} to {row.size_max} octets in hexadecimal digits"
    return f"must be text of {row.size_min - 1} to {row.size_max - 1} ASCII characters"


def decode_named(profile: TlvProfile, raw: bytes) -> dict[str, int | str]:
    """The opposite: what an upstream's TLVs say, as JSON has it. Text that is no ASCII keeps its octets as Latin-1."""
    kinds = {row.name: row.kind for row in profile.rows}
    found: dict[str, int | str] = {}
    for name, value in profile.decode(raw).items():
        if isinstance(value, int):
            found[name] = value
        else:
            found[name] = value.hex() if kinds[name] is TlvKind.OCTETS else value.decode("latin-1")
    return found
