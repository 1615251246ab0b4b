"""`smscd serve` from outside: systemd's protocol, external servers, refusals, and commands by -c FILE."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from storage.embedded.valkey import EmbeddedValkey
from tests.certificates import Authority, Pair
from tests.command_server import COMMANDS
from tests.integration.conftest import TestDatabase
from tests.integration.demo_process import ROOT, until

PORTS = "[smpp]\nport = 0\n[http]\nport = 0\n[admin]\nport = 0\n[log]\nformat = 'json'\n"


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        if os.geteuid() == 0:
            path.chmod(0o711)
        yield path


def environment_of(place: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMSCD_")}
    return kept | {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(place), "TMPDIR": str(place)} | more


def configured(place: Path, text: str = "") -> Path:
    file = place / "smscd.toml"
    file.write_text(f'state_dir = "{place / "state"}"\nworkers = 1\n{text}\n{PORTS}')
    return file


def command(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return COMMANDS.run(arguments, environment_of(place, **environment))


def test_a_service_speaks_to_systemd_and_is_found_by_its_configuration(place: Path) -> None:
    file = configured(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place / "notify"))
        systemd.settimeout(60)
        with open(place / "log", "wb") as log:
            service = subprocess.Popen(
                [sys.executable, "-m", "smscd", "serve", "-c", str(file), "--ready-file", str(place / "ready.json")],
                env=environment_of(place, NOTIFY_SOCKET=str(place / "notify"), WATCHDOG_USEC="400000"),
                stderr=log,
                start_new_session=True,
            )
        try:
            said = []
            while "READY=1" not in said:
                said.append(systemd.recv(100).decode())
            assert set(said) <= {"WATCHDOG=1", "READY=1"}
            assert systemd.recv(100) == b"WATCHDOG=1"
            ready = json.loads((place / "ready.json").read_text())
            assert ready["pid"] == service.pid
            assert ready["carrier"] is None
            assert command(place, "db", "status", "-c", str(file)).returncode == 0
            added = command(place, "account", "add", "acme", "--any-sender", "-c", str(file), "--json")
            assert added.returncode == 0, added.stderr
            assert len(json.loads(added.stdout)["password"]) == 8
            nobody = command(place, "account", "list")
            assert nobody.returncode == 1  # without -c only demos are found
            service.send_signal(signal.SIGTERM)
            while said[-1] != "STOPPING=1":
                said.append(systemd.recv(100).decode())
            assert service.wait(45) == 0
        finally:
            service.kill()
            service.wait()
    lines = [json.loads(line) for line in (place / "log").read_text().splitlines()]
    assert {"worker.started", "supervisor.stopping", "worker.stopped"} <= {line["event"] for line in lines}
    assert json.loads(added.stdout)["password"] not in (place / "log").read_text()


def test_external_servers_are_migrated_by_the_owner_and_served_by_the_daemon_role(
    place: Path, valkey_url: str, postgres: TestDatabase
) -> None:
    file = configured(place, f'redis_url = "{valkey_url}"\npostgres_dsn = "{postgres.dsn}"')
    refused = command(place, "serve", "-c", str(file))
    assert refused.returncode == 1
    assert "run `smscd db migrate`" in refused.stderr
    migrated = command(place, "db", "migrate", "-c", str(file), "--owner-dsn", postgres.owner_dsn, "--json")
    assert migrated.returncode == 0, migrated.stderr
    assert len(json.loads(migrated.stdout)["applied"]) >= 3
    service = subprocess.Popen(
        [sys.executable, "-m", "smscd", "serve", "-c", str(file), "--ready-file", str(place / "ready.json")],
        env=environment_of(place),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: (place / "ready.json").exists() or service.poll() is not None, 60.0)
        ready = json.loads((place / "ready.json").read_text())
        assert (ready["valkey_url"], ready["postgres_dsn"]) == (valkey_url, postgres.dsn)
        service.send_signal(signal.SIGTERM)
        assert service.wait(45) == 0
    finally:
        service.kill()
        service.wait()


def test_it_does_not_start_on_a_redis_that_may_forget(
    place: Path, valkey_server: EmbeddedValkey, valkey_url: str, postgres: TestDatabase
) -> None:
    file = configured(
        place,
        f'redis_url = "{valkey_url}"\npostgres_dsn = "{postgres.dsn}"\npostgres_owner_dsn = "{postgres.owner_dsn}"',
    )
    with Redis.from_url(valkey_url) as connection:
        connection.config_set("appendfsync", "everysec")
        try:
            refused = command(place, "serve", "-c", str(file))
        finally:
            connection.config_set("appendfsync", "always")
    assert refused.returncode == 1
    assert "appendfsync is everysec; set `appendfsync always`" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_all_mistakes_of_a_configuration_are_said_at_once(place: Path) -> None:
    file = place / "bad.toml"
    file.write_text("workrs = 1\n[smpp]\nport = 'x'\n")
    done = command(place, "serve", "-c", str(file), "--check", "--json")
    assert done.returncode == 1
    assert len(json.loads(done.stdout)["mistakes"]) == 2
    assert command(place, "serve", "-c", str(configured(place)), "--check").returncode == 0


def test_a_service_speaks_tls_only_takes_a_new_certificate_on_a_reload_and_ends_no_session(place: Path) -> None:
    authority = Authority(place / "tls")
    live = authority.sign("first.example", file="live")
    esme, stranger = authority.sign("esme.example"), authority.sign("stranger.example")
    first = live.sha256
    file = configured(place)
    text = file.read_text().replace(
        "[smpp]\n",
        "[smpp]\nis_plain_open = false\ntls_port = 0\ntls_look_seconds = 3600.0\n"
        f'tls_certificate = "{live.certificate}"\ntls_key = "{live.key}"\ntls_client_ca = "{authority.ca}"\n',
    )
    file.write_text(text)
    with open(place / "log", "wb") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "smscd", "serve", "-c", str(file), "--ready-file", str(place / "ready.json")],
            env=environment_of(place),
            stderr=log,
            start_new_session=True,
        )
    sockets: list[socket.socket] = []
    try:
        until(lambda: (place / "ready.json").exists() or service.poll() is not None, 60.0)
        smpp = json.loads((place / "ready.json").read_text())["smpp"]
        assert smpp["port"] == 0 and smpp["tls_port"]
        options = ["--allow=127.0.0.0/8", "--binds-rx=0", f"--client-certificate={esme.sha256}", "-c", str(file)]
        added = json.loads(command(place, "account", "add", "acme", "--any-sender", *options, "--json").stdout)
        (listed,) = json.loads(command(place, "account", "list", "-c", str(file), "--json").stdout)
        assert (listed["allowed_networks"], listed["binds_rx_max"]) == (["127.0.0.0/8"], 0)
        assert listed["client_certificates"] == [esme.sha256]

        def bind(pair: Pair, kind: int = 9) -> tuple[ssl.SSLSocket, int]:
            context = ssl.create_default_context(cafile=str(authority.ca))
            context.load_cert_chain(pair.certificate, pair.key)
            plain = socket.create_connection(("127.0.0.1", smpp["tls_port"]), timeout=10)
            secured = context.wrap_socket(plain, server_hostname="127.0.0.1")
            sockets.append(secured)
            body = f"acme\0{added['password']}\0\0\x34\0\0\0".encode()
            secured.sendall((len(body) + 16).to_bytes(4, "big") + bytes([0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 0, 1]) + body)
            return secured, int.from_bytes(secured.recv(1_000)[8:12], "big")

        def is_known() -> bool:
            return bind(esme)[1] == 0

        until(is_known)
        session, status = bind(esme)
        assert status == 0
        assert hashlib.sha256(session.getpeercert(binary_form=True) or b"").hexdigest() == first
        assert bind(stranger)[1] == 0x0E
        assert bind(esme, kind=1)[1] == 0x0D
        renewed = authority.sign("second.example", file="renewed")
        shutil.copy(renewed.certificate, live.certificate)
        shutil.copy(renewed.key, live.key)
        service.send_signal(signal.SIGHUP)

        def shown() -> str:
            return hashlib.sha256(bind(stranger)[0].getpeercert(binary_form=True) or b"").hexdigest()

        until(lambda: shown() == renewed.sha256)
        session.sendall(bytes.fromhex("00000010 00000015 00000000 00000002"))
        assert session.recv(1_000) == bytes.fromhex("00000010 80000015 00000000 00000002")
        service.send_signal(signal.SIGTERM)
        assert service.wait(45) == 0
    finally:
        for each in sockets:
            each.close()
        service.kill()
        service.wait()
    events = [json.loads(line)["event"] for line in (place / "log").read_text().splitlines()]
    assert "tls.reloaded" in events


def test_a_service_does_not_start_on_a_certificate_that_cannot_be_used(place: Path) -> None:
    file = configured(place)
    tls = f'[smpp]\ntls_port = 0\ntls_certificate = "{place / "none.pem"}"\ntls_key = "{place / "none.key"}"\n'
    file.write_text(file.read_text().replace("[smpp]\n", tls))
    refused = command(place, "serve", "-c", str(file))
    assert refused.returncode == 1
    assert "The certificate of [smpp] cannot be used" in refused.stderr
    assert "Traceback" not in refused.stderr
