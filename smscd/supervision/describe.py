"""Where an instance that has started can be reached, and with what: its configuration as a ready file."""

from __future__ import annotations

import os

import msgspec

from smscd.config import Config
from smscd.supervision.carrier import CarrierProcess
from smscd.supervision.ready import AdminAddress, CarrierAddress, HttpAddress, ReadyFile, SmppAddress
from smscd.supervision.seed import DemoSecrets


def describe(config: Config, admin_port: int, secrets: DemoSecrets | None, carrier: CarrierProcess | None) -> ReadyFile:
    """The ready file of this process. secrets, carrier: of a demo."""
    return ReadyFile(
        pid=os.getpid(),
        smpp=SmppAddress(
            host=_reachable(config.smpp.host),
            port=config.smpp.port,
            tls_port=config.smpp.tls_port or msgspec.UNSET,
            system_id=secrets.system_id if secrets else "",
            password=secrets.password if secrets else "",
        ),
        http=HttpAddress(url=url_of(config.http.host, config.http.port), api_key=secrets.api_key if secrets else ""),
        admin=AdminAddress(url=url_of(config.admin.host, admin_port), token=config.admin.token),
        carrier=CarrierAddress(host="127.0.0.1", port=carrier.port, control_port=carrier.control_port)
        if carrier
        else None,
        valkey_url=config.redis_url,
        postgres_dsn=config.postgres_dsn,
        webhook_secret=secrets.webhook_secret if secrets else "",
    )


def url_of(host: str, port: int) -> str:
    """What to type in a browser on this machine for a listener at this address."""
    shown = _reachable(host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _reachable(host: str) -> str:
    """An address that somebody on this machine can connect to."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
