"""The document of the admin API: valid, whole, and made of the types that read bodies."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from smscd.admin.api import PREFIX
from smscd.admin.openapi import document
from smscd.admin.permissions import NEEDED
from smscd.admin.resources import Operation
from smscd.core.upstream_fields import FIELDS
from smscd.ingress.http.problems import Problem
from tests.unit.smscd.admin.test_permissions import all_operations


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document(all_operations(), "1.2.3", PREFIX))
    return found


def test_it_is_valid_openapi_31(spec: dict[str, object]) -> None:
    OpenAPIV31SpecValidator(spec).validate()  # type: ignore[arg-type]  # its own alias of a mapping


def test_it_has_every_route_with_its_role_and_its_refusals(spec: dict[str, object]) -> None:
    paths = spec["paths"]
    assert isinstance(paths, dict)
    found = {
        f"{method.upper()} {path.removeprefix(PREFIX)}": operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    assert {route: one["x-role"] for route, one in found.items()} == {
        route.replace("*}", "}"): role for route, role in NEEDED.items()
    }
    for route, operation in found.items():
        assert {"401", "403", "422", "503"} <= operation["responses"].keys(), route
        named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", route))


def test_the_fields_of_an_upstream_are_those_of_its_table(spec: dict[str, object]) -> None:
    paths = spec["paths"]
    assert isinstance(paths, dict)
    body = paths[f"{PREFIX}upstreams"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"].keys() == {"name", *(field.name for field in FIELDS)}
    assert body["properties"]["password"]["writeOnly"] is True


WITH_EXAMPLES = [one for one in all_operations() if one.example is not None]


@pytest.mark.parametrize("one", WITH_EXAMPLES, ids=lambda one: one.route)
def test_an_example_is_what_its_types_say(one: Operation, spec: dict[str, Any]) -> None:
    described = spec["paths"][PREFIX + one.path][one.method.lower()]
    shown = described["responses"]["200"]["content"]["application/json"]["example"]
    if one.answer is not None:
        msgspec.convert(shown, one.answer)
    if one.body is not None:
        asked = described["requestBody"]["content"][one.body.content_type]["example"]
        body = asked.encode() if isinstance(asked, str) else json.dumps(asked).encode()
        assert not isinstance(one.body.read(body), Problem)
