"""The minimal HTTP requester: responses whole, split, joined and wrong."""

import pytest

from tools.bench.http_wire import HttpWireError, ResponseParser, request_bytes

RESPONSE = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\ncontent-length: 9\r\n\r\n{'id': 1}"


def test_request_has_its_length() -> None:
    data = request_bytes("POST", "/v1/messages", {"Host": "h:1"}, b"{}")
    assert data == b"POST /v1/messages HTTP/1.1\r\nHost: h:1\r\nContent-Length: 2\r\n\r\n{}"


def test_whole_response_is_parsed() -> None:
    parser = ResponseParser()
    assert parser.feed(RESPONSE) == [(202, b"{'id': 1}")]
    assert parser.is_between_responses


def test_response_split_anywhere_is_parsed_once() -> None:
    for cut in range(1, len(RESPONSE)):
        parser = ResponseParser()
        assert parser.feed(RESPONSE[:cut]) + parser.feed(RESPONSE[cut:]) == [(202, b"{'id': 1}")]


def test_several_responses_in_one_read_come_in_order() -> None:
    second = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
    assert ResponseParser().feed(RESPONSE + second + RESPONSE[:20]) == [(202, b"{'id': 1}"), (429, b"")]


@pytest.mark.parametrize(
    "data",
    [
        b"SMPP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_not_read_here_is_an_error(data: bytes) -> None:
    with pytest.raises(HttpWireError):
        ResponseParser().feed(data)


def test_204_needs_no_length() -> None:
    assert ResponseParser().feed(b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n") == [(204, b"")]
