"""A Kannel configuration is read as Kannel reads it, and every group of it becomes something or a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from smscd.admin.kannel_conf import KannelGroup, KannelSyntaxError, read_configuration
from smscd.admin.kannel_plan import KannelPlan, UserSecret, plan_import, without_existing
from smscd.core.directory import MoNumber, Route
from smscd.core.upstream import Upstream

SMPP = """
group = smsc
smsc = smpp
smsc-id = Main
host = smsc.example
port = 2775
smsc-username = us
smsc-password = secret
"""


def read(directory: Path, text: str, **others: str) -> list[KannelGroup]:
    for name, content in others.items():
        (directory / name).write_text(content)
    path = directory / "kannel.conf"
    path.write_text(text)
    return read_configuration(path)


def planned(directory: Path, text: str, mo_account: str = "") -> KannelPlan:
    return plan_import(read(directory, text), currency="EUR", price_plan="default", mo_account=mo_account)


def noted(plan: KannelPlan, words: str) -> None:
    assert sum(words in note for note in plan.notes) == 1, plan.notes


# --- the file -------------------------------------------------------------------------------------------------------


def test_groups_have_their_values_unquoted_and_without_comments(tmp_path: Path) -> None:
    text = "# a comment\ngroup = core\nadmin-port=13000\n  # another\n"
    text += 'admin-password = "a \\"b\\" \\\\c # d"\n\n\nGROUP = smsbox\n'
    core, smsbox = read(tmp_path, text)
    assert core.values == {"admin-port": "13000", "admin-password": 'a "b" \\c # d'}
    assert (core.name, core.place, smsbox.name) == ("core", f"{tmp_path / 'kannel.conf'}:2", "smsbox")


def test_included_files_and_directories_stand_where_their_include_does(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.conf").write_text("group = three")
    (tmp_path / "more" / "a.conf").write_text("group = two\nk = v")
    text = 'include = "one.conf"\ngroup = last\ninclude = more\n'
    found = read(tmp_path, text, **{"one.conf": "group = one\nx = y"})
    assert [group.name for group in found] == ["one", "last", "two", "three"]
    assert found[0].values == {"x": "y"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("group = core\nnonsense", "kannel.conf:2: this is no 'name = value'"),
        ("admin-port = 1", "kannel.conf:1: 'admin-port' stands in no group"),
        ("group = core\n\nadmin-port = 1", "kannel.conf:3: 'admin-port' stands in no group"),
        ('group = "core', "kannel.conf:1: the quotes are not closed"),
        ("include = gone.conf", "gone.conf cannot be read: No such file"),
        ("include = kannel.conf", "files include each other"),
        ("group = core\n" + "a = b\n" * 100_000, "has more than 100,000 lines"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(KannelSyntaxError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)


# --- smsc -----------------------------------------------------------------------------------------------------------


def test_an_smsc_becomes_an_upstream_with_what_it_says(tmp_path: Path) -> None:
    more = """transceiver-mode = yes
system-type = VMA
instances = 2
max-pending-submits = 50
throughput = 12.5
enquire-link-interval = 20
wait-ack = 40
interface-version = 34
source-addr-ton = 5
dest-addr-npi = 1
msg-id-type = 0x01
alt-charset = ISO-8859-1
esm-class = 3
service-type = abc
use-ssl = true
ssl-client-certkey-file = /etc/key.pem
reconnect-delay = 5
log-file = /var/log/x
"""
    plan = planned(tmp_path, SMPP + more)
    assert plan.upstreams == [
        Upstream(
            id="main", host="smsc.example", port=2775, system_id="us", password="secret", system_type="VMA", binds=2,
            window_size=50, rate_per_second=12.5, enquire_link_seconds=20.0, response_timeout_seconds=40.0,
            interface_version=0x34, source_ton=5, dest_npi=1, receipt_id="decimal", default_alphabet="latin1",
            esm_mode=3, service_type="abc", uses_tls=True, tls_certificate_file="/etc/key.pem",
            tls_key_file="/etc/key.pem",
        )
    ]  # fmt: skip
    assert plan.routes == [Route(prefix="", upstreams=("main",))]
    assert plan.notes == ["smsc Main: reconnect-delay: not carried over, there is nothing like it here."]


@pytest.mark.parametrize(
    ("more", "mode"), [("", "transmitter"), ("receive-port = 2775", "pair"), ("transceiver-mode = true", "transceiver")]
)
def test_the_ports_say_how_it_binds(tmp_path: Path, more: str, mode: str) -> None:
    assert planned(tmp_path, SMPP + more).upstreams[0].bind_mode == mode


def test_a_receive_port_alone_is_a_receiver_and_another_one_is_noted(tmp_path: Path) -> None:
    assert planned(tmp_path, SMPP.replace("port =", "receive-port =")).upstreams[0].bind_mode == "receiver"
    noted(planned(tmp_path, SMPP + "receive-port = 2776"), "receive-port is another than port")


def test_an_allowed_prefix_becomes_a_route(tmp_path: Path) -> None:
    second = SMPP.replace("Main", "Second") + "allowed-prefix = 44;+49\n"
    assert planned(tmp_path, SMPP + second).routes == [
        Route(prefix="", upstreams=("main",)),
        Route(prefix="44", upstreams=("second",)),
        Route(prefix="49", upstreams=("second",)),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMPP.replace("= smpp", "= at"), "its type is at, and only smpp can be an upstream"),
        (SMPP.replace("host = smsc.example\n", ""), "it has no host or no port"),
        (SMPP + SMPP, "its smsc-id is there twice"),
        (SMPP + "instances = many", "instances is no number and is left out"),
        (SMPP + "alt-charset = klingon", "alt-charset klingon is none of gsm, ascii and latin1"),
        (SMPP + "service-type = toolong", "it is left out, because a value is not valid here"),
        (SMPP + "address-range = ^44", "address-range: not carried over"),
        ("group = wapbox\nk = v", "wapbox ("),
        ("group = core\nadmin-port = 1", "core: admin-port: smscd has its own"),
        ("group = smsbox\nsendsms-port = 13013", '[kannel] host = "0.0.0.0", port = 13013'),
        ("group = smsbox\nsendsms-url = /sms", "sendsms-url /sms: here it is /cgi-bin/sendsms"),
    ],
)
def test_what_is_not_translated_has_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    noted(planned(tmp_path, text), words)


# --- sendsms-user ---------------------------------------------------------------------------------------------------

USER = "group = sendsms-user\nusername = Shop\npassword = longer-than-eight\n"


def test_a_sendsms_user_becomes_an_account_with_its_limits(tmp_path: Path) -> None:
    more = "throughput = 20\nmax-messages = 3\ndefault-sender = SHOP\n"
    more += "user-deny-ip = *.*.*.*\nuser-allow-ip = 10.1.*.*;192.0.2.7\n"
    plan = planned(tmp_path, USER + more)
    [account] = plan.accounts
    assert (account.id, account.rate_per_second, account.burst, account.segments_max) == ("shop", 20.0, 20, 3)
    assert (account.any_sender, account.senders) == (True, {"SHOP"})
    assert account.http_networks == account.allowed_networks == {"10.1.0.0/16", "192.0.2.7/32"}
    assert plan.users == [UserSecret("Shop", "shop", "longer-than-eight")]
    noted(plan, "its password works over HTTP; over SMPP it has more than the 8 characters")
    noted(plan, "Accounts have no money and no prices yet")


def test_kannels_defaults_of_a_user_are_kept(tmp_path: Path) -> None:
    """One message, and the sender of all where there is none of its own."""
    plan = planned(
        tmp_path, "group = smsbox\nglobal-sender = 999\n\n" + USER + "concatenation = false\nmax-messages = 5"
    )
    assert (plan.accounts[0].segments_max, plan.accounts[0].senders) == (1, {"999"})


def test_a_forced_sender_is_the_only_one(tmp_path: Path) -> None:
    plan = planned(tmp_path, USER + "forced-sender = SHOP")
    assert (plan.accounts[0].any_sender, plan.accounts[0].senders) == (False, {"SHOP"})
    noted(plan, "another sender than its forced one is refused")


def test_its_smsc_becomes_a_route_of_its_own(tmp_path: Path) -> None:
    both = SMPP + SMPP.replace("Main", "Second")
    assert (
        Route(prefix="", upstreams=("second",), account="shop")
        in planned(tmp_path, both + "\n" + USER + "forced-smsc = Second").routes
    )
    assert (
        Route(prefix="", upstreams=("second", "main"), account="shop")
        in planned(tmp_path, both + "\n" + USER + "default-smsc = Second").routes
    )
    noted(planned(tmp_path, USER + "forced-smsc = gone"), "its smsc gone is no upstream of this import")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("group = sendsms-user\nusername = a", "it has no username or no password"),
        (USER + "\n" + USER, "another user has the same name"),
        (USER.replace("Shop", "a-name-of-16-char"), "longer than the 15 ASCII characters"),
        (USER + "user-allow-ip = *.1.2.3;x", "user-allow-ip x is no address"),
        (USER + "user-allow-ip = 10.0.0.1", "user-allow-ip was without effect there"),
        (USER + "user-deny-ip = 10.0.0.1", "user-deny-ip of single addresses cannot be said here"),
        (USER + "dlr-url = http://a/", "dlr-url: not carried over"),
    ],
)
def test_what_of_a_user_is_not_translated_has_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    noted(planned(tmp_path, text), words)


# --- sms-service ----------------------------------------------------------------------------------------------------

SERVICE = "\ngroup = sms-service\nkeyword = default\nget-url = http://a/?t=%a\n"


def test_the_default_service_gives_its_numbers_to_an_account(tmp_path: Path) -> None:
    plan = planned(tmp_path, SMPP + "my-number = 12345\n" + SERVICE, mo_account="shop")
    assert plan.numbers == [MoNumber(number="12345", account="shop", via="webhook")]
    noted(plan, "messages go to the webhook of shop")
    narrow = planned(tmp_path, SERVICE + "allowed-receiver-prefix = 777;888", mo_account="shop")
    assert [number.number for number in narrow.numbers] == ["777", "888"]


@pytest.mark.parametrize(
    ("text", "mo_account", "words"),
    [
        (SERVICE, "", "say with --mo-account whose the messages from phones are"),
        (SERVICE, "shop", "no my-number and no allowed-receiver-prefix says"),
        (SERVICE.replace("default", "info"), "shop", "messages are told apart by number here"),
        (SERVICE.replace("get-url", "text"), "shop", "it answers by itself"),
        (SERVICE + "accepted-smsc = Main", "shop", "accepted-smsc: not carried over"),
    ],
)
def test_what_of_a_service_is_not_translated_has_a_sentence(
    tmp_path: Path, text: str, mo_account: str, words: str
) -> None:
    noted(planned(tmp_path, text, mo_account), words)


# --- what is there --------------------------------------------------------------------------------------------------


def test_what_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    text = SMPP + "my-number = 12345\n\n" + USER + "forced-smsc = Main\n" + SERVICE
    plan = planned(tmp_path, text, "shop")
    again = without_existing(
        plan, upstreams=["main"], accounts=["shop"], system_ids=["Shop"], routes=[("", "")], numbers=["12345"]
    )
    assert not (again.upstreams or again.accounts or again.users or again.routes or again.numbers)
    for words in (
        "upstream main is there",
        "account shop is there",
        "number 12345 is there",
        "A route for every number",
    ):
        noted(again, words)
    fresh = without_existing(plan, upstreams=(), accounts=(), system_ids=(), routes=(), numbers=())
    assert fresh == plan
