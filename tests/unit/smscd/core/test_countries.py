"""Countries by number: codes of one country, codes that several share, and those of none."""

from __future__ import annotations

import timeit

import pytest

from smscd.core.countries import PREFIX_DIGITS_MAX, PREFIXES, UNKNOWN, country_of


@pytest.mark.parametrize(
    ("digits", "country"),
    [
        ("447700900123", "GB"),
        ("4915112345678", "DE"),
        ("33612345678", "FR"),
        ("5511987654321", "BR"),
        ("8613800138000", "CN"),
        ("2348031234567", "NG"),
        ("37061234567", "LT"),
        ("38344123456", "XK"),
        ("24740001", "SH"),
    ],
)
def test_a_calling_code_of_one_country_tells_it(digits: str, country: str) -> None:
    assert country_of(digits) == country


@pytest.mark.parametrize(
    ("digits", "country"),
    [
        ("12125550123", "US"),
        ("14165550123", "CA"),
        ("16045550123", "CA"),
        ("18765550123", "JM"),
        ("18095550123", "DO"),
        ("17875550123", "PR"),
        ("79161234567", "RU"),
        ("77011234567", "KZ"),
        ("447797123456", "JE"),
        ("447700300123", "JE"),
        ("447781123456", "GG"),
        ("447911123456", "GG"),
        ("447911223456", "GB"),
        ("447624123456", "IM"),
        ("262639123456", "YT"),
        ("262692123456", "RE"),
        ("5994161234", "BQ"),
        ("59995181234", "CW"),
        ("390669812345", "VA"),
        ("393331234567", "IT"),
    ],
)
def test_a_code_that_several_countries_share_is_told_by_its_range(digits: str, country: str) -> None:
    assert country_of(digits) == country


@pytest.mark.parametrize("digits", ["", "4", "0", "210123456", "881612345678", "88213300001", "999123", "+44", "ACME"])
def test_what_no_country_has_is_unknown(digits: str) -> None:
    assert country_of(digits) == UNKNOWN


def test_digits_after_the_longest_prefix_change_nothing() -> None:
    for prefix in PREFIXES:
        number = (prefix + "5050505050")[:PREFIX_DIGITS_MAX]
        assert country_of(number) == country_of(number + "123456")


def test_only_codes_that_countries_share_are_the_start_of_longer_ones() -> None:
    """E.164 codes are a prefix code: a typing mistake in the table would break that."""
    starts = {prefix[:n] for prefix in PREFIXES for n in range(1, len(prefix))} & set(PREFIXES)
    assert starts == {"1", "7", "39", "44", "47", "61", "212", "262", "358", "599"}
    assert all(country.isalpha() and country.isupper() and len(country) == 2 for country in PREFIXES.values())


def test_a_country_is_found_in_less_than_two_microseconds() -> None:
    numbers = ("12125550123", "447911123456", "4915112345678", "881612345678")
    seconds = min(timeit.repeat(lambda: [country_of(number) for number in numbers], number=5_000, repeat=5))
    assert seconds / 5_000 / len(numbers) < 2e-6
