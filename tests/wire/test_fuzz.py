"""Octets that no one agreed on: only the documented errors come out, memory stays bounded, cuts change nothing."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.smpp import codec, tlv
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.errors import FramingError, PduError
from protocols.smpp.events import Event, SubmitsReceived
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DataSm,
    DeliverSm,
    QuerySm,
    SubmitSm,
)
from protocols.smpp.receipt import parse_receipt
from protocols.smpp.session import Session
from protocols.smpp.state import Role, SessionState
from protocols.smpp.times import TimeFormatError, parse_time
from tools.fuzz_smpp import answer, check_output

fuzzed = settings(max_examples=150, deadline=None, database=None)

GOLDEN = [
    bytes.fromhex(vector["canonical_hex"])
    for vector in json.loads((Path(__file__).parent / "vectors" / "open.json").read_text())["vectors"]
]
CONFIG = SessionConfig(window_size=3, pdu_size_max=2_000)
# Wide enough for a whole stream: what is throttled depends on when the owner answers, and that on the cuts.
WIDE = SessionConfig(window_size=100, pdu_size_max=2_000)


@st.composite
def mutated_pdus(draw: st.DrawFn) -> bytes:
    """A golden PDU with some octets changed, cut or added; most keep a command_length that is right."""
    pdu = bytearray(draw(st.sampled_from(GOLDEN)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(4, len(pdu) - 1))
        change = draw(st.sampled_from(("set", "cut", "add")))
        if change == "set":
            pdu[at] = draw(st.integers(0, 255))
        elif change == "cut" and len(pdu) > 16:
            del pdu[max(16, at) :]
        else:
            pdu[at:at] = draw(st.binary(max_size=40))
    if draw(st.integers(0, 30)):
        pdu[:4] = len(pdu).to_bytes(4, "big")
    return bytes(pdu)


streams = st.lists(mutated_pdus(), max_size=12).map(b"".join)


@fuzzed
@given(st.one_of(st.binary(max_size=300), mutated_pdus()))
def test_decoding_raises_only_the_documented_errors(data: bytes) -> None:
    try:
        pdu = codec.decode(data)
    except (PduError, FramingError):
        return
    assert pdu.command_id in codec.DECODERS


@fuzzed
@given(st.sampled_from(sorted(codec.DECODERS)), st.binary(max_size=300))
def test_any_body_of_an_offered_command_is_read_or_refused_with_a_status(command_id: int, body: bytes) -> None:
    try:
        codec.decode(codec.HEADER.pack(16 + len(body), command_id, 0, 1) + body)
    except PduError as error:
        assert error.command_status in CommandStatus.__members__.values()
        assert error.command_status != CommandStatus.ESME_ROK


@fuzzed
@given(st.binary(max_size=200))
def test_a_tail_is_read_as_far_as_it_goes_and_a_clean_one_stays_as_it_is(raw: bytes) -> None:
    tlv.read(raw)
    clean = tlv.clean(raw)
    assert len(clean) <= len(raw)
    assert tlv.clean(clean) == clean
    assert tlv.parse(clean) == tlv.parse(raw)


@fuzzed
@given(st.binary(max_size=200), st.binary(max_size=100), st.integers(0, 255), st.integers(0, 255), st.booleans())
def test_reading_a_receipt_never_fails(
    text: bytes, tlvs: bytes, esm_class: int, data_coding: int, by_text_alone: bool
) -> None:
    pdu = DeliverSm(short_message=text, tlvs=tlvs, esm_class=esm_class, data_coding=data_coding)
    receipt = parse_receipt(pdu, by_text_alone=by_text_alone)
    if esm_class & 0x3C == 0x04:
        assert receipt is not None


@fuzzed
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [b"id:", b"stat:", b"STAT :", b"err:", b"done date:", b"text:", b"sub:", b"dlvrd:", b"submitdate:"]
            ),
            st.binary(max_size=15),
        ),
        max_size=12,
    ).map(b" ".join)
)
def test_reading_a_text_that_is_nearly_a_receipt_never_fails(text: bytes) -> None:
    receipt = parse_receipt(DeliverSm(short_message=text, esm_class=4))
    assert receipt is not None
    assert receipt.raw == text


@fuzzed
@given(st.one_of(st.binary(max_size=20), st.from_regex(rb"[0-9]{15}[-+R]", fullmatch=True)))
def test_a_time_is_read_or_is_an_error(value: bytes) -> None:
    try:
        parse_time(value, 1_763_831_820_000)
    except TimeFormatError:
        pass


def make_session(role: Role, is_bound: bool, config: SessionConfig = CONFIG) -> Session:
    session = Session(role, config, 0.0)
    if is_bound and role is Role.SMSC:
        session.receive_data(codec.encode(BindTransceiver(interface_version=0x34, sequence_number=1)), 0.0)
        session.accept_bind(1, b"SMSC", 0.0)
        session.send_delivers([(codec.encode_body(DeliverSm()), ref) for ref in range(20)], 0.0)
        session.send_requests([(DataSm(), ref) for ref in range(20, 40)], 0.0)
    elif is_bound:
        session.bind(BindTransceiver(interface_version=0x34), 0.0)
        session.receive_data(codec.encode(BindTransceiverResp(sequence_number=1)), 0.0)
        session.send_submits([(codec.encode_body(SubmitSm()), ref) for ref in range(20)], 0.0)
        session.send_requests([(QuerySm(), ref) for ref in range(20, 60)], 0.0)
    session.data_to_send()
    return session


def run(session: Session, chunks: list[bytes]) -> tuple[list[object], bytes, bool]:
    """Feed a session whose owner answers at once: what happened in which order, what was sent, whether it broke."""
    happened: list[object] = []
    sent = b""
    for chunk in chunks:
        data = chunk
        while True:
            try:
                events = session.receive_data(data, 0.0)
            except FramingError as error:
                events = list(error.events)  # type: ignore[arg-type]  # they are events
                happened += parts(events)
                return happened, sent + session.data_to_send(), True
            happened += parts(events)
            answer(session, events)
            sent += session.data_to_send()
            data = b""
            if not (session.has_backlog and session.wants_read):
                break
    return happened, sent, False


def parts(events: list[Event]) -> list[object]:
    """Single messages: how they are grouped depends on the cuts."""
    found: list[object] = []
    for event in events:
        batch = getattr(event, "pdus", None) or getattr(event, "answers", None)
        found += batch if batch else [event]
    return found


def by_kind(happened: list[object]) -> tuple[list[object], list[object]]:
    """Answers overtake requests of the same read, so only the order within either kind is the stream's."""
    return [each for each in happened if isinstance(each, tuple)], [
        each for each in happened if not isinstance(each, tuple)
    ]


@fuzzed
@given(st.sampled_from(Role), st.booleans(), streams, st.lists(st.integers(1, 60), max_size=40))
def test_a_session_understands_the_same_however_the_stream_is_cut(
    role: Role, is_bound: bool, stream: bytes, sizes: list[int]
) -> None:
    chunks, rest = [], stream
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    chunks.append(rest)
    whole = run(make_session(role, is_bound, WIDE), [stream])
    cut = run(make_session(role, is_bound, WIDE), [chunk for chunk in chunks if chunk])
    check_output(whole[1])
    check_output(cut[1])
    assert by_kind(whole[0]) == by_kind(cut[0])
    assert whole[2] == cut[2]


@fuzzed
@given(st.sampled_from(Role), st.booleans(), st.lists(st.binary(min_size=1, max_size=200), max_size=30))
def test_noise_ends_a_session_or_waits_and_is_never_kept_beyond_a_pdu(
    role: Role, is_bound: bool, chunks: list[bytes]
) -> None:
    session = make_session(role, is_bound)
    for chunk in chunks:
        try:
            session.receive_data(chunk, 0.0)
        except FramingError:
            assert session.state is SessionState.CLOSED
            break
        if session.wants_read:
            assert len(session._inbound._rest) < CONFIG.pdu_size_max
    check_output(session.data_to_send())


@fuzzed
@given(st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_an_owner_that_never_answers_holds_one_window_and_no_more(counts: list[int]) -> None:
    """The rest stays in the socket: the adapter does not read while wants_read is False."""
    session = make_session(Role.SMSC, True)
    body = codec.encode_body(SubmitSm(destination_addr=b"1"))
    taken, number = 0, 0
    for count in counts:
        if not session.wants_read:
            break
        data = b""
        for _ in range(count):
            number += 1
            data += codec.HEADER.pack(16 + len(body), CommandId.SUBMIT_SM, 0, number) + body
        for event in session.receive_data(data, 0.0):
            assert isinstance(event, SubmitsReceived)
            taken += len(event.pdus)
    assert taken == session.unanswered_count == min(number, CONFIG.window_size)
    assert session.data_to_send().count(b"\0\0\0\x58") == min(max(0, number - taken), CONFIG.window_size)
