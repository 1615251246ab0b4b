"""The simulated carrier when all of it misbehaves: what an ESME sees of each trouble."""

from __future__ import annotations

import pytest

from protocols.smpp.constants import CommandStatus
from protocols.smpp.events import BindAccepted, BindRefused
from smscd.transport.connection import CloseReason
from tests.integration.carrier_esme import running_carrier
from tools.carrier.options import CarrierOptions
from tools.carrier.trouble import Trouble

NUMBERS = [(f"x{number}", "447700900123") for number in range(6)]


def troubled(latency_seconds: float = 0.0, **trouble: object) -> CarrierOptions:
    return CarrierOptions(latency_seconds=latency_seconds, trouble=Trouble(**trouble))  # type: ignore[arg-type]


async def test_a_mood_is_that_of_all_numbers_that_have_none_of_their_own() -> None:
    async with running_carrier(troubled(mood=b"058")) as carrier:
        esme = await carrier.esme()
        esme.submit(*NUMBERS, ("own", "447700900010"))
        await esme.until(lambda: len(esme.answers) == 7)
        assert [status for _, status, _ in esme.answers[:6]] == [CommandStatus.ESME_RTHROTTLED] * 6
        assert esme.answers[6][1] == CommandStatus.ESME_RINVDSTADR


async def test_garbage_is_no_pdu_and_nothing_is_answered() -> None:
    async with running_carrier(troubled(garbage=True)) as carrier:
        esme = await carrier.esme()
        esme.submit(*NUMBERS)
        await esme.until(lambda: esme.closed_reason)
        assert esme.closed_reason == CloseReason.FRAMING and not esme.answers


async def test_a_session_is_cut_off_with_its_window_unanswered_and_the_next_one_begins_anew() -> None:
    async with running_carrier(troubled(0.2, closes_after=4)) as carrier:
        esme = await carrier.esme()
        esme.submit(*NUMBERS[:3])
        esme.submit(*NUMBERS[3:])
        await esme.until(lambda: esme.closed_reason)
        assert not esme.answers
        again = await carrier.esme()
        again.submit(*NUMBERS[:3])
        await again.until(lambda: len(again.answers) == 3)


async def test_answers_come_out_of_order_and_each_once() -> None:
    async with running_carrier(troubled(reversed_seconds=0.1)) as carrier:
        esme = await carrier.esme()
        esme.submit(*NUMBERS)
        await esme.until(lambda: len(esme.answers) == 6)
        texts = [text for text, _, _ in esme.answers]
        assert sorted(texts) == [text for text, _ in NUMBERS]
        assert texts != sorted(texts)


async def test_a_flapping_carrier_is_away_and_there_again_until_it_behaves() -> None:
    async with running_carrier(troubled(flap_seconds=0.1)) as carrier:
        esme = await carrier.esme()
        await esme.until(lambda: esme.closed_reason)
        assert carrier.carrier.is_away
        await esme.until(lambda: not carrier.carrier.is_away)
        carrier.carrier.behave(CarrierOptions())
        assert isinstance((await carrier.esme()).bound, BindAccepted)


@pytest.mark.parametrize("binds_max", [1, 2])
async def test_one_bind_more_than_allowed_is_refused_until_another_ends(binds_max: int) -> None:
    async with running_carrier(troubled(binds_max=binds_max)) as carrier:
        bound = [await carrier.esme() for _ in range(binds_max)]
        assert (await carrier.esme()).bound == BindRefused(CommandStatus.ESME_RALYBND)
        bound[0].connection.abort()
        await bound[0].until(lambda: carrier.carrier.stats()["bound"] == binds_max - 1)
        assert isinstance((await carrier.esme()).bound, BindAccepted)
        stats = carrier.carrier.stats()
        assert (stats["bound_most"], stats["binds_refused"]) == (binds_max, 1)
