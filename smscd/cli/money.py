"""Amounts of money as people write and read them, exact to a millionth."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import click

MICROS = 1_000_000
MICROS_MAX = 2**53


class Money(click.ParamType[int]):
    """A decimal amount, exact to a millionth, as integer micro-units."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Text to micro-units."""
        if isinstance(value, int):
            return value
        try:
            micros = Decimal(value) * MICROS
            if not micros.is_finite() or micros != micros.to_integral_value():
                raise InvalidOperation
        except InvalidOperation:
            self.fail(f"{value} is not an amount with at most six decimals", param, ctx)
        if abs(micros) >= MICROS_MAX:
            self.fail(f"{value} is beyond what a balance can hold", param, ctx)
        return int(micros)


def shown_money(micros: int, currency: str) -> str:
    """Micro-units for people: at least two decimals."""
    text = f"{Decimal(micros) / MICROS:f}"
    whole, _, part = text.partition(".")
    return f"{whole}.{part.ljust(2, '0')} {currency}".rstrip()
