"""The configuration is read: defaults, environment, and every mistake at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smscd.config import Config
from smscd.config_file import ConfigError, is_loopback, load, parse


def mistakes_of(table: dict[str, Any], environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(table, environment or {})
    return caught.value.mistakes


def test_an_empty_configuration_is_the_defaults() -> None:
    assert parse({}, {}) == Config()


def test_all_mistakes_are_reported_at_once_with_a_sentence_each() -> None:
    found = mistakes_of(
        {"redis_ul": "x", "workers": "two", "smpp": {"port": 70_000, "prot": 1}, "http": 3, "log": {"level": "loud"}}
    )
    assert found == [
        "redis_ul is not a setting of smscd; did you mean redis_url?",
        "workers is wrong: expected `int`, got `str`.",
        "[smpp] prot is not a setting of smscd; did you mean port?",
        "[smpp] port is wrong: expected `int` <= 65535.",
        "http must be a section [http].",
        "[log] level is wrong: invalid enum value 'loud'; choose one of debug, info, warning, error.",
    ]


def test_an_unknown_setting_without_a_near_one_is_refused_without_a_guess() -> None:
    assert mistakes_of({"zzzzzz": 1}) == ["zzzzzz is not a setting of smscd."]


def test_the_environment_overrules_the_file() -> None:
    table = {"redis_url": "redis://file", "smpp": {"port": 1}}
    environment = {"SMSCD_REDIS_URL": "redis://environment", "SMSCD_SMPP_PORT": "2", "SMSCD_WORKERS": "3"}
    config = parse(table, environment)
    assert (config.redis_url, config.smpp.port, config.workers) == ("redis://environment", 2, 3)


def test_a_mistake_in_the_environment_names_the_variable_and_not_its_value() -> None:
    (mistake,) = mistakes_of({}, {"SMSCD_SMPP_PORT": "hunter2"})
    assert mistake.startswith("SMSCD_SMPP_PORT is wrong")
    assert "hunter2" not in mistake


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"admission": {"strict_seconds": 10.0}},
            "[admission] strict_seconds is not less than [http] request_seconds, which would end the wait: change one.",
        ),
        (
            {"limits": {"countries": "GB, UK"}},
            "[limits] countries is wrong: UK is not a country: take two letters of ISO 3166-1, such as GB.",
        ),
        ({"outbind": {"host": "0.0.0.0"}}, "[outbind] host is set: say in [outbind] allowed_addresses who may call."),
        (
            {"outbind": {"allowed_addresses": "192.0.2.7, 198.51.100.1/24"}},
            "[outbind] allowed_addresses is wrong: 198.51.100.1/24 has host bits set.",
        ),
        ({"admin": {"trusted_proxies": "no"}}, "[admin] trusted_proxies is wrong: 'no' does not appear to be"),
        ({"http": {"trusted_proxies": "10.0.0.1/8"}}, "[http] trusted_proxies is wrong: 10.0.0.1/8 has host bits set."),
        ({"redis_url": "http://x"}, "redis_url must begin with redis://"),
        ({"postgres_dsn": "mysql://x"}, "postgres_dsn must begin with postgresql://"),
        ({"postgres_owner_dsn": "postgresql://o@h/d"}, "given without postgres_dsn"),
        ({"admin": {"host": "0.0.0.0"}}, "set [admin] token"),
        ({"smpp": {"port": 8080}}, "[http] and [smpp] both want 127.0.0.1:8080"),
        ({"kannel": {"host": "127.0.0.1", "port": 8080}}, "[kannel] and [http] both want 127.0.0.1:8080"),
        ({"jasmin": {"host": "127.0.0.1", "port": 2775}}, "[jasmin] and [smpp] both want 127.0.0.1:2775"),
        ({"smpp": {"tls_certificate": "/c.pem"}}, "tls_certificate and tls_key belong together"),
        ({"smpp": {"tls_client_ca": "/ca.pem"}}, "needs tls_certificate and tls_key"),
        ({"smpp": {"is_plain_open": False}}, "leaves no door"),
        ({"smpp": {"tls_certificate": "/c", "tls_key": "/k", "tls_port": 2775}}, "are both 2775"),
    ],
)
def test_contradictions_are_found(table: dict[str, Any], says: str) -> None:
    (mistake,) = mistakes_of(table)
    assert says in mistake


def test_several_listeners_may_ask_for_a_free_port() -> None:
    parse({"smpp": {"port": 0}, "http": {"port": 0}, "admin": {"port": 0}}, {})


def test_a_file_that_is_not_there_or_not_toml_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml", {})
    bad = tmp_path / "bad.toml"
    bad.write_text("workers = ")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(bad, {})


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_door_that_is_not_opened_wants_no_port() -> None:
    assert parse({"kannel": {"port": 8080}, "jasmin": {"port": 8080}}, {}).kannel.host == ""
