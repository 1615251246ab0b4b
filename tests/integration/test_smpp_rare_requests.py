"""What few ESMEs send over TCP (data_sm, query_sm, ...), with an admitter and a record of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, MessageState, TlvTag
from protocols.smpp.events import RequestAnswers
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import (
    BindTransceiver,
    CancelSm,
    DataSm,
    DistributionList,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    Request,
    Response,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
)
from smscd.core.reasons import Reason
from smscd.core.records import State
from smscd.core.verdicts import Refused
from smscd.ingress.changes import Change
from smscd.ingress.smpp.multi import submit_of_data
from tests.integration.changes_fake import stored
from tests.integration.smpp_server_rig import Esme, Rig, running, submit_sm, until

SARS = tlv.encode(
    [(TlvTag.SAR_MSG_REF_NUM, b"\0\1"), (TlvTag.SAR_TOTAL_SEGMENTS, b"\2"), (TlvTag.SAR_SEGMENT_SEQNUM, b"\2")]
)
PAYLOAD = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, b"hello")])
DESTS = (b"447700900001", b"447700900002", b"447700900003")


async def answers(esme: Esme, *requests: Request) -> list[Response]:
    """Send requests, and return their answers in the order of the requests."""
    connection = esme.connection
    before = len(esme.events)
    connection.session.send_requests(list(zip(requests, range(len(requests)), strict=True)), connection.now)
    connection.flush()
    found: dict[object, Response] = {}

    def are_complete() -> bool:
        for event in esme.events[before:]:
            if isinstance(event, RequestAnswers):
                found.update(event.answers)
        return len(found) == len(requests)

    await until(are_complete)
    return [found[ref] for ref in range(len(requests))]


def multi(*dests: bytes, **changes: Any) -> SubmitMulti:
    fields: dict[str, Any] = {
        "source_addr_ton": 5, "source_addr": b"ACME", "short_message": b"hello", "registered_delivery": 1,
        "dest_address": [SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=dest) for dest in dests],
        **changes,
    }  # fmt: skip
    return SubmitMulti(**fields)


def data(**changes: Any) -> DataSm:
    fields: dict[str, Any] = {
        "source_addr_ton": 5, "source_addr": b"ACME", "dest_addr_ton": 1, "dest_addr_npi": 1,
        "destination_addr": b"447700900123", "registered_delivery": 1, "tlvs": PAYLOAD, **changes,
    }  # fmt: skip
    return DataSm(**fields)


# --- data_sm --------------------------------------------------------------------------------------------------------


async def test_data_sm_is_admitted_like_the_submit_sm_that_asks_for_the_same() -> None:
    async with running() as rig:
        esme = await rig.bound()
        lifetime = tlv.encode([(TlvTag.QOS_TIME_TO_LIVE, (90_061).to_bytes(4, "big"))])
        [answer] = await answers(esme, data(tlvs=PAYLOAD + lifetime))
        [planned] = rig.admitter.planned
        assert (answer.command_status, answer.message_id) == (0, b"%d" % planned.record.id)  # type: ignore[union-attr]
        record = planned.record
        assert (record.segments, record.tlvs, record.dest) == ([b"hello"], b"", b"447700900123")
        assert record.valid_until_ms == rig.now_ms + 90_061_000


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"destination_addr": b"abc"}, CommandStatus.ESME_RINVDSTADR),
        ({"registered_delivery": 0x40}, CommandStatus.ESME_RINVREGDLVFLG),
        ({"tlvs": PAYLOAD + tlv.encode([(TlvTag.QOS_TIME_TO_LIVE, b"x")])}, CommandStatus.ESME_RINVEXPIRY),
    ],
)
async def test_data_sm_that_cannot_be_sent_is_refused_and_the_session_lives_on(
    changes: dict[str, Any], status: CommandStatus
) -> None:
    async with running() as rig:
        esme = await rig.bound()
        [bad, good] = await answers(esme, data(**changes), data())
        assert (bad.command_status, good.command_status) == (status, 0)
        assert len(rig.admitter.planned) == 1


def test_a_life_time_longer_than_any_validity_is_still_a_time() -> None:
    lifetime = tlv.encode([(TlvTag.QOS_TIME_TO_LIVE, b"\xff" * 4)])
    assert submit_of_data(data(tlvs=PAYLOAD + lifetime)).validity_period == b"000099000000000R"


# --- submit_multi ---------------------------------------------------------------------------------------------------


async def test_submit_multi_is_one_group_with_one_id_and_lists_what_it_leaves_out() -> None:
    """Quirk 45: each destination is billed, all are admitted together."""
    async with running() as rig:
        esme = await rig.bound()
        [answer] = await answers(esme, multi(DESTS[0], b"8613800000000", DESTS[1], b"abc"))
        [planned] = rig.admitter.planned
        assert isinstance(answer, SubmitMultiResp)
        assert (answer.command_status, answer.message_id) == (0, b"%d" % planned.record.id)
        assert [record.dest for record in planned.records] == [DESTS[0], DESTS[1]]
        assert {record.group_id for record in planned.records} == {planned.record.id}
        assert len({record.id for record in planned.records}) == planned.messages == 2
        left_out = [(row.destination_addr, row.error_status_code) for row in answer.unsuccess_sme]
        assert left_out == [
            (b"8613800000000", CommandStatus.ESME_RINVDSTADR),
            (b"abc", CommandStatus.ESME_RINVDSTADR),
        ]


async def test_submit_multi_of_5_0_has_255_destinations() -> None:
    """Quirk 45: one group still."""
    dests = [b"4477009%05d" % number for number in range(255)]
    async with running(SessionConfig(interface_version=0x50)) as rig:
        esme = await rig.esme()
        assert await esme.bind(BindTransceiver(system_id=b"esme", password=b"s3cret", interface_version=0x50)) == 0
        [answer] = await answers(esme, multi(*dests))
        [planned] = rig.admitter.planned
        assert answer.command_status == 0
        assert not answer.unsuccess_sme  # type: ignore[union-attr]  # a SubmitMultiResp
        assert [record.dest for record in planned.records] == dests


@pytest.mark.parametrize(
    ("pdu", "status"),
    [
        (multi(b"abc", b"8613800000000"), CommandStatus.ESME_RINVDSTADR),
        (multi(DESTS[0], priority_flag=7), CommandStatus.ESME_RINVPRTFLG),
        (
            multi(dest_address=[SmeAddress(destination_addr=DESTS[0]), DistributionList(dl_name=b"friends")]),
            CommandStatus.ESME_RINVDLNAME,
        ),
    ],
)
async def test_submit_multi_that_serves_nobody_is_refused_as_a_whole(pdu: SubmitMulti, status: int) -> None:
    async with running() as rig:
        esme = await rig.bound()
        [answer] = await answers(esme, pdu)
        assert answer.command_status == status
        assert not rig.admitter.planned


async def test_a_verdict_on_a_group_is_the_answer_of_its_submit_multi() -> None:
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.verdict = lambda planned: Refused(Reason.INSUFFICIENT_BALANCE)
        [answer] = await answers(esme, multi(*DESTS))
        assert answer.command_status == CommandStatus.ESME_RSUBMITFAIL


async def test_the_request_key_of_a_submit_multi_stands_for_all_its_destinations() -> None:
    async with running() as rig:
        esme = await rig.bound()
        key = tlv.encode([(0x1500, b"order-1\0")])
        await answers(esme, multi(*DESTS, tlvs=key), multi(*DESTS, tlvs=key), multi(*DESTS[:2], tlvs=key))
        first, again, other = rig.admitter.planned
        assert first.idem_key == b"order-1"
        assert first.body_hash == again.body_hash != other.body_hash


async def test_quirk_45_a_submit_multi_that_would_replace_is_refused_as_a_whole() -> None:
    async with running() as rig:
        esme = await rig.bound()
        [answer] = await answers(esme, multi(*DESTS, replace_if_present_flag=1))
        assert answer.command_status == CommandStatus.ESME_RINVREPFLAG
        assert not rig.admitter.planned


# --- replace_if_present_flag ----------------------------------------------------------------------------------------

REPLACING = submit_sm(replace_if_present_flag=1)


async def test_quirk_45_a_submit_replaces_what_is_pending_after_it_was_admitted() -> None:
    async with running() as rig:
        rig.changes.messages = {
            1: stored(1), 2: stored(2), 3: stored(3, dest=b"447700900999"), 4: stored(4, account="another"),
            1 << 62: stored(1 << 62),
        }  # fmt: skip
        rig.changes.outcomes = {2: Change.LATE}
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(REPLACING)
        await until(lambda: rig.admitter.planned)
        assert not rig.changes.cancelled and not esme.answers
        rig.admitter.release()
        await until(lambda: esme.answers)
        [planned] = rig.admitter.planned
        assert esme.answers == [(0, 0, b"%d" % planned.record.id)]
        assert sorted(rig.changes.cancelled) == [1, 2]


async def test_quirk_45_a_submit_that_is_not_admitted_replaces_nothing() -> None:
    async with running() as rig:
        rig.changes.messages = {1: stored(1)}
        rig.admitter.verdict = lambda planned: Refused(Reason.INSUFFICIENT_BALANCE)
        esme = await rig.bound()
        assert await esme.answered(REPLACING) == [(0, CommandStatus.ESME_RSUBMITFAIL, b"")]
        assert not rig.changes.cancelled


async def test_quirk_45_while_the_record_is_away_a_replacement_is_refused_and_nothing_admitted() -> None:
    async with running() as rig:
        rig.changes.is_away = True
        esme = await rig.bound()
        found = await esme.answered(REPLACING, submit_sm())
        assert [status for _, status, _ in found] == [CommandStatus.ESME_RSYSERR, 0]
        [planned] = rig.admitter.planned
        assert found[1] == (1, 0, b"%d" % planned.record.id)


async def test_quirk_45_what_was_admitted_is_answered_so_when_the_record_goes_away_after_it() -> None:
    async with running() as rig:
        rig.changes.messages = {1: stored(1)}
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(REPLACING)
        await until(lambda: rig.admitter.planned)
        rig.changes.is_away = True
        rig.admitter.release()
        await until(lambda: esme.answers)
        assert [status for _, status, _ in esme.answers] == [0]
        assert not rig.changes.cancelled


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"esm_class": 0x40, "short_message": b"\5\0\3\1\2\2hi"}, CommandStatus.ESME_RINVREPFLAG),
        ({"esm_class": 0x40, "short_message": b"\6\5\4\1\2\3\4hi"}, 0),
        ({"tlvs": SARS}, CommandStatus.ESME_RINVREPFLAG),
    ],
)
async def test_quirk_45_a_part_of_a_long_message_does_not_replace_the_parts_before_it(
    changes: dict[str, Any], status: int
) -> None:
    async with running() as rig:
        esme = await rig.bound()
        [(_, told, _)] = await esme.answered(submit_sm(replace_if_present_flag=1, **changes))
        assert told == status


# --- query_sm -------------------------------------------------------------------------------------------------------


async def test_query_sm_tells_the_state_the_final_date_and_the_error() -> None:
    """Quirk 24: query_sm."""
    at = datetime(2026, 11, 25, 20, 58, 54, 577_000, tzinfo=UTC)
    async with running() as rig:
        rig.changes.messages = {
            1: stored(1),
            2: stored(2, state=State.DELIVERED, done_at=at),
            3: stored(3, state=State.UNDELIVERED, done_at=at, error_code="034"),
            4: stored(4, state=State.FAILED, done_at=at, error_code="0x0000000b"),
            5: stored(5, state=State.EXPIRED, done_at=at, error_code="abc"),
        }
        esme = await rig.bound()
        found = await answers(esme, *(QuerySm(message_id=b"%d" % n, source_addr=b"ACME") for n in range(1, 6)))
        told = [
            (answer.command_status, answer.message_state, answer.final_date, answer.error_code)
            for answer in found
            if isinstance(answer, QuerySmResp)
        ]
        date = b"261125205854500+"
        assert told == [
            (0, MessageState.ENROUTE, b"", 0),
            (0, MessageState.DELIVERED, date, 0),
            (0, MessageState.UNDELIVERABLE, date, 34),
            (0, MessageState.UNDELIVERABLE, date, 0x0B),
            (0, MessageState.EXPIRED, date, 255),
        ]


@pytest.mark.parametrize(
    "pdu",
    [
        QuerySm(message_id=b"2"),
        QuerySm(message_id=b"9"),
        QuerySm(message_id=b""),
        QuerySm(message_id=b"0x1"),
        QuerySm(message_id=b"99999999999999999999"),
        QuerySm(message_id=b"1", source_addr=b"OTHER"),
    ],
)
async def test_query_sm_of_what_is_not_the_accounts_own_is_refused(pdu: QuerySm) -> None:
    """Quirk 24: the ownership check."""
    async with running() as rig:
        rig.changes.messages = {1: stored(1), 2: stored(2, account="another")}
        esme = await rig.bound()
        [answer] = await answers(esme, pdu)
        assert answer.command_status == CommandStatus.ESME_RINVMSGID


async def test_query_sm_of_a_submit_multi_is_not_over_before_its_last_message() -> None:
    async with running() as rig:
        rig.changes.messages = {
            1: stored(1, group_id=1, state=State.DELIVERED),
            2: stored(2, group_id=1, state=State.UNDELIVERED),
            3: stored(3, group_id=1),
        }
        esme = await rig.bound()
        [before] = await answers(esme, QuerySm(message_id=b"1"))
        rig.changes.messages[3] = stored(3, group_id=1, state=State.DELIVERED)
        [after] = await answers(esme, QuerySm(message_id=b"1"))
        assert [answer.message_state for answer in (before, after) if isinstance(answer, QuerySmResp)] == [
            MessageState.ENROUTE,
            MessageState.UNDELIVERABLE,
        ]


async def test_a_record_that_is_away_is_a_system_error_for_the_operation_alone() -> None:
    async with running() as rig:
        rig.changes.is_away = True
        esme = await rig.bound()
        found = await answers(esme, QuerySm(message_id=b"1"), CancelSm(message_id=b"1"), data())
        assert [answer.command_status for answer in found] == [
            CommandStatus.ESME_RSYSERR,
            CommandStatus.ESME_RSYSERR,
            0,
        ]


# --- cancel_sm ------------------------------------------------------------------------------------------------------


async def cancelled(rig: Rig, *pdus: CancelSm) -> list[int]:
    esme = await rig.bound()
    return [answer.command_status for answer in await answers(esme, *pdus)]


async def test_cancel_sm_says_what_became_of_it() -> None:
    """Quirk 24: cancel_sm."""
    async with running() as rig:
        rig.changes.messages = {number: stored(number) for number in range(1, 5)} | {5: stored(5, account="another")}
        rig.changes.outcomes = {2: Change.LATE, 3: Change.NOT_ANSWERED, 4: Change.NOT_FOUND}
        told = await cancelled(
            rig, *(CancelSm(message_id=b"%d" % number, source_addr=b"ACME") for number in range(1, 6))
        )
        assert told == [
            0,
            CommandStatus.ESME_RCANCELFAIL,
            CommandStatus.ESME_RSYSERR,
            CommandStatus.ESME_RINVMSGID,
            CommandStatus.ESME_RINVMSGID,
        ]
        assert rig.changes.cancelled == [1, 2, 3, 4]


async def test_cancel_sm_with_another_source_or_destination_changes_nothing() -> None:
    async with running() as rig:
        rig.changes.messages = {1: stored(1)}
        told = await cancelled(
            rig,
            CancelSm(message_id=b"1", source_addr=b"OTHER"),
            CancelSm(message_id=b"1", dest_addr_ton=1, destination_addr=b"447700900999"),
            CancelSm(message_id=b"1", dest_addr_ton=1, destination_addr=b"+447700900123"),
        )
        assert told == [CommandStatus.ESME_RINVMSGID, CommandStatus.ESME_RINVMSGID, 0]
        assert rig.changes.cancelled == [1]


async def test_cancel_sm_without_an_id_takes_back_all_that_is_pending_between_two_addresses() -> None:
    async with running() as rig:
        rig.changes.messages = {1: stored(1), 2: stored(2), 3: stored(3, dest=b"447700900999")}
        address = {"source_addr": b"ACME", "source_addr_ton": 5, "dest_addr_ton": 1}
        told = await cancelled(
            rig,
            CancelSm(destination_addr=b"+447700900123", service_type=b"VMA", **address),  # type: ignore[arg-type]
            CancelSm(destination_addr=b"447700900000", **address),  # type: ignore[arg-type]
        )
        assert told == [0, CommandStatus.ESME_RCANCELFAIL]
        assert rig.changes.cancelled == [1, 2]
        assert rig.changes.searches[0] == (b"ACME", b"447700900123", b"VMA")


async def test_cancel_sm_of_a_submit_multi_is_of_all_or_of_the_destination_that_it_names() -> None:
    async with running() as rig:
        rig.changes.messages = {n: stored(n, group_id=1, dest=dest) for n, dest in enumerate(DESTS, 1)}
        told = await cancelled(
            rig,
            CancelSm(message_id=b"1", dest_addr_ton=1, destination_addr=DESTS[2]),
            CancelSm(message_id=b"1"),
        )
        assert told == [0, 0]
        assert rig.changes.cancelled == [3, 1, 2, 3]


# --- replace_sm -----------------------------------------------------------------------------------------------------


def replace(message_id: int = 1, **changes: Any) -> ReplaceSm:
    fields: dict[str, Any] = {
        "message_id": b"%d" % message_id, "source_addr_ton": 5, "source_addr": b"ACME", "registered_delivery": 1,
        "short_message": b"other", **changes,
    }  # fmt: skip
    return ReplaceSm(**fields)


async def test_replace_sm_exchanges_text_validity_and_receipt_and_nothing_else() -> None:
    """Quirk 24: replace_sm."""
    async with running() as rig:
        rig.changes.messages = {1: stored(1, client_ref="order"), 2: stored(2, segments=(b"a" * 150, b"b" * 9))}
        esme = await rig.bound()
        told = await answers(
            esme,
            replace(1, registered_delivery=0),
            replace(2, short_message=b"x" * 200, validity_period=b"000000010000000R"),
        )
        assert [answer.command_status for answer in told] == [0, 0]
        first, second = rig.changes.replaced
        assert (first.segments, first.registered_delivery, first.via, first.client_ref) == ([b"other"], 0, 0, "order")
        assert first.valid_until_ms == round(datetime(2030, 1, 1, tzinfo=UTC).timestamp() * 1000)
        assert (first.id, first.account, first.price_micros) == (1, "acme", 10_000)
        assert (len(second.segments), second.esm_class, second.via) == (2, 0x40, 1)
        assert second.valid_until_ms == rig.now_ms + 3_600_000


@pytest.mark.parametrize(
    ("message", "pdu", "status"),
    [
        ({}, replace(9), CommandStatus.ESME_RINVMSGID),
        ({}, replace(source_addr=b"OTHER"), CommandStatus.ESME_RINVMSGID),
        ({}, replace(short_message=b"x" * 161), CommandStatus.ESME_RREPLACEFAIL),
        ({"esm_class": 0x40, "segments": (b"\x05\0\x03\x01\x02\x01hi",)}, replace(), CommandStatus.ESME_RREPLACEFAIL),
        ({"group_id": 1}, replace(), CommandStatus.ESME_RREPLACEFAIL),
        ({"upstream": "another"}, replace(), CommandStatus.ESME_RREPLACEFAIL),
        ({}, replace(schedule_delivery_time=b"000000010000000R"), CommandStatus.ESME_RINVSCHED),
        ({}, replace(validity_period=b"soon"), CommandStatus.ESME_RINVEXPIRY),
        ({}, replace(registered_delivery=0x80), CommandStatus.ESME_RINVREGDLVFLG),
        ({}, replace(short_message=b"", sm_default_msg_id=1), CommandStatus.ESME_RINVDFTMSGID),
        ({}, replace(tlvs=PAYLOAD), CommandStatus.ESME_RINVMSGLEN),
        ({}, replace(9, tlvs=PAYLOAD), CommandStatus.ESME_RINVMSGLEN),
    ],
)
async def test_replace_sm_that_cannot_be_done_says_why(message: dict[str, Any], pdu: ReplaceSm, status: int) -> None:
    async with running() as rig:
        rig.changes.messages = {1: stored(1, **message)}
        esme = await rig.bound()
        [answer] = await answers(esme, pdu)
        assert answer.command_status == status
        assert not rig.changes.replaced


async def test_replace_sm_that_comes_too_late_fails() -> None:
    async with running() as rig:
        rig.changes.messages = {1: stored(1), 2: stored(2)}
        rig.changes.outcomes = {1: Change.LATE, 2: Change.NOT_ANSWERED}
        esme = await rig.bound()
        told = await answers(esme, replace(1), replace(2, short_message=b"", tlvs=PAYLOAD))
        assert [answer.command_status for answer in told] == [
            CommandStatus.ESME_RREPLACEFAIL,
            CommandStatus.ESME_RSYSERR,
        ]
        assert rig.changes.replaced[1].segments == [b"hello"]
