"""The test of an upstream as operators order it, by command and over HTTP: who is written to, and what it taught."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from smscd.admin import upstreams
from smscd.admin.orders import Fault, Refusal, refusal_of
from smscd.admin.upstream_findings import Findings, Observed, findings, looks
from smscd.admin.upstream_test import UpstreamTest
from smscd.core.addresses import Destination, detect_source, find_destination
from smscd.core.directory_index import PlannedSource
from smscd.core.reasons import Rejected
from smscd.core.submission import DETECT
from smscd.core.upstream import Upstream
from smscd.egress.binds.ports import Dial
from smscd.telemetry import mask_number
from storage.postgres import operators
from storage.postgres.pool import Database

_SHOWN: Final = ("unknown", "gsm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """From where to where the test message goes."""

    source: PlannedSource
    dest: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was tested, and what was seen."""

    profile: Upstream
    seen: Observed

    @property
    def found(self) -> Findings:
        """What it teaches."""
        return findings(self.profile, self.seen)

    @property
    def looks(self) -> dict[str, str]:
        """What the phone shows in each alphabet that data_coding 0 may be."""
        is_open = self.seen.submit_status == 0 and self.profile.default_alphabet in _SHOWN
        return dict(looks(self.seen.octets)) if is_open else {}

    def shown(self) -> dict[str, Any]:
        """As JSON, the same by command and over HTTP."""
        found = self.found
        return {
            "upstream": self.profile.id,
            "good": found.is_good,
            "facts": found.facts,
            "remarks": found.remarks,
            "suggestion": found.suggestion,
            "looks": self.looks,
        }


def addresses_of(to: str, sender: str) -> Addresses | Refusal:
    """Where a test message goes. sender: empty for the carrier's default."""
    dest = find_destination(DETECT, DETECT, to.encode("ascii", "replace"))
    source = detect_source(DETECT, DETECT, sender.encode("ascii", "replace")) if sender else PlannedSource(0, 0, b"")
    if source is not None and not isinstance(dest, Rejected):
        return Addresses(source=source, dest=dest)
    faults: list[Fault] = []
    if isinstance(dest, Rejected):
        faults.append(("to", f"{to} is no number: write it as +447700900123."))
    if source is None:
        rule = f"{sender} is no sender: a number, a short code, or up to 11 letters and digits."
        faults.append(("from", rule))
    return refusal_of(faults)


async def begin(name: str, addresses: Addresses, operator: str, database: Database) -> Upstream | Refusal:
    """The upstream that is to be tested. Written down."""
    found = await upstreams.find(name, database)
    if isinstance(found, Refusal):
        return found
    if found.bind_mode == "receiver":
        detail = f"{name} has receivers only, which send nothing: test an upstream that sends."
        return Refusal("upstream_cannot_send", 409, detail)
    new = {"to": mask_number(addresses.dest.digits.decode())}
    await operators.log(database, operator, "upstream.test", name, new=new)
    return found


async def run(
    profile: Upstream,
    addresses: Addresses,
    *,
    dial: Dial,
    wall_ms: Callable[[], int],
    receipt_seconds: float,
    seconds: float | None = None,
) -> Trial:
    """Bind, send, wait for the receipt, unbind. seconds: for all of that but the unbind; what was seen until then."""
    tested = UpstreamTest(profile, dial=dial, clock=asyncio.get_running_loop().time, wall_ms=wall_ms)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await tested.run(addresses.source, addresses.dest, receipt_seconds)
    return Trial(profile=profile, seen=tested.seen)
