"""Standard Webhooks: signatures that others can check, and checks that do not believe everything."""

from __future__ import annotations

import base64

import pytest

from protocols import webhooks

# The worked example of the Standard Webhooks specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = webhooks.make_secret(bytes(range(32)))


def test_the_worked_example_of_the_specification_is_reproduced() -> None:
    assert webhooks.sign(ID, TIMESTAMP, BODY, [SECRET]) == SIGNATURE


def test_the_headers_are_those_that_receivers_look_for() -> None:
    assert webhooks.headers(ID, TIMESTAMP, BODY, [SECRET]) == {
        "webhook-id": ID,
        "webhook-timestamp": str(TIMESTAMP),
        "webhook-signature": SIGNATURE,
    }


def test_during_a_rotation_each_secret_signs_and_either_is_enough() -> None:
    signatures = webhooks.sign(ID, TIMESTAMP, BODY, [OTHER, SECRET])
    assert signatures.split(" ")[1] == SIGNATURE
    webhooks.verify(ID, str(TIMESTAMP), BODY, signatures, [SECRET], TIMESTAMP)
    webhooks.verify(ID, str(TIMESTAMP), BODY, signatures, [OTHER], TIMESTAMP)
    webhooks.verify(ID, str(TIMESTAMP), BODY, SIGNATURE, [OTHER, SECRET], TIMESTAMP)


@pytest.mark.parametrize(
    ("webhook_id", "timestamp", "body", "signatures"),
    [
        ("msg_other", str(TIMESTAMP), BODY, SIGNATURE),
        (ID, str(TIMESTAMP + 1), BODY, SIGNATURE),
        (ID, str(TIMESTAMP), BODY + b" ", SIGNATURE),
        (ID, str(TIMESTAMP), BODY, "v1,AAAA"),
        (ID, str(TIMESTAMP), BODY, ""),
        (ID, str(TIMESTAMP), BODY, "v2" + SIGNATURE[2:]),
        (ID, str(TIMESTAMP), BODY, "v1,ä"),
        (ID, "soon", BODY, SIGNATURE),
        (ID, "-5", BODY, SIGNATURE),
        (ID, "²", BODY, SIGNATURE),
        (ID, "", BODY, SIGNATURE),
        (ID, "9" * 400, BODY, SIGNATURE),
    ],
)
def test_anything_altered_is_refused(webhook_id: str, timestamp: str, body: bytes, signatures: str) -> None:
    with pytest.raises(webhooks.SignatureError):
        webhooks.verify(webhook_id, timestamp, body, signatures, [SECRET], TIMESTAMP)


@pytest.mark.parametrize("skew", [-301, 301])
def test_a_timestamp_out_of_tolerance_is_refused(skew: int) -> None:
    webhooks.verify(ID, str(TIMESTAMP), BODY, SIGNATURE, [SECRET], TIMESTAMP + skew, tolerance_seconds=400)
    with pytest.raises(webhooks.SignatureError):
        webhooks.verify(ID, str(TIMESTAMP), BODY, SIGNATURE, [SECRET], TIMESTAMP + skew)


@pytest.mark.parametrize(
    "secret",
    [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_not base64!",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_a_bad_secret_is_an_error_that_does_not_repeat_it(secret: str) -> None:
    with pytest.raises(webhooks.SecretError) as caught:
        webhooks.sign(ID, TIMESTAMP, BODY, [secret])
    assert secret not in str(caught.value)


def test_a_made_secret_is_parsed_back() -> None:
    assert webhooks.parse_secret(OTHER) == bytes(range(32))
    with pytest.raises(webhooks.SecretError):
        webhooks.make_secret(bytes(8))
