"""What is remembered of wrong credentials is bounded, whatever is sent as a user."""

from __future__ import annotations

from smscd.core.directory_index import DirectoryIndex
from smscd.core.networks import peer_group
from smscd.core.scopes import SEND
from smscd.ingress.dropin.gatekeeper import USER_MAX, Denied, Gatekeeper
from smscd.ingress.http.keys import KeyUses
from smscd.ingress.smpp.auth import Authenticator
from tests.unit.smscd.ingress.dropin_fixture import PEPPER, directory

PEER = "192.0.2.7"


def test_a_user_longer_than_any_name_is_nobody_s_and_not_remembered() -> None:
    index = DirectoryIndex(directory())
    gatekeeper = Gatekeeper(
        Authenticator(PEPPER),
        lambda: index,
        lambda: 0.0,
        guesses_max=1,
        window_seconds=900.0,
        now_ms=lambda: 0,
        uses=KeyUses(),
    )
    for length, remembered in ((USER_MAX, 1), (USER_MAX + 1, 0)):
        user = b"x" * length
        assert gatekeeper.account(PEER, user, b"wrong", SEND) is Denied.CREDENTIALS
        assert gatekeeper._guesses.count(peer_group(PEER), user, 0.0) == remembered
