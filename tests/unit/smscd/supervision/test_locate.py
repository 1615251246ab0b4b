"""Which instance a command means."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from smscd.supervision.locate import NotFound, live_instances, locate, register
from smscd.supervision.ready import (
    AdminAddress,
    HttpAddress,
    ReadyFile,
    RunFile,
    SmppAddress,
    process_start,
    read_run,
    write_run,
)


def run_of(data_dir: Path, started_at: float = 1.0, **changes: Any) -> RunFile:
    start = process_start(os.getpid())
    assert start is not None
    ready = ReadyFile(
        pid=os.getpid(),
        smpp=SmppAddress(host="127.0.0.1", port=1, system_id="demo", password="secret"),
        http=HttpAddress(url="http://127.0.0.1:2", api_key="key"),
        admin=AdminAddress(url="http://127.0.0.1:3", token="token"),
        carrier=None,
        valkey_url="redis://demo",
        postgres_dsn="postgresql://demo",
        webhook_secret="whsec_x",
    )
    values: dict[str, Any] = {
        "kind": "demo",
        "started_at": started_at,
        "process_start": start,
        "data_dir": str(data_dir),
        "is_temporary": False,
        "pepper": "pepper",
        "postgres_owner_dsn": "postgresql://owner",
        "ready": ready,
    }
    return RunFile(**(values | changes))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(tmp_path)}


def test_without_anything_the_newest_live_demo_is_meant(tmp_path: Path, environment: dict[str, str]) -> None:
    assert register(run_of(tmp_path), environment) is not None
    found = locate(config_file=None, data_dir=None, environment=environment)
    assert (found.redis_url, found.postgres_dsn, found.pepper) == ("redis://demo", "postgresql://demo", "pepper")


def test_a_service_is_not_taken_for_a_demo(tmp_path: Path, environment: dict[str, str]) -> None:
    register(run_of(tmp_path, kind="serve"), environment)
    with pytest.raises(NotFound, match="start a demo"):
        locate(config_file=None, data_dir=None, environment=environment)


def test_the_environment_names_an_instance(environment: dict[str, str]) -> None:
    environment |= {"SMSCD_REDIS_URL": "redis://there", "SMSCD_POSTGRES_DSN": "postgresql://there"}
    found = locate(config_file=None, data_dir=None, environment=environment | {"SMSCD_PEPPER": "salt"})
    assert (found.redis_url, found.postgres_dsn, found.pepper, found.run) == (
        "redis://there",
        "postgresql://there",
        "salt",
        None,
    )


def test_a_data_directory_names_the_instance_that_runs_on_it(tmp_path: Path, environment: dict[str, str]) -> None:
    write_run(tmp_path / "run.json", run_of(tmp_path))
    assert locate(config_file=None, data_dir=tmp_path, environment=environment).run is not None
    with pytest.raises(NotFound, match="smscd demo --data-dir"):
        locate(config_file=None, data_dir=tmp_path / "other", environment=environment)


def test_a_configuration_with_urls_needs_no_running_instance(tmp_path: Path, environment: dict[str, str]) -> None:
    file = tmp_path / "smscd.toml"
    file.write_text(f'redis_url = "redis://x"\npostgres_dsn = "postgresql://x"\nstate_dir = "{tmp_path}"\n')
    (tmp_path / "pepper").write_text("kept\n")
    found = locate(config_file=file, data_dir=None, environment=environment)
    assert (found.redis_url, found.pepper) == ("redis://x", "kept")


def test_a_configuration_with_embedded_servers_means_the_instance_that_runs_them(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    file = tmp_path / "smscd.toml"
    file.write_text(f'state_dir = "{tmp_path}"\n')
    with pytest.raises(NotFound, match="no smscd is running there"):
        locate(config_file=file, data_dir=None, environment=environment)
    write_run(tmp_path / "run.json", run_of(tmp_path, kind="serve"))
    assert locate(config_file=file, data_dir=None, environment=environment).redis_url == "redis://demo"


def test_entries_of_dead_instances_and_their_temporary_data_are_removed(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    left, kept = tmp_path / "smscd-demo-left", tmp_path / "kept"
    left.mkdir()
    kept.mkdir()
    for directory in (left, kept):
        dead = run_of(directory, process_start=0, is_temporary=directory is left)
        entry = register(dead, environment)
        assert entry is not None
        assert live_instances(environment) == []
        assert not entry.exists()
    assert not left.exists()
    assert kept.exists()


def test_a_reused_process_number_is_not_taken_for_the_instance(tmp_path: Path, environment: dict[str, str]) -> None:
    register(run_of(tmp_path, process_start=1), environment)
    assert live_instances(environment) == []


def test_the_newest_comes_first(tmp_path: Path, environment: dict[str, str]) -> None:
    entry = register(run_of(tmp_path, 1.0), environment)
    assert entry is not None
    write_run(entry.with_name("other.json"), run_of(tmp_path, 2.0))
    assert [run.started_at for run in live_instances(environment)] == [2.0, 1.0]


def test_a_registry_that_others_can_write_to_is_not_used(tmp_path: Path, environment: dict[str, str]) -> None:
    directory = Path(environment["XDG_RUNTIME_DIR"]) / "smscd"
    directory.mkdir()
    directory.chmod(0o777)
    assert register(run_of(tmp_path), environment) is None
    write_run(directory / "1.json", run_of(tmp_path))
    assert live_instances(environment) == []


def test_run_files_are_private_and_unreadable_ones_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_run(path, run_of(tmp_path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["ready"]["smpp"]["password"] == "secret"
    path.write_bytes(msgspec.json.encode({"kind": "from the future"}))
    assert read_run(path) is None


def test_a_process_that_is_gone_has_no_start() -> None:
    assert process_start(2**22 + 1) is None
