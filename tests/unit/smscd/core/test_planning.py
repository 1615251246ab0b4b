"""Planning: what a submission becomes, and why it is refused."""

from __future__ import annotations

import timeit
from typing import Any

import msgspec
import pytest

from protocols.gsm import udh
from protocols.gsm.alphabets import decode
from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from smscd.core.conversion import reference_of
from smscd.core.directory import Account, Price, Route, Snapshot
from smscd.core.directory_index import VALIDITY_DEFAULT_MS, DirectoryIndex
from smscd.core.idempotency import StoredAnswer
from smscd.core.ids import EPOCH_MS, IdSource
from smscd.core.limits import Limits
from smscd.core.planning import SCHEDULE_MAX_MS, UDHI, VALIDITY_MAX_MS, Planned, plan
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Door, State, Via
from smscd.core.submission import Encoding, Submission
from smscd.core.upstream import Upstream
from tests.unit.smscd.core.profile_fixture import Way

NOW = EPOCH_MS + 217_000_000_000
ID = IdSource(node=1).take(NOW, 1)[0]
ACCOUNT = Account(
    id="acme",
    any_sender=True,
    rate_per_second=250.0,
    burst=500,
    credit_limit_micros=7_000_000,
    tariff=1,
    priority=2,
)
HOOKED = Account(id="hooked", any_sender=True, webhook_url="https://app.example/dlr")
PROMPT = Account(id="prompt", any_sender=True, urgent_from=2)
DIRECTORY = DirectoryIndex(
    Snapshot(
        accounts=(
            ACCOUNT,
            HOOKED,
            PROMPT,
            Account(id="late", is_suspended=True),
            Account(id="strict", senders=frozenset({"ACME"})),
        ),
        upstreams=(
            Upstream(id="up", host="h", port=1, system_id="s", password="p", queue_messages_max=77),
            Upstream(id="off", host="h", port=1, system_id="s", password="p", is_enabled=False),
        ),
        routes=(Route(prefix="44", upstreams=("up",)), Route(prefix="49", upstreams=("off",))),
        prices=(Price(plan="default", prefix="", price_micros=10_000),),
    )
)


def smpp(**changes: Any) -> Submission:
    given: dict[str, Any] = {
        "account": ACCOUNT,
        "door": Door.SMPP,
        "source": b"ACME",
        "dest": b"447700900123",
        "content": b"hello",
        "registered_delivery": 1,
        "source_ton": 5,
        "source_npi": 0,
        "dest_ton": 1,
        "dest_npi": 1,
    }
    return Submission(**(given | changes))


def http(**changes: Any) -> Submission:
    given: dict[str, Any] = {
        "account": ACCOUNT,
        "door": Door.HTTP,
        "source": b"ACME",
        "dest": b"+447700900123",
        "text": "hello",
    }
    return Submission(**(given | changes))


def planned(submission: Submission) -> Planned:
    result = plan(submission, DIRECTORY, ID, NOW)
    assert isinstance(result, Planned), result
    return result


def refused(submission: Submission) -> Reason:
    result = plan(submission, DIRECTORY, ID, NOW)
    assert isinstance(result, Rejected), result
    return result.reason


# --- the record -----------------------------------------------------------------------------------------------------


def test_an_smpp_submission_becomes_a_record_with_its_octets_untouched() -> None:
    record = planned(smpp(content=b"\x00\x1be", data_coding=0xF0, protocol_id=0x3F, service_type=b"CMT")).record
    assert record.segments == [b"\x00\x1be"]
    assert (record.data_coding, record.protocol_id, record.service_type) == (0xF0, 0x3F, b"CMT")
    assert (record.id, record.account, record.upstream, record.priority) == (ID, "acme", "up", 2)
    assert (record.source_ton, record.source_npi, record.source) == (5, 0, b"ACME")
    assert (record.dest_ton, record.dest_npi, record.dest) == (1, 1, b"447700900123")
    assert (record.price_micros, record.tariff, record.door) == (10_000, 1, Door.SMPP)
    assert record.valid_until_ms == NOW + VALIDITY_DEFAULT_MS
    assert (record.attempt, record.resends) == (0, 0)


@pytest.mark.parametrize("flag", range(5))
def test_quirk_43_the_priority_flag_is_kept_and_decides_neither_price_nor_queue(flag: int) -> None:
    found = planned(smpp(priority_flag=flag, request_key=b"k"))
    assert (found.record.priority_flag, found.record.priority, found.record.price_micros) == (flag, 2, 10_000)
    other = planned(smpp(priority_flag=flag + 1, request_key=b"k"))
    assert found.body_hash != other.body_hash


@pytest.mark.parametrize(("flag", "priority"), [(0, 1), (1, 1), (2, 0), (3, 0), (9, 0)])
def test_an_urgent_message_of_an_account_that_has_them_goes_before_all_others(flag: int, priority: int) -> None:
    record = planned(smpp(account=PROMPT, priority_flag=flag)).record
    assert (record.priority_flag, record.priority) == (flag, priority)


def test_quirk_43_a_source_type_that_no_specification_knows_goes_on_as_it_came() -> None:
    record = planned(smpp(source_ton=99, source_npi=42, source=b"ACME")).record
    assert (record.source_ton, record.source_npi, record.source) == (99, 42, b"ACME")


def test_a_plan_carries_what_the_admission_script_needs() -> None:
    result = planned(smpp())
    assert (result.messages, result.rate_per_second, result.burst) == (1, 250.0, 500)
    assert (result.floor_micros, result.queue_messages_max) == (-7_000_000, 77)
    assert (result.idem_key, result.idem_value, result.body_hash) == (None, b"", b"")


def test_the_record_survives_its_encoding() -> None:
    record = planned(http(metadata=b'{"k":"v"}', client_ref="order-77", request_key=b"k1")).record
    encoded = msgspec.msgpack.encode(record)
    assert msgspec.msgpack.decode(encoded, type=type(record)) == record
    assert record.request_key == "k1"


@pytest.mark.parametrize(
    ("registered_delivery", "via"), [(0, Via.NONE), (1, Via.SMPP), (2, Via.SMPP), (0x10, Via.SMPP)]
)
def test_an_esme_is_called_back_when_it_asked(registered_delivery: int, via: Via) -> None:
    record = planned(smpp(registered_delivery=registered_delivery)).record
    assert (record.via, record.registered_delivery) == (via, registered_delivery)


def test_an_http_customer_is_called_back_where_he_has_an_address() -> None:
    assert planned(http()).record.via == Via.NONE
    by_account = planned(http(account=HOOKED)).record
    assert (by_account.via, by_account.callback_url, by_account.registered_delivery) == (Via.WEBHOOK, None, 1)
    by_message = planned(http(callback_url="https://x.example")).record
    assert (by_message.via, by_message.callback_url) == (Via.WEBHOOK, "https://x.example")


# --- refusals -------------------------------------------------------------------------------------------------------


def test_each_refusal_has_its_reason() -> None:
    assert refused(smpp(account=Account(id="late"))) is Reason.ACCOUNT_SUSPENDED
    assert refused(smpp(account=Account(id="gone"))) is Reason.ACCOUNT_SUSPENDED
    assert refused(smpp(dest=b"abc")) is Reason.INVALID_DESTINATION
    assert refused(smpp(source=b"a@b")) is Reason.INVALID_SOURCE
    assert refused(smpp(account=Account(id="strict"), source=b"OTHER")) is Reason.SENDER_NOT_ALLOWED
    assert refused(smpp(dest=b"8613800000000")) is Reason.NO_ROUTE
    assert refused(smpp(dest=b"4915112345678")) is Reason.NO_ROUTE_AVAILABLE
    assert refused(smpp(valid_until_ms=NOW)) is Reason.INVALID_VALIDITY
    assert refused(http(validity_seconds=0)) is Reason.INVALID_VALIDITY
    assert refused(http(text="")) is Reason.INVALID_LENGTH
    assert refused(http(text="x" * 1_531)) is Reason.TOO_MANY_SEGMENTS


def test_an_account_may_send_to_its_countries_only() -> None:
    """The longest prefix that a country has decides: +44 1534 is Jersey."""
    home = Account(id="home", any_sender=True, allowed_countries=frozenset({"GB"}))
    snapshot = msgspec.structs.replace(DIRECTORY.snapshot, accounts=(home,))
    directory = DirectoryIndex(snapshot)
    assert isinstance(plan(smpp(account=home), directory, ID, NOW), Planned)
    for dest in (b"441534900123", b"447797900123", b"33612345678", b"88213123456"):
        found = plan(smpp(account=home, dest=dest), directory, ID, NOW)
        assert isinstance(found, Rejected) and found.reason is Reason.COUNTRY_NOT_ALLOWED
    assert isinstance(plan(smpp(dest=b"441534900123"), DIRECTORY, ID, NOW), Planned)


def test_a_plan_has_the_limits_of_its_account() -> None:
    limits = Limits(spend_per_day_micros=0, velocity_per_day=500)
    held = Account(id="held", any_sender=True, spend_per_day_micros=0, velocity_per_day=500)
    directory = DirectoryIndex(msgspec.structs.replace(DIRECTORY.snapshot, accounts=(held,)))
    for submission in (smpp(account=held), smpp(account=held, request_key=b"k")):
        found = plan(submission, directory, ID, NOW)
        assert isinstance(found, Planned) and found.limits == limits
    found = plan(smpp(), DIRECTORY, ID, NOW)
    assert isinstance(found, Planned) and found.limits is None and not found.is_strict


def test_a_plan_says_whether_it_waits_for_the_record() -> None:
    safe = Account(id="safe", any_sender=True, durability="strict")
    directory = DirectoryIndex(msgspec.structs.replace(DIRECTORY.snapshot, accounts=(safe,)))
    for submission in (smpp(account=safe), smpp(account=safe, request_key=b"k")):
        found = plan(submission, directory, ID, NOW)
        assert isinstance(found, Planned) and found.is_strict
    assert directory.has_strict and not DIRECTORY.has_strict


def test_a_refused_sender_is_refused_again() -> None:
    for _ in range(2):
        assert refused(smpp(account=Account(id="strict"), source=b"OTHER")) is Reason.SENDER_NOT_ALLOWED


def test_validity_is_the_customers_up_to_seven_days() -> None:
    assert planned(http(validity_seconds=3_600)).record.valid_until_ms == NOW + 3_600_000
    assert planned(smpp(valid_until_ms=NOW + 5)).record.valid_until_ms == NOW + 5
    assert planned(http(validity_seconds=10**9)).record.valid_until_ms == NOW + VALIDITY_MAX_MS


def test_the_default_validity_is_the_directorys() -> None:
    result = plan(smpp(), DirectoryIndex(DIRECTORY.snapshot, validity_default_ms=60_000), ID, NOW)
    assert isinstance(result, Planned) and result.record.valid_until_ms == NOW + 60_000


def test_a_schedule_is_kept_and_the_validity_counts_from_it() -> None:
    day = 86_400_000
    assert planned(http(send_at_ms=NOW + day)).record.send_at_ms == NOW + day
    assert planned(http(send_at_ms=NOW + day)).record.valid_until_ms == NOW + 2 * day
    assert planned(smpp(send_after_seconds=60, validity_seconds=30)).record.valid_until_ms == NOW + 90_000
    assert planned(smpp(send_after_seconds=60)).record.send_at_ms == NOW + 60_000
    longest = planned(http(send_at_ms=NOW + day, validity_seconds=10**9)).record
    assert longest.valid_until_ms == NOW + day + VALIDITY_MAX_MS
    late = plan(smpp(send_at_ms=NOW + day, valid_until_ms=NOW + day), DIRECTORY, ID, NOW)
    assert late == Rejected(
        Reason.INVALID_VALIDITY, "The validity period is over before the message is to be sent.", "/validity"
    )


def test_a_time_that_is_over_means_at_once() -> None:
    for submission in (http(send_at_ms=NOW), smpp(send_at_ms=1), smpp(send_after_seconds=0)):
        record = planned(submission).record
        assert (record.send_at_ms, record.valid_until_ms) == (0, NOW + 86_400_000)


def test_a_time_too_far_ahead_is_refused_with_the_limit() -> None:
    assert planned(http(send_at_ms=NOW + SCHEDULE_MAX_MS)).record.send_at_ms == NOW + SCHEDULE_MAX_MS
    late = plan(http(send_at_ms=NOW + SCHEDULE_MAX_MS + 1), DIRECTORY, ID, NOW)
    assert isinstance(late, Rejected) and (late.reason, late.pointer) == (Reason.INVALID_SCHEDULE, "/send_at")
    assert late.sentence == "The time to send must be within 1,209,600 seconds from now: choose an earlier one."
    none = plan(smpp(send_after_seconds=1), DirectoryIndex(DIRECTORY.snapshot, schedule_max_ms=0), ID, NOW)
    assert isinstance(none, Rejected)
    assert none.sentence == "Messages cannot be scheduled here: leave the time out."


def test_another_time_is_another_request() -> None:
    hashes = [
        planned(http(request_key=b"k", **asked)).body_hash
        for asked in ({}, {"send_at_ms": NOW + 1}, {"send_at_ms": NOW + 2}, {"send_after_seconds": 1})
    ]
    assert len(set(hashes)) == 4


# --- encoding -------------------------------------------------------------------------------------------------------


def test_text_is_gsm_where_it_can_be_and_ucs2_where_it_must() -> None:
    plain = planned(http(text="5 €")).record
    assert (plain.data_coding, plain.segments) == (0, [b"5 \x1be"])
    wide = planned(http(text="дом")).record
    assert (wide.data_coding, wide.segments) == (8, ["дом".encode("utf-16-be")])


def test_smart_encoding_replaces_typography_only_where_that_is_enough() -> None:
    assert planned(http(text="“hi”…", smart_encoding=True)).record.segments == [b'"hi"...']
    assert planned(http(text="“hi”")).record.data_coding == 8
    kept = planned(http(text="“дом”", smart_encoding=True)).record
    assert kept.segments == ["“дом”".encode("utf-16-be")]


def test_an_encoding_that_was_asked_for_is_used_or_refused() -> None:
    assert planned(http(text="hi", encoding=Encoding.UCS2)).record.segments == [b"\x00h\x00i"]
    assert refused(http(text="дом", encoding=Encoding.GSM7)) is Reason.INVALID_ENCODING
    assert refused(http(text="\ud83d")) is Reason.INVALID_ENCODING
    assert planned(http(text="it’s", encoding=Encoding.GSM7, smart_encoding=True)).record.segments == [b"it's"]
    assert refused(http(text="\u200b", encoding=Encoding.GSM7, smart_encoding=True)) is Reason.INVALID_ENCODING


# --- segments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "segments"), [("x" * 160, 1), ("x" * 161, 2), ("x" * 306, 2), ("x" * 307, 3), ("д" * 70, 1), ("д" * 71, 2)]
)
def test_each_segment_is_paid_for(text: str, segments: int) -> None:
    record = planned(http(text=text)).record
    assert len(record.segments) == segments
    assert record.price_micros == 10_000 * segments
    assert bool(record.esm_class & 0x40) is (segments > 1)


def test_a_long_message_of_an_esme_is_cut_with_one_reference() -> None:
    record = planned(smpp(content=b"x" * 400, esm_class=0x03)).record
    parts = [udh.parse(part).concatenation for part in record.segments]
    assert parts == [udh.Concatenation(reference_of(ID), 3, number) for number in (1, 2, 3)]
    assert record.esm_class == 0x43


def test_a_part_that_the_esme_cut_itself_passes_untouched() -> None:
    part = b"\x05\x00\x03\x2a\x02\x01" + b"x" * 153
    record = planned(smpp(content=part, esm_class=0x40)).record
    assert (record.segments, record.esm_class, record.price_micros) == ([part], 0x40, 10_000)


def test_a_header_that_does_not_fit_its_content_is_refused() -> None:
    assert refused(smpp(content=b"\x05\x00\x03\x2a", esm_class=0x40)) is Reason.INVALID_UDH
    assert refused(smpp(content=b"", esm_class=0x40)) is Reason.INVALID_UDH
    assert refused(smpp(content=b"\x8b\x70\x89" + bytes(300), esm_class=0x40)) is Reason.INVALID_UDH


@pytest.mark.parametrize("data_coding", [1, 3])
def test_latin_1_and_ascii_are_counted_as_the_septets_that_they_become(data_coding: int) -> None:
    assert planned(smpp(content=b"a" * 160, data_coding=data_coding)).record.segments == [b"a" * 160]
    record = planned(smpp(content=b"a" * 161, data_coding=data_coding)).record
    assert [len(segment) for segment in record.segments] == [6 + 153, 6 + 8]
    assert (record.data_coding, record.price_micros) == (data_coding, 20_000)
    full = b"\x05\x00\x03\x01\x02\x01" + b"a" * 153
    assert planned(smpp(content=full, data_coding=data_coding, esm_class=0x40)).record.segments == [full]
    assert refused(smpp(content=full + b"a", data_coding=data_coding, esm_class=0x40)) is Reason.INVALID_LENGTH


def test_a_text_that_gsm_does_not_have_is_counted_in_octets() -> None:
    assert [len(part) for part in planned(smpp(content=b"\xea" * 141, data_coding=3)).record.segments] == [140, 13]
    assert len(planned(smpp(content=b"a" * 141, data_coding=4)).record.segments) == 2


@pytest.mark.parametrize("data_coding", [0x10, 0xF0, 0x18, 0xD8])
def test_quirk_28_a_class_is_kept_on_each_part(data_coding: int) -> None:
    record = planned(smpp(content=b"\0a" * 100, data_coding=data_coding)).record
    assert (len(record.segments), record.data_coding) == (2, data_coding)


def test_a_part_of_a_long_message_that_is_too_long_itself_is_refused() -> None:
    part = b"\x05\x00\x03\x2a\x02\x01" + b"x" * 154
    assert refused(smpp(content=part, esm_class=0x40)) is Reason.INVALID_LENGTH
    sar = tlv.encode([(TlvTag.SAR_MSG_REF_NUM, b"\x00\x01")])
    assert refused(smpp(content=b"x" * 161, tlvs=sar)) is Reason.INVALID_LENGTH
    assert planned(smpp(content=b"x" * 160, tlvs=sar)).record.tlvs == sar
    assert len(planned(smpp(content=b"x" * 161, tlvs=tlv.encode([(0x1400, b"1")]))).record.segments) == 2


def test_a_long_binary_keeps_its_ports_on_each_part() -> None:
    ports = b"\x06\x05\x04\x0b\x84\x23\xf0"
    record = planned(smpp(content=ports + bytes(200), data_coding=4, esm_class=0x40)).record
    assert len(record.segments) == 2
    assert all((udh.PORTS_16, b"\x0b\x84\x23\xf0") in udh.parse(part).elements for part in record.segments)


def test_references_of_neighbouring_ids_differ() -> None:
    ids = IdSource(node=1).take(NOW, 200)
    assert len({reference_of(i) for i in ids}) == 200
    later = [IdSource(node=1).take(NOW + ms, 1)[0] for ms in range(256)]
    assert len({reference_of(i) for i in later}) == 256


# --- idempotency ----------------------------------------------------------------------------------------------------


def test_a_request_key_brings_the_answer_to_store() -> None:
    result = planned(http(request_key=b"8e03978e", text="x" * 161))
    stored = msgspec.msgpack.decode(result.idem_value, type=StoredAnswer)
    assert result.idem_key == b"8e03978e"
    assert stored == StoredAnswer(ID, result.body_hash, 20_000, 2, 0)
    assert len(result.body_hash) == 16
    assert len(result.idem_value) < 45
    assert result.record.stored_answer == result.idem_value
    assert planned(http()).record.stored_answer is None


def test_the_same_message_has_the_same_hash_at_both_doors() -> None:
    over_http = planned(http(request_key=b"k"))
    over_smpp = planned(smpp(request_key=b"k"))
    assert over_http.body_hash == over_smpp.body_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "hello!"},
        {"dest": b"+447700900124"},
        {"source": b"ACME2"},
        {"validity_seconds": 60},
        {"client_ref": "1"},
        {"callback_url": "https://x.example"},
        {"metadata": b"{}"},
        {"encoding": Encoding.UCS2},
    ],
)
def test_another_message_has_another_hash(changes: dict[str, Any]) -> None:
    assert planned(http(request_key=b"k")).body_hash != planned(http(request_key=b"k", **changes)).body_hash


def test_the_hash_does_not_depend_on_id_or_time() -> None:
    first = plan(http(request_key=b"k", text="x" * 400), DIRECTORY, ID, NOW)
    second = plan(http(request_key=b"k", text="x" * 400), DIRECTORY, ID + 1, NOW + 5_000)
    assert isinstance(first, Planned) and isinstance(second, Planned)
    assert first.body_hash == second.body_hash and first.record.segments != second.record.segments


def test_a_hash_that_the_door_made_is_used() -> None:
    assert planned(http(request_key=b"k", body_hash=b"h" * 16)).body_hash == b"h" * 16


# --- cost -----------------------------------------------------------------------------------------------------------


def test_planning_an_smpp_message_takes_a_few_microseconds() -> None:
    submissions = [smpp(dest=b"4477009%05d" % number) for number in range(500)]

    def run() -> None:
        for submission in submissions:
            plan(submission, DIRECTORY, ID, NOW)

    seconds = min(timeit.repeat(run, number=1, repeat=20)) / len(submissions)
    assert seconds < 15e-6  # 2 µs on a quiet machine


def test_the_states_of_the_record_are_what_the_customer_sees() -> None:
    assert [state.name.lower() for state in State if state.is_final] == [
        "delivered",
        "undelivered",
        "expired",
        "rejected",
        "failed",
        "canceled",
        "unknown",
    ]


# --- national tables over HTTP (quirk 36) -----------------------------------------------------------------------------


def test_quirk_36_a_national_table_is_used_where_the_account_may_and_it_saves_segments() -> None:
    text = "Şu anda ığdır'da değilim, görüşürüz. " * 4
    assert len(text) > 140
    none = Way().http(text)
    turkish = Way({"languages": frozenset({1})}).http(text)
    assert isinstance(none, Planned) and isinstance(turkish, Planned)
    assert (none.record.data_coding, len(none.record.segments)) == (8, 3)
    record = turkish.record
    assert (record.data_coding, record.esm_class, len(record.segments)) == (0, UDHI, 1)
    header = udh.parse(record.segments[0])
    assert header.elements == udh.national_shifts(1, 0)
    assert decode(record.segments[0][header.length :], 0, header.elements) == text


def test_quirk_36_a_long_national_text_has_its_table_in_every_part() -> None:
    text = "ğ" * 400
    planned = Way({"languages": frozenset({1})}).http(text)
    assert isinstance(planned, Planned)
    parts = []
    for segment in planned.record.segments:
        header = udh.parse(segment)
        assert header.elements[:1] == udh.national_shifts(1, 0)
        parts.append(decode(segment[header.length :], 0, header.elements))
    assert "".join(parts) == text
    assert len(parts) == 3


@pytest.mark.parametrize("encoding", [Encoding.UCS2, Encoding.GSM7])
def test_only_auto_takes_a_national_table(encoding: Encoding) -> None:
    found = Way({"languages": frozenset({1})}).http("ğ" * 100, encoding=encoding)
    if encoding is Encoding.UCS2:
        assert isinstance(found, Planned) and found.record.data_coding == 8
    else:
        assert isinstance(found, Rejected) and found.reason is Reason.INVALID_ENCODING


def test_a_text_that_a_table_makes_no_shorter_goes_without_one() -> None:
    for text in ("ğ", "plain", "日本" * 40):
        given, may = Way().http(text), Way({"languages": frozenset({1, 2, 3})}).http(text)
        assert isinstance(given, Planned) and isinstance(may, Planned)
        assert given.record == may.record
    half = Way({"languages": frozenset({1})}).http("\ud800")
    assert isinstance(half, Rejected) and half.reason is Reason.INVALID_ENCODING
