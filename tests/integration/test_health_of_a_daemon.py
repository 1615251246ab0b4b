"""GET /health/ and /metrics of one daemon while its servers, carriers and workers are really stopped, one by one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from tests.integration.demo_process import DemoProcess, until
from tools.children import CarrierChild

GIB = 1024**3
PATIENCE_SECONDS = 30.0
BOTH_LISTENERS = ("http", "admin")
CHECKS = {
    "redis": {"status", "ms", "memory_share"},
    "postgres": {"status", "ms"},
    "workers": {"status", "alive", "expected", "ingress", "dispatch", "deliver", "write", "heartbeat_age_seconds"},
    "upstreams": {"status", "up", "total"},
    "writer": {"status", "lag_seconds"},
    "disk": {"status", "free_bytes"},
}


class Watched:
    """A demo, and what is asked of it."""

    def __init__(self, demo: DemoProcess) -> None:
        self.demo = demo

    def ask(self, listener: str) -> tuple[int, dict[str, Any]]:
        """Status and body of /health/ of one listener."""
        try:
            with urllib.request.urlopen(self.demo.ready[listener]["url"] + "/health/", timeout=5) as answer:
                assert answer.headers["Content-Type"].startswith("application/json")
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def becomes(
        self, http_status: int, status: str, *checks: str, listeners: tuple[str, ...] = BOTH_LISTENERS
    ) -> dict[str, Any]:
        """Wait until it is said on these listeners, and that it is for these checks and no other; the checks."""
        found: dict[str, Any] = {}

        def is_said() -> bool:
            for listener in listeners:
                answered, body = self.ask(listener)
                found.update(body)
                blamed = {name for name, check in body["checks"].items() if check["status"] != "pass"}
                if (answered, body["status"], blamed) != (http_status, status, set(checks)):
                    return False
            return True

        try:
            until(is_said, PATIENCE_SECONDS)
        except AssertionError:
            raise AssertionError(f"not {http_status} {status} for {checks}: {found}\n{self.demo.text}") from None
        assert set(found) == {"status", "version", "checks"}
        told: dict[str, Any] = found["checks"]
        return told

    def total(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.demo.get("/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))

    def send(self, number: str = "+447700900123") -> tuple[int, str]:
        """Status of a message, and the code of its refusal."""
        http = self.demo.ready["http"]
        request = urllib.request.Request(
            http["url"] + "/v1/messages",
            data=json.dumps({"to": number, "from": "ACME", "text": "hello"}).encode(),
            headers={"X-Api-Key": http["api_key"], "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)["code"]


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Processes that are there and do nothing."""
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def memory_nearly_full(url: str) -> Iterator[None]:
    """A Redis that has used five sixths of what it may."""
    with Redis.from_url(url) as redis:
        limit = redis.config_get("maxmemory")["maxmemory"]
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] * 1.2))
        try:
            yield
        finally:
            redis.config_set("maxmemory", limit)


@contextmanager
def disk_nearly_full(place: Path) -> Iterator[None]:
    """Three gibibytes less."""
    with tempfile.NamedTemporaryFile(dir=place) as file:
        os.posix_fallocate(file.fileno(), 0, 3 * GIB)
        yield


def test_what_is_out_of_order_is_told_and_healthy_comes_back() -> None:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if os.geteuid() == 0:
            place.chmod(0o711)
        carriers = [carrier(stack, place / name) for name in ("one", "two")]
        environment = {
            "XDG_RUNTIME_DIR": str(place),
            "TMPDIR": str(place),
            "SMSCD_ADMISSION_DISK_FREE_BYTES_MIN": str(shutil.disk_usage(place).free - 2 * GIB),
        }
        options = [f"--upstream={each.upstream_url}" for each in carriers]
        demo = stack.enter_context(DemoProcess(place, "--workers=2", *options, environment=environment))
        watched = Watched(demo.wait_ready())
        healthy(watched)
        counted(watched)
        without_carriers(watched, carriers)
        without_servers(watched)
        without_room(watched, place)
        without_workers(watched)
        watched.becomes(200, "healthy")
        assert watched.send() == (202, "")


def carrier(stack: ExitStack, place: Path) -> CarrierChild:
    place.mkdir()
    running = CarrierChild(place)
    running.start()
    stack.callback(running.kill)
    return running


def healthy(watched: Watched) -> None:
    """Every check of the document, on both listeners."""
    checks = watched.becomes(200, "healthy")
    checks.pop("ledger", None)  # once it was audited
    assert {name: set(check) for name, check in checks.items()} == CHECKS
    workers = checks["workers"]
    assert (workers["alive"], workers["expected"]) == (2, 2)
    assert min(workers[role] for role in ("ingress", "dispatch", "deliver", "write")) >= 1
    assert (checks["upstreams"]["up"], checks["upstreams"]["total"]) == (2, 2)


def counted(watched: Watched) -> None:
    """/metrics, of all workers together, on the admin listener alone."""
    demo = watched.demo
    assert {watched.send("+447700900001") for _ in range(3)} | {watched.send() for _ in range(4)} == {(202, "")}
    until(lambda: watched.total("sms_sent_total") == 7 and watched.total("sms_failed_total") == 3)
    request = urllib.request.Request(demo.ready["http"]["url"] + "/metrics")
    try:
        urllib.request.urlopen(request, timeout=5)
        raise AssertionError("the customers' listener has no metrics")
    except urllib.error.HTTPError as refused:
        with refused:
            assert refused.code == 404


def without_carriers(watched: Watched, carriers: list[CarrierChild]) -> None:
    """Some upstreams down, then all: accepted, and told."""
    carriers[0].kill()
    checks = watched.becomes(200, "degraded", "upstreams")
    assert (checks["upstreams"]["up"], checks["upstreams"]["total"]) == (1, 2)
    assert watched.send() == (202, "")
    carriers[1].kill()
    until(lambda: watched.becomes(200, "degraded", "upstreams")["upstreams"]["up"] == 0)
    assert watched.send() == (202, "")
    for each in carriers:
        each.start()
    watched.becomes(200, "healthy")


def without_servers(watched: Watched) -> None:
    """PostgreSQL: accepted all the same. Redis: nothing is accepted."""
    with stopped(watched.demo.pids_of("postgres")):
        assert "error" in watched.becomes(200, "degraded", "postgres")["postgres"]
        assert watched.send() == (202, "")
        assert watched.total("sms_sent_total") >= 7, "the metrics are there without it"
    watched.becomes(200, "healthy")
    with stopped(watched.demo.pids_of("valkey-server")):
        checks = watched.becomes(503, "unhealthy", "redis", "workers", "upstreams", "writer")
        assert (checks["redis"]["status"], "ms" in checks["redis"]) == ("fail", False)
        assert watched.send() == (503, "storage_unavailable")
    watched.becomes(200, "healthy")


def without_room(watched: Watched, place: Path) -> None:
    """Memory or disk that is nearly full."""
    with memory_nearly_full(watched.demo.ready["valkey_url"]):
        watched.becomes(503, "unhealthy", "redis")
        until(lambda: watched.send() == (503, "queue_full"))
    watched.becomes(200, "healthy")
    with disk_nearly_full(place):
        watched.becomes(503, "unhealthy", "disk")
        until(lambda: watched.send() == (503, "queue_full"))
    watched.becomes(200, "healthy")


def without_workers(watched: Watched) -> None:
    """No worker, then one of two; the listener that they share is not asked."""
    first, second = watched.demo.pids_of("smscd.worker")[:2]
    with stopped([first]):
        with stopped([second]):
            watched.becomes(503, "unhealthy", "workers", "upstreams", "writer", listeners=("admin",))
        checks = watched.becomes(200, "degraded", "workers", listeners=("admin",))
        assert checks["workers"]["alive"] == 1
