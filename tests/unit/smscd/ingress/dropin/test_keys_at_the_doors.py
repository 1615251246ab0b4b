"""What scopes, expiry and allowed networks mean to who comes from Kannel or Jasmin."""

from __future__ import annotations

from tests.unit.smscd.ingress.dropin_fixture import GUESSES_MAX, PASSWORD, dropin_doors
from tests.unit.smscd.ingress.http_fixture import EXPIRED_KEY, READING_KEY, SENDING_KEY, WALLED_KEY

DENIED = (403, b"Authorization failed for sendsms")
FROM_INSIDE = {"X-Forwarded-For": "10.1.2.3"}


async def test_a_key_without_the_scope_is_not_let_in_and_is_no_guess() -> None:
    async with dropin_doors() as doors:
        for _ in range(GUESSES_MAX):
            refused = await doors.sendsms(password=READING_KEY)
            assert (refused.status, refused.body) == DENIED
            jasmin = await doors.jasmin(password=READING_KEY)
            assert jasmin.body == b'Error "Authorization failed for username:acme-1 (its key needs send)"'
            assert jasmin.status == 403
        assert (await doors.jasmin("/rate", password=READING_KEY, to="+447700900123")).status == 403
        assert (await doors.jasmin("/balance", password=READING_KEY)).status == 200
        assert (await doors.jasmin("/balance", password=SENDING_KEY)).status == 403
        assert (await doors.sendsms(password=SENDING_KEY)).status == 202
        assert (await doors.jasmin("/balance")).status == 200, "SMPP credentials have no scopes"


async def test_an_expired_key_is_a_wrong_password() -> None:
    async with dropin_doors() as doors:
        refused = await doors.sendsms(password=EXPIRED_KEY)
        assert (refused.status, refused.body) == DENIED
        assert (await doors.jasmin(password=EXPIRED_KEY)).body == b'Error "Authentication failure for username:acme-1"'


async def test_keys_and_passwords_are_good_only_from_where_the_account_may_ask() -> None:
    async with dropin_doors() as doors:
        for password in (WALLED_KEY, PASSWORD):
            refused = await doors.sendsms(username="walled", password=password)
            assert (refused.status, refused.body) == DENIED
            inside = await doors.sendsms("", FROM_INSIDE, username="walled", password=password)
            assert inside.status == 202, inside.body
        assert (await doors.jasmin("/balance", FROM_INSIDE, username="walled", password=PASSWORD)).status == 200
