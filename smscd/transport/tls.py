"""TLS of both ends: contexts from files that may change while we run, and what a peer has shown of itself.

At least TLS 1.2, no compression or renegotiation, and no resumption: a certificate that was withdrawn must not live on
in a session ticket.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import structlog

_log = structlog.get_logger(__name__)


class PeerCertificate(NamedTuple):
    """What a peer has proved to own. sha256: of the certificate, in hexadecimal digits."""

    sha256: str
    common_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFiles:
    """PEM files of a listener. client_ca: who signs the peers' certificates; None: they show none."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """TLS towards an SMSC. Empty names: the system's authorities, no certificate of ours, the host that is dialed."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""
    is_verified: bool = True


class ServerTls:
    """The context for new handshakes. Sessions keep the one that they began with.

    reloads, failures: how often changed files were taken, or could not be.
    """

    def __init__(self, files: ServerFiles) -> None:
        """Raises OSError, ssl.SSLError included, when the files cannot be used."""
        self._files = files
        self._seen = _state_of(files)
        self.context = server_context(files)
        self.reloads = 0
        self.failures = 0

    def refresh(self) -> bool:
        """Take files that have changed; True when they were taken. What cannot be used is logged, and the old stays."""
        seen = _state_of(self._files)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.context = server_context(self._files)
        except OSError as error:
            self.failures += 1
            _log.error("tls.kept", certificate=str(self._files.certificate), error=str(error))
            return False
        self.reloads += 1
        _log.info("tls.reloaded", certificate=str(self._files.certificate))
        return True


def server_context(files: ServerFiles) -> ssl.SSLContext:
    """Raises OSError, ssl.SSLError included."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.num_tickets = 0
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """Reads files: not for the event loop. Raises OSError, ssl.SSLError included."""
    for path in filter(None, (tls.ca_file, tls.certificate_file, tls.key_file)):
        # ssl does not say which file it cannot read.
        with open(path, "rb"):
            pass
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    _harden(context)
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file or None)
    if not tls.is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def peer_certificate(ssl_object: Any) -> PeerCertificate | None:
    """Of a transport's ssl_object; None without TLS, and when the peer showed none that was checked."""
    if ssl_object is None:
        return None
    octets = ssl_object.getpeercert(binary_form=True)
    fields = ssl_object.getpeercert()
    if not octets or not fields:
        return None
    names = [value for part in fields.get("subject", ()) for name, value in part if name == "commonName"]
    return PeerCertificate(hashlib.sha256(octets).hexdigest(), names[-1] if names else "")


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET


def _state_of(files: ServerFiles) -> tuple[tuple[int, int, int], ...]:
    """What changes when a file is written or replaced."""
    states = []
    for path in (files.certificate, files.key, files.client_ca):
        if path is None:
            continue
        try:
            found = os.stat(path)
        except OSError:
            states.append((0, 0, 0))
        else:
            states.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(states)
