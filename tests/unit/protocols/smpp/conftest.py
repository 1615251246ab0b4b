"""Sessions at both ends of a wire that is a function call, with time as a number."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocols.smpp import codec
from protocols.smpp.events import BindAccepted, BindRequested, Event
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import Bind, BindTransceiver, DeliverSm, SubmitSm
from protocols.smpp.session import Session
from protocols.smpp.state import Role


class Link:
    """An SMSC and an ESME. `now` is the time at both ends."""

    def __init__(self, smsc_config: SessionConfig, esme_config: SessionConfig) -> None:
        self.now = 0.0
        self.smsc = Session(Role.SMSC, smsc_config, self.now)
        self.esme = Session(Role.ESME, esme_config, self.now)

    def to_smsc(self) -> list[Event]:
        return self.smsc.receive_data(self.esme.data_to_send(), self.now)

    def to_esme(self) -> list[Event]:
        return self.esme.receive_data(self.smsc.data_to_send(), self.now)

    def bind(self, pdu: Bind | None = None) -> None:
        self.esme.bind(pdu or BindTransceiver(system_id=b"esme", password=b"secret", interface_version=0x34), self.now)
        (requested,) = self.to_smsc()
        assert isinstance(requested, BindRequested)
        self.smsc.accept_bind(requested.pdu.sequence_number, b"smsc", self.now)
        (accepted,) = self.to_esme()
        assert isinstance(accepted, BindAccepted)

    def submit(self, count: int, first: int = 0) -> None:
        """The ESME queues `count` submit_sm with refs first, first + 1, ..."""
        body = codec.encode_body(submit())
        self.esme.send_submits([(body, first + index) for index in range(count)], self.now)


def submit(**fields: object) -> SubmitSm:
    """A submit_sm that no one has reason to refuse."""
    values: dict[str, object] = {
        "source_addr_ton": 5,
        "source_addr": b"Sender",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": b"447700900123",
        "short_message": b"hello",
    }
    return SubmitSm(**(values | fields))


def deliver(**fields: object) -> DeliverSm:
    """A deliver_sm that no one has reason to refuse."""
    return DeliverSm(
        **({"source_addr": b"447700900123", "destination_addr": b"12345", "short_message": b"hi"} | fields)
    )


@pytest.fixture
def make_link() -> Callable[..., Link]:
    """Makes a link that is not bound: limits of the SMSC, then of the ESME (by default the same)."""

    def make(smsc_config: SessionConfig | None = None, esme_config: SessionConfig | None = None) -> Link:
        config = smsc_config or SessionConfig()
        return Link(config, esme_config or config)

    return make


@pytest.fixture
def link(make_link: Callable[..., Link]) -> Link:
    """A link that is bound as a transceiver."""
    link = make_link()
    link.bind()
    return link


@pytest.fixture(name="submit")
def submit_fixture() -> Callable[..., SubmitSm]:
    """Makes a submit_sm; keywords replace fields."""
    return submit


@pytest.fixture(name="deliver")
def deliver_fixture() -> Callable[..., DeliverSm]:
    """Makes a deliver_sm; keywords replace fields."""
    return deliver
