"""What to do about each type of problem, as its page says it."""

from __future__ import annotations

from typing import Final

_LATER: Final = "Send the same request again, with the same X-Request-ID, after the seconds that Retry-After gives."

ADVICE: Final = {
    "account_suspended": "Ask your gateway's operator why; nothing is accepted until he resumes the account.",
    "address_not_allowed": "Ask from an address that your account allows, or ask for this one to be allowed.",
    "bad_gateway": _LATER,
    "bad_request": "Check what sends the request, or what stands in between: this is not HTTP/1.1 as RFC 9112 has it.",
    "batch_refused": "Look at results: each of them has the problem of one message, in the order of the request.",
    "busy": _LATER,
    "content_too_large": "Send a smaller body.",
    "country_not_allowed": "Ask for the country to be allowed for your account, or do not send there.",
    "events_gone": "Ask without after for what is kept, and look at GET /v1/messages for what you may have missed.",
    "expectation_failed": "Leave the Expect header out, or send 100-continue in it.",
    "gateway_timeout": f"It may have been accepted. {_LATER}",
    "headers_too_large": "Send fewer or shorter headers.",
    "idempotency_in_progress": _LATER,
    "idempotency_key_reused": "Take a new X-Request-ID for each new message, and an old one only to repeat the same.",
    "insufficient_balance": "Top the account up; GET /v1/balance says what it has, /v1/messages/estimate the price.",
    "internal_error": "Send the request again; if that fails too, give the request_id to your gateway's operator.",
    "key_expired": "Ask for a new key; one that is rotated in time goes on beside the new one for a while.",
    "key_not_valid": "Make a new key, without replaces.",
    "malformed_json": "Send JSON in UTF-8: one object, no trailing commas, every text in double quotes.",
    "method_not_allowed": "Use one of the methods that the Allow header names.",
    "missing_tlv": "Add the optional parameter that the detail names, under tlvs.",
    "no_route": "Check the number; if it is right, ask your gateway's operator for a route to it.",
    "no_route_available": _LATER,
    "not_cancelable": "Leave it: GET /v1/messages/{id} says what became of it. Only what waits can be canceled.",
    "not_convertible": "Write the text without the characters that the detail names.",
    "not_found": "Check the path and the id; an id is of one account, and messages are kept for a time only.",
    "prefix_velocity": "Wait as long as Retry-After says; if the traffic is what you want, ask for a higher limit.",
    "queue_full": _LATER,
    "rate_limited": "Send no faster than RateLimit-Policy says; what is over it may come after Retry-After.",
    "record_behind": _LATER,
    "request_timeout": "Send the whole request within ten seconds.",
    "scope_missing": "Use a key that has the scope which the detail names, or ask for one.",
    "sender_not_allowed": "Send from one of your own senders, or ask for this one to be allowed.",
    "spend_limit": "Wait for the next day (UTC), or ask for a higher limit.",
    "storage_unavailable": _LATER,
    "too_many_secrets": "Wait until an old secret runs out; or rotate with overlap 0, which ends all of them at once.",
    "too_many_webhooks": "Delete a webhook that you do not need; one may ask for several types of events.",
    "too_many_segments": "Shorten the text: a segment has 160 GSM characters, 153 of a long text; of others 70 and 67.",
    "too_many_keys": "Revoke a key that is not needed any more, or wait for a day.",
    "unauthorized": "Send your key in X-Api-Key; a key that was revoked is not valid any more.",
    "unsupported_media_type": "Send Content-Type: application/json, and no Content-Encoding.",
    "validation_failed": "Mend what errors lists: each has a JSON pointer to the field and what it must be.",
}
