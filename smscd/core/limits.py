"""Limits against fraud, pure: what an account may spend in a day and send to one prefix, and where it may send.

Whoever pumps messages to numbers that earn him money takes numbers of one block: a prefix is a number less its last
four digits. Spend and prefixes are counted in the script that admits, countries are decided in planning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from smscd.core.countries import PREFIXES

PREFIX_LESS_DIGITS: Final = 4
VELOCITY_MAX: Final = 65_535
"""The highest limit of a minute: what the counter of a prefix holds."""
COUNTRIES: Final = frozenset(PREFIXES.values())


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What an account is held to; None, 0 and empty: no limit.

    spend_per_day_micros: charged on a UTC day of Redis TIME, whatever is refunded later. velocity_per_minute: messages
    to one prefix in any 60 s. velocity_per_day: on a UTC day. allowed_countries: see core.countries.
    """

    spend_per_day_micros: int | None = None
    velocity_per_minute: int = 0
    velocity_per_day: int = 0
    allowed_countries: frozenset[str] = frozenset()

    @property
    def has_velocity(self) -> bool:
        """True when messages are counted by prefix."""
        return bool(self.velocity_per_minute or self.velocity_per_day)

    @property
    def is_counted(self) -> bool:
        """True when the script that admits has anything to count."""
        return self.has_velocity or self.spend_per_day_micros is not None


def prefix_of(digits: bytes) -> bytes:
    """The block of numbers that this one belongs to."""
    return digits[:-PREFIX_LESS_DIGITS]


def countries_of(codes: Iterable[str]) -> frozenset[str]:
    """A list of countries, checked. Raises ValueError for a code that no country has."""
    found = frozenset(codes)
    unknown = sorted(found - COUNTRIES)
    if unknown:
        raise ValueError(f"{unknown[0]} is not a country: take two letters of ISO 3166-1, such as GB")
    return found
