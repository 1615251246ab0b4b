"""The configuration goes into PostgreSQL and comes back as one snapshot."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from smscd.core.directory import Account, ApiKey, Credential, Halt, MoNumber, Price, Route, Snapshot, WebhookEndpoint
from smscd.core.limits import Limits
from smscd.core.routing import Rules
from smscd.core.upstream import Upstream, VendorTlv
from storage.postgres import configuration, webhooks
from storage.postgres.pool import Connection, open_pool
from tests.integration.postgres_databases import RecordDatabase

pytest_plugins = ("tests.integration.postgres_fixture",)

ACCOUNT = Account(
    id="acme", senders=frozenset({"ACME", "4477"}), rate_per_second=5.5, webhook_url="https://x.example/h", tariff=1,
    allowed_networks=frozenset({"192.0.2.0/24", "2001:db8::/32"}), binds_rx_max=0, binds_trx_max=2,
    default_alphabet="latin1", languages=frozenset({1, 13}), is_little_endian=True, mo_delivery="whole",
    spend_per_day_micros=7, velocity_per_minute=50, velocity_per_day=500, allowed_countries=frozenset({"GB", "IE"}),
    durability="strict", http_networks=frozenset({"198.51.100.0/24"}),
)  # fmt: skip
UPSTREAM = Upstream(
    id="carrier", host="127.0.0.1", port=2776, system_id="s", password="p",
    temporary_statuses=frozenset({0x58, 0x14}), permanent_statuses=frozenset({0xFFFFFFFF}), receipt_id="zeros",
    uses_tls=True, tls_ca_file="/ca.pem", tls_certificate_file="/cert.pem", tls_key_file="/key.pem",
    tls_server_name="smsc.example", tls_is_verified=False,
    default_alphabet="gsm_packed", is_little_endian=True, is_zero_padded=True, long_message="sar", esm_mode=3,
    validity_form="absolute", validity_offset_quarters=-20, source_ton=99, source_npi=0, dest_ton=2, dest_npi=8,
    service_type="", receipt_by_text_alone=True, strips_trailing_nul=True, priority_flag=2,
    vendor_tlvs=(
        VendorTlv(tag=0x1400, name="entity", kind="c_octets", size_min=2, size_max=20, is_required=True),
        VendorTlv(tag=0x1401, name="mccmnc", kind="integer", size_min=1, size_max=4),
        VendorTlv(tag=0x1402, name="raw", kind="octets", size_min=0, size_max=9),
    ),
    receipt_stats={"ACKED": "DELIVRD", "NO ROUTE": "UNDELIV"}, mo_join_seconds=86_400,
    throttling_statuses=frozenset({0x400}), status_delays={0x14: 30.0, 0xFFFFFFFF: 0.5}, retry_base_seconds=1.5,
    retry_max_seconds=60.0, breaker_failures_max=9, breaker_error_rate=0.25, breaker_slow_seconds=3.0,
    breaker_open_seconds=20.0,
)  # fmt: skip
SNAPSHOT = Snapshot(
    accounts=(ACCOUNT,),
    credentials=(Credential(system_id="acme", account="acme", password_hmac=b"\0" * 32, client_certificate="CN=acme"),),
    api_keys=(ApiKey(key_hash=b"\1" * 32, account="acme", prefix="smk_a", scopes=frozenset({"read"}), label="shop"),),
    upstreams=(UPSTREAM,),
    routes=(
        Route(prefix="44", upstreams=("carrier", "other")),
        Route(
            prefix="44",
            upstreams=("a", "b"),
            name="night",
            source="ACME*",
            tags=frozenset({"bulk", "vip"}),
            zone="Europe/London",
            days=frozenset({1, 7}),
            from_minute=1320,
            until_minute=360,
            choice="weighted",
            weights=(3, 1),
            in_doubt="hold",
        ),
        Route(prefix="4477", upstreams=("o",), account="acme"),
    ),
    prices=(Price(plan="default", prefix="", price_micros=10_000), Price(plan="default", prefix="44", price_micros=7)),
    mo_numbers=(MoNumber(number="12345", account="acme", via="webhook"),),
    webhook_endpoints=(
        WebhookEndpoint(
            id=7,
            account="acme",
            url="https://x.example/",
            events=frozenset({"message.failed", "message.received"}),
            secret="whsec_x",
        ),
    ),
)


async def add(daemon: Connection, snapshot: Snapshot) -> None:
    for account in snapshot.accounts:
        await configuration.add_account(daemon, account)
    for credential in snapshot.credentials:
        await configuration.add_credential(daemon, credential)
    for key in snapshot.api_keys:
        await configuration.add_api_key(daemon, key)
    for upstream in snapshot.upstreams:
        await configuration.add_upstream(daemon, upstream)
    for route in snapshot.routes:
        await configuration.add_route(daemon, route)
    await configuration.add_prices(daemon, snapshot.prices)
    if not (await configuration.load_snapshot(daemon)).webhook_endpoints:
        for endpoint in snapshot.webhook_endpoints:
            assert await webhooks.add(daemon, endpoint, None, 1) is not None
            assert await webhooks.add(daemon, endpoint, None, 1) is None
    for number in snapshot.mo_numbers:
        await configuration.add_mo_number(daemon, number)


async def loaded_from(daemon: Connection) -> Snapshot:
    """All but the numbers that say which prices and routes they are."""
    return msgspec.structs.replace(await configuration.load_snapshot(daemon), prices_version=0, routes_version=0)


async def test_what_was_added_is_what_is_loaded(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    assert await loaded_from(daemon) == SNAPSHOT


async def test_adding_the_same_again_changes_nothing(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    await add(daemon, SNAPSHOT)
    assert await loaded_from(daemon) == SNAPSHOT


async def test_adding_with_other_values_replaces_them(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    changed = Account(id="acme", is_suspended=True, credit_limit_micros=5)
    await configuration.add_account(daemon, changed)
    await configuration.add_prices(
        daemon,
        [Price(plan="default", prefix="44", price_micros=8), Price(plan="default", prefix="44", price_micros=9)],
    )
    loaded = await configuration.load_snapshot(daemon)
    assert loaded.accounts == (changed,)
    assert loaded.prices[-1].price_micros == 9


async def test_an_account_can_have_a_price_plan_of_its_own(daemon: Connection) -> None:
    await configuration.add_price_plan(daemon, "gold", "GBP")
    await configuration.add_price_plan(daemon, "gold", "USD")
    await configuration.add_account(daemon, Account(id="acme", plan="gold"))
    await configuration.add_prices(daemon, [Price(plan="gold", prefix="", price_micros=1)])
    assert (await configuration.load_snapshot(daemon)).prices == (Price(plan="gold", prefix="", price_micros=1),)
    assert await daemon.fetchval("SELECT currency FROM price_plans WHERE id = 'gold'") == "USD"


@pytest.mark.parametrize(
    "wrong",
    [
        Account(id="acme", allowed_networks=frozenset({"192.0.2.0/33"})),
        Account(id="acme", allowed_networks=frozenset({"192.0.2.1/24"})),
        Account(id="acme", binds_tx_max=-1),
    ],
)
async def test_limits_that_make_no_sense_are_refused_by_the_database(daemon: Connection, wrong: Account) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await configuration.add_account(daemon, wrong)


async def test_a_certificate_is_a_fingerprint_or_a_common_name(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    for shown in ("ab" * 32, "CN=x", ""):
        credential = Credential(system_id="acme", account="acme", password_hmac=b"\0" * 32, client_certificate=shown)
        await configuration.add_credential(daemon, credential)
        assert (await configuration.load_snapshot(daemon)).credentials == (credential,)
    wrong = Credential(system_id="acme", account="acme", password_hmac=b"\0" * 32, client_certificate="AB" * 32)
    with pytest.raises(asyncpg.CheckViolationError):
        await configuration.add_credential(daemon, wrong)


async def test_a_snapshot_is_loaded_from_a_pool_as_well(record_database: RecordDatabase) -> None:
    pool = await open_pool(record_database.dsn)
    try:
        await configuration.add_account(pool, ACCOUNT)
        assert (await configuration.load_snapshot(pool)).accounts == (ACCOUNT,)
    finally:
        await pool.close()


async def test_a_key_that_was_revoked_or_expired_a_month_ago_is_not_loaded(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    now = datetime.now(UTC).replace(microsecond=0)
    ended = [
        ApiKey(key_hash=b"\2" * 32, account="acme", is_revoked=True),
        ApiKey(key_hash=b"\3" * 32, account="acme", expires_at=now - timedelta(days=31)),
        ApiKey(key_hash=b"\4" * 32, account="acme", expires_at=now - timedelta(days=29)),
    ]
    for key in ended:
        await configuration.add_api_key(daemon, key)
    assert (await configuration.load_snapshot(daemon)).api_keys == (SNAPSHOT.api_keys[0], ended[2])


async def test_nothing_makes_a_key_valid_again(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    now = datetime.now(UTC).replace(microsecond=0)
    (key,) = SNAPSHOT.api_keys
    ending = msgspec.structs.replace(key, expires_at=now)
    for again in (ending, key, msgspec.structs.replace(key, expires_at=now + timedelta(days=1))):
        await configuration.add_api_key(daemon, again)
        assert (await configuration.load_snapshot(daemon)).api_keys == (ending,)


async def test_routes_are_read_again_only_when_they_changed(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    first = await configuration.load_snapshot(daemon)
    await configuration.add_account(daemon, Account(id="other"))
    second = await configuration.load_snapshot(daemon, first)
    assert len(second.accounts) == 2 and second.routes is first.routes
    route = SNAPSHOT.routes[0]
    async with daemon.transaction():
        await configuration.add_routes(daemon, [route, SNAPSHOT.routes[1]])
        within = await configuration.load_snapshot(daemon, second)
        await configuration.add_routes(daemon, [route])
        assert (await configuration.load_snapshot(daemon)).routes_version == within.routes_version
    assert within.routes_version != first.routes_version and within.routes is not first.routes
    await configuration.delete_route(daemon, "acme", "4477")
    after = await configuration.load_snapshot(daemon, within)
    assert after.routes_version != within.routes_version and len(after.routes) == 2


async def test_a_route_whose_time_zone_is_not_known_here_is_loaded_with_the_others(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    await daemon.execute("UPDATE routes SET zone = 'Europe/Nowhere' WHERE name = 'night'")
    loaded = await configuration.load_snapshot(daemon)
    assert len(loaded.routes) == 3
    assert [route.label for route in Rules(loaded.routes).unusable] == ["*/44/night"]


async def test_a_halt_is_loaded_with_when_it_was_ordered(daemon: Connection) -> None:
    await daemon.execute(
        "INSERT INTO halts (kind, name, state, operator, since) "
        "VALUES ('upstream', 'carrier', 'paused', 'ann', '2026-11-26T12:00:00.5Z')"
    )
    assert (await configuration.load_snapshot(daemon)).halts == (
        Halt(kind="upstream", name="carrier", state="paused", since_ms=1_795_694_400_500),
    )


async def test_a_deleted_route_is_gone(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    assert await configuration.delete_route(daemon, "acme", "4477")
    assert not await configuration.delete_route(daemon, "acme", "4477")
    assert len((await configuration.load_snapshot(daemon)).routes) == 2


async def test_a_new_row_has_the_profile_of_an_old_one(owner: Connection, daemon: Connection) -> None:
    """The previous release does not know the columns; its rows mean what they meant."""
    await owner.execute("INSERT INTO accounts (id) VALUES ('old')")
    await owner.execute("INSERT INTO upstreams (id, host, port, system_id, password) VALUES ('old', 'h', 1, 's', 'p')")
    loaded = await configuration.load_snapshot(daemon)
    assert loaded.accounts == (Account(id="old"),)
    assert loaded.upstreams == (Upstream(id="old", host="h", port=1, system_id="s", password="p"),)


def tlvs(*, twice: bool = False, **changes: object) -> str:
    """The SQL of a vendor_tlvs with one row that is good but for the changes."""
    row = {"tag": 0x1400, "name": "entity", "type": "octets", "min": 1, "max": 2} | changes
    return f"'{json.dumps([row, row] if twice else [row])}'"


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("accounts", "default_alphabet", "'ebcdic'"),
        ("accounts", "languages", "'{14}'"),
        ("upstreams", "default_alphabet", "''"),
        ("upstreams", "long_message", "'udh'"),
        ("upstreams", "esm_mode", "4"),
        ("upstreams", "priority_flag", "4"),
        ("upstreams", "validity_form", "'never'"),
        ("upstreams", "validity_offset_quarters", "49"),
        ("upstreams", "source_ton", "256"),
        ("upstreams", "source_npi", "-2"),
        ("upstreams", "dest_ton", "256"),
        ("upstreams", "dest_npi", "256"),
        ("upstreams", "service_type", "'LONGER'"),
        ("upstreams", "receipt_id", "'guess'"),
        ("upstreams", "vendor_tlvs", "'{}'"),
        ("upstreams", "vendor_tlvs", "'[1]'"),
        ("upstreams", "vendor_tlvs", "'[{}]'"),
        ("upstreams", "vendor_tlvs", tlvs(twice=True)),
        ("upstreams", "vendor_tlvs", tlvs(tag=0x0424)),
        ("upstreams", "vendor_tlvs", tlvs(type="float")),
        ("upstreams", "vendor_tlvs", tlvs(type="integer", min=0)),
        ("upstreams", "vendor_tlvs", tlvs(type="integer", max=9)),
        ("upstreams", "vendor_tlvs", tlvs(max=0)),
        ("upstreams", "vendor_tlvs", tlvs(required=1)),
        ("upstreams", "vendor_tlvs", tlvs(requird=True)),
        ("upstreams", "receipt_stats", "'[]'"),
        ("upstreams", "status_delays", "'[]'"),
        ("upstreams", "status_delays", """'{"0": 1}'"""),
        ("upstreams", "status_delays", """'{"0x14": 1}'"""),
        ("upstreams", "status_delays", """'{"4294967296": 1}'"""),
        ("upstreams", "status_delays", """'{"20": 0}'"""),
        ("upstreams", "status_delays", """'{"20": "1"}'"""),
        ("upstreams", "breaker_error_rate", "'NaN'"),
        ("upstreams", "receipt_stats", """'{"": "DELIVRD"}'"""),
        ("upstreams", "receipt_stats", """'{"acked": "DELIVERED"}'"""),
        ("upstreams", "receipt_stats", """'{"acked": null}'"""),
        ("upstreams", "receipt_stats", """'{"acked": "DELIVRD", "ACKED": "UNDELIV"}'"""),
        ("upstreams", "receipt_stats", """'{"delivrd": "UNDELIV"}'"""),
        ("upstreams", "interface_version", "51"),
        ("upstreams", "mo_join_seconds", "86401"),
        ("upstreams", "mo_join_seconds", "-1"),
        ("accounts", "mo_delivery", "'both'"),
    ],
)
async def test_a_profile_that_means_nothing_is_refused_when_it_is_written(
    daemon: Connection, table: str, column: str, value: str
) -> None:
    await add(daemon, SNAPSHOT)
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.DataError, asyncpg.ObjectNotInPrerequisiteStateError)):
        await daemon.execute(f"UPDATE {table} SET {column} = {value}")
    assert await loaded_from(daemon) == SNAPSHOT


async def test_quirk_1_a_word_written_in_any_case_is_read_in_capitals(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    await daemon.execute("""UPDATE upstreams SET receipt_stats = '{"acked": "ACCEPTD"}'""")
    assert (await configuration.load_snapshot(daemon)).upstreams[0].receipt_stats == {"ACKED": "ACCEPTD"}


@pytest.mark.parametrize("change", ["long_message = 'payload'", f"vendor_tlvs = {tlvs(required=True)}"])
async def test_quirk_25_an_upstream_without_tlvs_needs_none(daemon: Connection, change: str) -> None:
    await configuration.add_upstream(
        daemon, Upstream(id="old", host="h", port=1, system_id="s", password="p", interface_version=0x33)
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await daemon.execute(f"UPDATE upstreams SET {change}")


async def test_a_row_that_cannot_be_read_is_named(owner: Connection, daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    await owner.execute("ALTER TABLE upstreams DROP CONSTRAINT upstreams_long_message_check")
    await owner.execute("UPDATE upstreams SET long_message = 'carrier_pigeon'")
    with pytest.raises(configuration.ConfigurationInvalid, match=r"upstream carrier: .*carrier_pigeon.*long_message"):
        await configuration.load_snapshot(daemon)


async def test_the_durability_of_an_account_is_changed_alone(daemon: Connection) -> None:
    await configuration.add_account(daemon, ACCOUNT)
    assert await configuration.set_durability(daemon, "acme", "normal")
    assert not await configuration.set_durability(daemon, "nobody", "strict")
    (changed,) = (await configuration.load_snapshot(daemon)).accounts
    assert changed == msgspec.structs.replace(ACCOUNT, durability="normal")


async def test_the_limits_of_an_account_are_changed_alone(daemon: Connection) -> None:
    await configuration.add_account(daemon, ACCOUNT)
    wanted = Limits(None, 0, 9, frozenset({"FR"}))
    async with daemon.transaction():
        held = await configuration.limits_for_change(daemon, "acme")
        assert held == Limits(7, 50, 500, frozenset({"GB", "IE"}))
        await configuration.set_limits(daemon, "acme", wanted)
    assert await configuration.limits_for_change(daemon, "acme") == wanted
    assert await configuration.limits_for_change(daemon, "nobody") is None


async def test_tags_are_changed_by_themselves_and_stay_when_the_account_changes(daemon: Connection) -> None:
    await add(daemon, SNAPSHOT)
    assert await configuration.tags_for_change(daemon, "acme") == frozenset()
    await configuration.set_tags(daemon, "acme", {"vip", "bulk"})
    await configuration.add_account(daemon, ACCOUNT)
    assert await configuration.tags_for_change(daemon, "acme") == frozenset({"vip", "bulk"})
    assert (await loaded_from(daemon)).accounts[0].tags == {"vip", "bulk"}
    assert await configuration.tags_for_change(daemon, "nobody") is None
