"""Look-ups in the directory: longest prefix, own routes first, and fast with many prefixes."""

from __future__ import annotations

import random
import timeit

from smscd.core.directory import (
    Account,
    ApiKey,
    Credential,
    MoNumber,
    Price,
    Route,
    Snapshot,
    Upstream,
)
from smscd.core.directory_index import OFFERS_MAX, DirectoryIndex, Offer, PrefixTable
from smscd.core.reasons import Reason, Rejected


def upstream(name: str, *, is_enabled: bool = True) -> Upstream:
    return Upstream(id=name, host="h", port=1, system_id="s", password="p", is_enabled=is_enabled)


def index(**parts: object) -> DirectoryIndex:
    given = {
        "accounts": (Account(id="a"), Account(id="b", plan="gold")),
        "upstreams": (upstream("one"), upstream("two"), upstream("off", is_enabled=False)),
        "prices": (
            Price(plan="default", prefix="", price_micros=50_000),
            Price(plan="default", prefix="44", price_micros=20_000),
            Price(plan="default", prefix="447", price_micros=0),
            Price(plan="gold", prefix="49", price_micros=7),
        ),
        "routes": (
            Route(prefix="44", upstreams=("one",)),
            Route(prefix="+4477", upstreams=("two",)),
            Route(prefix="4", upstreams=("one", "two"), account="b"),
            Route(prefix="33", upstreams=("off", "two")),
            Route(prefix="34", upstreams=("off",)),
            Route(prefix="35", upstreams=("gone",)),
        ),
    }
    return DirectoryIndex(Snapshot(**(given | parts)))  # type: ignore[arg-type]  # fields are typed by Snapshot


def offer(directory: DirectoryIndex, account: str, digits: bytes) -> Offer | Rejected:
    entry = directory.entry(account)
    assert entry is not None
    return directory.offer(entry, digits)


def chosen(directory: DirectoryIndex, account: str, digits: bytes) -> tuple[str, int] | Reason:
    found = offer(directory, account, digits)
    return found.reason if isinstance(found, Rejected) else (found.upstream.id, found.price_micros)


def test_the_longest_prefix_wins_for_route_and_price_each() -> None:
    directory = index()
    assert chosen(directory, "a", b"4412345678") == ("one", 20_000)
    assert chosen(directory, "a", b"4471234567") == ("one", 0)
    assert chosen(directory, "a", b"4477123456") == ("two", 0)


def test_an_accounts_own_route_wins_even_when_it_is_shorter() -> None:
    directory = index()
    route = directory.route("b", b"4477123456")
    assert route is not None and route.account == "b"
    assert chosen(directory, "b", b"4912345678") == ("one", 7)


def test_no_route_and_no_price_are_refused() -> None:
    directory = index()
    assert chosen(directory, "a", b"8612345678") is Reason.NO_ROUTE
    assert chosen(directory, "b", b"4477123456") is Reason.NO_ROUTE
    assert directory.route("a", b"8612345678") is None
    assert directory.price("gold", b"44") is None and directory.price("none", b"44") is None


def test_a_paused_upstream_is_passed_over_and_all_paused_is_said_so() -> None:
    directory = index()
    assert chosen(directory, "a", b"3312345678") == ("two", 50_000)
    assert chosen(directory, "a", b"3412345678") is Reason.NO_ROUTE_AVAILABLE
    assert chosen(directory, "a", b"3512345678") is Reason.NO_ROUTE


def test_an_offer_is_remembered_and_never_given_to_another_prefix() -> None:
    directory = index()
    assert offer(directory, "a", b"4412345678") is offer(directory, "a", b"4412349999")
    assert chosen(directory, "a", b"4477000000") == ("two", 0)


def test_what_is_remembered_is_bounded() -> None:
    directory = index(routes=(Route(prefix="", upstreams=("one",)), Route(prefix="123456789", upstreams=("two",))))
    entry = directory.entry("a")
    assert entry is not None
    for number in range(OFFERS_MAX + 10):
        directory.offer(entry, b"%09d" % number)
    assert len(entry.offers) <= OFFERS_MAX


def test_everything_is_found_by_its_key() -> None:
    credential = Credential(system_id="esme", account="a", password_hmac=b"h")
    key = ApiKey(key_hash=b"k", account="a")
    revoked = ApiKey(key_hash=b"r", account="a", is_revoked=True)
    number = MoNumber(number="+12345", account="a")
    directory = index(credentials=(credential,), api_keys=(key, revoked), mo_numbers=(number,))
    assert directory.account("a") == Account(id="a") and directory.account("z") is None
    assert directory.entry("z") is None
    assert directory.credential(b"esme") is credential and directory.credential(b"\xff") is None
    assert directory.api_key(b"k") is key and directory.api_key(b"r") is None
    assert directory.upstream("off") == upstream("off", is_enabled=False) and directory.upstream("z") is None
    assert directory.mo_number(b"12345") is number and directory.mo_number(b"+12345") is number
    assert directory.mo_number(b"123456") is None


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
