"""What the configuration of the SMPP door means."""

from __future__ import annotations

from pathlib import Path

import pytest

from smscd.config import SmppConfig
from smscd.transport.tls import ServerFiles
from smscd.worker.smpp_door import bind_limits, listener_limits, server_files, session_config, share_of


@pytest.mark.parametrize("workers", range(1, 40))
def test_the_shares_of_all_workers_are_the_whole(workers: int) -> None:
    shares = [share_of(10, index, workers) for index in range(workers)]
    assert sum(shares) == 10
    assert max(shares) - min(shares) <= 1


def test_each_setting_reaches_its_part() -> None:
    smpp = SmppConfig(
        pre_bind_size_max=99,
        session_init_seconds=4.0,
        connections_per_second_per_address=7.0,
        connections_burst_per_address=8,
        binds_per_second_per_address=9.0,
        binds_burst_per_address=10,
        addresses_max=11,
        bind_failures_max=5,
        half_open_max=12,
        half_open_per_address_max=13,
        bind_refusal_seconds=0.5,
    )
    session, door, binds = session_config(smpp), listener_limits(smpp), bind_limits(smpp, 1, 2)
    assert (session.pre_bind_size_max, session.session_init_seconds) == (99, 4.0)
    assert (door.per_second_per_address, door.burst_per_address, door.addresses_max) == (7.0, 8, 11)
    assert (door.half_open_max, door.half_open_per_address_max) == (12, 13)
    assert (binds.per_second_per_address, binds.burst_per_address, binds.addresses_max) == (9.0, 10, 11)
    assert (binds.guesses_max, binds.guesses_alone_max, binds.refusal_seconds) == (5, 2, 0.5)


def test_tls_needs_its_files() -> None:
    assert server_files(SmppConfig()) is None
    files = server_files(SmppConfig(tls_certificate="/c.pem", tls_key="/k.pem"))
    assert files == ServerFiles(certificate=Path("/c.pem"), key=Path("/k.pem"))
    files = server_files(SmppConfig(tls_certificate="/c.pem", tls_key="/k.pem", tls_client_ca="/ca.pem"))
    assert files is not None and files.client_ca == Path("/ca.pem")
