"""What the writer makes of a message, and what is made of that again: everything that sending it needs comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import encode

from smscd.core.records import Conversion, MessageRecord
from storage.postgres.messages import record_of
from tests.unit.smscd.recovery.stored_rows import stored

OCTET = st.integers(0, 255)
SHORT = st.binary(max_size=21)
NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=12)
MICROS = st.integers(0, 2**53)
IDS = st.integers(1, 2**63 - 1)

CONVERSIONS = st.builds(
    Conversion,
    form=st.integers(0, 2),
    parts=st.integers(1, 255),
    content=st.binary(max_size=40),
    data_coding=OCTET,
    esm_class=OCTET,
    tlvs=st.binary(max_size=20),
    excerpt=SHORT,
)
RECORDS = st.builds(
    MessageRecord,
    id=IDS,
    account=NAME,
    upstream=NAME,
    priority=st.integers(0, 9),
    door=st.integers(1, 2),
    source_ton=OCTET,
    source_npi=OCTET,
    source=SHORT,
    dest_ton=OCTET,
    dest_npi=OCTET,
    dest=SHORT,
    esm_class=OCTET,
    protocol_id=OCTET,
    data_coding=OCTET,
    registered_delivery=OCTET,
    segments=st.lists(st.binary(max_size=160), min_size=1, max_size=5),
    price_micros=MICROS,
    valid_until_ms=st.integers(1_577_836_800_000, 4_000_000_000_000),
    via=st.integers(0, 2),
    tariff=st.integers(0, 1),
    service_type=st.binary(max_size=6),
    tlvs=st.binary(max_size=40),
    client_ref=st.none() | NAME,
    callback_url=st.none() | NAME,
    metadata=st.none() | st.just(b'{"k": "\\u0000"}'),
    request_key=st.none() | NAME,
    attempt=st.integers(0, 100),
    group_id=st.just(0) | IDS,
    conversion=st.none() | CONVERSIONS,
    priority_flag=st.integers(0, 3),
    in_doubt=st.integers(0, 3),
    cost_micros=MICROS,
    stored_answer=st.none() | st.binary(min_size=1, max_size=40),
)


@given(RECORDS)
def test_a_record_comes_back_from_its_row_as_it_was(record: MessageRecord) -> None:
    if record.request_key is None:
        record.stored_answer = None  # nothing is stored where there is no key
    found = record_of(stored(record))
    assert found == record
    assert encode(found) == encode(record)
