"""The pages for those who migrate name every parameter, escape and word that the code takes."""

from __future__ import annotations

import re
from pathlib import Path

from smscd.core.callback_forms import kannel_url
from smscd.core.callback_records import CallbackRecord
from smscd.ingress.dropin import jasmin, kannel

CONF = Path(__file__).resolve().parents[5] / "conf"
ROOT = CONF.parent
KANNEL = (CONF / "migrating-from-kannel.md").read_text()
JASMIN = (CONF / "migrating-from-jasmin.md").read_text()
NOTHING = CallbackRecord(1, 1, "", 4, b"", b"", 0, 0, 0, 0, b"", 0, 0, b"", 0, 0, 1, b"")


def test_every_parameter_of_both_doors_is_explained() -> None:
    source = (ROOT / "smscd/ingress/dropin/kannel.py").read_text()
    names = set(re.findall(r'(?:fields|_number\(fields,|fields\.get\()[\[( ]*"([a-z-]+)"', source)) - {
        "dlrurl",
        "dlrmask",
    }
    assert {"to", "text", "coding", "deferred", "dlr-url"} <= names
    for name in names | set(kannel._IN_HEADERS):
        assert f"`{name}`" in KANNEL, name
    for name in jasmin.SEND:
        assert f"`{name}`" in JASMIN, name


def test_every_escape_is_explained_and_no_other() -> None:
    known = {letter for letter in map(chr, range(33, 127)) if kannel_url(f"%{letter}", NOTHING) != f"%{letter}"}
    at_once = set("pPqQnoD")
    assert set(re.findall(r"`%(.)`", KANNEL)) == known | at_once


def test_every_word_that_is_imported_is_in_the_table() -> None:
    source = (ROOT / "smscd/admin/kannel_plan.py").read_text()
    names = set(re.findall(r'values\.(?:text|number|flag)\("([a-z-]+)"', source))
    for name in names - {"keyword-regex", "catch-all", "post-url", "post-xml"}:
        assert f"`{name}`" in KANNEL or f"`{name} =" in KANNEL, name
