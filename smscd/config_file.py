"""Reads the configuration: TOML and environment in, one frozen value out, or every mistake at once, a sentence each.

A key is overruled by the environment variable of its path: redis_url by SMSCD_REDIS_URL, [smpp] port by
SMSCD_SMPP_PORT.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from smscd.config import Config

ENVIRONMENT_PREFIX = "SMSCD_"


class ConfigError(Exception):
    """The configuration cannot be used; str() has one line for each mistake."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read the file (if any), overrule it by the environment, and check everything. Raises ConfigError."""
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError([f"{path} cannot be read: {error.strerror}."]) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([f"{path} is not valid TOML: {error}."]) from error
    return parse(table, environment)


def parse(table: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Check a decoded table. Raises ConfigError with all mistakes of types, ranges, names and combinations."""
    mistakes: list[str] = []
    values = _section(Config, table, environment, "", mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    config = Config(**values)
    mistakes = _contradictions(config)
    if mistakes:
        raise ConfigError(mistakes)
    return config


def _section(
    struct: type[msgspec.Struct],
    table: Mapping[str, Any],
    environment: Mapping[str, str],
    path: str,
    mistakes: list[str],
) -> dict[str, Any]:
    """The checked values of one section, its sub-sections built; mistakes are added to the list."""
    hints = get_type_hints(struct, include_extras=True)
    for key in table:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            mistakes.append(f"{_shown(path, key)} is not a setting of smscd{hint}")
    values: dict[str, Any] = {}
    for name, wanted in hints.items():
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            inner = table.get(name, {})
            if not isinstance(inner, Mapping):
                mistakes.append(f"{_shown(path, name)} must be a section [{name}].")
                continue
            values[name] = wanted(**_section(wanted, inner, environment, name, mistakes))
            continue
        variable = ENVIRONMENT_PREFIX + (f"{path}_{name}" if path else name).upper()
        given: Any
        if variable in environment:
            shown, given, strict = variable, environment[variable], False
        elif name in table:
            shown, given, strict = _shown(path, name), table[name], True
        else:
            continue
        try:
            values[name] = msgspec.convert(given, wanted, strict=strict)
        except msgspec.ValidationError as error:
            # msgspec's words quote the value of a wrong choice only, never a string, which may be secret.
            choices = f"; choose one of {', '.join(get_args(wanted))}" if get_origin(wanted) is Literal else ""
            mistakes.append(f"{shown} is wrong: {str(error)[:1].lower()}{str(error)[1:]}{choices}.")
    return values


def _shown(path: str, key: str) -> str:
    return f"[{path}] {key}" if path else key


def _contradictions(config: Config) -> list[str]:
    """What no single value shows."""
    found = []
    if config.redis_url and urlsplit(config.redis_url).scheme not in ("redis", "rediss", "unix"):
        found.append("redis_url must begin with redis://, rediss:// or unix://.")
    for name in ("postgres_dsn", "postgres_owner_dsn"):
        value = getattr(config, name)
        if value and urlsplit(value).scheme not in ("postgresql", "postgres"):
            found.append(f"{name} must begin with postgresql://.")
    if config.postgres_owner_dsn and not config.postgres_dsn:
        found.append("postgres_owner_dsn is given without postgres_dsn: give both, or neither for the embedded server.")
    if not is_loopback(config.admin.host) and not config.admin.token:
        found.append(
            f"[admin] host {config.admin.host} can be reached from other machines: set [admin] token, or use 127.0.0.1."
        )
    found += _tls_contradictions(config)
    if config.admission.strict_seconds >= config.http.request_seconds:
        found.append(
            "[admission] strict_seconds is not less than [http] request_seconds, which would end the wait: change one."
        )
    try:
        _ = config.limits.new_account
    except ValueError as error:
        found.append(f"[limits] countries is wrong: {error}.")
    try:
        networks = config.outbind.networks
        if config.outbind.host and not networks:
            found.append("[outbind] host is set: say in [outbind] allowed_addresses who may call.")
    except ValueError as error:
        found.append(f"[outbind] allowed_addresses is wrong: {error}.")
    for listener_name, behind in (("http", config.http), ("admin", config.admin)):
        try:
            _ = behind.proxies
        except ValueError as error:
            found.append(f"[{listener_name}] trusted_proxies is wrong: {error}.")
    taken: dict[tuple[str, int], str] = {}
    for name in ("smpp", "http", "kannel", "jasmin", "admin"):
        listener = getattr(config, name)
        if not listener.host or (name == "smpp" and not config.smpp.is_plain_open):
            continue
        place = (listener.host, listener.port)
        if listener.port and place in taken:
            found.append(
                f"[{name}] and [{taken[place]}] both want {listener.host}:{listener.port}: change one of them."
            )
        taken[place] = name
    return found


def _tls_contradictions(config: Config) -> list[str]:
    """Of the SMPP listener's certificate. Whether the files can be read is seen when they are."""
    smpp = config.smpp
    found = []
    if bool(smpp.tls_certificate) != bool(smpp.tls_key):
        found.append("[smpp] tls_certificate and tls_key belong together: give both, or neither for no TLS.")
    if smpp.tls_client_ca and not smpp.tls_certificate:
        found.append("[smpp] tls_client_ca asks for certificates of ESMEs: it needs tls_certificate and tls_key.")
    if not smpp.is_plain_open and not smpp.tls_certificate:
        found.append("[smpp] is_plain_open = false leaves no door: give tls_certificate and tls_key.")
    if smpp.tls_certificate and smpp.is_plain_open and smpp.tls_port and smpp.tls_port == smpp.port:
        found.append(f"[smpp] port and tls_port are both {smpp.port}: change one of them.")
    return found


def is_loopback(host: str) -> bool:
    """True when a listener on this address is not reachable from other machines."""
    return host in ("localhost", "::1") or host.startswith("127.")
