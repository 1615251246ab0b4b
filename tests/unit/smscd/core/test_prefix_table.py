"""Longest prefix: found whatever the prefixes are, and fast with many."""

from __future__ import annotations

import random
import timeit

from smscd.core.prefix_table import PrefixTable


def test_a_number_that_is_shorter_than_every_prefix_is_no_error() -> None:
    table = PrefixTable([("4477", 1)])
    assert table.find(b"44") is None and table.find(b"") is None
    assert PrefixTable[int]([]).find(b"44") is None


def test_random_tables_find_what_trying_every_length_finds() -> None:
    chance = random.Random(5)
    for _ in range(300):
        digits = "12" if chance.random() < 0.5 else "0123456789"
        prefixes = {
            "".join(chance.choices(digits, k=chance.randrange(0, 9))): number for number in range(chance.randrange(40))
        }
        table = PrefixTable(prefixes.items())
        for _ in range(50):
            number = "".join(chance.choices(digits, k=chance.randrange(0, 12)))
            expected = next((prefixes[number[:n]] for n in range(len(number), -1, -1) if number[:n] in prefixes), None)
            assert table.find(number.encode()) == expected


def test_a_hundred_thousand_prefixes_are_searched_in_about_a_microsecond() -> None:
    chance = random.Random(3)
    prefixes = {str(chance.randrange(1, 10 ** chance.randrange(1, 10))) for _ in range(190_000)}
    table = PrefixTable([(prefix, 1) for prefix in prefixes])
    numbers = [b"%d" % chance.randrange(10**10, 10**12) for _ in range(1_000)]

    def search() -> None:
        for number in numbers:
            table.find(number)

    assert len(prefixes) > 90_000
    seconds = min(timeit.repeat(search, number=1, repeat=20)) / len(numbers)
    assert seconds < 5e-6  # about 1 µs on a quiet machine; a linear search would take milliseconds
