"""The record: what is written can be read back, and tokens are found wherever a text can hide them."""

from pathlib import Path

import pytest

from tools.record import Line, RecordWriter, field, part_of, read_record, token_of


def test_lines_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    record = RecordWriter(tmp_path / "carrier.record")
    record.add([b"submit\t17\tabc\t99\t0\t-\t447700900123\t1/1\n", b"receipt\t18\tabc\t99\tDELIVRD\n"])
    record.close()
    assert list(read_record(tmp_path / "carrier.record")) == [
        Line(b"submit", 17, b"abc", b"99", b"0", b"", b"447700900123", b"1/1"),
        Line(b"receipt", 18, b"abc", b"99", b"DELIVRD"),
    ]


def test_record_is_appended_to_when_it_is_opened_again(tmp_path: Path) -> None:
    for ms in (1, 2):
        record = RecordWriter(tmp_path / "a.record")
        record.add([b"sent\t%d\tx\n" % ms])
        record.close()
    assert [line.ms for line in read_record(tmp_path / "a.record")] == [1, 2]


def test_torn_last_line_is_left_out_and_a_bad_line_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "torn.record"
    path.write_bytes(b"sent\t1\tx\nsent\t2\tto")
    assert [line.token for line in read_record(path)] == [b"x"]
    path.write_bytes(b"sent one x\nsent\t2\ty\n")
    with pytest.raises(ValueError, match=r"torn\.record:1"):
        list(read_record(path))


def test_fields_with_tabs_spaces_and_bytes_stay_one_field() -> None:
    assert field(b"abc123") == b"abc123"
    assert field(b"") == b"-"
    assert field(b"a\tb c\n%\xff") == b"a%09b%20c%0A%25%FF"
    assert field(b"A:b/c-d") == b"A:b/c-d"


def test_token_is_the_first_word_of_the_text() -> None:
    assert token_of(b"f00x0000001 and some more") == b"f00x0000001"
    assert token_of("tök word".encode("utf-16-be"), 0, 8) == b"t%C3%B6k"
    assert token_of(b"\x05\x00\x03\x07\x02\x01tok rest", 0x40) == b"tok"
    assert token_of(b"") == b"-"


def test_part_is_read_from_either_concatenation_element() -> None:
    assert part_of(b"whole", 0) == b"1/1"
    assert part_of(b"\x05\x00\x03\x07\x02\x01text", 0x40) == b"1/2:7"
    assert part_of(b"\x06\x08\x04\x01\x02\x03\x02text", 0x40) == b"2/3:258"
    assert part_of(b"\x06\x05\x04\x0b\x84\x0b\x84text", 0x40) == b"1/1"
    assert part_of(b"\x05\x00\x09\x07", 0x40) == b"1/1"
