"""Encoders and decoders made from the tables: exact both ways, liberal in, strict out."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from protocols.smpp import codec
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.errors import EncodeError, FramingError, PduError
from protocols.smpp.fields import Kind, format_of
from protocols.smpp.pdu import (
    PDU_CLASSES,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    DestAddress,
    DistributionList,
    EnquireLink,
    GenericNack,
    Pdu,
    QuerySmResp,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    UnsuccessSme,
)


def filled(pdu_class: type[Pdu]) -> Pdu:
    """A PDU whose every field holds the most that its table allows."""
    pdu = pdu_class(sequence_number=0x7FFFFFFF, tlvs=b"\x14\x00\x00\x01x")
    for form in format_of(pdu_class):
        if form.kind is Kind.INTEGER:
            setattr(pdu, form.name, (1 << 8 * form.size) - 1)
        elif form.kind is Kind.C_OCTETS:
            setattr(pdu, form.name, b"x" * (form.size - 1))
        elif form.kind is Kind.COUNTED_ROWS:
            setattr(pdu, form.name, tuple(filled_row(form.rows[index % len(form.rows)]) for index in range(form.size)))
        else:
            setattr(pdu, form.name, bytes(range(form.size)))
    return pdu


def filled_row(row_class: type) -> object:
    """A row whose every field holds the most that its table allows."""
    values = {
        form.name: (1 << 8 * form.size) - 1 if form.kind is Kind.INTEGER else b"x" * (form.size - 1)
        for form in format_of(row_class)
    }
    return row_class(**values)


def least(pdu_class: type[Pdu]) -> Pdu:
    """A PDU whose every field is empty, but for the rows that there have to be."""
    pdu = pdu_class(sequence_number=1)
    for form in format_of(pdu_class):
        if form.rows_min:
            setattr(pdu, form.name, tuple(form.rows[0]() for _ in range(form.rows_min)))
    return pdu


def body(pdu: Pdu, octets: bytes) -> bytes:
    """The PDU with these octets in place of its body."""
    return codec.HEADER.pack(16 + len(octets), pdu.command_id, pdu.command_status, pdu.sequence_number) + octets


@pytest.mark.parametrize("pdu_class", PDU_CLASSES)
def test_a_pdu_with_full_fields_comes_back_as_it_was(pdu_class: type[Pdu]) -> None:
    pdu = filled(pdu_class)
    assert codec.decode(codec.encode(pdu)) == pdu


@pytest.mark.parametrize("pdu_class", PDU_CLASSES)
def test_a_pdu_with_empty_fields_comes_back_as_it_was(pdu_class: type[Pdu]) -> None:
    pdu = least(pdu_class)
    assert codec.decode(codec.encode(pdu)) == pdu


@pytest.mark.parametrize("pdu_class", PDU_CLASSES)
def test_a_field_that_is_one_too_large_is_not_sent(pdu_class: type[Pdu]) -> None:
    for form in format_of(pdu_class):
        pdu = filled(pdu_class)
        value = getattr(pdu, form.name)
        setattr(pdu, form.name, value + (1 if form.kind is Kind.INTEGER else value[:1] if form.rows else b"x"))
        with pytest.raises(EncodeError, match=form.name):
            codec.encode(pdu)


@pytest.mark.parametrize("pdu_class", PDU_CLASSES)
def test_a_nul_inside_a_c_octet_string_is_not_sent(pdu_class: type[Pdu]) -> None:
    """Quirk 40: what an address cannot carry is not sent."""
    for form in format_of(pdu_class):
        if form.kind is Kind.C_OCTETS:
            pdu = least(pdu_class)
            setattr(pdu, form.name, b"a\0b")
            with pytest.raises(EncodeError, match=form.name):
                codec.encode_body(pdu)


def test_a_field_of_the_wrong_type_is_an_error_of_ours() -> None:
    with pytest.raises(EncodeError):
        codec.encode(SubmitSm(esm_class="x"))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(EncodeError):
        codec.encode(SubmitSm(esm_class=-1))


@pytest.mark.parametrize("pdu_class", PDU_CLASSES)
def test_every_truncation_of_a_request_is_refused_with_a_status(pdu_class: type[Pdu]) -> None:
    """Without the optional part; only the last string, and a whole response body, may be missing."""
    pdu = filled(pdu_class)
    pdu.tlvs = b""
    octets = codec.encode_body(pdu)
    formats = format_of(pdu_class)
    last = formats[-1] if formats else None
    optional = len(getattr(pdu, last.name)) + 1 if last and last.kind is Kind.C_OCTETS else 0
    for size in range(0, len(octets), 1 + len(octets) // 2000):
        if size >= len(octets) - optional or (size == 0 and pdu_class.command_id.is_response):
            codec.decode(body(pdu, octets[:size]))
        else:
            with pytest.raises(PduError):
                codec.decode(body(pdu, octets[:size]))


def test_a_truncated_body_is_refused_inside_a_longer_buffer_too(submit: Callable[..., SubmitSm]) -> None:
    """The decoder of a session sees the next PDU behind the end; it must not read on into it."""
    whole = codec.encode(submit())
    decoder = codec.DECODERS[CommandId.SUBMIT_SM]
    for end in range(16, len(whole)):
        with pytest.raises(PduError):
            decoder(whole + whole, 16, end, 0, 1)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"service_type": b"x" * 6}, CommandStatus.ESME_RINVSERTYP),
        ({"source_addr": b"x" * 21}, CommandStatus.ESME_RINVSRCADR),
        ({"destination_addr": b"x" * 21}, CommandStatus.ESME_RINVDSTADR),
        ({"schedule_delivery_time": b"x" * 17}, CommandStatus.ESME_RINVSCHED),
        ({"validity_period": b"x" * 17}, CommandStatus.ESME_RINVEXPIRY),
    ],
)
def test_a_submit_with_a_field_that_is_too_long_is_refused_by_that_fields_status(
    fields: dict[str, bytes], status: CommandStatus
) -> None:
    octets = b"".join(
        (
            fields.get("service_type", b"") + b"\0\0\0",
            fields.get("source_addr", b"") + b"\0\0\0",
            fields.get("destination_addr", b"") + b"\0\0\0\0",
            fields.get("schedule_delivery_time", b"") + b"\0",
            fields.get("validity_period", b"") + b"\0\0\0\0\0\0",
        )
    )
    with pytest.raises(PduError) as caught:
        codec.decode(body(SubmitSm(), octets))
    assert caught.value.command_status == status


def test_an_sm_length_beyond_the_pdu_is_refused_as_a_bad_message_length(submit: Callable[..., SubmitSm]) -> None:
    octets = codec.encode_body(submit(short_message=b"hello"))
    with pytest.raises(PduError) as caught:
        codec.decode(body(SubmitSm(), octets[:-1]))
    assert caught.value.command_status == CommandStatus.ESME_RINVMSGLEN


def test_a_deliver_with_long_addresses_is_read_because_it_may_be_a_receipt() -> None:
    octets = codec.encode_body(DeliverSm(source_addr=b"1"))
    pdu = codec.decode(body(DeliverSm(), octets.replace(b"1", b"1" * 40)))
    assert isinstance(pdu, DeliverSm)
    assert pdu.source_addr == b"1" * 40


def test_255_octets_of_text_are_read_and_not_sent(submit: Callable[..., SubmitSm]) -> None:
    octets = codec.encode_body(submit(short_message=b""))[:-1] + b"\xff" + b"x" * 255
    pdu = codec.decode(body(SubmitSm(), octets))
    assert isinstance(pdu, SubmitSm)
    assert len(pdu.short_message) == 255
    with pytest.raises(EncodeError):
        codec.encode(pdu)


def test_a_longer_password_than_the_standards_is_read_and_not_sent() -> None:
    """Quirk 41: liberal in, strict out."""
    octets = codec.encode_body(BindTransceiver(system_id=b"a", password=b"P", interface_version=0x34))
    pdu = codec.decode(body(BindTransceiver(), octets.replace(b"P", b"correct horse")))
    assert isinstance(pdu, BindTransceiver)
    assert pdu.password == b"correct horse"
    with pytest.raises(EncodeError):
        codec.encode(pdu)


def test_a_password_and_a_text_stay_out_of_the_representation(submit: Callable[..., SubmitSm]) -> None:
    assert "s3cret" not in repr(BindReceiver(password=b"s3cret"))
    assert "canary" not in repr(submit(short_message=b"canary"))


def test_octets_after_the_text_are_kept_verbatim_as_the_optional_part(submit: Callable[..., SubmitSm]) -> None:
    pdu = codec.decode(body(SubmitSm(), codec.encode_body(submit()) + b"\0"))
    assert pdu.tlvs == b"\0"


def test_an_error_response_is_sent_without_a_body() -> None:
    response = SubmitSmResp(sequence_number=7, command_status=CommandStatus.ESME_RTHROTTLED, message_id=b"x")
    assert codec.encode(response) == codec.HEADER.pack(16, CommandId.SUBMIT_SM_RESP, 0x58, 7)


@pytest.mark.parametrize("octets", [b"", b"\0", b"abc", b"abc\0", b"abc\0\0"])
def test_a_message_id_is_read_with_no_nul_one_or_two(octets: bytes) -> None:
    for pdu in (SubmitSmResp(), DeliverSmResp(command_status=8)):
        decoded = codec.decode(body(pdu, octets))
        assert decoded == type(pdu)(
            command_status=pdu.command_status, message_id=octets.rstrip(b"\0"), tlvs=b"\0" if len(octets) == 5 else b""
        )


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\0", b"\0\x04\x28\0\1\0", b"\0x"])
def test_a_submit_sm_resp_of_any_length_is_read_whole_as_its_body_is_read(tail: bytes) -> None:
    decoder = codec.DECODERS[CommandId.SUBMIT_SM_RESP]

    def read(decode: Callable[..., Pdu], *arguments: object) -> Pdu | tuple[int, str]:
        try:
            return decode(*arguments)
        except PduError as error:
            return error.command_status, str(error)

    for status, size in itertools.product((0, 8), range(300)):
        octets, number = b"x" * size + tail, 0x01020300 + size
        data = codec.HEADER.pack(16 + len(octets), CommandId.SUBMIT_SM_RESP, status, number) + octets
        wanted = read(decoder, data, 16, len(data), status, number)
        assert read(codec.decode, data) == wanted
        assert read(codec.decode, bytearray(data)) == wanted


@pytest.mark.parametrize("size", range(66))
def test_a_submit_sm_resp_is_written_with_an_id_of_up_to_64_octets(size: int) -> None:
    message_id = b"x" * size
    response = SubmitSmResp(sequence_number=7, message_id=message_id)
    if size <= 64:
        header = codec.HEADER.pack(17 + size, CommandId.SUBMIT_SM_RESP, 0, 7)
        assert codec.encode(response) == header + message_id + b"\0"
        assert codec.encode_submit_sm_resps([(7, 0, message_id)]) == [header + message_id + b"\0"]
    else:
        with pytest.raises(EncodeError, match="message_id does not fit"):
            codec.encode(response)
        with pytest.raises(EncodeError, match="more than 64 octets"):
            codec.encode_submit_sm_resps([(6, 0, b"id"), (7, 0, message_id)])


@pytest.mark.parametrize(
    ("octets", "message_id"),
    [(b"", b""), (b"\0", b""), (b"abc", b"abc"), (b"abc\0", b"abc"), (b"a\0\x04\x28\0\1\0", b"a"), (b"x" * 300, b"")],
)
def test_reading_only_the_message_id_never_fails(octets: bytes, message_id: bytes) -> None:
    buffer = b"header" + octets + b"next\0"
    assert codec.read_message_id(buffer, 6, 6 + len(octets)) == message_id


def test_answers_in_bulk_are_those_of_the_codec() -> None:
    submits = [(1, 0, b"abc"), (0, 8, b""), (0xFFFFFFFF, 0, b"")]
    assert codec.encode_submit_sm_resps(submits) == [
        codec.encode(SubmitSmResp(sequence_number=number, command_status=status, message_id=message_id))
        for number, status, message_id in submits
    ]
    delivers = [(1, 0), (2, 0x64)]
    assert codec.encode_deliver_sm_resps(delivers) == [
        codec.encode(DeliverSmResp(sequence_number=number, command_status=status)) for number, status in delivers
    ]


def test_a_body_loses_its_optional_part_for_a_peer_that_takes_none(submit: Callable[..., SubmitSm]) -> None:
    plain = codec.encode_body(submit())
    tagged = codec.encode_body(submit(tlvs=b"\x02\x04\0\2\0\1"))
    assert codec.without_tlvs(CommandId.SUBMIT_SM, tagged) == plain
    assert codec.without_tlvs(CommandId.SUBMIT_SM, plain) == plain


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 15, codec.encode(EnquireLink())[:-1], codec.encode(EnquireLink()) + b"\0"]
)
def test_what_is_not_exactly_one_pdu_has_no_framing(data: bytes) -> None:
    with pytest.raises(FramingError):
        codec.decode(data)


@pytest.mark.parametrize("command_id", [0x8000000B, 0x80000102, 0x99, 0x00010200])
def test_a_command_that_is_unknown_is_refused_as_one(command_id: int) -> None:
    with pytest.raises(codec.UnknownCommandError) as caught:
        codec.decode(codec.HEADER.pack(16, command_id, 0, 1))
    assert caught.value.command_status == CommandStatus.ESME_RINVCMDID


def test_a_pdu_without_fields_may_have_an_optional_part() -> None:
    assert codec.decode(body(GenericNack(), b"\x04\x28\0\1\0")) == GenericNack(tlvs=b"\x04\x28\0\1\0")


def test_a_bind_response_takes_what_its_table_says() -> None:
    pdu = codec.decode(body(BindTransceiverResp(), b"SMSC\0\x02\x10\0\1\x34"))
    assert pdu == BindTransceiverResp(system_id=b"SMSC", tlvs=b"\x02\x10\0\1\x34")


# --- rows -----------------------------------------------------------------------------------------------------------


def multi(*dest_address: DestAddress) -> SubmitMulti:
    return SubmitMulti(sequence_number=1, source_addr=b"A", dest_address=dest_address, short_message=b"hi")


def test_destinations_of_both_kinds_keep_their_order() -> None:
    pdu = multi(
        DistributionList(dl_name=b"staff"),
        SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=b"447700900123"),
        DistributionList(dl_name=b"press"),
    )
    assert codec.decode(codec.encode(pdu)) == pdu


@pytest.mark.parametrize("count", [1, 254, 255])
def test_a_submit_multi_has_as_many_destinations_as_an_octet_counts(count: int) -> None:
    pdu = multi(*[SmeAddress(destination_addr=b"1")] * count)
    assert codec.decode(codec.encode(pdu)) == pdu


@pytest.mark.parametrize("count", [0, 256])
def test_a_submit_multi_with_no_or_too_many_destinations_is_not_sent(count: int) -> None:
    with pytest.raises(EncodeError, match="dest_address"):
        codec.encode(multi(*[SmeAddress(destination_addr=b"1")] * count))


def test_a_row_that_does_not_fit_or_is_something_else_is_not_sent() -> None:
    with pytest.raises(EncodeError, match="dl_name"):
        codec.encode(multi(DistributionList(dl_name=b"x" * 21)))
    with pytest.raises(EncodeError, match="dest_addr_ton"):
        codec.encode(multi(SmeAddress(dest_addr_ton=256)))
    with pytest.raises(EncodeError, match="dest_address"):
        codec.encode(multi(UnsuccessSme()))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"\0", CommandStatus.ESME_RINVNUMDESTS),
        (b"\1\0\1\1" + b"1\0", CommandStatus.ESME_RINVDESTFLAG),
        (b"\1\3\1\1" + b"1\0", CommandStatus.ESME_RINVDESTFLAG),
        (b"\1\1\1\1" + b"1" * 21 + b"\0", CommandStatus.ESME_RINVDSTADR),
        (b"\1\2" + b"x" * 21 + b"\0", CommandStatus.ESME_RINVDLNAME),
    ],
)
def test_bad_destinations_are_refused_by_their_status(octets: bytes, status: CommandStatus) -> None:
    whole = body(SubmitMulti(), b"\0\0\0\0" + octets + bytes(10))
    with pytest.raises(PduError) as caught:
        codec.decode(whole)
    assert caught.value.command_status == status


def test_every_truncation_inside_a_longer_buffer_is_refused() -> None:
    """Of rows too: the decoder of a session sees the next PDU behind the end."""
    whole = codec.encode(multi(SmeAddress(destination_addr=b"1"), DistributionList(dl_name=b"staff")))
    for end in range(16, len(whole)):
        with pytest.raises(PduError):
            codec.DECODERS[CommandId.SUBMIT_MULTI](whole + whole, 16, end, 0, 1)


# --- responses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [b"", b"\0", b"\0\0", b"id\0"])
def test_a_response_is_never_lost_to_its_body(octets: bytes) -> None:
    response_id = CommandId.QUERY_SM_RESP
    frame = codec.HEADER.pack(16 + len(octets), response_id, 0x67, 9) + octets
    assert codec.decode_response(response_id, frame) == QuerySmResp(sequence_number=9, command_status=0x67)


def test_a_nack_is_read_as_the_response_that_it_stands_for() -> None:
    for status, read in ((3, 3), (0, CommandStatus.ESME_RUNKNOWNERR)):
        frame = codec.encode(GenericNack(sequence_number=9, command_status=status))
        assert codec.decode_response(CommandId.DATA_SM_RESP, frame) == DataSmResp(
            sequence_number=9, command_status=read
        )


def test_answers_in_bulk_may_carry_tlvs_behind_a_message_id_that_is_always_there() -> None:
    state = b"\x04\x28\0\1\x32"
    ok, refused = (codec.decode(each) for each in codec.encode_submit_sm_resps([(1, 0, b"abc"), (2, 8, b"x")], state))
    assert ok == SubmitSmResp(sequence_number=1, message_id=b"abc", tlvs=state)
    assert refused == SubmitSmResp(sequence_number=2, command_status=8, tlvs=state)
    (delivered,) = (codec.decode(each) for each in codec.encode_deliver_sm_resps([(3, 0)], state))
    assert delivered == DeliverSmResp(sequence_number=3, tlvs=state)
