"""Look-ups in the directory: longest prefix, own routes first, and fast with many prefixes."""

from __future__ import annotations

from smscd.core.directory import Account, ApiKey, Cost, Credential, MoNumber, Price, Route, Snapshot
from smscd.core.directory_index import OFFERS_MAX, DirectoryIndex, Offer
from smscd.core.reasons import Reason, Rejected
from smscd.core.upstream import Upstream


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


def offer(directory: DirectoryIndex, account: str, digits: bytes, now_ms: int = 0) -> Offer | Rejected:
    entry = directory.entry(account)
    assert entry is not None
    return directory.offer(entry, digits, now_ms)


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
    assert chosen(directory, "b", b"4477123456") is Reason.NO_ROUTE, "gold has no price for it"
    assert chosen(directory, "b", b"4912345678") == ("one", 7)


def test_no_route_and_no_price_are_refused() -> None:
    directory = index()
    assert chosen(directory, "a", b"8612345678") is Reason.NO_ROUTE
    assert chosen(directory, "b", b"4477123456") is Reason.NO_ROUTE
    assert directory.prices.price("gold", b"44", 0) is None and directory.prices.price("none", b"44", 0) is None


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
        directory.offer(entry, b"%09d" % number, 0)
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
    found = directory.key(b"k")
    assert found is not None and found.entry is directory.entry("a") and directory.key(b"r") is None
    assert directory.upstream("off") == upstream("off", is_enabled=False) and directory.upstream("z") is None
    assert directory.mo_rules.find(b"12345") is number and directory.mo_rules.find(b"+12345") is number
    assert directory.mo_rules.find(b"123456") is None


def test_an_offer_is_remembered_only_as_long_as_its_price_is_valid() -> None:
    """Whatever the order of the moments: the clock that is asked may be set back."""
    prices = (
        Price(plan="default", prefix="", price_micros=1, valid_until_ms=1_000),
        Price(plan="default", prefix="", price_micros=2, valid_from_ms=1_000, valid_until_ms=2_000),
    )
    directory = index(prices=prices)
    for now_ms, expected in ((0, 1), (999, 1), (1_000, 2), (999, 1), (1_999, 2), (2_000, None), (1_500, 2)):
        found = offer(directory, "a", b"4412345678", now_ms)
        assert (None if isinstance(found, Rejected) else found.price_micros) == expected, now_ms
    assert offer(directory, "a", b"4412345678", 1_500) is offer(directory, "a", b"4412345678", 1_999)


def test_an_offer_knows_what_the_upstream_that_was_chosen_asks_in_the_accounts_currency() -> None:
    costs = tuple(
        Cost(upstream=upstream, currency=currency, prefix=prefix, cost_micros=micros)
        for upstream, currency, prefix, micros in (
            ("one", "EUR", "4", 1), ("one", "EUR", "441", 2), ("two", "EUR", "4477", 3), ("one", "USD", "4", 4)
        )
    )  # fmt: skip
    accounts = (Account(id="a"), Account(id="b", plan="gold", currency="USD"))
    directory = index(accounts=accounts, costs=costs)
    asked = (("a", b"4412345678"), ("a", b"4402345678"), ("a", b"4477123456"), ("a", b"3312345678"), ("b", b"4912345"))
    found = [offer(directory, account, digits) for account, digits in asked]
    assert [isinstance(one, Offer) and one.cost_micros for one in found] == [2, 1, 3, 0, 4]


def test_what_is_remembered_is_bounded_for_all_accounts_together() -> None:
    directory = index(
        accounts=tuple(Account(id=name) for name in "abc"),
        routes=(Route(prefix="", upstreams=("one",)), Route(prefix="123456789", upstreams=("two",))),
    )
    entries = [entry for name in "abc" if (entry := directory.entry(name)) is not None]
    for number in range(OFFERS_MAX):
        for entry in entries:
            directory.offer(entry, b"%09d" % number, 0)
        if not number % 1_000:
            assert sum(len(entry.offers) for entry in entries) <= OFFERS_MAX
