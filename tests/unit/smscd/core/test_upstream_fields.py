"""The fields of an upstream as operators write and read them."""

from __future__ import annotations

import pytest

from smscd.core.upstream import Upstream
from smscd.core.upstream_fields import (
    BY_NAME,
    SECRETS,
    FieldsInvalid,
    changed,
    differences,
    from_text,
    read_status,
    shown,
    to_text,
)

ADDRESS: dict[str, object] = {"host": "smsc.example", "port": 2775, "system_id": "us"}
RICH: dict[str, object] = {
    "interface_version": "5.0",
    "vendor_tlvs": [{"tag": 0x1400, "name": "entity", "type": "integer", "min": 1, "max": 4}],
    "receipt_stats": {"acked": "DELIVRD"}, "temporary_statuses": ["ESME_RINVDSTADR", "0x400", 1025],
    "status_delays": {"0x14": 30, "0x400": 1.5}, "rate_per_second": 0.5, "uses_tls": True, "source_ton": -1,
}  # fmt: skip


def made(**values: object) -> Upstream:
    return changed(None, "carrier", {**ADDRESS, **values})


def test_every_field_of_a_profile_can_be_written_and_read() -> None:
    assert set(BY_NAME) == set(Upstream.__struct_fields__) - {"id"}
    options = [spec.option for spec in BY_NAME.values()]
    assert len(set(options)) == len(options)


def test_what_is_shown_can_be_written_again() -> None:
    upstream = made(**RICH)
    values = shown(upstream)
    assert (values["name"], values["interface_version"]) == ("carrier", "5.0")
    assert values["temporary_statuses"] == ["ESME_RINVDSTADR", "0x00000400", "0x00000401"]
    assert values["status_delays"] == {"ESME_RMSGQFUL": 30.0, "0x00000400": 1.5}
    assert changed(None, "carrier", {name: value for name, value in values.items() if name in BY_NAME}) == upstream


def test_a_new_upstream_is_what_a_profile_is_by_default() -> None:
    assert made() == Upstream(id="carrier", host="smsc.example", port=2775, system_id="us", password="")


def test_only_what_is_named_changes() -> None:
    before = made(**RICH, password="secret")
    after = changed(before, "carrier", {"window_size": 7, "status_delays": {}})
    assert differences(before, after) == {
        "window_size": (100, 7), "status_delays": ({"ESME_RMSGQFUL": 30.0, "0x00000400": 1.5}, {}),
    }  # fmt: skip
    assert after.vendor_tlvs == before.vendor_tlvs and after.password == "secret"


def test_passwords_are_never_shown() -> None:
    before = made(password="hunter2", outbind_port=1, outbind_system_id="them", outbind_password="hunter3")
    assert {"password", "outbind_password"} == SECRETS
    assert "hunter" not in str(shown(before))
    assert shown(before)["has_password"] is True and shown(made())["has_password"] is False
    after = changed(before, "carrier", {"password": "hunter4"})
    assert differences(before, after) == {"password": ("(secret)", "(another)")}


@pytest.mark.parametrize(
    ("values", "field", "rule"),
    [
        ({"port": 0}, "port", "is a whole number from 1 to 65535"),
        ({"port": 2775.5}, "port", "is a whole number from 1 to 65535"),
        ({"port": True}, "port", "is a whole number from 1 to 65535"),
        ({"port": "2775"}, "port", "is a whole number from 1 to 65535"),
        ({"rate_per_second": float("nan")}, "rate_per_second", "is a number from 0 to 1000000"),
        ({"is_enabled": 1}, "is_enabled", "is true or false"),
        ({"bind_mode": "both"}, "bind_mode", "is transceiver, transmitter, receiver, pair, not both"),
        ({"interface_version": "3.5"}, "interface_version", "is 3.3, 3.4, 5.0, not 3.5"),
        ({"password": "nine-char"}, "password", "is text of at most 8 printable ASCII characters"),
        ({"system_id": "a\0b"}, "system_id", "is text of at most 15 printable ASCII characters"),
        ({"host": "a b"}, "host", "is a name or an address, without blanks"),
        ({"host": ""}, "host", "is a name or an address, without blanks"),
        ({"temporary_statuses": "0x14"}, "temporary_statuses", "is a list of statuses"),
        ({"temporary_statuses": ["ESME_RX"]}, "temporary_statuses", "ESME_RX is no status"),
        ({"temporary_statuses": [0]}, "temporary_statuses", "0 is no status"),
        ({"status_delays": [1]}, "status_delays", "is seconds by status"),
        ({"status_delays": {"0x14": 0}}, "status_delays", "0 is no delay"),
        ({"status_delays": {"0x0b": 3}}, "status_delays", "ESME_RINVDSTADR ends a message"),
        ({"receipt_stats": {"acked": "YES"}}, "receipt_stats", "invalid enum value 'YES'"),
        ({"vendor_tlvs": [{"tag": 3}]}, "vendor_tlvs", "object missing required field `name`"),
        ({"service_type": "a-long"}, "service_type", "is text of at most 5"),
        ({"interface_version": "3.3", "long_message": "sar"}, "", "needs TLVs"),
        (
            {"temporary_statuses": [8], "throttling_statuses": [8]}, "throttling_statuses",
            "ESME_RSYSERR is in temporary_statuses too",
        ),
        ({"retry_base_seconds": 9, "retry_max_seconds": 8}, "retry_max_seconds", "is no less than"),
        ({"tls_key_file": "/key"}, "tls_key_file", "goes with tls_certificate_file"),
        ({"outbind_port": 5}, "outbind_system_id", "is what an outbind has to say"),
        ({"colour": "red"}, "colour", "there is no such field"),
    ],
)  # fmt: skip
def test_what_no_upstream_can_have_is_refused_with_a_sentence(values: dict[str, object], field: str, rule: str) -> None:
    with pytest.raises(FieldsInvalid) as refused:
        made(**values)
    [(name, sentence)] = refused.value.faults
    assert name == field and rule in sentence


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(FieldsInvalid) as refused:
        changed(None, "No Name", {"port": 0})
    assert [name for name, _ in refused.value.faults] == ["port", "host", "system_id", "name"]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("port", "2776", 2776),
        ("rate_per_second", "2.5", 2.5),
        ("temporary_statuses", "0x14, ESME_RSYSERR", ["0x14", " ESME_RSYSERR"]),
        ("temporary_statuses", "", []),
        ("status_delays", "0x14=60,ESME_RSYSERR=0.5", {"0x14": 60.0, "ESME_RSYSERR": 0.5}),
        ("receipt_stats", "ACKED=DELIVRD", {"ACKED": "DELIVRD"}),
        ("vendor_tlvs", "[]", []),
        ("host", "smsc.example", "smsc.example"),
    ],
)
def test_options_are_read_as_json_has_it(field: str, text: str, value: object) -> None:
    assert from_text(BY_NAME[field], text) == value
    changed(made(), "carrier", {field: value})


@pytest.mark.parametrize(
    ("field", "text", "rule"),
    [
        ("port", "x", "x is no number"),
        ("port", "2.5", "is a whole number"),
        ("window_size", "99999999999", "is a whole number from 1 to 10000"),
        ("status_delays", "0x14", "is written A=B"),
        ("status_delays", "0x14=soon", "soon is no number"),
        ("vendor_tlvs", "[", "is a JSON array"),
    ],
)
def test_options_that_cannot_be_read_are_refused(field: str, text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        from_text(BY_NAME[field], text)


def test_statuses_have_names_and_numbers() -> None:
    assert [read_status(value) for value in ("esme_rsyserr", "0x08", "8", 8)] == [8] * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), ({"a": 1.5}, "a=1.5"), (["a", "b"], "a,b"), ([{"tag": 1}], '[{"tag":1}]'), (7, "7")],
)
def test_values_are_shown_to_people(value: object, text: str) -> None:
    assert to_text(value) == text
