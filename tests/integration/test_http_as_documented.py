"""The running service as other software finds it: the examples of its OpenAPI document, schemathesis, and locust."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_rs
import pytest

from tests.integration.demo_process import ROOT, DemoProcess

EXAMPLES = int(os.environ.get("SMSCD_HTTP_EXAMPLES", "6"))
SEED = os.environ.get("SMSCD_HTTP_SEED", "1")
POINTER = re.compile(r"\$response\.body#/(.+)")
NOBODYS = "1"
VENDOR_TLVS = [
    {"tag": 0x1400, "name": "dlt_entity_id", "type": "c_octets", "min": 2, "max": 31},
    {"tag": 0x1403, "name": "campaign", "type": "integer", "min": 1, "max": 2},
    {"tag": 0x1404, "name": "trace", "type": "octets", "min": 0, "max": 8},
]


class Answer(NamedTuple):
    """What came back."""

    status: int
    content_type: str
    body: Any


class Documented:
    """The service, asked by the words of its own document."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self.document: dict[str, Any] = self.ask("GET", "/api/openapi.json").body

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"X-Api-Key": self._key, "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                text = reply.read()
                return Answer(reply.status, reply.headers["Content-Type"], json.loads(text) if text else None)
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, refused.headers["Content-Type"], json.load(refused))

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Path, method and operation; those first that need no id of another's answer."""
        found = [
            (path, method, each) for path, methods in self.document["paths"].items() for method, each in methods.items()
        ]
        return iter(sorted(found, key=lambda item: "{" in item[0]))

    def check(self, operation: dict[str, Any], answer: Answer) -> None:
        """The answer is what the document has for its status."""
        documented = operation["responses"][str(answer.status)]
        if answer.body is None:
            assert "content" not in documented
            return
        content = documented["content"][answer.content_type]
        jsonschema_rs.validate(content["schema"] | {"components": self.document["components"]}, answer.body)


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    """With a carrier that wants the TLVs of the examples."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if os.geteuid() == 0:
            place.chmod(0o711)
        environment = {"XDG_RUNTIME_DIR": name, "TMPDIR": name}
        with DemoProcess(place, "--workers=1", environment=environment) as running:
            running.wait_ready()
            done = running.command("upstream", "set", "carrier", "--vendor-tlvs", json.dumps(VENDOR_TLVS))
            assert done.returncode == 0, done.stderr
            yield running


def queries(parameters: list[dict[str, Any]]) -> str:
    """The query of all examples together."""
    given = {each["name"]: each["example"] for each in parameters if each["in"] == "query" and "example" in each}
    return f"?{urllib.parse.urlencode(given, doseq=True)}" if given else ""


def test_every_documented_example_runs_as_it_stands(demo: DemoProcess) -> None:
    http = Documented(demo.ready["http"]["url"], demo.ready["http"]["api_key"])
    linked: dict[str, dict[str, str]] = {}
    answered: dict[str, set[int]] = {}
    for path, method, operation in http.operations():
        name = operation["operationId"]
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        place = path.format_map(defaultdict(lambda: NOBODYS, linked.get(name, {})))
        place += queries(operation.get("parameters", []))
        for example in content["examples"].values() if content else ({"value": None},):
            answer = http.ask(method.upper(), place, example["value"])
            assert answer.status < 300 or ("{" in path and answer.status in (404, 409)), (name, example, answer)
            http.check(operation, answer)
            answered.setdefault(name, set()).add(answer.status)
            for link in operation["responses"][str(answer.status)].get("links", {}).values():
                found = {parameter: value_at(answer.body, text) for parameter, text in link["parameters"].items()}
                given = {parameter: value for parameter, value in found.items() if value is not None}
                linked.setdefault(link["operationId"], {}).update(given)
    assert len(answered) == sum(len(methods) for methods in http.document["paths"].values())
    assert answered["getMessage"] == {200}, "its id came by a link"


def value_at(body: Any, expression: str) -> Any:
    """What an expression of a link means in an answer; None when it is not there, or means something else."""
    match = POINTER.fullmatch(expression)
    if match is None:
        return None
    for part in match[1].split("/"):
        try:
            body = body[int(part) if isinstance(body, list) else part]
        except (KeyError, IndexError):
            return None
    return body


def test_every_field_of_a_request_has_an_example_that_is_taken(demo: DemoProcess) -> None:
    http = Documented(demo.ready["http"]["url"], demo.ready["http"]["api_key"])
    schema = http.document["components"]["schemas"]["SendRequest"]
    body = {name: field["examples"][0] for name, field in schema["properties"].items()}
    assert http.ask("POST", "/v1/messages", body).status == 202


def configured(place: Path) -> Path:
    """schemathesis.toml with the number of examples; of sequences of requests there are four times as many."""
    text = Path(__file__).with_name("schemathesis.toml").read_text()
    for phase, count in (("fuzzing", EXAMPLES), ("stateful", 4 * EXAMPLES)):
        text += f"\n[phases.{phase}.generation]\nmax-examples = {count}\n"
    file = place / "schemathesis.toml"
    file.write_text(text)
    return file


def test_schemathesis_finds_nothing(demo: DemoProcess) -> None:
    """All its checks and phases, stateful links included; `make fuzz-http` for hundreds of examples."""
    url = demo.ready["http"]["url"]
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "--no-color",
            f"--config-file={configured(demo.output.parent)}",
            "run",
            f"{url}/api/openapi.json",
            f"--seed={SEED}",
        ],
        cwd=demo.output.parent,
        env=dict(os.environ, PYTHONPATH=str(ROOT), SMSCD_API_KEY=demo.ready["http"]["api_key"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    operations = re.search(r"Operations: +(\d+) selected / (\d+) total", done.stdout)
    links = re.search(r"API Links: +(\d+) covered", done.stdout)
    assert operations is not None and operations[1] == operations[2], done.stdout
    assert links is not None and int(links[1]) >= 2, done.stdout
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert re.search(rf"✅ +{phase} \(in", done.stdout), done.stdout


def test_the_locust_file_runs(demo: DemoProcess) -> None:
    place = demo.output.parent
    done = subprocess.run(
        [
            Path(sys.executable).with_name("locust"),
            f"--locustfile={ROOT / 'tools' / 'locustfile.py'}",
            f"--host={demo.ready['http']['url']}",
            "--headless",
            "--users=5",
            "--spawn-rate=5",
            "--run-time=3s",
            f"--json-file={place / 'locust'}",
        ],
        cwd=place,
        env=dict(os.environ, SMSCD_API_KEY=demo.ready["http"]["api_key"], SMSCD_RATE="20"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = {each["name"]: each for each in json.loads((place / "locust.json").read_text())}
    assert {"/v1/messages", "/v1/messages/{id}"} <= set(figures)
    assert all(each["num_failures"] == 0 for each in figures.values())
