"""The fields of an upstream as operators write and read them: names, what each means, and what it may hold.

Commands, the admin API and declarations read and show profiles by this table alone, so that all three take and say the
same. Values are those of JSON; statuses are written by their name or in hexadecimal digits, the version as "3.4".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, get_args

import msgspec

from protocols.smpp.constants import CommandStatus
from smscd.core.error_table import ErrorTable
from smscd.core.lifecycle import StatusKind
from smscd.core.upstream import AlphabetName, LongMessage, ReceiptId, Upstream, ValidityName

FieldFault: TypeAlias = tuple[str, str]
"""The name of a field, and what is wrong with it."""
DAY: Final = 86_400
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
NAME_RULE: Final = "An upstream's name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with none of these signs."
FLAG, TEXT, SECRET, INTEGER, NUMBER, CHOICE = "flag", "text", "secret", "integer", "number", "choice"
VERSION, STATUSES, DELAYS, STATS, TLVS = "version", "statuses", "delays", "words", "tlvs"
_VERSIONS: Final = {"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}
_STATUS_NAMES: Final = {status.name: int(status) for status in CommandStatus}
_STATUS_BY_VALUE: Final = {int(status): status.name for status in CommandStatus}
_HOST: Final = re.compile(r"[!-~]{1,253}")


class FieldsInvalid(ValueError):
    """Values that no upstream can have: which, and why each."""

    def __init__(self, faults: list[FieldFault]) -> None:
        super().__init__("; ".join(f"{name}: {rule}" for name, rule in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One field. option: how the command calls it. least, most: of numbers, or the length of a text."""

    name: str
    option: str
    kind: str
    sentence: str
    least: float = 0
    most: float = 255
    choices: tuple[str, ...] = ()


def _spec(name: str, kind: str, sentence: str, least: float = 0, most: float = 255, option: str = "") -> FieldSpec:
    return FieldSpec(
        name=name, option=option or name.replace("_", "-"), kind=kind, sentence=sentence, least=least, most=most
    )


def _choice(name: str, choices: tuple[str, ...], sentence: str, option: str = "") -> FieldSpec:
    return FieldSpec(
        name=name, option=option or name.replace("_", "-"), kind=CHOICE, sentence=sentence, choices=choices
    )


FIELDS: Final[tuple[FieldSpec, ...]] = (
    _spec("host", TEXT, "Name or address of the SMSC."),
    _spec("port", INTEGER, "Its port.", 1, 65_535),
    _spec("system_id", TEXT, "What we bind as; at most 15 characters.", 0, 15),
    _spec("password", SECRET, "At most 8 characters; - reads it from standard input.", 0, 8),
    _spec("system_type", TEXT, "system_type of the bind; at most 12 characters.", 0, 12),
    _spec("interface_version", VERSION, "3.3, 3.4 or 5.0; below 3.4 no TLVs are sent.", option="version"),
    _choice("bind_mode", ("transceiver", "transmitter", "receiver", "pair"), "pair: transmitters and receivers."),
    _spec("binds", INTEGER, "Binds at once; of a pair, its transmitters.", 1, 1_000),
    _spec("receiver_binds", INTEGER, "Receivers of a pair; 0 is as many as transmitters.", 0, 1_000),
    _spec("window_size", INTEGER, "Unanswered submit_sm on each bind.", 1, 10_000, "window"),
    _spec("rate_per_second", NUMBER, "submit_sm a second over all binds; 0 is no limit.", 0, 1_000_000, "rate"),
    _spec("is_enabled", FLAG, "Whether it is bound to.", option="enabled"),
    _spec("queue_messages_max", INTEGER, "Messages that may wait for it.", 1, 2**31 - 1, "queue-max"),
    _spec("response_timeout_seconds", NUMBER, "How long an answer is waited for.", 0.1, 3_600, "response-timeout"),
    _spec("enquire_link_seconds", NUMBER, "Silence after which enquire_link is sent.", 1, 3_600, "enquire-link"),
    _spec("uses_tls", FLAG, "Whether it is dialed with TLS.", option="tls"),
    _spec("tls_ca_file", TEXT, "Who may have signed its certificate; else whom the system trusts.", 0, 4_096),
    _spec("tls_certificate_file", TEXT, "The certificate that we show.", 0, 4_096),
    _spec("tls_key_file", TEXT, "The key of that.", 0, 4_096),
    _spec("tls_server_name", TEXT, "The name in its certificate; else the host.", 0, 253),
    _spec("tls_is_verified", FLAG, "Whether its certificate is verified; only tests do without.", option="tls-verify"),
    _spec("outbind_port", INTEGER, "Where we listen for its outbind; 0: nowhere.", 0, 65_535),
    _spec("outbind_system_id", TEXT, "What its outbind has to say.", 0, 15),
    _spec("outbind_password", SECRET, "The password of its outbind; at most 8 characters.", 0, 8),
    _spec("source_ton", INTEGER, "TON of every sender; -1: detected, or as the customer has it.", -1),
    _spec("source_npi", INTEGER, "NPI of every sender; -1 likewise.", -1),
    _spec("dest_ton", INTEGER, "TON of every destination; -1 likewise.", -1),
    _spec("dest_npi", INTEGER, "NPI of every destination; -1 likewise.", -1),
    _spec("service_type", TEXT, "service_type of every submit_sm; * leaves the customer's.", 0, 5),
    _spec("priority_flag", INTEGER, "priority_flag of every submit_sm; -1: the customer's.", -1, 3),
    _spec("registered_delivery", INTEGER, "Receipts asked for: 0 none, 1 all, 2 failures; +16: intermediate.", 0, 31),
    _choice("default_alphabet", get_args(AlphabetName), "What data_coding 0 is to it.", "alphabet"),
    _spec("is_little_endian", FLAG, "Whether it writes UCS-2 with the low octet first.", option="little-endian"),
    _spec("is_zero_padded", FLAG, "Whether packed septets end with zeros, not with CR.", option="zero-padded"),
    _choice("long_message", get_args(LongMessage), "How long messages go out; sar and payload need 3.4."),
    _spec("esm_mode", INTEGER, "Mode bits of esm_class; -1: the customer's.", -1, 3),
    _choice("validity_form", get_args(ValidityName), "How validity_period is written.", "validity"),
    _spec("validity_offset_quarters", INTEGER, "Its clock in quarter hours ahead of UTC.", -48, 48, "validity-offset"),
    _choice("receipt_id", get_args(ReceiptId), "How receipts write the id that submit_sm_resp gave."),
    _choice("receipt_segments", ("all", "any", "last"), "Whose receipts tell that a long message was delivered."),
    _spec("receipt_by_text_alone", FLAG, "Whether a receipt's text alone makes a receipt.", option="receipt-by-text"),
    _spec("receipt_stats", STATS, "What other words in its receipts mean: ACKED=DELIVRD,..."),
    _spec("strips_trailing_nul", FLAG, "Whether a NUL at the end of what it delivers is dropped.", option="strip-nul"),
    _spec("mo_repeat_seconds", INTEGER, "How long the same message from a phone again is a repeat.", 0, 86_400),
    _spec("mo_join_seconds", INTEGER, "How long parts from a phone wait for the others; 0: not joined.", 0, 86_400),
    _spec("vendor_tlvs", TLVS, "TLVs that customers may set by name: a JSON array."),
    _choice("in_doubt", ("resend", "hold", "fail"), "What becomes of segments whose answer was lost."),
    _spec("temporary_statuses", STATUSES, "Statuses after which a message is tried again, with commas."),
    _spec("permanent_statuses", STATUSES, "Statuses that end a message."),
    _spec("throttling_statuses", STATUSES, "Statuses that slow us down, as ESME_RTHROTTLED does."),
    _spec("status_delays", DELAYS, "Seconds before the next attempt by status: 0x14=60,..."),
    _spec("retry_base_seconds", NUMBER, "First delay; throttling: half, full queue: 5 times.", 0.01, DAY, "retry-base"),
    _spec("retry_max_seconds", NUMBER, "Longest delay; for throttling a minute at most.", 0.01, DAY, "retry-max"),
    _spec("breaker_failures_max", INTEGER, "Failures in a row that open the breaker.", 1, 1e6, "breaker-failures"),
    _spec("breaker_error_rate", NUMBER, "Share of failures that opens it.", 0.001, 1),
    _spec("breaker_slow_seconds", NUMBER, "A slower response is a failure to it; 0: none is.", 0, DAY, "breaker-slow"),
    _spec("breaker_open_seconds", NUMBER, "How long it is open until the first probe.", 0.01, DAY, "breaker-open"),
)  # fmt: skip
BY_NAME: Final = {spec.name: spec for spec in FIELDS}
REQUIRED: Final = ("host", "port", "system_id")
SECRETS: Final = frozenset(spec.name for spec in FIELDS if spec.kind == SECRET)


def changed(before: Upstream | None, name: str, values: Mapping[str, object]) -> Upstream:
    """An upstream with these values in place of what it had; a new one when it had nothing. Raises FieldsInvalid."""
    faults: list[FieldFault] = []
    read: dict[str, Any] = {}
    for key, value in values.items():
        spec = BY_NAME.get(key)
        if spec is None:
            faults.append((key, "there is no such field"))
            continue
        try:
            read[key] = _read(spec, value)
        except ValueError as error:
            faults.append((key, str(error)))
    if before is None:
        faults += [(key, "is required") for key in REQUIRED if key not in values]
        if not NAME.fullmatch(name):
            faults.append(("name", NAME_RULE))
    if faults:
        raise FieldsInvalid(faults)
    held = {} if before is None else msgspec.structs.asdict(before)
    try:
        made = msgspec.convert({"password": "", **held, **read, "id": name}, Upstream, from_attributes=True)
    except ValueError as error:  # of one field, or of two that do not fit together
        raise FieldsInvalid([_fault_of(error)]) from error
    if faults := _contradictions(made):
        raise FieldsInvalid(faults)
    return made


def shown(upstream: Upstream) -> dict[str, object]:
    """An upstream as JSON, without what is secret: only whether there is any."""
    fields: dict[str, object] = {"name": upstream.id}
    for spec in FIELDS:
        value = getattr(upstream, spec.name)
        if spec.kind == SECRET:
            fields[f"has_{spec.name}"] = bool(value)
        else:
            fields[spec.name] = _shown(spec, value)
    return fields


def differences(before: Upstream, after: Upstream) -> dict[str, tuple[object, object]]:
    """The fields that differ: what was shown and what will be; of a secret only that it changes."""
    found: dict[str, tuple[object, object]] = {}
    for spec in FIELDS:
        old, new = getattr(before, spec.name), getattr(after, spec.name)
        if old != new:
            is_secret = spec.kind == SECRET
            found[spec.name] = ("(secret)", "(another)") if is_secret else (_shown(spec, old), _shown(spec, new))
    return found


def from_text(spec: FieldSpec, text: str) -> object:
    """What an option of a command says, as JSON has it. Raises ValueError."""
    if spec.kind in (INTEGER, NUMBER):
        return _number(spec, int(text) if re.fullmatch(r"-?\d{1,10}", text) else _float(text))
    if spec.kind == STATUSES:
        return [item for item in text.split(",") if item.strip()]
    if spec.kind in (DELAYS, STATS):
        pairs = [item.partition("=") for item in text.split(",") if item.strip()]
        if any(not equals for _, equals, _ in pairs):
            raise ValueError("is written A=B,C=D")
        return {key.strip(): _float(value) if spec.kind == DELAYS else value.strip() for key, _, value in pairs}
    if spec.kind == TLVS:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise ValueError(f"is a JSON array: {error}") from error
    return text


def to_text(value: object) -> str:
    """A shown value for people."""
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ",".join(f"{key}={item}" for key, item in value.items())
        case list() if all(isinstance(item, str) for item in value):
            return ",".join(value)
        case list():
            return msgspec.json.encode(value).decode()
        case _:
            return str(value)


def status_name(status: int) -> str:
    """A command_status as operators write it."""
    return _STATUS_BY_VALUE.get(status, f"0x{status:08x}")


def read_status(value: object) -> int:
    """The opposite. Raises ValueError."""
    text = str(value).strip()
    found = _STATUS_NAMES.get(text.upper())
    if found is None:
        try:
            found = int(text, 0)
        except ValueError:
            found = -1
    if isinstance(value, bool) or not 1 <= found <= 0xFFFFFFFF:
        raise ValueError(f"{text} is no status that refuses: write ESME_RSYSERR, 0x08 or 8")
    return found


def _shown(spec: FieldSpec, value: Any) -> object:
    match spec.kind:
        case "version":
            return f"{value >> 4}.{value & 15}"
        case "statuses":
            return [status_name(status) for status in sorted(value)]
        case "delays":
            return {status_name(status): value[status] for status in sorted(value)}
        case "words":
            return dict(sorted(value.items()))
        case "tlvs":
            return list(msgspec.to_builtins(value))
        case _:
            return value


def _read(spec: FieldSpec, value: object) -> object:
    match spec.kind:
        case "flag":
            return _flag(value)
        case "integer" | "number":
            return _number(spec, value)
        case "version":
            if str(value) not in _VERSIONS:
                raise ValueError(f"is {', '.join(_VERSIONS)}, not {value}")
            return _VERSIONS[str(value)]
        case "choice":
            if value not in spec.choices:
                raise ValueError(f"is {', '.join(spec.choices)}, not {value}")
            return value
        case "statuses":
            if not isinstance(value, list):
                raise ValueError("is a list of statuses")
            return [read_status(item) for item in value]
        case "delays":
            if not isinstance(value, dict):
                raise ValueError("is seconds by status")
            return {read_status(key): _seconds(item) for key, item in value.items()}
        case "words" | "tlvs":
            return value
        case _:
            return _text(spec, value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true or false")
    return value


def _number(spec: FieldSpec, value: object) -> int | float:
    is_whole = spec.kind == INTEGER
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not spec.least <= value <= spec.most
        or (is_whole and value != int(value))
    ):
        raise ValueError(f"is a {'whole ' if is_whole else ''}number from {spec.least:.12g} to {spec.most:.12g}")
    return int(value) if is_whole else float(value)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text.strip()} is no number") from None


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 86_400:
        raise ValueError(f"{value} is no delay: more than 0 and at most 86400 seconds")
    return float(value)


def _text(spec: FieldSpec, value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not (value.isprintable() and len(value) <= spec.most):
        raise ValueError(f"is text of at most {spec.most:g} printable ASCII characters")
    if spec.name == "host" and not _HOST.fullmatch(value):
        raise ValueError("is a name or an address, without blanks")
    return value


def _contradictions(made: Upstream) -> list[FieldFault]:
    """Values that do not fit together."""
    faults: list[FieldFault] = []
    sets = ("temporary_statuses", "permanent_statuses", "throttling_statuses")
    for number, one in enumerate(sets):
        for other in sets[number + 1 :]:
            if common := getattr(made, one) & getattr(made, other):
                faults.append((other, f"{status_name(min(common))} is in {one} too: let it be in one of them"))
    errors = ErrorTable(made)
    for status in sorted(made.status_delays):
        if errors.kind(status) is StatusKind.PERMANENT:
            rule = f"{status_name(status)} ends a message: put it into temporary_statuses or throttling_statuses too"
            faults.append(("status_delays", rule))
    if made.retry_max_seconds < made.retry_base_seconds:
        faults.append(("retry_max_seconds", "is no less than retry_base_seconds"))
    if bool(made.tls_certificate_file) != bool(made.tls_key_file):
        faults.append(("tls_key_file", "goes with tls_certificate_file: give both, or neither"))
    if made.outbind_port and not made.outbind_system_id:
        faults.append(("outbind_system_id", "is what an outbind has to say: outbind_port needs it"))
    return faults


def _fault_of(error: ValueError) -> FieldFault:
    """The field that msgspec complains about, if it says so."""
    text, _, where = str(error).partition(" - at `$.")
    name = re.split(r"[.\[`]", where)[0] if where else ""
    return (name, text[:1].lower() + text[1:]) if name in BY_NAME else ("", text)
