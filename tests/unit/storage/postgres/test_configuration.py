"""The statements take and give the structs' fields in the structs' order."""

from __future__ import annotations

import re

import msgspec
import pytest

from smscd.core.directory import Account, ApiKey, Credential, MoNumber, Route
from smscd.core.upstream import Upstream
from storage.postgres.statements import load

KINDS: list[tuple[str, str, type[msgspec.Struct]]] = [
    ("load_accounts", "add_account", Account),
    ("load_credentials", "add_credential", Credential),
    ("load_api_keys", "add_api_key", ApiKey),
    ("load_upstreams", "add_upstream", Upstream),
    ("load_routes", "add_routes", Route),
    ("load_mo_numbers", "add_mo_number", MoNumber),
]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@pytest.mark.parametrize(("loading", "adding", "kind"), KINDS)
def test_columns_stand_in_the_order_of_the_fields(loading: str, adding: str, kind: type[msgspec.Struct]) -> None:
    statements = load("configuration")
    fields = list(kind.__struct_fields__)
    selected = re.search(r"SELECT (.*?)\s+FROM", statements[loading], re.DOTALL)
    inserted = re.search(r"INSERT INTO \w+\s+\((.*?)\)", statements[adding], re.DOTALL)
    assert selected is not None
    assert inserted is not None
    assert words(selected[1]) == fields
    assert words(inserted[1]) == fields
