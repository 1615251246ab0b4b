"""Money as customers read it."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1024)
def money(micros: int) -> str:
    """Micro-units as a decimal string with at least four places: 10000 is "0.0100", 12345 is "0.012345"."""
    whole, part = divmod(abs(micros), 1_000_000)
    digits = f"{part:06d}"
    digits = digits[:4] + digits[4:].rstrip("0")
    return f"{'-' if micros < 0 else ''}{whole}.{digits}"
