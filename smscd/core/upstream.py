"""An SMSC that we bind to, and its profile: what it is like, on the wire and in what it means by what it says."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

AlphabetName: TypeAlias = Literal["unknown", "gsm", "gsm_packed", "latin1", "ascii"]
"""What data_coding 0 is to a peer; unknown: nobody has said, and its octets pass as they are (quirk 27)."""
LongMessage: TypeAlias = Literal["as_is", "udh8", "udh16", "sar", "payload"]
"""How an upstream wants long messages; as_is: parts as the customer made them, ours with an 8-bit reference.

udh16: a customer's own parts have 16 bits only where they came with them: a phone does not join parts of both kinds.
"""
ReceiptId: TypeAlias = Literal["same", "case", "zeros", "decimal", "hex"]
"""How receipts write the id that submit_sm_resp gave: protocols.smpp.message_ids.IdForm says what each means."""
ValidityName: TypeAlias = Literal["relative", "absolute", "none"]
ReceiptStat: TypeAlias = Literal["DELIVRD", "UNDELIV", "EXPIRED", "REJECTD", "DELETED", "ACCEPTD", "ENROUTE", "UNKNOWN"]
"""The words of the specification for what became of a message."""
StatWord: TypeAlias = Annotated[str, Meta(pattern=r"^[!-~]([ -~]{0,30}[!-~])?$")]
TlvType: TypeAlias = Literal["integer", "c_octets", "octets"]

AS_IT_CAME: Final = -1
"""No override: the customer's own type, plan or mode goes to the upstream."""
ANY_SERVICE_TYPE: Final = "*"
"""No override of service_type; the empty string is one, the SMSC's default."""
FIRST_WITH_TLVS: Final = 0x34
_RECEIPT_STATS: Final[tuple[ReceiptStat, ...]] = get_args(ReceiptStat)
_TLV_SIZES: Final[dict[TlvType, tuple[int, int]]] = {"integer": (1, 8), "c_octets": (1, 0xFFFF), "octets": (0, 0xFFFF)}
OUR_TLV_TAGS: Final = frozenset((0x020C, 0x020E, 0x020F, 0x0424))
"""sar_* and message_payload: what carries the text is no profile's to name."""

DelaySeconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]
_Octet: TypeAlias = Annotated[int, Meta(ge=-1, le=255)]


class VendorTlv(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"kind": "type", "size_min": "min", "size_max": "max", "is_required": "required"},
):
    """A TLV that an upstream's profile names (quirk 44). Sizes are octets, a C-octet string's NUL included.

    An integer has 64 bits at most, as in JSON.
    """

    tag: Annotated[int, Meta(ge=1, le=0xFFFF)]
    name: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,39}$")]
    kind: TlvType
    size_min: int
    size_max: int
    is_required: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a row that no value fits."""
        least, most = _TLV_SIZES[self.kind]
        if not least <= self.size_min <= self.size_max <= most:
            raise ValueError(f"TLV {self.name} of {self.size_min} to {self.size_max} octets")
        if self.tag in OUR_TLV_TAGS:
            raise ValueError(f"TLV {self.name}: tag 0x{self.tag:04x} carries the text, or says which part it is")


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """An SMSC that we bind to, and its profile.

    tls_ca_file: who may have signed its certificate; empty: whom the system trusts. tls_certificate_file and
    tls_key_file: what we show in turn. tls_server_name: the name in its certificate; empty: `host`.
    bind_mode: "transceiver", "transmitter", "receiver", or "pair": `binds` transmitters and `receiver_binds` receivers
    (0: as many).
    receipt_segments: of a long message, whose receipts tell that it was delivered: "all" segments', "any" one's, or
    the "last" one's. mo_repeat_seconds: how long the same mobile-originated message again is a repeat; 0 is never.
    mo_join_seconds: how long parts of one wait for the others before what is there is told; 0: parts are not joined.
    outbind_port: where the owner listens for this SMSC's outbind, which has to carry outbind_system_id and
    outbind_password; 0: it does not. With uses_tls it has to call with TLS: we show tls_certificate_file, and ask for
    a certificate of its own when tls_ca_file is given and tls_is_verified.
    is_zero_padded: packed septets of it end with zeros, not with CR. esm_mode: bits 1 and 0 of esm_class (quirk 35).
    validity_offset_quarters: of an absolute validity's local time, in quarter hours ahead of UTC. source_ton to
    service_type, and priority_flag: what goes in place of the customer's (quirks 39 and 43). receipt_by_text_alone: a
    deliver_sm with esm_class 0 is a receipt when it reads like one (quirk 5). strips_trailing_nul: of what it delivers
    (quirk 42). receipt_stats: what other words of its receipts mean, in capitals, whatever case they came in (quirk 1).
    temporary_statuses, permanent_statuses, throttling_statuses, status_delays (seconds before the next attempt),
    retry_base_seconds, retry_max_seconds: core.error_table. breaker_*: core.breaker; a response that took longer than
    breaker_slow_seconds is a failure to it, 0: none is.
    """

    id: str
    host: str
    port: int
    system_id: str
    password: str
    system_type: str = ""
    bind_mode: str = "transceiver"
    binds: int = 1
    window_size: int = 100
    rate_per_second: float = 0.0
    is_enabled: bool = True
    interface_version: int = 0x34
    response_timeout_seconds: float = 30.0
    enquire_link_seconds: float = 30.0
    registered_delivery: int = 1
    receipt_id: ReceiptId = "same"
    in_doubt: str = "resend"
    queue_messages_max: int = 5_000_000
    temporary_statuses: frozenset[int] = frozenset()
    permanent_statuses: frozenset[int] = frozenset()
    uses_tls: bool = False
    tls_ca_file: str = ""
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    tls_server_name: str = ""
    tls_is_verified: bool = True
    receiver_binds: int = 0
    receipt_segments: str = "all"
    mo_repeat_seconds: int = 30
    outbind_port: int = 0
    outbind_system_id: str = ""
    outbind_password: str = ""
    default_alphabet: AlphabetName = "unknown"
    is_little_endian: bool = False
    is_zero_padded: bool = False
    long_message: LongMessage = "as_is"
    esm_mode: Annotated[int, Meta(ge=-1, le=3)] = AS_IT_CAME
    validity_form: ValidityName = "relative"
    validity_offset_quarters: Annotated[int, Meta(ge=-48, le=48)] = 0
    source_ton: _Octet = AS_IT_CAME
    source_npi: _Octet = AS_IT_CAME
    dest_ton: _Octet = AS_IT_CAME
    dest_npi: _Octet = AS_IT_CAME
    service_type: Annotated[str, Meta(pattern=r"^[ -~]{0,5}$")] = ANY_SERVICE_TYPE
    receipt_by_text_alone: bool = False
    strips_trailing_nul: bool = False
    vendor_tlvs: tuple[VendorTlv, ...] = ()
    priority_flag: Annotated[int, Meta(ge=-1, le=3)] = AS_IT_CAME
    receipt_stats: dict[StatWord, ReceiptStat] = {}
    mo_join_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 600
    throttling_statuses: frozenset[int] = frozenset()
    status_delays: dict[Annotated[int, Meta(ge=1, le=0xFFFFFFFF)], DelaySeconds] = {}
    retry_base_seconds: DelaySeconds = 2.0
    retry_max_seconds: DelaySeconds = 900.0
    breaker_failures_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 5
    breaker_error_rate: Annotated[float, Meta(gt=0, le=1)] = 0.5
    breaker_slow_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    breaker_open_seconds: DelaySeconds = 5.0

    @property
    def needs_tlvs(self) -> bool:
        """True when messages to it are not what they should be without TLVs, which a bind before 3.4 does not have."""
        return self.long_message in ("sar", "payload") or any(row.is_required for row in self.vendor_tlvs)

    def __post_init__(self) -> None:
        """Raise ValueError when two rows of vendor_tlvs contradict each other, or the version what needs TLVs."""
        if self.needs_tlvs and self.interface_version < FIRST_WITH_TLVS:
            what = f"long_message {self.long_message}" if self.long_message in ("sar", "payload") else "a required TLV"
            raise ValueError(f"{what} needs TLVs: interface_version 3.4 or later")
        rows = self.vendor_tlvs
        if len({row.tag for row in rows}) != len(rows) or len({row.name for row in rows}) != len(rows):
            raise ValueError("two TLVs of a profile have the same tag or name")
        if self.receipt_stats:
            stats = {word.upper(): stat for word, stat in self.receipt_stats.items()}
            if len(stats) != len(self.receipt_stats) or not stats.keys().isdisjoint(_RECEIPT_STATS):
                raise ValueError(
                    "receipt_stats has a word twice, or one of the specification, which means what it means"
                )
            msgspec.structs.force_setattr(self, "receipt_stats", stats)
