"""What is quoted is what is charged: planning says the same whatever it remembers, and what the rows say by hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from smscd.core.directory import Account, Cost, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.planning import plan
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Door
from smscd.core.submission import Submission
from smscd.core.upstream import Upstream

DAY = 86_400_000
START = 1_790_000_000_000
ACCOUNTS = (
    Account(id="a", any_sender=True),
    Account(id="b", any_sender=True, plan="gold", currency="USD"),
    Account(id="c", any_sender=True, languages=frozenset({1})),
)
UPSTREAMS = (
    Upstream(id="one", host="h", port=1, system_id="s", password="p"),
    Upstream(id="two", host="h", port=1, system_id="s", password="p", long_message="payload"),
)
ROUTES = (Route(prefix="", upstreams=("one",)), Route(prefix="447", upstreams=("two",)))

prefixes = st.text("47", max_size=3).map(lambda rest: f"4{rest}")
periods = st.sampled_from([(None, None), (None, 2), (1, 3), (3, None), (2, 4)])
terms = st.dictionaries(prefixes, st.tuples(st.integers(0, 10**9), periods), max_size=6)
asks = st.lists(
    st.tuples(
        st.sampled_from(ACCOUNTS),
        prefixes.map(lambda prefix: prefix.ljust(11, "0").encode()),
        st.text("a\u20ac\u015f\u2713\U0001f600", min_size=1, max_size=200),
        st.integers(0, 5 * DAY),
    ),
    min_size=1,
    max_size=12,
)


def moment(day: int | None) -> int | None:
    return None if day is None else START + day * DAY


def by_hand(rows: list[tuple[str, int, int | None, int | None]], dest: str, now_ms: int) -> int | None:
    """The price of the longest prefix that is valid, by trying every row."""
    valid = [
        (len(prefix), micros)
        for prefix, micros, begins, ends in rows
        if dest.startswith(prefix) and (begins is None or begins <= now_ms) and (ends is None or now_ms < ends)
    ]
    return max(valid)[1] if valid else None


@settings(max_examples=150, deadline=None)
@given(default=terms, gold=terms, one=terms, two=terms, asked=asks)
def test_a_quote_by_a_fresh_index_is_the_charge_by_one_that_remembers(
    default: dict[str, tuple[int, tuple[int | None, int | None]]],
    gold: dict[str, tuple[int, tuple[int | None, int | None]]],
    one: dict[str, tuple[int, tuple[int | None, int | None]]],
    two: dict[str, tuple[int, tuple[int | None, int | None]]],
    asked: list[tuple[Account, bytes, str, int]],
) -> None:
    def rows(
        given: dict[str, tuple[int, tuple[int | None, int | None]]],
    ) -> list[tuple[str, int, int | None, int | None]]:
        return [(prefix, micros, moment(begins), moment(ends)) for prefix, (micros, (begins, ends)) in given.items()]

    plans = {"default": rows(default), "gold": rows(gold)}
    costs = {("one", "EUR"): rows(one), ("two", "EUR"): rows(two), ("two", "USD"): rows(one)}
    snapshot = Snapshot(
        accounts=ACCOUNTS,
        upstreams=UPSTREAMS,
        routes=ROUTES,
        prices=tuple(
            Price(plan=name, prefix=prefix, price_micros=micros, valid_from_ms=begins, valid_until_ms=ends)
            for name, found in plans.items()
            for prefix, micros, begins, ends in found
        ),
        costs=tuple(
            Cost(upstream=name, currency=currency, prefix=prefix, cost_micros=micros, valid_from_ms=begins,
                 valid_until_ms=ends)
            for (name, currency), found in costs.items()
            for prefix, micros, begins, ends in found
        ),
    )  # fmt: skip
    remembering = DirectoryIndex(snapshot)
    for id, (account, dest, text, after_ms) in enumerate(asked, 1):
        now_ms = START + after_ms
        submission = Submission(account, Door.HTTP, b"ACME", dest, text=text)
        charged = plan(submission, remembering, id, now_ms)
        quoted = plan(submission, DirectoryIndex(snapshot), 0, now_ms)
        price = by_hand(plans[account.plan], dest.decode(), now_ms)
        if isinstance(charged, Rejected) or isinstance(quoted, Rejected):
            assert price is None
            assert isinstance(charged, Rejected) and isinstance(quoted, Rejected)
            assert charged.reason is quoted.reason is Reason.NO_ROUTE
            continue
        assert price is not None
        record = charged.record
        cost = by_hand(costs.get((record.upstream, account.currency), []), dest.decode(), now_ms) or 0
        assert (record.price_micros, record.cost_micros) == (price * record.parts, cost * record.parts)
        same = ("price_micros", "cost_micros", "parts", "upstream", "data_coding")
        assert [getattr(quoted.record, name) for name in same] == [getattr(record, name) for name in same]
