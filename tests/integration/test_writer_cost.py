"""The writer works on batches: a coarse bound on CPU and rows a message, far above what a quiet machine shows."""

from __future__ import annotations

from storage.embedded.postgres import EmbeddedPostgres
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_cost import measure

pytest_plugins = ("tests.integration.postgres_fixture",)


async def test_a_whole_life_costs_microseconds_and_at_most_two_updates(
    postgres_server: EmbeddedPostgres, record_database: RecordDatabase
) -> None:
    figures = await measure(postgres_server, record_database.dsn, 4_000, gap=60)
    assert figures["python_us_per_message"] < 100
    assert figures["postgres_us_per_message"] < 300
    assert figures["updates_per_message"] <= 2
    assert figures["batches"] < 10
