"""The bodies of the admin API: read strictly, with every field at fault in one answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from smscd.ingress.http.problems import MALFORMED_JSON, FieldError, Problem, invalid, problem
from smscd.ingress.http.strict_bodies import read_strict

MICROS: Final = 1_000_000
AmountText = Annotated[str, Meta(pattern=r"^-?[0-9]{1,10}(\.[0-9]{1,6})?$")]
AmountMicros = Annotated[int, Meta(ge=-(2**53), le=2**53)]

RULES: Final = {
    "amount": 'must be a decimal string with at most six decimals, such as "12.50"',
    "amount_micros": "must be a whole number of micro-units",
    "kind": "must be topup, adjust or correction",
    "reference": "must be a string",
    "note": "must be a string",
    "corrects": "must be a string, or null",
    "force": "must be true or false",
    "number": "must be a string: a number of ours, or with prefix the beginning of one, or *",
    "account": "must be a string",
    "via": "must be smpp or webhook",
    "keyword": "must be a string, or null",
    "prefix": "must be true or false",
}


class OrderRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order of money. Either amount or amount_micros."""

    reference: str
    amount: AmountText | None = None
    amount_micros: AmountMicros | None = None
    kind: Annotated[str, Meta(pattern="^(topup|adjust|correction)$")] = "topup"
    note: str = ""
    corrects: str | None = None
    force: bool = False

    @property
    def micros(self) -> int:
        """What is ordered, in micro-units."""
        return int(Decimal(self.amount) * MICROS) if self.amount is not None else self.amount_micros or 0


class MoRuleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose messages from phones are. prefix: number is the beginning of many; * is every number."""

    number: str
    account: str
    via: Annotated[str, Meta(pattern="^(smpp|webhook)$")] = "smpp"
    keyword: str | None = None
    prefix: bool = False


_values_decoder = msgspec.json.Decoder(dict[str, object])
_T = TypeVar("_T", bound=msgspec.Struct)


def check_order(order: OrderRequest) -> Problem | None:
    """What is wrong with an order beside its fields, one by one."""
    if (order.amount is None) == (order.amount_micros is None):
        return invalid([FieldError("/amount", "give either amount or amount_micros")])
    return None


def read_struct(body: bytes, kind: type[_T]) -> _T | Problem:
    """The struct that a body is, or everything that is wrong with it."""
    return read_strict(body, kind, RULES)


def read_fields(body: bytes) -> dict[str, object] | Problem:
    """The members of the JSON object that a body is."""
    try:
        return _values_decoder.decode(body)
    except msgspec.ValidationError:
        return invalid([FieldError("", "must be a JSON object")])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return problem(MALFORMED_JSON)
