"""submit_multi and data_sm, pure: to what submit_sm would have been, for each destination its own message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, TlvTag
from protocols.smpp.pdu import DataSm, DistributionList, SmeAddress, SubmitMulti, SubmitSm, UnsuccessSme
from smscd.core.directory import Account
from smscd.core.directory_index import DirectoryIndex
from smscd.core.grouping import grouped
from smscd.core.planning import Planned, plan
from smscd.core.reasons import REASONS, Rejected
from smscd.ingress.smpp.submissions import submission_of

_QOS_TIME_TO_LIVE: Final = int(TlvTag.QOS_TIME_TO_LIVE)


class PlannedMulti(NamedTuple):
    """What becomes of a submit_multi.

    planned: its messages as one, None when no destination can be served; status says why then. unsuccess_sme: the
    destinations that are left out, each with its own status.
    """

    planned: Planned | None
    unsuccess_sme: list[UnsuccessSme]
    status: int = 0


def plan_multi(
    pdu: SubmitMulti, account: Account, directory: DirectoryIndex, ids: Sequence[int], now_ms: int, request_key_tag: int
) -> PlannedMulti:
    """Plan one message for each destination that can be served; they are admitted together or not at all.

    ids: at least as many as there are destinations, rising. The first message's id is the customer's for all of them.
    A distribution list is refused as a whole: we keep none.
    """
    single = SubmitSm(
        service_type=pdu.service_type,
        source_addr_ton=pdu.source_addr_ton,
        source_addr_npi=pdu.source_addr_npi,
        source_addr=pdu.source_addr,
        esm_class=pdu.esm_class,
        protocol_id=pdu.protocol_id,
        priority_flag=pdu.priority_flag,
        schedule_delivery_time=pdu.schedule_delivery_time,
        validity_period=pdu.validity_period,
        registered_delivery=pdu.registered_delivery,
        data_coding=pdu.data_coding,
        sm_default_msg_id=pdu.sm_default_msg_id,
        short_message=pdu.short_message,
        tlvs=pdu.tlvs,
    )
    planned: list[Planned] = []
    left_out: list[UnsuccessSme] = []
    fresh = iter(ids)
    for address in pdu.dest_address:
        if isinstance(address, DistributionList):
            return PlannedMulti(None, [], int(CommandStatus.ESME_RINVDLNAME))
        single.dest_addr_ton = address.dest_addr_ton
        single.dest_addr_npi = address.dest_addr_npi
        single.destination_addr = address.destination_addr
        asked = submission_of(single, account, now_ms, request_key_tag)
        result = asked if isinstance(asked, Rejected) else plan(asked, directory, next(fresh), now_ms)
        if isinstance(result, Rejected):
            left_out.append(_left_out(address, int(REASONS[result.reason].command_status)))
        else:
            planned.append(result)
    if not planned:
        return PlannedMulti(None, left_out, left_out[0].error_status_code)
    return PlannedMulti(grouped(planned), left_out)


def _left_out(address: SmeAddress, status: int) -> UnsuccessSme:
    return UnsuccessSme(
        dest_addr_ton=address.dest_addr_ton,
        dest_addr_npi=address.dest_addr_npi,
        destination_addr=address.destination_addr,
        error_status_code=status,
    )


def submit_of_data(pdu: DataSm) -> SubmitSm:
    """The submit_sm that asks for the same as a data_sm of an ESME (SMPP 3.4 section 4.7.1).

    qos_time_to_live becomes the relative validity; the text is in the TLV message_payload either way.
    """
    submit = SubmitSm(
        sequence_number=pdu.sequence_number,
        service_type=pdu.service_type,
        source_addr_ton=pdu.source_addr_ton,
        source_addr_npi=pdu.source_addr_npi,
        source_addr=pdu.source_addr,
        dest_addr_ton=pdu.dest_addr_ton,
        dest_addr_npi=pdu.dest_addr_npi,
        destination_addr=pdu.destination_addr,
        esm_class=pdu.esm_class,
        registered_delivery=pdu.registered_delivery,
        data_coding=pdu.data_coding,
        tlvs=pdu.tlvs,
    )
    if pdu.tlvs and tlv.find(pdu.tlvs, _QOS_TIME_TO_LIVE) is not None:
        seconds = tlv.read_integer(pdu.tlvs, TlvTag.QOS_TIME_TO_LIVE)
        # One that is no number is an impossible time, which the validity's own check refuses.
        submit.validity_period = _relative(seconds) if seconds is not None else b"?"
        submit.tlvs = tlv.encode(item for item in tlv.parse(pdu.tlvs) if item[0] != _QOS_TIME_TO_LIVE)
    return submit


def _relative(seconds: int) -> bytes:
    """Whole days and the rest, at most 99 days: longer than any validity that we keep."""
    days, rest = divmod(min(seconds, 99 * 86_400), 86_400)
    return b"0000%02d%02d%02d%02d000R" % (days, rest // 3600, rest // 60 % 60, rest % 60)
