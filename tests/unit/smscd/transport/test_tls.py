"""Contexts of TLS: what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from smscd.transport.tls import ClientTls, client_context


@pytest.mark.parametrize("field", ["ca_file", "certificate_file", "key_file"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, field: str) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
        client_context(ClientTls(**{field: missing}))  # type: ignore[arg-type]  # one of three names of files
