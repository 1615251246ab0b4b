"""What the profile of an upstream makes of a session with it. Pure."""

from __future__ import annotations

from typing import Final

from protocols.smpp.limits import SessionConfig
from smscd.core.upstream import Upstream
from smscd.transport.tls import ClientTls

UNANSWERED_DELIVERS_MAX: Final = 1000


def session_config(profile: Upstream) -> SessionConfig:
    """The limits and timers of a session with this upstream."""
    return SessionConfig(
        response_seconds=profile.response_timeout_seconds,
        enquire_link_seconds=profile.enquire_link_seconds,
        window_size=UNANSWERED_DELIVERS_MAX,
        assumed_interface_version=profile.interface_version,
    )


def identity_of(profile: Upstream) -> tuple[object, ...]:
    """What a session cannot change while it is bound."""
    return (
        profile.host, profile.port, profile.system_id, profile.password, profile.system_type, profile.bind_mode,
        profile.interface_version, profile.response_timeout_seconds, profile.enquire_link_seconds, tls_of(profile),
    )  # fmt: skip


def tls_of(profile: Upstream) -> ClientTls | None:
    """How it is dialed with TLS; None: without."""
    if not profile.uses_tls:
        return None
    return ClientTls(
        ca_file=profile.tls_ca_file,
        certificate_file=profile.tls_certificate_file,
        key_file=profile.tls_key_file,
        server_name=profile.tls_server_name,
        is_verified=profile.tls_is_verified,
    )
