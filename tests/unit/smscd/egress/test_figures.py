"""What egress counts."""

from __future__ import annotations

from smscd.egress.figures import Tally, UpstreamFigures, observe_all


def test_tallies_add_up() -> None:
    total = Tally(accepted=1, late=2)
    total.add(Tally(accepted=3, doubted=4))
    assert (total.accepted, total.late, total.doubted) == (4, 2, 4)


def test_a_batch_of_values_is_observed_as_one_by_one() -> None:
    one, other = UpstreamFigures("a").response_seconds, UpstreamFigures("b").response_seconds
    values = [0.0005, 0.001, 0.3, 99.0]
    observe_all(one, values)
    for value in values:
        other.observe(value)
    assert (one.counts, one.total) == (other.counts, other.total)
