"""data_coding: what an octet says, and which octet says the same of another charset. Quirks 27 and 28."""

from __future__ import annotations

import pytest

from protocols.gsm.coding import (
    Charset,
    Coding,
    CodingError,
    MessageClass,
    Waiting,
    WaitingKind,
    classify,
    recode,
)


@pytest.mark.parametrize(
    ("data_coding", "charset"),
    [
        (0x00, Charset.GSM7),
        (0x01, Charset.IA5),
        (0x02, Charset.OCTETS),
        (0x03, Charset.LATIN_1),
        (0x04, Charset.OCTETS),
        (0x05, Charset.JIS),
        (0x06, Charset.CYRILLIC),
        (0x07, Charset.HEBREW),
        (0x08, Charset.UCS2),
        (0x09, Charset.PICTOGRAM),
        (0x0A, Charset.ISO_2022_JP),
        (0x0B, Charset.RESERVED),
        (0x0C, Charset.RESERVED),
        (0x0D, Charset.KANJI),
        (0x0E, Charset.KS_C_5601),
        (0x0F, Charset.RESERVED),
    ],
)
def test_the_values_of_smpp_are_charsets_without_a_class(data_coding: int, charset: Charset) -> None:
    assert classify(data_coding) == Coding(charset)


@pytest.mark.parametrize(
    ("data_coding", "coding"),
    [
        (0x10, Coding(Charset.GSM7, MessageClass.FLASH)),
        (0x11, Coding(Charset.GSM7, MessageClass.EQUIPMENT)),
        (0x16, Coding(Charset.OCTETS, MessageClass.SIM)),
        (0x18, Coding(Charset.UCS2, MessageClass.FLASH)),
        (0x1B, Coding(Charset.UCS2, MessageClass.TERMINAL)),
        (0x1C, Coding(Charset.RESERVED, MessageClass.FLASH)),
        (0x20, Coding(Charset.GSM7, is_compressed=True)),
        (0x38, Coding(Charset.UCS2, MessageClass.FLASH, is_compressed=True)),
        (0x48, Coding(Charset.UCS2, is_deleted_after_reading=True)),
        (0x51, Coding(Charset.GSM7, MessageClass.EQUIPMENT, is_deleted_after_reading=True)),
        (0x80, Coding(Charset.RESERVED)),
        (0xBF, Coding(Charset.RESERVED)),
        (0xC0, Coding(Charset.GSM7, waiting=Waiting(WaitingKind.VOICEMAIL, False, False))),
        (0xC9, Coding(Charset.GSM7, waiting=Waiting(WaitingKind.FAX, True, False))),
        (0xDA, Coding(Charset.GSM7, waiting=Waiting(WaitingKind.EMAIL, True, True))),
        (0xE3, Coding(Charset.UCS2, waiting=Waiting(WaitingKind.OTHER, False, True))),
        (0xF0, Coding(Charset.GSM7, MessageClass.FLASH)),
        (0xF2, Coding(Charset.GSM7, MessageClass.SIM)),
        (0xF5, Coding(Charset.OCTETS, MessageClass.EQUIPMENT)),
    ],
)
def test_the_groups_of_gsm_are_read_in_full(data_coding: int, coding: Coding) -> None:
    """Quirk 28: 0x10 flash, 0xF0 to 0xF7 class, 0xC0 to 0xE0 message waiting."""
    assert classify(data_coding) == coding


def test_flash_is_class_0_said_aloud() -> None:
    assert [data_coding for data_coding in range(256) if classify(data_coding).is_flash] == [
        *range(0x10, 0x20, 4),
        *range(0x30, 0x40, 4),
        *range(0x50, 0x60, 4),
        *range(0x70, 0x80, 4),
        *range(0xF0, 0x100, 4),
    ]


@pytest.mark.parametrize(
    ("data_coding", "charset", "expected"),
    [
        (0x00, Charset.UCS2, 0x08),
        (0x00, Charset.LATIN_1, 0x03),
        (0x08, Charset.GSM7, 0x00),
        (0x03, Charset.IA5, 0x01),
        (0x01, Charset.OCTETS, 0x04),
        (0x02, Charset.OCTETS, 0x02),
        (0x10, Charset.UCS2, 0x18),
        (0x1A, Charset.GSM7, 0x12),
        (0xF0, Charset.UCS2, 0x18),
        (0xF1, Charset.OCTETS, 0xF5),
        (0xF6, Charset.GSM7, 0xF2),
        (0xC9, Charset.UCS2, 0xE9),
        (0xE9, Charset.GSM7, 0xD9),
        (0x50, Charset.UCS2, 0x58),
        (0x48, Charset.GSM7, 0x40),
        (0xF0, Charset.GSM7, 0xF0),
    ],
)
def test_class_and_waiting_are_kept_in_another_charset(data_coding: int, charset: Charset, expected: int) -> None:
    assert recode(data_coding, charset) == expected


def test_what_an_octet_says_is_kept_by_every_change_that_is_possible() -> None:
    changes = 0
    for data_coding in range(256):
        before = classify(data_coding)
        for charset in Charset:
            try:
                after = classify(recode(data_coding, charset))
            except CodingError:
                continue
            changes += after.charset is not before.charset
            assert after.charset is charset
            assert after.message_class is before.message_class
            assert after.is_deleted_after_reading is before.is_deleted_after_reading
            assert (after.waiting is None) is (before.waiting is None)
            if after.waiting is not None and before.waiting is not None:
                assert (after.waiting.kind, after.waiting.is_active) == (before.waiting.kind, before.waiting.is_active)
    assert changes > 200


@pytest.mark.parametrize(
    ("data_coding", "charset"),
    [
        (0x10, Charset.LATIN_1),
        (0xD0, Charset.OCTETS),
        (0x20, Charset.UCS2),
        (0x80, Charset.GSM7),
        (0x1C, Charset.GSM7),
        (0x08, Charset.RESERVED),
    ],
)
def test_what_no_octet_can_say_is_an_error(data_coding: int, charset: Charset) -> None:
    with pytest.raises(CodingError):
        recode(data_coding, charset)
