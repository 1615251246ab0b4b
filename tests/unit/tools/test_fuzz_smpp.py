"""What the coverage-guided fuzzer does with one input, without the fuzzer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.smpp import codec
from protocols.smpp.pdu import QuerySm, SubmitSm
from protocols.smpp.state import Role
from tools.fuzz_smpp import check_round_trip, read_everywhere, read_stream, session_in, write_seeds

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "wire" / "vectors" / "open.json").read_text(encoding="utf-8")
)["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_every_golden_pdu_is_read_in_every_way(vector: dict[str, Any]) -> None:
    octets = bytes.fromhex(vector["canonical_hex"])
    read_everywhere(octets)
    read_everywhere(octets * 3)


@settings(max_examples=200, deadline=None, database=None)
@given(st.binary(max_size=300))
def test_noise_is_read_in_every_way(octets: bytes) -> None:
    read_everywhere(octets)


def test_the_fuzzer_begins_with_the_golden_pdus(tmp_path: Path) -> None:
    assert write_seeds(tmp_path / "corpus") == len(VECTORS)
    assert (tmp_path / "corpus" / "unbind").read_bytes()[:8] == b"\0\0\0\x10\0\0\0\6"


def test_a_request_is_answered_by_the_owner_that_the_fuzzer_plays() -> None:
    session = session_in(Role.SMSC, True)
    read_stream(session, codec.encode(QuerySm(sequence_number=1)) + codec.encode(SubmitSm(sequence_number=2)))
    assert session.unanswered_count == 0


def test_a_pdu_that_comes_back_changed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "decode", lambda octets: SubmitSm(source_addr=b"other"))
    with pytest.raises(AssertionError, match="came back"):
        check_round_trip(SubmitSm(source_addr=b"one"))
