"""What the SMPP section of the configuration means for the parts of the door, value by value."""

from __future__ import annotations

from pathlib import Path

from protocols.smpp.constants import InterfaceVersion
from protocols.smpp.limits import SessionConfig
from smscd.config import SmppConfig
from smscd.ingress.smpp.binds import BindLimits
from smscd.transport.listener import ListenerLimits
from smscd.transport.tls import ServerFiles


def session_config(smpp: SmppConfig) -> SessionConfig:
    """Of one ESME's session."""
    return SessionConfig(
        pdu_size_max=smpp.pdu_size_max,
        pre_bind_size_max=smpp.pre_bind_size_max,
        session_init_seconds=smpp.session_init_seconds,
        response_seconds=smpp.response_seconds,
        enquire_link_seconds=smpp.enquire_link_seconds,
        inactivity_seconds=smpp.inactivity_seconds,
        interface_version=InterfaceVersion.V5_0,
    )


def listener_limits(smpp: SmppConfig) -> ListenerLimits:
    """Of one worker's connections."""
    return ListenerLimits(
        connections_max=smpp.connections_max,
        half_open_max=smpp.half_open_max,
        half_open_per_address_max=smpp.half_open_per_address_max,
        per_second_per_address=smpp.connections_per_second_per_address,
        burst_per_address=smpp.connections_burst_per_address,
        addresses_max=smpp.addresses_max,
    )


def bind_limits(smpp: SmppConfig, index: int, workers: int) -> BindLimits:
    """Of bind requests at the worker `index` of so many."""
    return BindLimits(
        guesses_max=smpp.bind_failures_max,
        guesses_alone_max=share_of(smpp.bind_failures_max, index, workers),
        window_seconds=smpp.bind_failures_window_seconds,
        per_second_per_address=smpp.binds_per_second_per_address,
        burst_per_address=smpp.binds_burst_per_address,
        addresses_max=smpp.addresses_max,
        refusal_seconds=smpp.bind_refusal_seconds,
    )


def server_files(smpp: SmppConfig) -> ServerFiles | None:
    """The certificate of the listener; None when it has no TLS."""
    if not smpp.tls_certificate:
        return None
    return ServerFiles(
        certificate=Path(smpp.tls_certificate),
        key=Path(smpp.tls_key),
        client_ca=Path(smpp.tls_client_ca) if smpp.tls_client_ca else None,
    )


def share_of(total: int, index: int, workers: int) -> int:
    """One worker's part of a number; the parts of all workers add up to it exactly, so some may be 0."""
    return total // workers + (index < total % workers)
