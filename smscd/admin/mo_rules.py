"""Whose messages from phones are, as operators add, list and remove it; told to every process at once."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from smscd.admin.orders import Fault, Refusal, no_account, refused
from smscd.core.directory import MoNumber
from smscd.core.mo_rules import KEYWORD_CHARACTERS_MAX, keyword_of
from storage.postgres import mo_rules, operators
from storage.postgres.configuration import add_mo_number
from storage.postgres.pool import Database, acquired
from storage.redis.errors import StorageUnavailable

_NUMBER: Final = re.compile(r"\+?[0-9A-Za-z]{1,20}")

Tell = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What became of an order. before: the rule as it was; None: there was none.

    is_told: Redis has passed the notice on; otherwise every process finds out at its next look, within half a minute.
    """

    rule: MoNumber
    before: MoNumber | None
    is_told: bool


def rule_of(number: str, account: str, via: str, keyword: str, *, is_prefix: bool) -> MoNumber | Refusal:
    """A rule as it is kept, or what is wrong with it. keyword: empty for every text."""
    word = keyword_of(keyword) if keyword else ""
    faults: list[Fault] = []
    if word is None:
        rule = f"A keyword is one word of at most {KEYWORD_CHARACTERS_MAX} characters, without punctuation around it."
        faults.append(("keyword", rule))
    if not (_NUMBER.fullmatch(number) or (is_prefix and number == "")):
        rule = (
            "A number has 1 to 20 digits or letters and may begin with a plus sign; only a prefix may be *, which is "
            "every number."
        )
        faults.append(("number", rule))
    if via not in ("smpp", "webhook"):
        faults.append(("via", f"Messages go by smpp or webhook, not by {via}."))
    if refusal := refused(faults):
        return refusal
    number = number.removeprefix("+")
    return MoNumber(number=number, account=account, via=via, keyword=word or "", is_prefix=is_prefix)


async def add(rule: MoNumber, operator: str, database: Database, tell: Tell) -> RuleChange | Refusal:
    """Make or change a rule. One that was written with a plus sign before is the same rule."""
    async with acquired(database) as connection, connection.transaction():
        if await operators.find_account(connection, rule.account) is None:
            return no_account(rule.account)
        before = await _taken_out(connection, rule)
        await add_mo_number(connection, rule)
        if before != rule:
            old = None if before is None else _terms(before)
            await operators.log(connection, operator, "mo.add", described(rule), old=old, new=_terms(rule))
    return RuleChange(rule, before, await _told(tell))


async def remove(
    number: str, keyword: str, operator: str, database: Database, tell: Tell, *, is_prefix: bool
) -> RuleChange | Refusal:
    """Remove a rule; what it decided before stays with its account."""
    asked = rule_of(number, "", "smpp", keyword, is_prefix=is_prefix)
    if isinstance(asked, Refusal):
        return asked
    async with acquired(database) as connection, connection.transaction():
        before = await _taken_out(connection, asked)
        if before is None:
            return Refusal("not_found", 404, f"There is no rule for {described(asked)}: `smscd mo list` shows all.")
        await operators.log(connection, operator, "mo.remove", described(before), old=_terms(before))
    return RuleChange(asked, before, await _told(tell))


async def _taken_out(database: Database, rule: MoNumber) -> MoNumber | None:
    found = None
    for number in dict.fromkeys((rule.number, f"+{rule.number}")):
        before = await mo_rules.find(database, number, rule.keyword, is_prefix=rule.is_prefix)
        if before is not None:
            found = before
            await mo_rules.remove(database, number, rule.keyword, is_prefix=rule.is_prefix)
    return found


async def _told(tell: Tell) -> bool:
    try:
        await tell()
    except StorageUnavailable:
        return False
    return True


def described(rule: MoNumber) -> str:
    """What a rule is of, in words."""
    number = f"{rule.number}*" if rule.is_prefix else rule.number
    return f"{number} {rule.keyword}".strip()


def shown(rule: MoNumber) -> dict[str, object]:
    """A rule as JSON, the same by command and over HTTP."""
    return {
        "number": rule.number or "*",
        "prefix": rule.is_prefix,
        "keyword": rule.keyword or None,
        "account": rule.account,
        "via": rule.via,
    }


def _terms(rule: MoNumber) -> dict[str, object]:
    return {"account": rule.account, "via": rule.via}
