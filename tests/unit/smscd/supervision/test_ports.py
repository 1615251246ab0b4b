"""Ports that several processes share: nobody else's, and ours until the workers listen."""

from __future__ import annotations

import socket

import pytest

from smscd.config import Config, JasminConfig, KannelConfig
from smscd.supervision.ports import HeldPort, PortTaken, hold_dropin_ports


def test_a_free_port_is_picked_and_workers_can_listen_on_it_together() -> None:
    held = HeldPort("127.0.0.1", 0, "--smpp-port")
    workers = []
    try:
        for _ in range(2):
            worker = socket.socket()
            workers.append(worker)
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", held.port))
            worker.listen()
        with socket.create_connection(("127.0.0.1", held.port), timeout=5):
            pass
    finally:
        for worker in workers:
            worker.close()
        held.close()


def test_a_second_instance_does_not_share_the_port_unnoticed() -> None:
    held = HeldPort("127.0.0.1", 0, "--smpp-port")
    try:
        with pytest.raises(PortTaken, match=r"Cannot listen on 127\.0\.0\.1:\d+ .* --smpp-port"):
            HeldPort("127.0.0.1", held.port, "--smpp-port")
    finally:
        held.close()


def test_a_port_of_another_program_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortTaken):
            HeldPort("127.0.0.1", other.getsockname()[1], "[http] port")


def test_the_doors_of_other_gateways_hold_their_ports_as_far_as_they_are_opened() -> None:
    kept: list[HeldPort] = []
    wanted = Config(kannel=KannelConfig(host="127.0.0.1", port=0))
    try:
        found = hold_dropin_ports(wanted, kept.append)
        assert [held.port for held in kept] == [found.kannel.port] != [0]
        assert found.jasmin == wanted.jasmin
        with pytest.raises(PortTaken, match=r"choose another port with \[jasmin\] port"):
            hold_dropin_ports(Config(jasmin=JasminConfig(host="127.0.0.1", port=found.kannel.port)), kept.append)
    finally:
        for held in kept:
            held.close()
