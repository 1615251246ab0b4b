"""The table of malformed fields against the running daemon: refused by name, not admitted, not charged, and alive.

The rows are those of tests/wire/test_bad_input.py, and what only planning sees. The other side is a carrier with a
record, so that what was not to be sent is known not to have been.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from protocols.smpp import codec, tlv
from protocols.smpp.constants import CommandId, CommandStatus, TlvTag
from protocols.smpp.pdu import (
    DeliverSmResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
)
from smscd.supervision.seed import PRICE_MICROS
from tests.integration.raw_esme import SECONDS, RawEsme, balance_micros, bound
from tests.wire.test_bad_input import BINDS, READ, RESPONSES, UNREADABLE, Row
from tools.children import CarrierChild, DemoChild, ending, wait_until
from tools.record import read_record

pytestmark = pytest.mark.timeout(180)

C, S = CommandId, CommandStatus


@dataclass(frozen=True, slots=True)
class Rig:
    """A demo, and the carrier that it sends to."""

    demo: DemoChild
    carrier: CarrierChild

    def taken(self) -> list[bytes]:
        """The texts that the carrier got."""
        return [line.token for line in read_record(self.carrier.record) if line.kind == b"submit"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("bad-input")
    directory.chmod(0o755)
    carrier = CarrierChild(directory)
    with ending(carrier):
        carrier.start()
        demo = DemoChild(directory, "--upstream", carrier.upstream_url)
        with ending(demo):
            demo.start()
            yield Rig(demo, carrier)
            assert demo.stop() == 0


def octets(row: Row) -> bytes:
    return codec.HEADER.pack(16 + len(row.body), row.command, 0, 99) + row.body


def submit(**changes: Any) -> SubmitSm:
    fields: dict[str, Any] = {
        "sequence_number": 99, "source_addr_ton": 5, "source_addr": b"ACME", "dest_addr_ton": 1, "dest_addr_npi": 1,
        "destination_addr": b"447700900123", "short_message": b"bad", **changes,
    }  # fmt: skip
    return SubmitSm(**fields)


def payload(text: bytes) -> bytes:
    return tlv.encode([(TlvTag.MESSAGE_PAYLOAD, text)])


# What only planning sees.
PLANNED = [
    ({"schedule_delivery_time": b"soon"}, S.ESME_RINVSCHED),
    ({"schedule_delivery_time": b"991399000000000+"}, S.ESME_RINVSCHED),
    ({"validity_period": b"soon"}, S.ESME_RINVEXPIRY),
    ({"validity_period": b"991399000000000+"}, S.ESME_RINVEXPIRY),
    ({"validity_period": b"991231000000049+"}, S.ESME_RINVEXPIRY),
    ({"validity_period": b"200101000000004-"}, S.ESME_RINVEXPIRY),
    ({"validity_period": b"000000000000000R"}, S.ESME_RINVEXPIRY),
    ({"destination_addr": b""}, S.ESME_RINVDSTADR),
    ({"destination_addr": b"a number"}, S.ESME_RINVDSTADR),
    ({"source_addr": b"\xe9t\xe9"}, S.ESME_RINVSRCADR),
    ({"source_addr": b"twelve chars"}, S.ESME_RINVSRCADR),
    ({"sm_default_msg_id": 1, "short_message": b""}, S.ESME_RINVDFTMSGID),
    ({"replace_if_present_flag": 1, "esm_class": 0x40, "short_message": b"\5\0\3\1\2\2hi"}, S.ESME_RINVREPFLAG),
    ({"esm_class": 0x40, "short_message": b"\5\0\x09\1\2\3hi"}, S.ESME_RINVESMCLASS),
    ({"short_message": b"", "tlvs": payload(b"a" * 3_000)}, S.ESME_RINVMSGLEN),
    ({"tlvs": tlv.encode([(0x1500, b"k" * 65)])}, S.ESME_RINVOPTPARAMVAL),
]  # fmt: skip


def test_each_bad_request_is_refused_by_its_field_and_neither_admitted_nor_charged(rig: Rig) -> None:
    """Quirk 23: all on one session, which lives on and takes the next good one."""
    before, taken = balance_micros(rig.demo), len(rig.taken())
    with bound(rig.demo) as peer:
        for row in UNREADABLE + READ:
            expected = RESPONSES[row.command](sequence_number=99, command_status=row.status)
            assert peer.ask(octets(row)) == expected, row
            assert peer.is_alive(), row
        for changes, status in PLANNED:
            answer = peer.ask(submit(**changes))
            assert answer == SubmitSmResp(sequence_number=99, command_status=status), changes
            assert peer.is_alive(), changes
        good = peer.ask(submit(short_message=b"good"))
        assert isinstance(good, SubmitSmResp) and (good.command_status, good.message_id != b"") == (0, True)
        wait_until(lambda: len(rig.taken()) > taken, SECONDS, "the good message is sent")
    assert rig.taken()[taken:] == [b"good"]
    assert balance_micros(rig.demo) == before - PRICE_MICROS


def test_each_bad_bind_is_refused_by_its_field_and_the_next_good_one_binds(rig: Rig) -> None:
    with RawEsme(rig.demo) as peer:
        for row in BINDS:
            assert peer.ask(octets(row)) == RESPONSES[row.command](sequence_number=99, command_status=row.status), row
        peer.bind(rig.demo.ready.smpp.system_id, rig.demo.ready.smpp.password)


@pytest.mark.parametrize("length", [0, 15, 70_001, 0xFFFFFFFF])
def test_a_command_length_outside_of_its_limits_is_answered_and_closes_that_session_alone(
    rig: Rig, length: int
) -> None:
    """Quirk 23: close only when framing is lost."""
    with bound(rig.demo) as peer, bound(rig.demo) as other:
        nack = peer.ask(codec.HEADER.pack(length, C.SUBMIT_SM, 0, 99))
        assert nack == GenericNack(sequence_number=99, command_status=S.ESME_RINVCMDLEN)
        assert peer.read() is None
        assert other.is_alive()


def test_before_the_bind_256_octets_are_the_limit(rig: Rig) -> None:
    with RawEsme(rig.demo) as peer:
        nack = peer.ask(codec.HEADER.pack(257, C.BIND_TRANSCEIVER, 0, 99))
        assert nack == GenericNack(sequence_number=99, command_status=S.ESME_RINVCMDLEN)
        assert peer.read() is None


@pytest.mark.parametrize(
    ("command", "response", "status"),
    [
        (0x0000000A, GenericNack, S.ESME_RINVCMDID),
        (0x00010201, GenericNack, S.ESME_RINVCMDID),
        (0x80000016, GenericNack, S.ESME_RINVCMDID),
        (C.DELIVER_SM, DeliverSmResp, S.ESME_RINVBNDSTS),
        (C.ALERT_NOTIFICATION, GenericNack, S.ESME_RINVBNDSTS),
        (C.OUTBIND, GenericNack, S.ESME_RINVBNDSTS),
    ],
)
def test_a_command_that_is_unknown_or_not_an_esmes_is_answered_and_the_session_lives_on(
    rig: Rig, command: int, response: type[Pdu], status: CommandStatus
) -> None:
    """Quirk 23: unknown commands."""
    with bound(rig.demo) as peer:
        assert peer.ask(codec.HEADER.pack(20, command, 0, 99) + b"data") == response(
            sequence_number=99, command_status=status
        )
        assert peer.is_alive()
