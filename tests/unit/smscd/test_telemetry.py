"""Logs: what must not be in them is not."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from smscd.telemetry import configure_logs, mask_number, mask_text, mask_url


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield io.StringIO()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_numbers_keep_their_country_and_last_digits() -> None:
    assert mask_number("+447700900123") == "+4477******23"
    assert mask_number("12345") == "12345"


def test_urls_lose_their_credentials_and_query() -> None:
    assert mask_url("redis://:secret@host:6379/0") == "redis://host:6379/0"
    assert mask_url("https://user:pw@host/path?token=1") == "https://host/path"


def test_free_text_loses_credentials_and_numbers_but_keeps_message_ids() -> None:
    text = mask_text("postgresql://a:b@h/d refused +447700900123 and 447700900123, message 7236514482193408001")
    assert text == "postgresql://***@h/d refused +4477******23 and 4477******23, message 7236514482193408001"


def test_secret_fields_texts_and_numbers_never_reach_the_log(stream: io.StringIO) -> None:
    configure_logs("info", "json", stream=stream, worker=3)
    structlog.get_logger().info(
        "message.accepted",
        text="canary text",
        password="hunter2",
        short_message=b"canary bytes",
        to="+447700900123",
        source=b"447700900456",
        redis_url="redis://:hunter3@h/0",
    )
    (line,) = lines_of(stream)
    assert line["event"] == "message.accepted"
    assert line["worker"] == 3
    assert line["to"] == "+4477******23"
    assert line["source"] == "4477******56"
    assert not any(word in stream.getvalue() for word in ("canary", "hunter2", "hunter3", "900123", "900456"))


def test_exceptions_are_logged_without_the_values_of_variables(stream: io.StringIO) -> None:
    configure_logs("info", "json", stream=stream)
    canary = "canary text"
    try:
        raise ValueError(len(canary))
    except ValueError:
        structlog.get_logger().exception("service.crashed")
    (line,) = lines_of(stream)
    assert "ValueError: 11" in line["exception"]
    assert "canary text" not in stream.getvalue()


def test_the_level_is_kept(stream: io.StringIO) -> None:
    configure_logs("warning", "json", stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines_of(stream)] == ["loud"]


def test_what_libraries_log_comes_out_in_the_same_form(stream: io.StringIO) -> None:
    configure_logs("info", "json", stream=stream)
    logging.getLogger("somebody").warning("hello %s", "there")
    (line,) = lines_of(stream)
    assert (line["event"], line["library"], line["detail"]) == ("library.said", "somebody", "hello there")


def test_the_console_form_has_one_line_for_an_event(stream: io.StringIO) -> None:
    configure_logs("info", "console", stream=stream)
    structlog.get_logger().info("session.bound", system_id="demo")
    assert stream.getvalue().count("\n") == 1
    assert "session.bound" in stream.getvalue()
